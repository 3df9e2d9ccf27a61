#include "gpu/gpu_command.h"

#include <stdlib.h>
#include <string.h>

#include "gpu/gpu_hazard.h"
#include "gpu/gpu_timer.h"
#include "gpu/gpu_vk.h"

enum { SETS_A_POOL = 128, MAX_ACCESSES = TL_GPU_MAX_BIND };
static const double SECONDS_A_SUBMISSION = 0.25;

struct submission {
    VkCommandBuffer commands;
    double work;
    size_t mark; /* timer marks `mark` and `mark + 1` stand around it in `span_timer` */
};

struct command {
    const char *label;
    size_t begin, end; /* marks in `timer` */
};

struct tl_gpu_program {
    struct tl_gpu *gpu; /* borrows */
    bool timed, recording, ended;
    struct submission *submissions; /* owns */
    size_t n_submissions, cap_submissions;
    VkDescriptorPool *pools; /* owns */
    size_t n_pools, sets_left;
    struct tl_gpu_hazard hazard;
    struct tl_gpu_timer span_timer, timer;
    struct command *commands; /* owns; only when timed */
    size_t n_commands, cap_commands;
    size_t n_recorded, n_barriers;
    double work;
    uint64_t finished_at; /* timeline value of the last run; 0: never ran, or already learnt from */
};

/* Room for one more element. */
static bool reserve(void **list, size_t n, size_t *cap, size_t size, struct tl_err *err)
{
    if (n < *cap) return true;
    size_t more = *cap ? 2 * *cap : 16;
    void *grown = realloc(*list, more * size);
    if (!grown) return tl_err_set(err, TL_FAIL, "out of memory");
    *list = grown;
    *cap = more;
    return true;
}

bool tl_gpu_submit(struct tl_gpu *gpu, VkCommandBuffer commands, struct tl_err *err)
{
    const uint64_t value = gpu->submitted + 1;
    const VkTimelineSemaphoreSubmitInfo timeline = {.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
                                                    .signalSemaphoreValueCount = 1,
                                                    .pSignalSemaphoreValues = &value};
    const VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                               .pNext = &timeline,
                               .commandBufferCount = 1,
                               .pCommandBuffers = &commands,
                               .signalSemaphoreCount = 1,
                               .pSignalSemaphores = &gpu->timeline};
    VkResult r = gpu->vk.vkQueueSubmit(gpu->queue, 1, &info, VK_NULL_HANDLE);
    if (r == VK_ERROR_DEVICE_LOST) gpu->lost = true;
    TL_VK(r, err);
    gpu->submitted = value;
    return true;
fail:
    return false;
}

static void barrier(struct tl_gpu *gpu, VkCommandBuffer commands, VkPipelineStageFlags to,
                    VkAccessFlags access)
{
    const VkMemoryBarrier memory = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                    .srcAccessMask =
                                        VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
                                    .dstAccessMask = access};
    gpu->vk.vkCmdPipelineBarrier(commands,
                                 VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT, to, 0,
                                 1, &memory, 0, NULL, 0, NULL);
}

static void barrier_device(struct tl_gpu *gpu, VkCommandBuffer commands)
{
    barrier(gpu, commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
            VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_READ_BIT |
                VK_ACCESS_TRANSFER_WRITE_BIT);
}

struct tl_gpu_program *tl_gpu_program_create(struct tl_gpu *gpu, const struct tl_gpu_program_params *params,
                                             struct tl_err *err)
{
    struct tl_gpu_program *p = calloc(1, sizeof *p);
    if (!p) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    p->gpu = gpu;
    p->timed = params && params->timed;
    tl_gpu_timer_init(&p->span_timer, gpu);
    tl_gpu_timer_init(&p->timer, gpu);
    return p;
}

void tl_gpu_program_destroy(struct tl_gpu_program **program)
{
    struct tl_gpu_program *p = *program;
    if (!p) return;
    struct tl_gpu *gpu = p->gpu;
    if (p->n_submissions) tl_gpu_wait(gpu, NULL);
    for (size_t i = 0; i < p->n_submissions; i++)
        gpu->vk.vkFreeCommandBuffers(gpu->device, gpu->commands, 1, &p->submissions[i].commands);
    for (size_t i = 0; i < p->n_pools; i++) gpu->vk.vkDestroyDescriptorPool(gpu->device, p->pools[i], NULL);
    tl_gpu_timer_finish(&p->span_timer);
    tl_gpu_timer_finish(&p->timer);
    tl_gpu_hazard_finish(&p->hazard);
    free(p->submissions);
    free(p->pools);
    free(p->commands);
    free(p);
    *program = NULL;
}

static VkCommandBuffer current(const struct tl_gpu_program *p)
{
    return p->submissions[p->n_submissions - 1].commands;
}

static bool close_submission(struct tl_gpu_program *p, struct tl_err *err)
{
    size_t mark;
    if (!p->recording) return true;
    if (!tl_gpu_timer_mark(&p->span_timer, current(p), &mark, err)) return false;
    p->recording = false;
    TL_VK(p->gpu->vk.vkEndCommandBuffer(current(p)), err);
    return true;
fail:
    return false;
}

/* Opens a submission where none is open or where this work would make the open one too long. */
static bool open_submission(struct tl_gpu_program *p, double work, struct tl_err *err)
{
    struct tl_gpu *gpu = p->gpu;
    if (p->recording) {
        const double limit = gpu->work_per_s * SECONDS_A_SUBMISSION;
        struct submission *s = &p->submissions[p->n_submissions - 1];
        if (s->work == 0 || s->work + work <= limit) {
            s->work += work;
            return true;
        }
        if (!close_submission(p, err)) return false;
    }
    if (!reserve((void **)&p->submissions, p->n_submissions, &p->cap_submissions, sizeof *p->submissions,
                 err))
        return false;
    struct submission *s = &p->submissions[p->n_submissions];
    *s = (struct submission){.work = work};
    const VkCommandBufferAllocateInfo allocate = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                                  .commandPool = gpu->commands,
                                                  .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                                  .commandBufferCount = 1};
    TL_VK(gpu->vk.vkAllocateCommandBuffers(gpu->device, &allocate, &s->commands), err);
    p->n_submissions++;
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                            .flags = VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT};
    TL_VK(gpu->vk.vkBeginCommandBuffer(s->commands, &begin), err);
    p->recording = true;
    /* The first waits for whatever ran before; later ones are ordered by the hazards, as within one. */
    if (p->n_submissions == 1) barrier_device(gpu, s->commands);
    return tl_gpu_timer_mark(&p->span_timer, s->commands, &s->mark, err);
fail:
    return false;
}

/* What every command does before it is recorded. */
static bool begin_command(struct tl_gpu_program *p, const struct tl_gpu_access *accesses, size_t n,
                          double work, const char *label, struct tl_err *err)
{
    if (p->ended) return tl_err_set(err, TL_FAIL, "the program has ended");
    if (!open_submission(p, work, err)) return false;
    if (tl_gpu_hazard_clash(&p->hazard, accesses, n)) {
        barrier_device(p->gpu, current(p));
        tl_gpu_hazard_clear(&p->hazard);
        p->n_barriers++;
    }
    if (!tl_gpu_hazard_add(&p->hazard, accesses, n)) return tl_err_set(err, TL_FAIL, "out of memory");
    p->n_recorded++;
    p->work += work;
    if (!p->timed) return true;
    if (!reserve((void **)&p->commands, p->n_commands, &p->cap_commands, sizeof *p->commands, err))
        return false;
    struct command *c = &p->commands[p->n_commands++];
    *c = (struct command){.label = label};
    return tl_gpu_timer_mark(&p->timer, current(p), &c->begin, err);
}

static bool end_command(struct tl_gpu_program *p, struct tl_err *err)
{
    return !p->timed || tl_gpu_timer_mark(&p->timer, current(p), &p->commands[p->n_commands - 1].end, err);
}

static bool new_set(struct tl_gpu_program *p, const struct tl_gpu_kernel *k, VkDescriptorSet *out,
                    struct tl_err *err)
{
    struct tl_gpu *gpu = p->gpu;
    if (p->sets_left == 0) {
        VkDescriptorPool *pools = realloc(p->pools, (p->n_pools + 1) * sizeof(VkDescriptorPool));
        if (!pools) return tl_err_set(err, TL_FAIL, "out of memory");
        p->pools = pools;
        const VkDescriptorPoolSize sizes[] = {
            {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, SETS_A_POOL * TL_GPU_MAX_BIND},
            {VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER, SETS_A_POOL * TL_GPU_MAX_BIND}};
        const VkDescriptorPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                                 .maxSets = SETS_A_POOL,
                                                 .poolSizeCount = 2,
                                                 .pPoolSizes = sizes};
        TL_VK(gpu->vk.vkCreateDescriptorPool(gpu->device, &info, NULL, &pools[p->n_pools]), err);
        p->n_pools++;
        p->sets_left = SETS_A_POOL;
    }
    const VkDescriptorSetAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                              .descriptorPool = p->pools[p->n_pools - 1],
                                              .descriptorSetCount = 1,
                                              .pSetLayouts = &k->set_layout};
    TL_VK(gpu->vk.vkAllocateDescriptorSets(gpu->device, &info, out), err);
    p->sets_left--;
    return true;
fail:
    return false;
}

static bool check_slice(const struct tl_gpu *gpu, const struct tl_gpu_kernel *k, size_t i,
                        const struct tl_gpu_slice *s, struct tl_err *err)
{
    const bool storage = k->type[i] == VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
    const uint32_t align = storage ? gpu->facts.storage_align : gpu->facts.texel_align;
    const char *why = NULL;
    if (!s->buffer)
        why = "nothing is bound";
    else if (s->bytes == 0 || s->offset > s->buffer->bytes || s->bytes > s->buffer->bytes - s->offset)
        why = "outside of its buffer";
    else if (align && s->offset % align)
        why = "the offset is not aligned as the device needs it";
    else if (storage && s->bytes > gpu->facts.max_storage_bytes)
        why = "larger than the device binds at once";
    if (!why) return true;
    return tl_err_set(err, TL_DEVICE, "%s, binding %zu: %s (offset %llu, %llu bytes)", k->name, i, why,
                      (unsigned long long)s->offset, (unsigned long long)s->bytes);
}

static bool write_set(struct tl_gpu *gpu, VkDescriptorSet set, const struct tl_gpu_kernel *k,
                      const struct tl_gpu_slice *bind, struct tl_err *err)
{
    VkWriteDescriptorSet writes[TL_GPU_MAX_BIND];
    VkDescriptorBufferInfo buffers[TL_GPU_MAX_BIND];
    VkBufferView views[TL_GPU_MAX_BIND];
    uint32_t n = 0;
    for (uint32_t i = 0; i < k->n_bind; i++) {
        const struct tl_gpu_slice *s = &bind[i];
        if (!k->used[i]) continue;
        writes[n] = (VkWriteDescriptorSet){.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                           .dstSet = set,
                                           .dstBinding = i,
                                           .descriptorCount = 1,
                                           .descriptorType = k->type[i]};
        if (k->type[i] == VK_DESCRIPTOR_TYPE_STORAGE_BUFFER) {
            buffers[i] =
                (VkDescriptorBufferInfo){s->buffer->handle, s->offset, (s->bytes + 3) & ~UINT64_C(3)};
            writes[n].pBufferInfo = &buffers[i];
        } else {
            views[i] = tl_gpu_buffer_view(s->buffer, s->offset, s->bytes, s->texel, err);
            if (!views[i]) return tl_err_add(err, "%s, binding %u", k->name, i);
            writes[n].pTexelBufferView = &views[i];
        }
        n++;
    }
    gpu->vk.vkUpdateDescriptorSets(gpu->device, n, writes, 0, NULL);
    return true;
}

static bool check_dispatch(const struct tl_gpu *gpu, const struct tl_gpu_dispatch *d, struct tl_err *err)
{
    const struct tl_gpu_kernel *k = d->kernel;
    if (d->n_bind < k->n_bind || d->push_bytes != k->push_bytes)
        return tl_err_set(err, TL_FAIL, "%s takes %u bindings and %u push bytes, got %zu and %zu", k->name,
                          k->n_bind, k->push_bytes, d->n_bind, d->push_bytes);
    for (int i = 0; i < 3; i++)
        if (d->groups[i] > gpu->facts.max_groups[i])
            return tl_err_set(err, TL_DEVICE, "%s: %u workgroups along axis %d, the device takes %u", k->name,
                              d->groups[i], i, gpu->facts.max_groups[i]);
    for (size_t i = 0; i < k->n_bind; i++)
        if (k->used[i] && !check_slice(gpu, k, i, &d->bind[i], err)) return false;
    return true;
}

bool tl_gpu_program_dispatch(struct tl_gpu_program *p, const struct tl_gpu_dispatch *d, struct tl_err *err)
{
    struct tl_gpu *gpu = p->gpu;
    const struct tl_gpu_kernel *k = d->kernel;
    if (d->groups[0] == 0 || d->groups[1] == 0 || d->groups[2] == 0) return true;
    if (!check_dispatch(gpu, d, err)) return false;
    struct tl_gpu_access accesses[MAX_ACCESSES];
    size_t n = 0;
    for (size_t i = 0; i < k->n_bind; i++)
        if (k->used[i])
            accesses[n++] = (struct tl_gpu_access){.buffer = d->bind[i].buffer,
                                                   .begin = d->bind[i].offset,
                                                   .end = d->bind[i].offset + d->bind[i].bytes,
                                                   .write = k->writes[i]};
    VkDescriptorSet set;
    if (!new_set(p, k, &set, err) || !write_set(gpu, set, k, d->bind, err) ||
        !begin_command(p, accesses, n, d->work, d->label ? d->label : k->name, err))
        return false;
    VkCommandBuffer c = current(p);
    gpu->vk.vkCmdBindPipeline(c, VK_PIPELINE_BIND_POINT_COMPUTE, k->pipeline);
    gpu->vk.vkCmdBindDescriptorSets(c, VK_PIPELINE_BIND_POINT_COMPUTE, k->layout, 0, 1, &set, 0, NULL);
    if (k->push_bytes)
        gpu->vk.vkCmdPushConstants(c, k->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, k->push_bytes, d->push);
    gpu->vk.vkCmdDispatch(c, d->groups[0], d->groups[1], d->groups[2]);
    return end_command(p, err);
}

bool tl_gpu_program_copy(struct tl_gpu_program *p, struct tl_gpu_slice from, struct tl_gpu_slice to,
                         struct tl_err *err)
{
    if (from.bytes == 0) return true;
    if (from.offset + from.bytes > from.buffer->bytes || to.offset + from.bytes > to.buffer->bytes)
        return tl_err_set(err, TL_FAIL, "copy outside of a buffer");
    const struct tl_gpu_access accesses[] = {{from.buffer, from.offset, from.offset + from.bytes, false},
                                             {to.buffer, to.offset, to.offset + from.bytes, true}};
    if (!begin_command(p, accesses, 2, 8.0 * (double)from.bytes, "copy", err)) return false;
    const VkBufferCopy region = {.srcOffset = from.offset, .dstOffset = to.offset, .size = from.bytes};
    p->gpu->vk.vkCmdCopyBuffer(current(p), from.buffer->handle, to.buffer->handle, 1, &region);
    return end_command(p, err);
}

bool tl_gpu_program_fill(struct tl_gpu_program *p, struct tl_gpu_slice to, uint32_t value, struct tl_err *err)
{
    if (to.bytes == 0) return true;
    if (to.offset % 4 || to.bytes % 4 || to.offset + to.bytes > to.buffer->bytes)
        return tl_err_set(err, TL_FAIL, "fill outside of a buffer, or not of whole words");
    const struct tl_gpu_access access = {to.buffer, to.offset, to.offset + to.bytes, true};
    if (!begin_command(p, &access, 1, 4.0 * (double)to.bytes, "fill", err)) return false;
    p->gpu->vk.vkCmdFillBuffer(current(p), to.buffer->handle, to.offset, to.bytes, value);
    return end_command(p, err);
}

bool tl_gpu_program_end(struct tl_gpu_program *p, struct tl_err *err)
{
    if (p->ended) return true;
    if (!open_submission(p, 0, err)) return false;
    barrier(p->gpu, current(p), VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
    if (!close_submission(p, err)) return false;
    tl_gpu_hazard_finish(&p->hazard);
    p->ended = true;
    return true;
}

/* Moves the estimate towards what the last finished run measured; short submissions say little. */
static void learn(struct tl_gpu_program *p)
{
    struct tl_gpu *gpu = p->gpu;
    uint64_t done = 0;
    if (!p->finished_at || gpu->facts.timestamp_ns <= 0) return;
    if (gpu->vk.vkGetSemaphoreCounterValue(gpu->device, gpu->timeline, &done) != VK_SUCCESS ||
        done < p->finished_at)
        return;
    p->finished_at = 0;
    for (size_t i = 0; i < p->n_submissions; i++) {
        const struct submission *s = &p->submissions[i];
        double seconds = tl_gpu_timer_seconds(&p->span_timer, s->mark, s->mark + 1);
        if (seconds > 0.02 && s->work > 0) gpu->work_per_s += 0.1 * (s->work / seconds - gpu->work_per_s);
    }
}

bool tl_gpu_program_run(struct tl_gpu_program *p, struct tl_err *err)
{
    if (!p->ended) return tl_err_set(err, TL_FAIL, "the program has not ended");
    learn(p);
    for (size_t i = 0; i < p->n_submissions; i++)
        if (!tl_gpu_submit(p->gpu, p->submissions[i].commands, err)) return false;
    p->finished_at = p->gpu->submitted;
    return true;
}

void tl_gpu_program_stats(const struct tl_gpu_program *p, struct tl_gpu_program_stats *out)
{
    *out = (struct tl_gpu_program_stats){.n_commands = p->n_recorded,
                                         .n_barriers = p->n_barriers,
                                         .n_submissions = p->n_submissions,
                                         .work = p->work};
}

size_t tl_gpu_program_times(const struct tl_gpu_program *p, struct tl_gpu_time *out, size_t cap)
{
    if (!p->timed || p->gpu->facts.timestamp_ns <= 0) return 0;
    for (size_t i = 0; i < p->n_commands && i < cap; i++)
        out[i] = (struct tl_gpu_time){
            .label = p->commands[i].label,
            .seconds = tl_gpu_timer_seconds(&p->timer, p->commands[i].begin, p->commands[i].end)};
    return p->n_commands;
}
