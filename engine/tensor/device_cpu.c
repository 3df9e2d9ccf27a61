/* The cpu device: runs a plan node by node over the kernel tables of cpu.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/cpu.h"
#include "tensor/device.h"

enum { ALIGN = 64 };

struct cpu_device {
    struct tl_device head;
    struct tl_pool *pool;
    const tl_cpu_kernel *plain, *fast; /* fast may be NULL */
};

struct tl_memory {
    size_t bytes;
    char *data;
};

struct tl_program {
    const struct tl_graph *g;
    const struct tl_plan *plan;
    char *arena;
    void **pointer;              /* per value */
    struct tl_cpu_cache *caches; /* per place in the order */
};

static void *zeroed(size_t bytes, struct tl_err *err)
{
    size_t size = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    void *p = bytes > SIZE_MAX - ALIGN ? NULL : aligned_alloc(ALIGN, size ? size : ALIGN);
    if (!p) tl_err_set(err, TL_DEVICE, "out of memory: %.1f MB wanted; try a smaller batch or --size", (double)bytes / 1e6);
    return p ? memset(p, 0, size ? size : ALIGN) : NULL;
}

static struct tl_memory *memory_create(struct tl_device *d, size_t bytes, struct tl_err *err)
{
    (void)d;
    struct tl_memory *m = calloc(1, sizeof *m);
    if (m) m->data = zeroed(bytes, err);
    if (m && m->data) {
        m->bytes = bytes;
        return m;
    }
    free(m);
    tl_err_set(err, TL_DEVICE, "out of memory");
    return NULL;
}

static void memory_destroy(struct tl_device *d, struct tl_memory *m)
{
    (void)d;
    free(m->data);
    free(m);
}

static bool memory_write(struct tl_device *d, struct tl_memory *m, size_t offset, const void *data, size_t bytes, struct tl_err *err)
{
    (void)d, (void)err;
    memcpy(m->data + offset, data, bytes);
    return true;
}

static bool memory_read(struct tl_device *d, struct tl_memory *m, size_t offset, void *data, size_t bytes, struct tl_err *err)
{
    (void)d, (void)err;
    memcpy(data, m->data + offset, bytes);
    return true;
}

static bool memory_fill_zero(struct tl_device *d, struct tl_memory *m, struct tl_err *err)
{
    (void)d, (void)err;
    memset(m->data, 0, m->bytes);
    return true;
}

static bool memory_copy(struct tl_device *d, struct tl_memory *dst, struct tl_memory *src, size_t bytes, struct tl_err *err)
{
    (void)d, (void)err;
    memcpy(dst->data, src->data, bytes);
    return true;
}

void *tl_cpu_scratch(const struct tl_cpu_call *call, size_t bytes, struct tl_err *err)
{
    struct tl_cpu_cache *c = call->cache;
    if (c->scratch_bytes >= bytes) return c->scratch;
    free(c->scratch);
    c->scratch = zeroed(bytes, err);
    c->scratch_bytes = c->scratch ? bytes : 0;
    return c->scratch;
}

static void program_destroy(struct tl_device *d, struct tl_program *p)
{
    (void)d;
    for (int32_t i = 0; p->caches && i < p->plan->n_order; i++) {
        if (p->caches[i].destroy) p->caches[i].destroy(p->caches[i].prepared);
        free(p->caches[i].scratch);
    }
    free(p->caches);
    free(p->pointer);
    free(p->arena);
    free(p);
}

static struct tl_program *program_create(struct tl_device *d, const struct tl_graph *g, const struct tl_plan *plan, struct tl_err *err)
{
    struct tl_program *p = calloc(1, sizeof *p);
    if (!p) goto no_memory;
    p->g = g;
    p->plan = plan;
    p->pointer = calloc((size_t)g->n_values + 1, sizeof *p->pointer);
    p->caches = calloc((size_t)plan->n_order + 1, sizeof *p->caches);
    p->arena = zeroed(plan->bytes, err);
    if (!p->pointer || !p->caches || !p->arena) {
        program_destroy(d, p);
        goto no_memory;
    }
    for (tl_val v = 0; v < g->n_values; v++)
        if (plan->offset[v] != SIZE_MAX) p->pointer[v] = p->arena + plan->offset[v];
    return p;
no_memory:
    tl_err_set(err, TL_DEVICE, "out of memory for a program");
    return NULL;
}

static bool program_bind(struct tl_device *d, struct tl_program *p, struct tl_memory *const sets[TL_N_SETS], const size_t *param_offset,
                         struct tl_err *err)
{
    (void)d, (void)err;
    for (tl_val v = 0; v < p->g->n_values; v++) {
        tl_val s = tl_graph_storage(p->g, v);
        const struct tl_value *x = &p->g->values[s];
        if (x->role == TL_ROLE_PARAM) p->pointer[v] = sets[x->set]->data + param_offset[s];
    }
    return true;
}

static bool program_write(struct tl_device *d, struct tl_program *p, tl_val v, const void *data, struct tl_err *err)
{
    (void)err;
    memcpy(p->pointer[v], data, tl_value_bytes(p->g, v, d->real_bytes));
    return true;
}

static bool program_read(struct tl_device *d, struct tl_program *p, tl_val v, void *data, struct tl_err *err)
{
    (void)err;
    memcpy(data, p->pointer[v], tl_value_bytes(p->g, v, d->real_bytes));
    return true;
}

static bool program_run(struct tl_device *d, struct tl_program *p, struct tl_err *err)
{
    struct cpu_device *cpu = (struct cpu_device *)d;
    for (int32_t i = 0; i < p->plan->n_order; i++) {
        const struct tl_node *n = &p->g->nodes[p->plan->order[i]];
        tl_cpu_kernel kernel = cpu->fast && cpu->fast[n->op] ? cpu->fast[n->op] : cpu->plain[n->op];
        if (!kernel) continue; /* reshape: an alias */
        struct tl_cpu_call call = {.node = n, .attr = &n->attr, .n_in = n->n_in, .n_out = n->n_out, .accumulate = n->accumulate || n->op == TL_OP_ACCUMULATE,
                                   .pool = cpu->pool, .cache = &p->caches[i]};
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k] >= 0) {
                call.in_shape[k] = tl_shape_of(p->g, n->in[k]);
                call.in[k] = p->pointer[n->in[k]];
            }
        for (int k = 0; k < n->n_out; k++) {
            call.out_shape[k] = tl_shape_of(p->g, n->out[k]);
            call.out[k] = p->pointer[n->out[k]];
        }
        if (!kernel(&call, err)) return tl_err_add(err, "%s", tl_op_name(n->op));
    }
    return true;
}

static void destroy(struct tl_device *d)
{
    struct cpu_device *cpu = (struct cpu_device *)d;
    tl_pool_destroy(&cpu->pool);
    free(cpu);
}

static const struct tl_backend backend = {
    .name = "cpu",
    .memory_create = memory_create,
    .memory_destroy = memory_destroy,
    .memory_write = memory_write,
    .memory_read = memory_read,
    .memory_fill_zero = memory_fill_zero,
    .memory_copy = memory_copy,
    .program_create = program_create,
    .program_destroy = program_destroy,
    .program_bind = program_bind,
    .program_write = program_write,
    .program_read = program_read,
    .program_run = program_run,
    .destroy = destroy,
};

struct tl_device *tl_device_cpu_open(const struct tl_device_params *params, struct tl_err *err)
{
    struct cpu_device *cpu = calloc(1, sizeof *cpu);
    if (!cpu) {
        tl_err_set(err, TL_FAIL, "out of memory for the cpu device");
        return NULL;
    }
    cpu->head.backend = &backend;
    cpu->head.real_bytes = params->f64 ? 8 : 4;
    cpu->head.software = true;
    cpu->plain = params->f64 ? tl_cpu_plain_f64 : tl_cpu_plain_f32;
    cpu->fast = params->f64 || params->plain ? NULL : tl_cpu_fast_f32;
    cpu->pool = tl_pool_create(params->threads, err);
    if (!cpu->pool) {
        free(cpu);
        return NULL;
    }
    int n = tl_pool_threads(cpu->pool);
    snprintf(cpu->head.name, sizeof cpu->head.name, "cpu");
    snprintf(cpu->head.description, sizeof cpu->head.description, "%d thread%s, %s", n, n == 1 ? "" : "s",
             params->f64 ? "double, plain kernels" : params->plain ? "plain kernels" : "OpenBLAS and oneDNN");
    return &cpu->head;
}
