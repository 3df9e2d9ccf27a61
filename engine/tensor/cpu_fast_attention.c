/* attention and its gradient on the cpu: a head's rows of scores, in blocks that stay in the cache, by the
 * products of cpu_fast_micro.h. A fully masked row gives zeros and an lse of -infinity, as the plain kernel
 * does. */
#include <math.h>

#include "tensor/cpu_fast.h"

enum { PIECES = 16, ROW_UNIT = 24, ROWS_MAX = 192, BLOCK_FLOATS = 1 << 15 };

struct head {
    int64_t n, t, s, c, heads, d;
    int64_t lds;  /* row of scores, whole vectors */
    int64_t rows; /* of one block */
    float scale;
    bool causal;
    const float *q, *k, *v, *mask, *o, *lse, *d_o;
    float *out[3], *out_lse;
    int64_t splits; /* of the rows of one head (forward) */
    char *workers;
    size_t worker_floats;
};

static void head_begin(struct head *h, const struct tl_cpu_call *call)
{
    const struct tl_shape *q = call->in_shape[0], *k = call->in_shape[1];
    *h = (struct head){
        .n = q->dim[0], .t = q->dim[1], .s = k->dim[1], .c = q->dim[2], .heads = call->attr->attention.heads};
    h->d = h->c / h->heads;
    h->scale = call->attr->attention.scale;
    h->causal = call->attr->attention.causal != 0;
    h->q = call->in[0];
    h->k = call->in[1];
    h->v = call->in[2];
    h->mask = call->n_in > 3 ? call->in[3] : NULL;
    h->lds = tl_micro_vectors(h->s) * TL_VEC;
    h->rows = tl_cpu_fast_max(tl_cpu_fast_min(BLOCK_FLOATS / h->lds, ROWS_MAX) / ROW_UNIT, 1) * ROW_UNIT;
}

/* rows x d of a head, as B: [d, rows] if turned, else [rows, d]. */
static void pack_head(const struct head *h, float *dst, const float *src, int64_t rows, bool turned)
{
    struct tl_micro_pack p = {.dst = dst, .k = turned ? h->d : rows, .n = turned ? rows : h->d, .src = src};
    p.n_k = p.k;
    p.stride_k = turned ? 1 : h->c;
    p.stride_n = turned ? h->c : 1;
    tl_micro_pack(&p, 0, tl_micro_vectors(p.n));
}

/* out[rows, s] = x[rows, d] B, B packed [d, s] */
static void score_product(const struct head *h, float *out, const float *x, int64_t rows, const float *packed)
{
    struct tl_micro m = {.m = rows,
                         .n = h->s,
                         .a = x,
                         .lda = h->c,
                         .n_seg = 1,
                         .len = h->d,
                         .step = 1,
                         .b = packed,
                         .c = out,
                         .ldc = h->lds};
    tl_micro_run(&m);
}

/* y[rows, d] = p[rows, seen] B, B packed [s, d] */
static void value_product(const struct head *h, float *y, const float *p, int64_t rows, int64_t seen,
                          const float *packed)
{
    struct tl_micro m = {.m = rows,
                         .n = h->d,
                         .a = p,
                         .lda = h->lds,
                         .n_seg = 1,
                         .len = seen,
                         .step = 1,
                         .b = packed,
                         .b_rows = h->s,
                         .c = y,
                         .ldc = h->c};
    tl_micro_run(&m);
}

/* y[s, d] (+)= p[rows, s]^T B, B packed [rows, d] */
static void key_product(const struct head *h, float *y, const float *p, int64_t rows, const float *packed,
                        bool accumulate)
{
    struct tl_micro m = {.m = h->s,
                         .n = h->d,
                         .a = p,
                         .lda = 1,
                         .n_seg = 1,
                         .len = rows,
                         .step = h->lds,
                         .b = packed,
                         .c = y,
                         .ldc = h->c,
                         .accumulate = accumulate};
    tl_micro_run(&m);
}

static int64_t seen_by(const struct head *h, int64_t t)
{
    return h->causal ? tl_cpu_fast_min(t + 1, h->s) : h->s;
}

/* scale * x + mask of vector i; lanes that are not seen become `hidden`. */
static inline tl_vec score(const struct head *h, const float *x, const float *mask, int64_t i, int64_t seen,
                           float hidden)
{
    tl_vec v = tl_vec_load(x + i) * h->scale;
    int64_t left = seen - i;
    if (mask && left > 0) v += tl_vec_load_part(mask + i, left < TL_VEC ? (int)left : TL_VEC);
    if (left < TL_VEC) {
        float lane[TL_VEC];
        memcpy(lane, &v, sizeof v);
        for (int64_t j = left > 0 ? left : 0; j < TL_VEC; j++) lane[j] = hidden;
        memcpy(&v, lane, sizeof v);
    }
    return v;
}

/* Scores to exp(score - max), zeros where nothing is seen; returns 1 / sum. */
static float softmax_row(const struct head *h, float *x, const float *mask, int64_t seen, float *out_lse)
{
    tl_vec most = tl_vec_splat(-INFINITY), sum = {0};
    for (int64_t i = 0; i < seen; i += TL_VEC) {
        tl_vec v = score(h, x, mask, i, seen, -INFINITY);
        tl_vec_store(x + i, v);
        most = tl_vec_max(most, v);
    }
    float max = tl_vec_max_lane(most);
    *out_lse = max;
    if (max == -INFINITY) {
        memset(x, 0, (size_t)h->lds * sizeof *x);
        return 0;
    }
    int64_t i = 0;
    for (; i < seen; i += TL_VEC) {
        tl_vec v = tl_vec_load(x + i), e = tl_vec_exp(v - max);
        e = tl_vec_select(v > -INFINITY, e, (tl_vec){0});
        tl_vec_store(x + i, e);
        sum += e;
    }
    for (; i < h->lds; i += TL_VEC) tl_vec_store(x + i, (tl_vec){0});
    float total = tl_vec_sum(sum);
    *out_lse = max + logf(total);
    return 1.0f / total;
}

static void scale_row(float *y, float a, int64_t n)
{
    for (int64_t i = 0; i < n; i++) y[i] *= a;
}

static void forward_piece(void *arg, size_t i, int worker)
{
    const struct head *h = arg;
    int64_t at = (int64_t)i, split = at % h->splits, head = at / h->splits % h->heads,
            n = at / h->splits / h->heads;
    float *keys = (float *)h->workers + (size_t)worker * h->worker_floats,
          *values = keys + tl_micro_packed_size(h->d, h->s);
    float *scores = values + tl_micro_packed_size(h->s, h->d);
    const float *mask = h->mask ? h->mask + n * h->s : NULL;
    int64_t first = n * h->s * h->c + head * h->d;
    pack_head(h, keys, h->k + first, h->s, true);
    pack_head(h, values, h->v + first, h->s, false);
    int64_t blocks = tl_cpu_fast_ceil(h->t, h->rows), end = blocks * (split + 1) / h->splits;
    for (int64_t b = blocks * split / h->splits; b < end; b++) {
        int64_t t0 = b * h->rows, rows = tl_cpu_fast_min(h->rows, h->t - t0),
                q = (n * h->t + t0) * h->c + head * h->d;
        float inverse[ROWS_MAX];
        score_product(h, scores, h->q + q, rows, keys);
        for (int64_t r = 0; r < rows; r++) {
            float lse;
            inverse[r] = softmax_row(h, scores + r * h->lds, mask, seen_by(h, t0 + r), &lse);
            if (h->out_lse) h->out_lse[(n * h->heads + head) * h->t + t0 + r] = lse;
        }
        value_product(h, h->out[0] + q, scores, rows, seen_by(h, t0 + rows - 1), values);
        for (int64_t r = 0; r < rows; r++) scale_row(h->out[0] + q + r * h->c, inverse[r], h->d);
    }
}

bool tl_cpu_fast_attention(const struct tl_cpu_call *call, struct tl_err *err)
{
    struct head h;
    head_begin(&h, call);
    h.out[0] = call->out[0];
    h.out_lse = call->out[1];
    int64_t blocks = tl_cpu_fast_ceil(h.t, h.rows);
    h.splits = tl_cpu_fast_max(tl_cpu_fast_min(PIECES / (h.n * h.heads), blocks), 1);
    size_t floats =
        tl_micro_packed_size(h.d, h.s) + tl_micro_packed_size(h.s, h.d) + (size_t)(h.rows * h.lds);
    h.worker_floats = tl_cpu_fast_line((int64_t)floats);
    h.workers =
        tl_cpu_scratch(call, h.worker_floats * (size_t)tl_pool_threads(call->pool) * sizeof(float), err);
    if (!h.workers) return false;
    tl_pool_run(call->pool, (size_t)(h.n * h.heads * h.splits), forward_piece, &h);
    return true;
}

/* x: scores to probabilities p; y: do v^T to ds = scale * p * (y - delta). */
static void grad_row(const struct head *h, float *x, float *y, const float *mask, int64_t seen, float lse,
                     float delta)
{
    int64_t i = 0;
    if (lse == -INFINITY) seen = 0;
    for (; i < seen; i += TL_VEC) {
        tl_vec v = score(h, x, mask, i, seen, -INFINITY);
        tl_vec p = tl_vec_select(v > -INFINITY, tl_vec_exp(v - lse), (tl_vec){0});
        tl_vec d = tl_vec_load(y + i) - delta;
        tl_vec_store(x + i, p);
        tl_vec_store(y + i, h->scale * p * d);
    }
    for (; i < h->lds; i += TL_VEC) {
        tl_vec_store(x + i, (tl_vec){0});
        tl_vec_store(y + i, (tl_vec){0});
    }
}

static float dot(const float *a, const float *b, int64_t n)
{
    tl_vec sum = {0};
    int64_t i = 0;
    for (; i + TL_VEC <= n; i += TL_VEC) sum += tl_vec_load(a + i) * tl_vec_load(b + i);
    if (i < n) sum += tl_vec_load_part(a + i, (int)(n - i)) * tl_vec_load_part(b + i, (int)(n - i));
    return tl_vec_sum(sum);
}

/* A worker's memory, in floats. */
struct grad_memory {
    float *keys, *values, *keys_plain, *q, *d_o, *p, *ds;
};

static size_t grad_memory_take(const struct head *h, float *at, struct grad_memory *m)
{
    size_t turned = tl_micro_packed_size(h->d, h->s), plain = tl_micro_packed_size(h->s, h->d),
           rows = tl_micro_packed_size(h->rows, h->d);
    size_t scores = (size_t)(h->rows * h->lds), sizes[] = {turned, turned, plain, rows, rows, scores, scores},
           total = 0;
    float **slot[] = {&m->keys, &m->values, &m->keys_plain, &m->q, &m->d_o, &m->p, &m->ds};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (at) *slot[i] = at + total;
        total += tl_cpu_fast_line((int64_t)sizes[i]);
    }
    return total;
}

static void grad_piece(void *arg, size_t i, int worker)
{
    const struct head *h = arg;
    int64_t head = (int64_t)i % h->heads, n = (int64_t)i / h->heads, first = n * h->s * h->c + head * h->d;
    struct grad_memory m = {0};
    grad_memory_take(h, (float *)h->workers + (size_t)worker * h->worker_floats, &m);
    const float *mask = h->mask ? h->mask + n * h->s : NULL, *lse = h->lse + (n * h->heads + head) * h->t;
    pack_head(h, m.keys, h->k + first, h->s, true);
    pack_head(h, m.values, h->v + first, h->s, true);
    pack_head(h, m.keys_plain, h->k + first, h->s, false);
    for (int64_t t0 = 0; t0 < h->t; t0 += h->rows) {
        int64_t rows = tl_cpu_fast_min(h->rows, h->t - t0), q = (n * h->t + t0) * h->c + head * h->d;
        score_product(h, m.p, h->q + q, rows, m.keys);
        score_product(h, m.ds, h->d_o + q, rows, m.values);
        for (int64_t r = 0; r < rows; r++) {
            float delta = dot(h->o + q + r * h->c, h->d_o + q + r * h->c, h->d);
            grad_row(h, m.p + r * h->lds, m.ds + r * h->lds, mask, seen_by(h, t0 + r), lse[t0 + r], delta);
        }
        value_product(h, h->out[0] + q, m.ds, rows, seen_by(h, t0 + rows - 1), m.keys_plain);
        pack_head(h, m.q, h->q + q, rows, false);
        pack_head(h, m.d_o, h->d_o + q, rows, false);
        key_product(h, h->out[1] + first, m.ds, rows, m.q, t0 > 0);
        key_product(h, h->out[2] + first, m.p, rows, m.d_o, t0 > 0);
    }
}

bool tl_cpu_fast_attention_grad(const struct tl_cpu_call *call, struct tl_err *err)
{
    struct head h;
    head_begin(&h, call);
    h.o = call->in[4];
    h.lse = call->in[5];
    h.d_o = call->in[6];
    for (int i = 0; i < 3; i++) h.out[i] = call->out[i];
    struct grad_memory none;
    h.worker_floats = grad_memory_take(&h, NULL, &none);
    h.workers =
        tl_cpu_scratch(call, h.worker_floats * (size_t)tl_pool_threads(call->pool) * sizeof(float), err);
    if (!h.workers) return false;
    tl_pool_run(call->pool, (size_t)(h.n * h.heads), grad_piece, &h);
    return true;
}
