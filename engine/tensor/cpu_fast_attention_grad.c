/* attention_grad on the cpu. Keys are the lanes; a block of queries by a block of keys at a time, for one
 * head: p[t, s] = exp(scale q k^T + mask - lse);   ds = scale p (do v^T - sum(o do));   dq += ds k dv^T[d, s]
 * += do^T p;   dk^T[d, s] += q^T ds so that all products but dq have whole rows of keys as columns. Few heads
 * are cut into parts of the queries, whose dk and dv are added in order. */
#include "tensor/cpu_fast_attention.h"

enum {
    ROWS_MIN = 24,
    ROWS_MAX = 96,
    BLOCK_FLOATS = 1 << 13,
    PIECES = 8,
    KEYS = 192, /* of a block, at most: whole panels of three vectors */
};

struct job {
    struct tl_heads h;
    const float *o, *lse, *d_o;
    float *dq, *dk, *dv;
    int64_t lds;         /* keys in whole vectors: a row of the sums */
    int64_t keys;        /* of a block: a row of scores, whole vectors */
    int64_t rows, parts; /* queries of a block; parts of the blocks of a head */
    float *sums;         /* [head of a sample][part][2][d][lds]: dk^T, dv^T */
    float *workers;
    size_t worker_floats;
};

/* A worker's memory, in floats, and the keys that are in it: n from s0 on, in whole vectors `wide`. */
struct memory {
    float *keys, *values, *keys_plain, *p, *ds;
    int64_t s0, n, wide;
};

static size_t memory_take(const struct job *j, float *at, struct memory *m)
{
    size_t turned = tl_micro_packed_size(j->h.d, j->keys), plain = tl_micro_packed_size(j->keys, j->h.d);
    size_t scores = (size_t)(j->rows * j->keys), sizes[] = {turned, turned, plain, scores, scores}, total = 0;
    float **slot[] = {&m->keys, &m->values, &m->keys_plain, &m->p, &m->ds};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (at) *slot[i] = at + total;
        total += tl_cpu_fast_line((int64_t)sizes[i]);
    }
    return total;
}

/* scale * x + mask from key s on; what is not seen is -infinity. */
static inline tl_vec score(const struct tl_heads *h, const float *x, const float *mask, int64_t s,
                           int64_t seen)
{
    tl_vec v = tl_vec_load(x + s) * h->scale;
    int64_t left = seen - s;
    if (mask) v += tl_vec_load_part(mask + s, left < TL_VEC ? (int)left : TL_VEC);
    if (left < TL_VEC) v = tl_vec_select(tl_vec_lanes() < (int32_t)left, v, tl_vec_splat(-INFINITY));
    return v;
}

/* x: q k^T to p; y: do v^T to ds, over `wide` keys. */
static void grad_row(const struct job *j, float *x, float *y, int64_t wide, const float *mask, int64_t seen,
                     float lse, float delta)
{
    int64_t s = 0;
    if (lse == -INFINITY) seen = 0;
    for (; s < seen; s += TL_VEC) {
        tl_vec v = score(&j->h, x, mask, s, seen);
        tl_vec p = tl_vec_select(v > -INFINITY, tl_vec_exp(v - lse), (tl_vec){0});
        tl_vec_store(x + s, p);
        tl_vec_store(y + s, j->h.scale * p * (tl_vec_load(y + s) - delta));
    }
    for (; s < wide; s += TL_VEC) {
        tl_vec_store(x + s, (tl_vec){0});
        tl_vec_store(y + s, (tl_vec){0});
    }
}

static float dot(const float *a, const float *b, int64_t n)
{
    tl_vec sum = {0};
    for (int64_t i = 0; i < n; i += TL_VEC) {
        int lanes = n - i < TL_VEC ? (int)(n - i) : TL_VEC;
        sum += tl_vec_load_part(a + i, lanes) * tl_vec_load_part(b + i, lanes);
    }
    return tl_vec_sum(sum);
}

/* out[rows, s] = x[rows, d] B, B packed [d, s] */
static void score_product(const struct job *j, const struct memory *m, float *out, const float *x,
                          int64_t rows, const float *packed)
{
    struct tl_micro p = {.m = rows,
                         .n = m->wide,
                         .a = x,
                         .lda = j->h.c,
                         .n_seg = 1,
                         .len = j->h.d,
                         .step = 1,
                         .b = packed,
                         .c = out,
                         .ldc = m->wide};
    tl_micro_run(&p);
}

/* out[d, s] (+)= x[rows, d]^T y[rows, s] */
static void key_product(const struct job *j, const struct memory *m, float *out, const float *x,
                        const float *y, int64_t rows, bool accumulate)
{
    struct tl_micro p = {.m = j->h.d,
                         .n = m->wide,
                         .a = x,
                         .lda = 1,
                         .n_seg = 1,
                         .len = rows,
                         .step = j->h.c,
                         .b = y,
                         .ldb = m->wide,
                         .c = out,
                         .ldc = j->lds,
                         .accumulate = accumulate};
    tl_micro_run(&p);
}

/* One block of queries by the keys in memory; sums are those keys' columns. */
static void block(const struct job *j, const struct memory *m, int64_t n, int64_t head, int64_t t0,
                  float *sums, bool accumulate)
{
    const struct tl_heads *h = &j->h;
    int64_t rows = tl_cpu_fast_min(j->rows, h->t - t0), at = tl_heads_at(h, n, h->t, t0, head);
    const float *mask = h->mask ? h->mask + n * h->s + m->s0 : NULL,
                *lse = j->lse + (n * h->heads + head) * h->t + t0;
    score_product(j, m, m->p, h->q + at, rows, m->keys);
    score_product(j, m, m->ds, j->d_o + at, rows, m->values);
    for (int64_t r = 0; r < rows; r++) {
        float delta = dot(j->o + at + r * h->c, j->d_o + at + r * h->c, h->d);
        int64_t seen = tl_cpu_fast_min(tl_cpu_fast_max(tl_heads_seen(h, t0 + r) - m->s0, 0), m->n);
        grad_row(j, m->p + r * m->wide, m->ds + r * m->wide, m->wide, mask, seen, lse[r], delta);
    }
    struct tl_micro dq = {.m = rows,
                          .n = h->d,
                          .a = m->ds,
                          .lda = m->wide,
                          .n_seg = 1,
                          .len = m->n,
                          .step = 1,
                          .b = m->keys_plain,
                          .c = j->dq + at,
                          .ldc = h->c,
                          .accumulate = m->s0 > 0};
    tl_micro_run(&dq);
    key_product(j, m, sums, h->q + at, m->ds, rows, accumulate);
    key_product(j, m, sums + h->d * j->lds, j->d_o + at, m->p, rows, accumulate);
}

static void piece(void *arg, size_t i, int worker)
{
    const struct job *j = arg;
    const struct tl_heads *h = &j->h;
    int64_t part = (int64_t)i % j->parts, unit = (int64_t)i / j->parts, head = unit % h->heads,
            n = unit / h->heads;
    int64_t keys = tl_heads_at(h, n, h->s, 0, head), blocks = tl_cpu_fast_ceil(h->t, j->rows);
    int64_t begin = blocks * part / j->parts, end = blocks * (part + 1) / j->parts;
    struct memory m = {0};
    memory_take(j, j->workers + (size_t)worker * j->worker_floats, &m);
    float *sums = j->sums + ((j->parts > 1 ? (int64_t)i : worker) * 2 * h->d) * j->lds;
    for (; m.s0 < h->s; m.s0 += j->keys) {
        m.n = tl_cpu_fast_min(j->keys, h->s - m.s0);
        m.wide = tl_micro_vectors(m.n) * TL_VEC;
        tl_heads_pack(h, m.keys, h->k + keys + m.s0 * h->c, m.n, true);
        tl_heads_pack(h, m.values, h->v + keys + m.s0 * h->c, m.n, true);
        tl_heads_pack(h, m.keys_plain, h->k + keys + m.s0 * h->c, m.n, false);
        for (int64_t b = begin; b < end; b++) block(j, &m, n, head, b * j->rows, sums + m.s0, b > begin);
    }
    if (j->parts > 1) return;
    tl_micro_turn(j->dk + keys, h->c, sums, j->lds, h->d, h->s, NULL);
    tl_micro_turn(j->dv + keys, h->c, sums + h->d * j->lds, j->lds, h->d, h->s, NULL);
}

/* The parts of one head together, in order. */
static void add_piece(void *arg, size_t i, int worker)
{
    (void)worker;
    const struct job *j = arg;
    const struct tl_heads *h = &j->h;
    int64_t head = (int64_t)i % h->heads, n = (int64_t)i / h->heads, count = 2 * h->d * j->lds;
    int64_t keys = tl_heads_at(h, n, h->s, 0, head);
    float *sums = j->sums + (int64_t)i * j->parts * count;
    for (int64_t part = 1; part < j->parts; part++)
        for (int64_t e = 0; e < count; e++) sums[e] += sums[part * count + e];
    tl_micro_turn(j->dk + keys, h->c, sums, j->lds, h->d, h->s, NULL);
    tl_micro_turn(j->dv + keys, h->c, sums + h->d * j->lds, j->lds, h->d, h->s, NULL);
}

bool tl_cpu_fast_attention_grad(const struct tl_cpu_call *call, struct tl_err *err)
{
    struct job j = {.h = tl_heads_of(call), .o = call->in[4], .lse = call->in[5], .d_o = call->in[6]};
    const struct tl_heads *h = &j.h;
    j.dq = call->out[0];
    j.dk = call->out[1];
    j.dv = call->out[2];
    j.lds = tl_micro_vectors(h->s) * TL_VEC;
    j.keys = tl_cpu_fast_min(j.lds, KEYS);
    j.rows =
        tl_cpu_fast_min(tl_cpu_fast_max(BLOCK_FLOATS / j.keys / ROWS_MIN * ROWS_MIN, ROWS_MIN), ROWS_MAX);
    if (h->s > KEYS) j.rows = ROWS_MAX; /* the sums of a block of keys are read and written once for them */
    int64_t units = h->n * h->heads, blocks = tl_cpu_fast_ceil(h->t, j.rows);
    j.parts = units < PIECES && h->t * h->s > 1 << 14 ? tl_cpu_fast_min(PIECES / units, blocks) : 1;
    struct memory none;
    j.worker_floats = memory_take(&j, NULL, &none);
    int threads = tl_pool_threads(call->pool);
    size_t sums = tl_cpu_fast_line((j.parts > 1 ? units * j.parts : threads) * 2 * h->d * j.lds);
    j.sums = tl_cpu_scratch(call, (sums + j.worker_floats * (size_t)threads) * sizeof(float), err);
    if (!j.sums) return false;
    j.workers = j.sums + sums;
    tl_pool_run(call->pool, (size_t)(units * j.parts), piece, &j);
    if (j.parts > 1) tl_pool_run(call->pool, (size_t)units, add_piece, &j);
    return true;
}
