/* A case straight through one kernel of the cpu device, every operand between guards. */
#include "op/support_ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"

enum { GUARD = 256, GUARD_BYTE = 0xa5 };

/* bytes of room between two guards */
struct guarded {
    unsigned char *block;
    size_t bytes;
};

static void *guarded_data(const struct guarded *g)
{
    return g->block + GUARD;
}

static struct guarded guarded_make(size_t bytes)
{
    struct guarded g = {.bytes = bytes};
    size_t all = (bytes + 2 * GUARD + 63) / 64 * 64;
    g.block = aligned_alloc(64, all);
    if (!g.block) abort();
    memset(g.block, GUARD_BYTE, all);
    return g;
}

static bool guarded_whole(const struct guarded *g)
{
    for (size_t i = 0; i < GUARD; i++)
        if (g->block[i] != GUARD_BYTE || g->block[GUARD + g->bytes + i] != GUARD_BYTE) return false;
    return true;
}

/* Reals of a buffer: floats, or doubles in a table of doubles, or halves. */
struct reals {
    enum tl_dtype dtype;
    bool f64;
};

static size_t reals_width(struct reals r)
{
    return tl_dtype_device_bytes(r.dtype, r.f64 ? 8 : 4);
}

static void reals_put(void *to, struct reals r, const double *from, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (r.dtype == TL_F16)
            ((uint16_t *)to)[i] = tl_f32_to_f16((float)from[i]);
        else if (r.dtype == TL_BF16)
            ((uint16_t *)to)[i] = tl_f32_to_bf16((float)from[i]);
        else if (r.f64)
            ((double *)to)[i] = from[i];
        else
            ((float *)to)[i] = (float)from[i];
}

static void reals_fill(void *to, struct reals r, double value, int64_t n)
{
    for (int64_t i = 0; i < n; i++) reals_put((char *)to + (size_t)i * reals_width(r), r, &value, 1);
}

static double *reals_get(const void *from, struct reals r, int64_t n)
{
    double *out = calloc((size_t)n, sizeof *out);
    for (int64_t i = 0; out && i < n; i++)
        out[i] = r.dtype == TL_F16    ? tl_f16_to_f32(((const uint16_t *)from)[i])
                 : r.dtype == TL_BF16 ? tl_bf16_to_f32(((const uint16_t *)from)[i])
                 : r.f64              ? ((const double *)from)[i]
                                      : ((const float *)from)[i];
    return out;
}

/* What a run needs, from the case's shapes to guarded copies of its operands. */
struct run {
    struct guarded in[TL_MAX_IN], before[TL_MAX_IN], out[TL_MAX_OUT];
    struct tl_node node;
    struct tl_cpu_cache cache;
    struct tl_cpu_call call;
};

static void run_begin(struct run *r, const struct op_kernel_params *params, const struct op_case *c,
                      const struct op_numbers *numbers)
{
    *r = (struct run){
        .node = {.op = c->op, .attr = c->attr, .n_in = op_case_n_in(c), .n_out = op_case_n_out(c)}};
    r->call = (struct tl_cpu_call){.node = &r->node,
                                   .attr = &r->node.attr,
                                   .n_in = r->node.n_in,
                                   .n_out = r->node.n_out,
                                   .accumulate = params->accumulate || c->op == TL_OP_ACCUMULATE,
                                   .cache = &r->cache};
    const struct reals in = {op_in_dtype(c), params->f64}, out = {op_out_dtype(c), params->f64};
    for (int k = 0; k < r->call.n_in; k++) {
        r->node.in[k] = c->in[k].data == OP_ABSENT ? TL_NONE : k;
        if (c->in[k].data == OP_ABSENT) continue;
        int64_t n = tl_shape_count(&c->in[k].shape);
        bool ints = op_is_int(c->in[k].data);
        r->in[k] = guarded_make((size_t)n * (ints ? 4 : reals_width(in)));
        if (ints)
            memcpy(guarded_data(&r->in[k]), numbers->ids[k], (size_t)n * 4);
        else
            reals_put(guarded_data(&r->in[k]), in, numbers->real[k], n);
        r->before[k] = guarded_make(r->in[k].bytes);
        memcpy(guarded_data(&r->before[k]), guarded_data(&r->in[k]), r->in[k].bytes);
        r->call.in_shape[k] = &c->in[k].shape;
        r->call.in[k] = guarded_data(&r->in[k]);
    }
    for (int k = 0; k < r->call.n_out; k++) {
        int64_t n = tl_shape_count(&c->out[k]);
        r->node.out[k] = TL_MAX_IN + k;
        r->call.out_shape[k] = &c->out[k];
        if (op_in_place(c->op)) {
            r->call.out[k] = guarded_data(&r->in[0]);
            continue;
        }
        r->out[k] = guarded_make((size_t)n * reals_width(out));
        r->call.out[k] = guarded_data(&r->out[k]);
        reals_fill(r->call.out[k], out, params->accumulate ? 0.25 : NAN, n);
    }
}

static bool run_check(const struct run *r, const struct op_case *c, struct tl_err *err)
{
    unsigned changed = op_in_place(c->op);
    for (int k = 0; k < TL_MAX_IN; k++) {
        if (!r->in[k].block) continue;
        if (!guarded_whole(&r->in[k])) return tl_err_set(err, TL_FAIL, "wrote around operand %d", k);
        if (!(changed >> k & 1) &&
            memcmp(r->in[k].block, r->before[k].block, r->in[k].bytes + 2 * GUARD) != 0)
            return tl_err_set(err, TL_FAIL, "changed operand %d", k);
    }
    for (int k = 0; k < TL_MAX_OUT; k++)
        if (r->out[k].block && !guarded_whole(&r->out[k]))
            return tl_err_set(err, TL_FAIL, "wrote around output %d", k);
    return true;
}

static void run_results(const struct run *r, const struct op_kernel_params *params, const struct op_case *c,
                        struct op_results *out)
{
    unsigned changed = op_in_place(c->op);
    const struct reals reals = {op_out_dtype(c), params->f64};
    for (int k = 0; k < (changed ? TL_MAX_IN : r->call.n_out); k++) {
        if (changed && !(changed >> k & 1)) continue;
        out->count[out->n] = tl_shape_count(changed ? &c->in[k].shape : &c->out[k]);
        out->value[out->n] = reals_get(changed ? r->call.in[k] : r->call.out[k], reals, out->count[out->n]);
        out->n++;
    }
}

static void run_end(struct run *r)
{
    for (int k = 0; k < TL_MAX_IN; k++) {
        free(r->in[k].block);
        free(r->before[k].block);
    }
    for (int k = 0; k < TL_MAX_OUT; k++) free(r->out[k].block);
    if (r->cache.destroy) r->cache.destroy(r->cache.prepared);
    free(r->cache.scratch);
}

bool op_kernel_run(const struct op_kernel_params *params, const struct op_case *c,
                   const struct op_numbers *numbers, struct op_results *out, struct tl_err *err)
{
    *out = (struct op_results){0};
    struct tl_pool *pool = tl_pool_create(params->threads, err);
    if (!pool) return false;
    struct run r;
    run_begin(&r, params, c, numbers);
    r.call.pool = pool;
    bool ok = params->table[c->op](&r.call, err) && run_check(&r, c, err);
    if (ok) run_results(&r, params, c, out);
    run_end(&r);
    tl_pool_destroy(&pool);
    return ok;
}
