/* attention on the cpu. Queries are the lanes: scores[s][t] = k q^T for a block of queries, so that maxima
 * and sums go by whole vectors, k and v are read where they lie, and heads 8 channels wide still fill the
 * registers:
 *     scores[s, t] = k[s, d] q^T[d, t];   p = exp(scores - max over s);   o^T[d, t] = v^T[d, s] p[s, t] / sum
 * over s. Many keys go block by block, so that the scores stay in the cache: where a block raises the
 * maximum, what was summed up to then is scaled down. A query that sees nothing (all masked by -infinity)
 * gives zeros and an lse of -infinity, as the plain kernel does. */
#include "tensor/cpu_fast_attention.h"

/* Under MANY_KEYS all scores of a block of queries lie in the first-level cache; more keys go KEYS at a time,
 * and more queries share what is read of k and v. */
enum {
    WIDE = 64 / TL_VEC, /* vectors of queries in a block */
    MANY_KEYS = 192,
    WIDEST = 192 / TL_VEC, /* over many keys */
    KEYS = 128,
    PIECE_FLOATS = 1 << 13, /* scores, at least, in one piece */
};

struct job {
    struct tl_heads h;
    float *o, *lse;
    int64_t rows, blocks, per_piece; /* queries of a block; blocks of one head; blocks of a piece */
    int64_t keys;                    /* of a block */
    float *workers;
    size_t worker_floats;
};

/* One vector of queries: the largest score up to now and the sum of exp(score - most). */
struct running {
    tl_vec most, sum;
};

/* Queries t0 .. t0 + TL_VEC - 1 over n keys from s0 on: x is their scores, ld apart; becomes exp(x - most).
 * Returns what earlier sums must be multiplied by. */
static tl_vec softmax(const struct tl_heads *h, struct running *run, float *x, int64_t ld, const float *mask,
                      int64_t t0, int64_t s0, int64_t n)
{
    tl_vec most = run->most, sum = {0};
    for (int64_t s = 0; s < n; s++) {
        tl_vec v = tl_vec_load(x + s * ld);
        if (mask) v += mask[s0 + s];
        if (h->causal)
            v = tl_vec_select(tl_vec_lanes() + (int32_t)(t0 - s0 - s) >= 0, v, tl_vec_splat(-INFINITY));
        if (mask || h->causal) tl_vec_store(x + s * ld, v);
        most = tl_vec_max(most, v);
    }
    tl_vec from = tl_vec_select(most == -INFINITY, (tl_vec){0}, most);
    for (int64_t s = 0; s < n; s++) {
        tl_vec v = tl_vec_load(x + s * ld), e = tl_vec_exp(v - from);
        if (mask || h->causal) e = tl_vec_select(v > -INFINITY, e, (tl_vec){0});
        tl_vec_store(x + s * ld, e);
        sum += e;
    }
    tl_vec less = tl_vec_select(run->most == -INFINITY, (tl_vec){0}, tl_vec_exp(run->most - from));
    run->most = most;
    run->sum = run->sum * less + sum;
    return less;
}

/* 1 / sum and the lse of one vector of queries. */
static void finish(const struct running *run, float *inverse, float *lse)
{
    tl_veci blind = run->most == -INFINITY;
    float lane[TL_VEC];
    tl_vec_store(lane, run->sum);
    for (int i = 0; i < TL_VEC; i++) lane[i] = logf(lane[i]);
    tl_vec_store(lse, tl_vec_select(blind, tl_vec_splat(-INFINITY), run->most + tl_vec_load(lane)));
    tl_vec_store(inverse, tl_vec_select(blind, (tl_vec){0}, 1.0f / run->sum));
}

/* A worker's memory for one block of queries, `wide` of them. */
struct block {
    int64_t n, head, t0, rows, wide;
    float *q, *o, *inverse, *lse, *scores; /* q^T and o^T [d, wide] */
    struct running running[WIDEST];
};

/* o^T += v^T exp(k q^T) over n keys from s0 on. */
static void block_keys(const struct job *j, struct block *b, int64_t s0, int64_t n)
{
    const struct tl_heads *h = &j->h;
    int64_t keys = tl_heads_at(h, b->n, h->s, s0, b->head);
    const float *mask = h->mask ? h->mask + b->n * h->s : NULL;
    struct tl_micro m = {.m = n,
                         .n = b->wide,
                         .a = h->k + keys,
                         .lda = h->c,
                         .n_seg = 1,
                         .len = h->d,
                         .step = 1,
                         .b = b->q,
                         .c = b->scores,
                         .ldc = b->wide};
    tl_micro_run(&m);
    for (int64_t i = 0; i < b->wide; i += TL_VEC) {
        tl_vec less = softmax(h, &b->running[i / TL_VEC], b->scores + i, b->wide, mask, b->t0 + i, s0, n);
        for (int64_t d = 0; s0 > 0 && d < h->d; d++)
            tl_vec_store(b->o + d * b->wide + i, tl_vec_load(b->o + d * b->wide + i) * less);
    }
    m = (struct tl_micro){.m = h->d,
                          .n = b->wide,
                          .a = h->v + keys,
                          .lda = 1,
                          .n_seg = 1,
                          .len = n,
                          .step = h->c,
                          .b = b->scores,
                          .ldb = b->wide,
                          .c = b->o,
                          .ldc = b->wide,
                          .accumulate = s0 > 0};
    tl_micro_run(&m);
}

static void block(const struct job *j, int64_t n, int64_t head, int64_t t0, float *memory)
{
    const struct tl_heads *h = &j->h;
    struct block b = {.n = n, .head = head, .t0 = t0, .rows = tl_cpu_fast_min(j->rows, h->t - t0)};
    int64_t at = tl_heads_at(h, n, h->t, t0, head), seen = tl_heads_seen(h, t0 + b.rows - 1);
    b.wide = tl_micro_vectors(b.rows) * TL_VEC;
    b.q = memory;
    b.o = b.q + j->rows * h->d;
    b.inverse = b.o + j->rows * h->d;
    b.lse = b.inverse + j->rows;
    b.scores = b.lse + j->rows;
    tl_heads_pack(h, b.q, h->q + at, b.rows, true);
    for (int64_t i = 0; i < b.wide * h->d; i++) b.q[i] *= h->scale;
    for (int64_t i = 0; i < b.wide / TL_VEC; i++)
        b.running[i] = (struct running){.most = tl_vec_splat(-INFINITY)};
    for (int64_t s = 0; s < seen; s += j->keys) block_keys(j, &b, s, tl_cpu_fast_min(j->keys, seen - s));
    for (int64_t i = 0; i < b.wide; i += TL_VEC) finish(&b.running[i / TL_VEC], b.inverse + i, b.lse + i);
    if (j->lse) memcpy(j->lse + (n * h->heads + head) * h->t + t0, b.lse, (size_t)b.rows * sizeof *b.lse);
    tl_micro_turn(j->o + at, h->c, b.o, b.wide, h->d, b.rows, b.inverse);
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
    bool many = h->s > MANY_KEYS;
    j.rows = tl_cpu_fast_min(tl_micro_vectors(h->t), many ? WIDEST : WIDE) * TL_VEC;
    j.blocks = tl_cpu_fast_ceil(h->t, j.rows);
    j.per_piece = tl_cpu_fast_max(PIECE_FLOATS / (j.rows * (h->s + h->d)), 1);
    j.keys = many ? KEYS : h->s;
    j.worker_floats = tl_cpu_fast_line(j.rows * (j.keys + 2 * h->d + 2));
    j.workers =
        tl_cpu_scratch(call, j.worker_floats * (size_t)tl_pool_threads(call->pool) * sizeof(float), err);
    if (!j.workers) return false;
    tl_pool_run(call->pool, (size_t)tl_cpu_fast_ceil(h->n * h->heads * j.blocks, j.per_piece), piece, &j);
    return true;
}
