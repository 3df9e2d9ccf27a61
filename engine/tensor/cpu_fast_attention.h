/* What attention and its gradient on the cpu share. */
#ifndef TL_TENSOR_CPU_FAST_ATTENTION_H
#define TL_TENSOR_CPU_FAST_ATTENTION_H

#include <math.h>

#include "tensor/cpu_fast.h"
#include "tensor/cpu_fast_vec_math.h"

struct tl_heads {
    int64_t n, t, s, c, heads, d; /* d: channels of a head */
    float scale;
    bool causal;
    const float *q, *k, *v, *mask; /* mask may be NULL */
};

static inline struct tl_heads tl_heads_of(const struct tl_cpu_call *call)
{
    const struct tl_shape *q = call->in_shape[0], *k = call->in_shape[1];
    struct tl_heads h = {.n = q->dim[0], .t = q->dim[1], .s = k->dim[1], .c = q->dim[2]};
    h.heads = call->attr->attention.heads;
    h.d = h.c / h.heads;
    h.scale = call->attr->attention.scale;
    h.causal = call->attr->attention.causal != 0;
    h.q = call->in[0];
    h.k = call->in[1];
    h.v = call->in[2];
    h.mask = call->n_in > 3 ? call->in[3] : NULL;
    return h;
}

/* How many keys query t sees. */
static inline int64_t tl_heads_seen(const struct tl_heads *h, int64_t t)
{
    return h->causal ? tl_cpu_fast_min(t + 1, h->s) : h->s;
}

/* Where row t of sample n, head's channels, begins in a [N, rows, C] tensor. */
static inline int64_t tl_heads_at(const struct tl_heads *h, int64_t n, int64_t rows, int64_t t, int64_t head)
{
    return (n * rows + t) * h->c + head * h->d;
}

/* rows of a head as B of a product: [d, rows] if turned, else [rows, d]. */
static inline void tl_heads_pack(const struct tl_heads *h, float *dst, const float *src, int64_t rows,
                                 bool turned)
{
    struct tl_micro_pack p = {.dst = dst, .k = turned ? h->d : rows, .n = turned ? rows : h->d, .src = src};
    p.n_k = p.k;
    p.stride_k = turned ? 1 : h->c;
    p.stride_n = turned ? h->c : 1;
    tl_micro_pack(&p, 0, tl_micro_vectors(p.n));
}

#endif
