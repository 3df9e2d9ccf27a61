/* The cpu device: runs a plan node by node over the kernel tables of cpu.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/cpu.h"
#include "tensor/cpu_memory.h"
#include "tensor/cpu_profile.h"
#include "tensor/device.h"

enum { ALIGN = 64 };

struct cpu_device {
    struct tl_device head;
    struct tl_pool *pool;
    const tl_cpu_kernel *plain, *fast; /* fast may be NULL */
    void *scratch; /* one for all nodes of all programs: packed weights would else lie beside the weights */
    size_t scratch_bytes;
};

struct tl_memory {
    size_t bytes;
    char *data;
};

struct tl_program {
    const struct tl_graph *g;
    const struct tl_plan *plan;
    char *arena;
    void **pointer;                 /* per value */
    struct tl_cpu_cache *caches;    /* per place in the order */
    struct tl_cpu_profile *profile; /* or NULL */
};

static struct tl_memory *memory_create(struct tl_device *d, size_t bytes, struct tl_err *err)
{
    struct tl_memory *m = calloc(1, sizeof *m);
    if (m) m->data = tl_cpu_memory_take(bytes, err);
    if (m && m->data) {
        m->bytes = bytes;
        tl_device_count_taken(d, bytes);
        return m;
    }
    free(m);
    tl_err_set(err, TL_DEVICE, "out of memory");
    return NULL;
}

static void memory_destroy(struct tl_device *d, struct tl_memory *m)
{
    tl_device_count_given(d, m->bytes);
    tl_cpu_memory_give(m->data, m->bytes);
    free(m);
}

static bool memory_write(struct tl_device *d, struct tl_memory *m, size_t offset, const void *data,
                         size_t bytes, struct tl_err *err)
{
    (void)d, (void)err;
    memcpy(m->data + offset, data, bytes);
    return true;
}

static bool memory_read(struct tl_device *d, struct tl_memory *m, size_t offset, void *data, size_t bytes,
                        struct tl_err *err)
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

static bool memory_copy(struct tl_device *d, struct tl_memory *dst, struct tl_memory *src, size_t bytes,
                        struct tl_err *err)
{
    (void)d, (void)err;
    memcpy(dst->data, src->data, bytes);
    return true;
}

void *tl_cpu_scratch(const struct tl_cpu_call *call, size_t bytes, struct tl_err *err)
{
    struct tl_cpu_cache *c = call->cache;
    if (c->asked) {
        c->scratch_bytes = bytes;
        return NULL;
    }
    if (c->scratch_bytes >= bytes) return c->scratch;
    free(c->scratch);
    c->scratch = bytes > SIZE_MAX - ALIGN ? NULL : aligned_alloc(ALIGN, (bytes + ALIGN - 1) / ALIGN * ALIGN);
    c->scratch_bytes = c->scratch ? bytes : 0;
    if (!c->scratch)
        tl_err_set(err, TL_DEVICE, "out of memory: %.1f MB of scratch wanted; try a smaller batch or --size",
                   (double)bytes / 1e6);
    return c->scratch;
}

static void program_destroy(struct tl_device *d, struct tl_program *p)
{
    if (p->arena) tl_device_count_given(d, p->plan->bytes);
    for (int32_t i = 0; p->caches && i < p->plan->n_order; i++)
        if (p->caches[i].destroy) p->caches[i].destroy(p->caches[i].prepared);
    tl_cpu_profile_destroy(&p->profile);
    free(p->caches);
    free(p->pointer);
    tl_cpu_memory_give(p->arena, p->plan->bytes);
    free(p);
}

static struct tl_program *program_create(struct tl_device *d, const struct tl_graph *g,
                                         const struct tl_plan *plan, struct tl_err *err)
{
    struct tl_program *p = calloc(1, sizeof *p);
    if (!p) goto no_memory;
    p->g = g;
    p->plan = plan;
    p->pointer = calloc((size_t)g->n_values + 1, sizeof *p->pointer);
    p->caches = calloc((size_t)plan->n_order + 1, sizeof *p->caches);
    p->arena = tl_cpu_memory_take(plan->bytes, err);
    if (p->arena) tl_device_count_taken(d, plan->bytes);
    p->profile = tl_cpu_profile_create();
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

static bool program_bind(struct tl_device *d, struct tl_program *p, struct tl_memory *const sets[TL_N_SETS],
                         const size_t *param_offset, struct tl_err *err)
{
    (void)d, (void)err;
    for (tl_val v = 0; v < p->g->n_values; v++) {
        tl_val s = tl_graph_storage(p->g, v);
        const struct tl_value *x = &p->g->values[s];
        if (x->role == TL_ROLE_PARAM) p->pointer[v] = sets[x->set]->data + param_offset[s];
    }
    return true;
}

static bool program_write(struct tl_device *d, struct tl_program *p, tl_val v, const void *data,
                          struct tl_err *err)
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

static tl_cpu_kernel kernel_of(const struct cpu_device *cpu, enum tl_op op)
{
    return cpu->fast && cpu->fast[op] ? cpu->fast[op] : cpu->plain[op];
}

/* Scratch is lent to the node for the time of its run. */
static bool run_node(struct cpu_device *cpu, struct tl_program *p, int32_t i, struct tl_err *err)
{
    const struct tl_node *n = &p->g->nodes[p->plan->order[i]];
    size_t had = cpu->scratch_bytes;
    tl_cpu_kernel kernel = kernel_of(cpu, n->op);
    if (!kernel) return true; /* reshape: an alias */
    struct tl_cpu_cache *cache = &p->caches[i];
    struct tl_cpu_call call = {.node = n,
                               .attr = &n->attr,
                               .n_in = n->n_in,
                               .n_out = n->n_out,
                               .accumulate = n->accumulate || n->op == TL_OP_ACCUMULATE,
                               .pool = cpu->pool,
                               .cache = cache};
    for (int k = 0; k < n->n_in; k++)
        if (n->in[k] >= 0) {
            call.in_shape[k] = tl_shape_of(p->g, n->in[k]);
            call.in[k] = p->pointer[n->in[k]];
        }
    for (int k = 0; k < n->n_out; k++) {
        call.out_shape[k] = tl_shape_of(p->g, n->out[k]);
        call.out[k] = p->pointer[n->out[k]];
    }
    cache->scratch = cpu->scratch;
    cache->scratch_bytes = cpu->scratch_bytes;
    tl_cpu_profile_begin(p->profile);
    bool ok = kernel(&call, err);
    tl_cpu_profile_end(p->profile, p->g, n);
    cpu->scratch = cache->scratch;
    cpu->scratch_bytes = cache->scratch_bytes;
    if (cpu->scratch_bytes != had) {
        tl_device_count_given(&cpu->head, had);
        tl_device_count_taken(&cpu->head, cpu->scratch_bytes);
    }
    cache->scratch = NULL;
    cache->scratch_bytes = 0;
    return ok || tl_err_add(err, "%s", tl_op_name(n->op));
}

static bool program_run(struct tl_device *d, struct tl_program *p, struct tl_err *err)
{
    struct cpu_device *cpu = (struct cpu_device *)d;
    for (int32_t i = 0; i < p->plan->n_order; i++)
        if (!run_node(cpu, p, i, err)) return false;
    tl_cpu_profile_report(p->profile);
    return true;
}

/* Kernels whose scratch counts; each asks for it before it touches an operand. Sums of others stay below a
 * few hundred KB. */
static bool asks_scratch(enum tl_op op)
{
    switch (op) {
    case TL_OP_GEMM:
    case TL_OP_CONV2D:
    case TL_OP_CONV2D_DX:
    case TL_OP_CONV2D_DW:
    case TL_OP_ATTENTION:
    case TL_OP_ATTENTION_GRAD:
    case TL_OP_GROUP_NORM:
    case TL_OP_GROUP_NORM_GRAD:
    case TL_OP_LAYER_NORM_GRAD:
        return true;
    default:
        return false;
    }
}

static bool program_scratch(struct tl_device *d, const struct tl_graph *g, const struct tl_plan *plan,
                            size_t *out_bytes, struct tl_err *err)
{
    struct cpu_device *cpu = (struct cpu_device *)d;
    (void)err;
    *out_bytes = 0;
    for (int32_t i = 0; cpu->fast && i < plan->n_order; i++) {
        const struct tl_node *n = &g->nodes[plan->order[i]];
        if (!asks_scratch(n->op)) continue;
        struct tl_cpu_cache cache = {.asked = true};
        struct tl_cpu_call call = {.node = n,
                                   .attr = &n->attr,
                                   .n_in = n->n_in,
                                   .n_out = n->n_out,
                                   .accumulate = n->accumulate,
                                   .pool = cpu->pool,
                                   .cache = &cache};
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k] >= 0) call.in_shape[k] = tl_shape_of(g, n->in[k]);
        for (int k = 0; k < n->n_out; k++) call.out_shape[k] = tl_shape_of(g, n->out[k]);
        (void)kernel_of(cpu, n->op)(&call, NULL);
        if (cache.destroy) cache.destroy(cache.prepared);
        if (cache.scratch_bytes > *out_bytes) *out_bytes = cache.scratch_bytes;
    }
    return true;
}

static void destroy(struct tl_device *d)
{
    struct cpu_device *cpu = (struct cpu_device *)d;
    tl_pool_destroy(&cpu->pool);
    free(cpu->scratch);
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
    .program_scratch = program_scratch,
    .shared_scratch = true,
    .destroy = destroy,
};

/* What the fast kernels were compiled for. */
static const char *vector_width(void)
{
#if defined __AVX512F__
    return "AVX-512";
#elif defined __AVX2__
    return "AVX2";
#elif defined __AVX__
    return "AVX";
#else
    return "baseline instructions";
#endif
}

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
             params->f64     ? "double, plain kernels"
             : params->plain ? "plain kernels"
                             : vector_width());
    return &cpu->head;
}
