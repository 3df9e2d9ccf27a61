/* The vulkan device: persistent memory, and the table that the executor calls. Programs:
 * exec_vulkan_program.c. */
#include <stdio.h>
#include <stdlib.h>

#include "tensor/vulkan_device.h"
#include "tensor/vulkan_program.h"

/* Executors tell memories apart by address, and keep the address of one that is gone until they are bound
 * again. So that no new one looks like it, the few bytes of its head stay until the device is closed. */
static void memory_destroy(struct tl_device *d, struct tl_memory *m)
{
    struct tl_vulkan_device *vulkan = (struct tl_vulkan_device *)d;
    for (struct tl_program *p = vulkan->programs; p; p = p->next) tl_vulkan_program_forget(p, m->number);
    tl_gpu_wait(vulkan->gpu, NULL);
    if (m->buffer) tl_device_count_given(d, m->bytes);
    tl_gpu_buffer_destroy(&m->buffer);
    m->next = vulkan->gone;
    vulkan->gone = m;
}

static struct tl_memory *memory_create(struct tl_device *d, size_t bytes, struct tl_err *err)
{
    struct tl_vulkan_device *vulkan = (struct tl_vulkan_device *)d;
    struct tl_memory *m = calloc(1, sizeof *m);
    if (!m) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    m->bytes = bytes;
    m->number = ++vulkan->n_memories;
    m->buffer = tl_gpu_buffer_create(vulkan->gpu, TL_GPU_LOCAL, bytes, err);
    if (m->buffer) tl_device_count_taken(d, bytes);
    if (m->buffer && tl_vulkan_zero(vulkan, tl_gpu_slice(m->buffer, 0, 0), err)) return m;
    memory_destroy(d, m);
    return NULL;
}

static bool memory_write(struct tl_device *d, struct tl_memory *m, size_t offset, const void *data,
                         size_t bytes, struct tl_err *err)
{
    (void)d;
    return tl_gpu_buffer_write(m->buffer, offset, data, bytes, err);
}

static bool memory_read(struct tl_device *d, struct tl_memory *m, size_t offset, void *data, size_t bytes,
                        struct tl_err *err)
{
    (void)d;
    return tl_gpu_buffer_read(m->buffer, offset, data, bytes, err);
}

static bool memory_fill_zero(struct tl_device *d, struct tl_memory *m, struct tl_err *err)
{
    return tl_vulkan_zero((struct tl_vulkan_device *)d, tl_gpu_slice(m->buffer, 0, 0), err);
}

static bool memory_copy(struct tl_device *d, struct tl_memory *dst, struct tl_memory *src, size_t bytes,
                        struct tl_err *err)
{
    struct tl_gpu *gpu = ((struct tl_vulkan_device *)d)->gpu;
    struct tl_gpu_program *copy = tl_gpu_program_create(gpu, NULL, err);
    bool ok = copy &&
              tl_gpu_program_copy(copy, tl_gpu_slice(src->buffer, 0, bytes),
                                  tl_gpu_slice(dst->buffer, 0, bytes), err) &&
              tl_gpu_program_end(copy, err) && tl_gpu_program_run(copy, err) && tl_gpu_wait(gpu, err);
    tl_gpu_program_destroy(&copy);
    return ok;
}

static void destroy(struct tl_device *d)
{
    struct tl_vulkan_device *vulkan = (struct tl_vulkan_device *)d;
    while (vulkan->gone) {
        struct tl_memory *next = vulkan->gone->next;
        free(vulkan->gone);
        vulkan->gone = next;
    }
    tl_gpu_close(&vulkan->gpu);
    free(vulkan);
}

static const struct tl_backend backend = {
    .name = "vulkan",
    .memory_create = memory_create,
    .memory_destroy = memory_destroy,
    .memory_write = memory_write,
    .memory_read = memory_read,
    .memory_fill_zero = memory_fill_zero,
    .memory_copy = memory_copy,
    .program_create = tl_vulkan_program_create,
    .program_destroy = tl_vulkan_program_destroy,
    .program_bind = tl_vulkan_program_bind,
    .program_write = tl_vulkan_program_write,
    .program_read = tl_vulkan_program_read,
    .program_run = tl_vulkan_program_run,
    .program_scratch = tl_vulkan_program_scratch,
    .destroy = destroy,
};

struct tl_device *tl_device_vulkan_open(int index, const struct tl_device_params *params, struct tl_err *err)
{
    if (params->f64) {
        tl_err_set(err, TL_USAGE, "the vulkan device has no double precision; use --device cpu");
        return NULL;
    }
    struct tl_vulkan_device *vulkan = calloc(1, sizeof *vulkan);
    if (!vulkan) {
        tl_err_set(err, TL_FAIL, "out of memory for the vulkan device");
        return NULL;
    }
    const struct tl_gpu_params gpu_params = {.by_index = index >= 0, .index = index};
    vulkan->gpu = tl_gpu_open(&gpu_params, err);
    if (!vulkan->gpu) {
        free(vulkan);
        return NULL;
    }
    const struct tl_gpu_facts *f = tl_gpu_facts(vulkan->gpu);
    const uint64_t most = (uint64_t)1 << 32; /* bytes: kernels count elements in 32 bits */
    vulkan->limit = (int64_t)((f->max_storage_bytes < most ? f->max_storage_bytes : most) / sizeof(float));
    vulkan->head.backend = &backend;
    vulkan->head.real_bytes = sizeof(float);
    vulkan->head.software = f->kind == TL_GPU_CLASS_CPU;
    snprintf(vulkan->head.name, sizeof vulkan->head.name, "vulkan:%d", f->index);
    snprintf(vulkan->head.description, sizeof vulkan->head.description, "%.120s, Vulkan %.16s", f->name,
             f->api);
    return &vulkan->head;
}

int tl_device_vulkan_hardware(void)
{
    enum { MOST = 32 };
    struct tl_gpu_facts *facts = calloc(MOST, sizeof *facts);
    struct tl_err err = {0};
    size_t n = 0;
    int found = -1;
    if (facts && tl_gpu_list(facts, MOST, &n, &err)) found = tl_gpu_pick(facts, n < MOST ? n : MOST, true);
    free(facts);
    return found;
}

struct tl_gpu *tl_device_vulkan_gpu(struct tl_device *device)
{
    return device->backend == &backend ? ((struct tl_vulkan_device *)device)->gpu : NULL;
}

void tl_device_vulkan_set_timed(struct tl_device *device, bool on)
{
    if (device->backend == &backend) ((struct tl_vulkan_device *)device)->timed = on;
}

void tl_device_vulkan_set_limit(struct tl_device *device, int64_t elements)
{
    if (device->backend == &backend) ((struct tl_vulkan_device *)device)->limit = elements;
}

size_t tl_device_vulkan_times(struct tl_device *device, struct tl_gpu_time *out, size_t cap)
{
    if (device->backend != &backend) return 0;
    struct tl_vulkan_device *vulkan = (struct tl_vulkan_device *)device;
    size_t n = vulkan->n_times;
    for (size_t i = 0; i < n && i < cap; i++) out[i] = vulkan->times[i];
    vulkan->n_times = 0;
    return n;
}
