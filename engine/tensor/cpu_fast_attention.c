/* attention on the cpu. Queries are the lanes: scores[s][t] = k q^T for a block of queries, so that maxima
 * and sums go by whole vectors, k and v are read where they lie, and heads 8 channels wide still fill the
 * registers: scores[s, t] = k[s, d] q^T[d, t];   p = exp(scores - max over s);   o^T[d, t] = v^T[d, s] p[s,
 * t] / sum over s A query that sees nothing (all masked by -infinity) gives zeros and an lse of -infinity, as
 * the plain kernel does. */
#include "tensor/cpu_fast_attention.h"

enum {
    WIDE = 64 / TL_VEC,   /* vectors of queries in a block over few keys */
    NARROW = 32 / TL_VEC, /* over many: the scores stay in the first-level cache */
    MANY_KEYS = 192,
    PIECE_FLOATS = 1 << 13, /* scores, at least, in one piece */
};

struct job {
    struct tl_heads h;
    float *o, *lse;
    int64_t rows, blocks, per_piece; /* queries of a block; blocks of one head; blocks of a piece */
    float *workers;
    size_t worker_floats;
};

/* One vector of queries, t0 .. t0 + TL_VEC - 1, over the keys [0, seen): x is scores, ld apart; becomes exp(x
 * - max). Returns 1 / sum, and the lse. */
static tl_vec softmax(const struct tl_heads *h, float *x, int64_t ld, const float *mask, int64_t t0,
                      int64_t seen, tl_vec *out_lse)
{
    tl_vec most = tl_vec_splat(-INFINITY), sum = {0};
    for (int64_t s = 0; s < seen; s++) {
        tl_vec v = tl_vec_load(x + s * ld);
        if (mask) v += mask[s];
        if (h->causal) v = tl_vec_select(tl_vec_lanes() + (int32_t)(t0 - s) >= 0, v, tl_vec_splat(-INFINITY));
        if (mask || h->causal) tl_vec_store(x + s * ld, v);
        most = tl_vec_max(most, v);
    }
    tl_veci blind = most == -INFINITY;
    tl_vec from = tl_vec_select(blind, (tl_vec){0}, most);
    for (int64_t s = 0; s < seen; s++) {
        tl_vec v = tl_vec_load(x + s * ld), e = tl_vec_exp(v - from);
        if (mask || h->causal) e = tl_vec_select(v > -INFINITY, e, (tl_vec){0});
        tl_vec_store(x + s * ld, e);
        sum += e;
    }
    float lane[TL_VEC];
    tl_vec_store(lane, sum);
    for (int i = 0; i < TL_VEC; i++) lane[i] = logf(lane[i]);
    *out_lse = tl_vec_select(blind, tl_vec_splat(-INFINITY), most + tl_vec_load(lane));
    return tl_vec_select(blind, (tl_vec){0}, 1.0f / sum);
}

static void block(const struct job *j, int64_t n, int64_t head, int64_t t0, float *memory)
{
    const struct tl_heads *h = &j->h;
    int64_t rows = tl_cpu_fast_min(j->rows, h->t - t0), wide = tl_micro_vectors(rows) * TL_VEC;
    int64_t keys = tl_heads_at(h, n, h->s, 0, head), at = tl_heads_at(h, n, h->t, t0, head),
            seen = tl_heads_seen(h, t0 + rows - 1);
    const float *mask = h->mask ? h->mask + n * h->s : NULL;
    float *q = memory, *o = q + j->rows * h->d, *inverse = o + j->rows * h->d, *lse = inverse + j->rows,
          *scores = lse + j->rows;
    tl_heads_pack(h, q, h->q + at, rows, true);
    for (int64_t i = 0; i < wide * h->d; i++) q[i] *= h->scale;
    struct tl_micro m = {.m = seen,
                         .n = wide,
                         .a = h->k + keys,
                         .lda = h->c,
                         .n_seg = 1,
                         .len = h->d,
                         .step = 1,
                         .b = q,
                         .c = scores,
                         .ldc = wide};
    tl_micro_run(&m);
    for (int64_t i = 0; i < wide; i += TL_VEC) {
        tl_vec l;
        tl_vec_store(inverse + i, softmax(h, scores + i, wide, mask, t0 + i, seen, &l));
        tl_vec_store(lse + i, l);
    }
    if (j->lse) memcpy(j->lse + (n * h->heads + head) * h->t + t0, lse, (size_t)rows * sizeof *lse);
    m = (struct tl_micro){.m = h->d,
                          .n = wide,
                          .a = h->v + keys,
                          .lda = 1,
                          .n_seg = 1,
                          .len = seen,
                          .step = h->c,
                          .b = scores,
                          .ldb = wide,
                          .c = o,
                          .ldc = wide};
    tl_micro_run(&m);
    tl_micro_turn(j->o + at, h->c, o, wide, h->d, rows, inverse);
}

static void piece(void *arg, size_t i, int worker)
{
    const struct job *j = arg;
    const struct tl_heads *h = &j->h;
    int64_t total = h->n * h->heads * j->blocks,
            end = tl_cpu_fast_min(((int64_t)i + 1) * j->per_piece, total);
    for (int64_t b = (int64_t)i * j->per_piece; b < end; b++) {
        int64_t head = b / j->blocks % h->heads, n = b / j->blocks / h->heads;
        block(j, n, head, b % j->blocks * j->rows, j->workers + (size_t)worker * j->worker_floats);
    }
}

bool tl_cpu_fast_attention(const struct tl_cpu_call *call, struct tl_err *err)
{
    struct job j = {.h = tl_heads_of(call), .o = call->out[0], .lse = call->out[1]};
    const struct tl_heads *h = &j.h;
    j.rows = tl_cpu_fast_min(tl_micro_vectors(h->t), h->s > MANY_KEYS ? NARROW : WIDE) * TL_VEC;
    j.blocks = tl_cpu_fast_ceil(h->t, j.rows);
    j.per_piece = tl_cpu_fast_max(PIECE_FLOATS / (j.rows * (h->s + h->d)), 1);
    j.worker_floats = tl_cpu_fast_line(j.rows * (h->s + 2 * h->d + 2));
    j.workers =
        tl_cpu_scratch(call, j.worker_floats * (size_t)tl_pool_threads(call->pool) * sizeof(float), err);
    if (!j.workers) return false;
    tl_pool_run(call->pool, (size_t)tl_cpu_fast_ceil(h->n * h->heads * j.blocks, j.per_piece), piece, &j);
    return true;
}
