/* Inside of the fast float kernels of the cpu device. All of them cut work by shapes alone, and add in a
 * fixed order. */
#ifndef TL_TENSOR_CPU_FAST_H
#define TL_TENSOR_CPU_FAST_H

#include "tensor/cpu.h"
#include "tensor/cpu_fast_micro.h"

bool tl_cpu_fast_gemm(const struct tl_cpu_call *call, struct tl_err *err);
bool tl_cpu_fast_conv2d(const struct tl_cpu_call *call, struct tl_err *err);
bool tl_cpu_fast_conv2d_dx(const struct tl_cpu_call *call, struct tl_err *err);
bool tl_cpu_fast_conv2d_dw(const struct tl_cpu_call *call, struct tl_err *err);
bool tl_cpu_fast_attention(const struct tl_cpu_call *call, struct tl_err *err);
bool tl_cpu_fast_attention_grad(const struct tl_cpu_call *call, struct tl_err *err);
bool tl_cpu_fast_group_norm(const struct tl_cpu_call *call, struct tl_err *err);
bool tl_cpu_fast_group_norm_grad(const struct tl_cpu_call *call, struct tl_err *err);
bool tl_cpu_fast_layer_norm(const struct tl_cpu_call *call, struct tl_err *err);
bool tl_cpu_fast_layer_norm_grad(const struct tl_cpu_call *call, struct tl_err *err);

static inline int64_t tl_cpu_fast_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t tl_cpu_fast_max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static inline int64_t tl_cpu_fast_ceil(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Floats, rounded up to whole cache lines. */
static inline size_t tl_cpu_fast_line(int64_t floats)
{
    return ((size_t)floats + 15) / 16 * 16;
}

/* gemm's body on explicit operands, for 1x1 convolutions too. Batches lie one behind the other. */
struct tl_cpu_fast_product {
    int64_t batch, m, n, k;
    bool ta, tb;
    const float *a, *b, *bias, *add;
    float *c;
    bool accumulate;
};
bool tl_cpu_fast_product(const struct tl_cpu_call *call, const struct tl_cpu_fast_product *p,
                         struct tl_err *err);

/* y = sum of n_parts arrays of n floats that lie `stride` apart, in order; over y's own value if accumulate.
 * On the pool. */
void tl_cpu_fast_add_parts(struct tl_pool *pool, float *y, const float *parts, int64_t stride,
                           int64_t n_parts, int64_t n, bool accumulate);

#endif
