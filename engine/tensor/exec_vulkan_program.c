/* Programs of the vulkan device: recording a plan, replaying it. */
#include "tensor/vulkan_program.h"

#include <stdlib.h>
#include <string.h>

#include "tensor/vulkan_call.h"

static bool out_of_memory(struct tl_err *err)
{
    return tl_err_set(err, TL_FAIL, "out of memory for a program");
}

/* Where a value lies. Slices are padded to fours: the padding belongs to the value. */
struct places {
    const struct tl_program *p;
    struct tl_memory *const *sets;
    const size_t *param_offset;
};

static struct tl_gpu_slice slice_of(const struct places *at, tl_val v)
{
    const struct tl_graph *g = at->p->g;
    const uint64_t bytes = (tl_value_bytes(g, v, sizeof(float)) + 15) & ~(uint64_t)15;
    const tl_val s = tl_graph_storage(g, v);
    const struct tl_value *x = &g->values[s];
    if (x->role == TL_ROLE_PARAM)
        return at->sets ? tl_gpu_slice(at->sets[x->set]->buffer, at->param_offset[s], bytes)
                        : (struct tl_gpu_slice){.bytes = bytes};
    return (struct tl_gpu_slice){.buffer = at->p->arena, .offset = at->p->plan->offset[v], .bytes = bytes};
}

static struct tl_vulkan_call call_of(const struct places *at, const struct tl_node *n)
{
    const struct tl_program *p = at->p;
    struct tl_vulkan_call call = {.gpu = p->device->gpu,
                                  .cpu = tl_gpu_facts(p->device->gpu)->kind == TL_GPU_CLASS_CPU,
                                  .limit = p->device->limit,
                                  .node = n,
                                  .attr = &n->attr,
                                  .n_in = n->n_in,
                                  .n_out = n->n_out,
                                  .accumulate = n->accumulate};
    for (int k = 0; k < n->n_in; k++)
        if (n->in[k] >= 0) {
            call.in_shape[k] = tl_shape_of(p->g, n->in[k]);
            call.in[k] = slice_of(at, n->in[k]);
        }
    for (int k = 0; k < n->n_out; k++) {
        call.out_shape[k] = tl_shape_of(p->g, n->out[k]);
        call.out[k] = slice_of(at, n->out[k]);
        call.wanted[k] = p->wanted[n->out[k]];
    }
    if (p->scratch) call.scratch = tl_gpu_slice(p->scratch, 0, 0);
    return call;
}

/* Runs every node's recording function: into `commands`, or (NULL) for the need of scratch alone. */
static bool walk(const struct places *at, struct tl_gpu_program *commands, uint64_t *scratch_bytes,
                 struct tl_err *err)
{
    const struct tl_program *p = at->p;
    for (int32_t i = 0; i < p->plan->n_order; i++) {
        const struct tl_node *n = &p->g->nodes[p->plan->order[i]];
        if (!tl_vulkan_records[n->op]) continue; /* reshape: an alias */
        struct tl_vulkan_call call = call_of(at, n);
        call.program = commands;
        if (!tl_vulkan_records[n->op](&call, err)) return tl_err_add(err, "%s", tl_op_name(n->op));
        if (call.scratch_used > *scratch_bytes) *scratch_bytes = call.scratch_used;
    }
    return true;
}

static void find_wanted(struct tl_program *p)
{
    for (int32_t i = 0; i < p->plan->n_order; i++) {
        const struct tl_node *n = &p->g->nodes[p->plan->order[i]];
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k] >= 0) p->wanted[n->in[k]] = true;
        for (int k = 0; k < n->n_out; k++) /* kept, or written into what outlives the run */
            if (p->g->values[n->out[k]].output || p->g->values[n->out[k]].alias >= 0)
                p->wanted[n->out[k]] = true;
    }
    for (tl_val v = 0; v < p->g->n_values; v++)
        if (p->wanted[v]) p->wanted[tl_graph_storage(p->g, v)] = true;
}

bool tl_vulkan_zero(struct tl_vulkan_device *d, struct tl_gpu_slice slice, struct tl_err *err)
{
    struct tl_gpu_program *fill = tl_gpu_program_create(d->gpu, NULL, err);
    bool ok = fill && tl_gpu_program_fill(fill, slice, 0, err) && tl_gpu_program_end(fill, err) &&
              tl_gpu_program_run(fill, err) && tl_gpu_wait(d->gpu, err);
    tl_gpu_program_destroy(&fill);
    return ok;
}

struct tl_program *tl_vulkan_program_create(struct tl_device *d, const struct tl_graph *g,
                                            const struct tl_plan *plan, struct tl_err *err)
{
    struct tl_vulkan_device *vulkan = (struct tl_vulkan_device *)d;
    struct tl_program *p = calloc(1, sizeof *p);
    if (!p) {
        out_of_memory(err);
        return NULL;
    }
    p->device = vulkan;
    p->g = g;
    p->plan = plan;
    p->next = vulkan->programs;
    vulkan->programs = p;
    p->wanted = calloc((size_t)g->n_values + 1, sizeof *p->wanted);
    if (!p->wanted) {
        out_of_memory(err);
        goto fail;
    }
    find_wanted(p);
    const struct places nowhere = {.p = p};
    if (!walk(&nowhere, NULL, &p->scratch_bytes, err)) goto fail;
    p->arena =
        tl_gpu_buffer_create(vulkan->gpu, TL_GPU_LOCAL, plan->bytes ? plan->bytes : TL_PLAN_ALIGN, err);
    if (p->arena) tl_device_count_taken(d, tl_gpu_buffer_bytes(p->arena));
    if (!p->arena || !tl_vulkan_zero(vulkan, tl_gpu_slice(p->arena, 0, 0), err)) goto fail;
    if (p->scratch_bytes) {
        p->scratch = tl_gpu_buffer_create(vulkan->gpu, TL_GPU_LOCAL, p->scratch_bytes, err);
        if (!p->scratch) goto fail;
        tl_device_count_taken(d, tl_gpu_buffer_bytes(p->scratch));
    }
    return p;
fail:
    tl_vulkan_program_destroy(d, p);
    return NULL;
}

bool tl_vulkan_program_scratch(struct tl_device *d, const struct tl_graph *g, const struct tl_plan *plan,
                               size_t *out_bytes, struct tl_err *err)
{
    struct tl_program p = {.device = (struct tl_vulkan_device *)d, .g = g, .plan = plan};
    uint64_t bytes = 0;
    p.wanted = calloc((size_t)g->n_values + 1, sizeof *p.wanted);
    if (!p.wanted) return out_of_memory(err);
    find_wanted(&p);
    const struct places nowhere = {.p = &p};
    bool ok = walk(&nowhere, NULL, &bytes, err);
    free(p.wanted);
    *out_bytes = (size_t)((bytes + 15) & ~(uint64_t)15);
    return ok;
}

void tl_vulkan_program_destroy(struct tl_device *d, struct tl_program *p)
{
    struct tl_vulkan_device *vulkan = (struct tl_vulkan_device *)d;
    for (struct tl_program **link = &vulkan->programs; *link; link = &(*link)->next)
        if (*link == p) {
            *link = p->next;
            break;
        }
    for (int i = 0; i < TL_VULKAN_RECORDINGS; i++) tl_gpu_program_destroy(&p->recordings[i].commands);
    tl_gpu_wait(vulkan->gpu, NULL);
    if (p->scratch) tl_device_count_given(d, tl_gpu_buffer_bytes(p->scratch));
    if (p->arena) tl_device_count_given(d, tl_gpu_buffer_bytes(p->arena));
    tl_gpu_buffer_destroy(&p->scratch);
    tl_gpu_buffer_destroy(&p->arena);
    free(p->wanted);
    free(p);
}

void tl_vulkan_program_forget(struct tl_program *p, uint64_t memory)
{
    for (int i = 0; i < TL_VULKAN_RECORDINGS; i++) {
        struct tl_vulkan_recording *r = &p->recordings[i];
        for (int s = 0; r->commands && s < TL_N_SETS; s++)
            if (r->sets[s] == memory) {
                tl_gpu_program_destroy(&r->commands);
                if (p->now == r) p->now = NULL;
            }
    }
}

static uint64_t hash_offsets(const struct tl_graph *g, const size_t *param_offset)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (tl_val v = 0; v < g->n_values; v++)
        if (g->values[v].role == TL_ROLE_PARAM) h = (h ^ param_offset[v]) * UINT64_C(0x100000001b3);
    return h;
}

/* The place to record into: a free one, or the one that was not used for the longest time. */
static struct tl_vulkan_recording *free_place(struct tl_program *p)
{
    struct tl_vulkan_recording *oldest = &p->recordings[0];
    for (int i = 0; i < TL_VULKAN_RECORDINGS; i++) {
        struct tl_vulkan_recording *r = &p->recordings[i];
        if (!r->commands) return r;
        if (r->used_at < oldest->used_at) oldest = r;
    }
    tl_gpu_program_destroy(&oldest->commands);
    return oldest;
}

static bool record(struct tl_program *p, struct tl_vulkan_recording *r, struct tl_memory *const *sets,
                   const size_t *param_offset, struct tl_err *err)
{
    const struct tl_gpu_program_params params = {.timed = r->timed};
    const struct places at = {p, sets, param_offset};
    uint64_t scratch = 0;
    r->commands = tl_gpu_program_create(p->device->gpu, &params, err);
    if (r->commands && walk(&at, r->commands, &scratch, err) && tl_gpu_program_end(r->commands, err))
        return true;
    tl_gpu_program_destroy(&r->commands);
    return false;
}

bool tl_vulkan_program_bind(struct tl_device *d, struct tl_program *p,
                            struct tl_memory *const sets[TL_N_SETS], const size_t *param_offset,
                            struct tl_err *err)
{
    (void)d;
    struct tl_vulkan_recording want = {
        .offsets = hash_offsets(p->g, param_offset), .timed = p->device->timed, .used_at = ++p->clock};
    for (int s = 0; s < TL_N_SETS; s++) want.sets[s] = sets[s] ? sets[s]->number : 0;
    for (int i = 0; i < TL_VULKAN_RECORDINGS; i++) {
        struct tl_vulkan_recording *r = &p->recordings[i];
        if (!r->commands || r->offsets != want.offsets || r->timed != want.timed ||
            memcmp(r->sets, want.sets, sizeof r->sets) != 0)
            continue;
        r->used_at = want.used_at;
        p->now = r;
        return true;
    }
    struct tl_vulkan_recording *r = free_place(p);
    *r = want;
    p->now = record(p, r, sets, param_offset, err) ? r : NULL;
    return p->now != NULL;
}

/* Adds the last run's times to the device's table. */
static void add_times(struct tl_vulkan_device *d, const struct tl_gpu_program *commands)
{
    size_t n = tl_gpu_program_times(commands, NULL, 0);
    struct tl_gpu_time *list = n ? malloc(n * sizeof *list) : NULL;
    if (!list) return;
    tl_gpu_program_times(commands, list, n);
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < d->n_times && strcmp(d->times[k].label, list[i].label) != 0) k++;
        if (k == TL_VULKAN_LABELS) continue;
        if (k == d->n_times) d->times[d->n_times++] = (struct tl_gpu_time){list[i].label, 0};
        d->times[k].seconds += list[i].seconds;
    }
    free(list);
}

/* Waits, so that a device's failure is told by the run that caused it. */
bool tl_vulkan_program_run(struct tl_device *d, struct tl_program *p, struct tl_err *err)
{
    if (!p->now) return tl_err_set(err, TL_FAIL, "a program runs after the weights it was bound to are gone");
    if (!tl_gpu_program_run(p->now->commands, err) || !tl_gpu_wait(p->device->gpu, err)) return false;
    if (p->now->timed) add_times((struct tl_vulkan_device *)d, p->now->commands);
    return true;
}

bool tl_vulkan_program_write(struct tl_device *d, struct tl_program *p, tl_val v, const void *data,
                             struct tl_err *err)
{
    (void)d;
    return tl_gpu_buffer_write(p->arena, p->plan->offset[v], data, tl_value_bytes(p->g, v, sizeof(float)),
                               err);
}

bool tl_vulkan_program_read(struct tl_device *d, struct tl_program *p, tl_val v, void *data,
                            struct tl_err *err)
{
    (void)d;
    return tl_gpu_buffer_read(p->arena, p->plan->offset[v], data, tl_value_bytes(p->g, v, sizeof(float)),
                              err);
}
