/* gemm on the cpu: B is packed once, or read in place, or by each piece for itself; C is cut into blocks of
 * rows, panels of columns, or parts of k. */
#include <math.h>

#include "tensor/cpu_fast.h"

enum {
    ROW_UNIT = 24,        /* divides by every tile height */
    PIECES = 32,          /* wanted at most */
    DEEP = 512,           /* many rows of B: a piece then takes at most */
    DEEP_ROWS = 168,      /* rows of A, so that they stay in the second-level cache from panel to panel */
    PACK_ROWS = 256,      /* of B in one packing piece */
    PART_MIN = 512,       /* rows of B in one part of k */
    PIECE_MACS = 1 << 19, /* below this a piece is not worth handing out */
    NEAR_M = 192,         /* from here on, and with so much of B, pieces copy what they read */
    NEAR_FLOATS = 1 << 19,
    NEAR_ROWS = 384, /* of A in one of these pieces */
    NEAR_COLS = 256,
    NEAR_PIECES = 4, /* a thread */
};

struct gemm {
    struct tl_cpu_fast_product p;
    bool direct;  /* B is read in place */
    bool near;    /* B is not packed here */
    int64_t rows; /* of C in one piece */
    int64_t n_rows, n_cols, n_parts, n_panels;
    float *packed, *parts;
    size_t packed_size; /* of one batch */
    float *copies;
    size_t near_size; /* of one worker */
};

/* Copies of A are repeated from columns to columns, so that there are no more of these than threads need.
 * Results do not depend on it: k is cut by its length alone. */
static bool plan_near(struct gemm *g, int threads)
{
    const struct tl_cpu_fast_product *p = &g->p;
    if (p->m < NEAR_M || p->n < NEAR_COLS || p->k * p->n < NEAR_FLOATS || p->m * p->n <= 1 << 16)
        return false;
    g->near = true;
    g->n_parts = 1;
    g->n_panels = tl_micro_panels(p->n);
    g->rows =
        tl_cpu_fast_ceil(tl_cpu_fast_ceil(p->m, tl_cpu_fast_ceil(p->m, NEAR_ROWS)), ROW_UNIT) * ROW_UNIT;
    g->n_rows = tl_cpu_fast_ceil(p->m, g->rows);
    int64_t want = threads > 1 ? NEAR_PIECES * threads : 1;
    g->n_cols = tl_cpu_fast_min(tl_cpu_fast_ceil(want, p->batch * g->n_rows), p->n / NEAR_COLS);
    g->near_size = tl_cpu_fast_line((int64_t)tl_micro_near_size(g->rows, p->k));
    return true;
}

static void plan(struct gemm *g)
{
    const struct tl_cpu_fast_product *p = &g->p;
    int64_t macs = p->batch * p->m * p->n * p->k;
    int64_t want = tl_cpu_fast_min(tl_cpu_fast_max(macs / PIECE_MACS, 1), PIECES);
    g->direct = !p->tb && p->n % TL_VEC == 0 && (p->m < 192 || p->k * p->n <= 8192);
    g->n_panels = tl_micro_panels(p->n);
    g->rows = p->m;
    g->n_rows = g->n_cols = g->n_parts = 1;
    if (want <= p->batch) return;
    want = tl_cpu_fast_ceil(want, p->batch);
    /* R x C pieces read B R times and A C times: R m = C n is the least. */
    int64_t rows = (int64_t)sqrt((double)want * (double)p->m / (double)p->n);
    rows = tl_cpu_fast_max(rows, tl_cpu_fast_ceil(want, g->n_panels));
    g->n_rows = tl_cpu_fast_min(tl_cpu_fast_min(rows, want), tl_cpu_fast_ceil(p->m, ROW_UNIT));
    if (p->k >= DEEP) g->n_rows = tl_cpu_fast_max(g->n_rows, tl_cpu_fast_ceil(p->m, DEEP_ROWS));
    g->rows = tl_cpu_fast_ceil(tl_cpu_fast_ceil(p->m, g->n_rows), ROW_UNIT) * ROW_UNIT;
    g->n_rows = tl_cpu_fast_ceil(p->m, g->rows);
    want = tl_cpu_fast_max(want / g->n_rows, 1);
    /* Only where k counts rows, in a weight's gradient: else a row's sums would depend on how many rows there
     * are. */
    if (p->ta && p->batch == 1 && p->k >= 2 * PART_MIN && p->m * p->n <= 1 << 16 && want > 1 &&
        !(p->add && p->accumulate)) {
        g->n_parts = tl_cpu_fast_min(tl_cpu_fast_min(want, p->k / PART_MIN), 8);
        want /= g->n_parts;
    }
    g->n_cols = tl_cpu_fast_min(tl_cpu_fast_max(want, 1), g->n_panels);
}

static void pack_piece(void *arg, size_t i, int worker)
{
    (void)worker;
    const struct gemm *g = arg;
    const struct tl_cpu_fast_product *p = &g->p;
    int64_t per_batch = tl_cpu_fast_ceil(p->k, PACK_ROWS), batch = (int64_t)i / per_batch,
            k0 = (int64_t)i % per_batch * PACK_ROWS;
    int64_t stride_k = p->tb ? 1 : p->n, stride_n = p->tb ? p->k : 1;
    struct tl_micro_pack pack = {.dst = g->packed + (size_t)batch * g->packed_size,
                                 .k = p->k,
                                 .n = p->n,
                                 .src = p->b + batch * p->k * p->n + k0 * stride_k,
                                 .stride_k = stride_k,
                                 .stride_n = stride_n,
                                 .k0 = k0,
                                 .n_k = tl_cpu_fast_min(PACK_ROWS, p->k - k0)};
    tl_micro_pack(&pack, 0, tl_micro_vectors(p->n));
}

static void gemm_piece(void *arg, size_t i, int worker)
{
    const struct gemm *g = arg;
    const struct tl_cpu_fast_product *p = &g->p;
    int64_t at = (int64_t)i, col = at % g->n_cols, row = at / g->n_cols % g->n_rows;
    int64_t part = at / g->n_cols / g->n_rows % g->n_parts, batch = at / g->n_cols / g->n_rows / g->n_parts;
    int64_t k0 = p->k * part / g->n_parts, k1 = p->k * (part + 1) / g->n_parts, r0 = row * g->rows;
    bool split = g->n_parts > 1;
    const float *a = p->a + batch * p->m * p->k;
    struct tl_micro m = {
        .m = tl_cpu_fast_min(g->rows, p->m - r0), .n = p->n, .n_seg = 1, .len = k1 - k0, .ldc = p->n};
    m.a = p->ta ? a + k0 * p->m + r0 : a + r0 * p->k + k0;
    m.lda = p->ta ? 1 : p->k;
    m.step = p->ta ? p->m : 1;
    m.ldb = g->direct ? p->n : 0;
    m.b = g->direct ? p->b + batch * p->k * p->n + k0 * p->n : g->packed + (size_t)batch * g->packed_size;
    m.b_rows = p->k;
    m.b_row = g->direct ? 0 : k0;
    m.c = (split ? g->parts + part * p->m * p->n : p->c + batch * p->m * p->n) + r0 * p->n;
    m.panel = g->n_panels * col / g->n_cols;
    m.n_panels = g->n_panels * (col + 1) / g->n_cols - m.panel;
    m.bias = part == 0 ? p->bias : NULL;
    m.add = !split && p->add ? p->add + batch * p->m * p->n + r0 * p->n
                             : NULL; /* else the sum of parts takes it */
    m.accumulate = !split && p->accumulate;
    if (g->near) {
        m.near = g->copies + (size_t)worker * g->near_size;
        m.b = p->b + batch * p->k * p->n;
        m.near_k = p->tb ? 1 : p->n;
        m.near_n = p->tb ? p->k : 1;
    }
    tl_micro_run(&m);
}

bool tl_cpu_fast_product(const struct tl_cpu_call *call, const struct tl_cpu_fast_product *p,
                         struct tl_err *err)
{
    struct gemm g = {.p = *p};
    int threads = tl_pool_threads(call->pool);
    if (!plan_near(&g, threads)) plan(&g);
    g.packed_size = g.direct || g.near ? 0 : tl_micro_packed_size(p->k, p->n);
    size_t parts = g.n_parts > 1 ? (size_t)(g.n_parts * p->m * p->n) : 0;
    size_t floats = g.packed_size * (size_t)p->batch + parts + g.near_size * (size_t)threads;
    if (floats) {
        g.packed = tl_cpu_scratch(call, floats * sizeof(float), err);
        if (!g.packed) return false;
        g.parts = g.packed + g.packed_size * (size_t)p->batch;
        g.copies = g.packed; /* which are alone */
    }
    if (call->cache->asked) return false;
    if (g.packed_size) {
        size_t n = (size_t)(p->batch * tl_cpu_fast_ceil(p->k, PACK_ROWS));
        if (p->k * p->n * p->batch < 16384)
            for (size_t i = 0; i < n; i++) pack_piece(&g, i, 0);
        else
            tl_pool_run(call->pool, n, pack_piece, &g);
    }
    tl_pool_run(call->pool, (size_t)(p->batch * g.n_parts * g.n_rows * g.n_cols), gemm_piece, &g);
    if (g.n_parts > 1) {
        if (p->add && !p->accumulate && p->add != p->c)
            memcpy(p->c, p->add, (size_t)(p->m * p->n) * sizeof(float));
        tl_cpu_fast_add_parts(call->pool, p->c, g.parts, p->m * p->n, g.n_parts, p->m * p->n,
                              p->accumulate || p->add);
    }
    return true;
}

bool tl_cpu_fast_gemm(const struct tl_cpu_call *call, struct tl_err *err)
{
    const struct tl_shape *a = call->in_shape[0], *y = call->out_shape[0];
    bool batched = y->rank == 3;
    struct tl_cpu_fast_product p = {
        .batch = batched ? y->dim[0] : 1, .m = y->dim[batched], .n = y->dim[batched + 1]};
    p.ta = call->attr->gemm.ta != 0;
    p.tb = call->attr->gemm.tb != 0;
    p.k = a->dim[batched + (p.ta ? 0 : 1)];
    p.a = call->in[0];
    p.b = call->in[1];
    p.bias = call->n_in > 2 ? call->in[2] : NULL;
    p.add = call->n_in > 3 ? call->in[3] : NULL;
    p.c = call->out[0];
    p.accumulate = call->accumulate;
    return tl_cpu_fast_product(call, &p, err);
}
