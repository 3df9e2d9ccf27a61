#include "tensor/cpu_fast.h"

/* clang-format off */
const tl_cpu_kernel tl_cpu_fast_f32[TL_N_OPS] = {
    [TL_OP_GEMM] = tl_cpu_fast_gemm,
    [TL_OP_CONV2D] = tl_cpu_fast_conv2d,
    [TL_OP_CONV2D_DX] = tl_cpu_fast_conv2d_dx,
    [TL_OP_CONV2D_DW] = tl_cpu_fast_conv2d_dw,
    [TL_OP_ATTENTION] = tl_cpu_fast_attention,
    [TL_OP_ATTENTION_GRAD] = tl_cpu_fast_attention_grad,
    [TL_OP_GROUP_NORM] = tl_cpu_fast_group_norm,
    [TL_OP_GROUP_NORM_GRAD] = tl_cpu_fast_group_norm_grad,
    [TL_OP_LAYER_NORM] = tl_cpu_fast_layer_norm,
    [TL_OP_LAYER_NORM_GRAD] = tl_cpu_fast_layer_norm_grad,
};
/* clang-format on */

enum { ADD_SLICE = 8192 };

struct add_job {
    float *y;
    const float *parts;
    int64_t stride, n_parts, n;
    bool accumulate;
};

static void add_slice(void *arg, size_t i, int worker)
{
    (void)worker;
    const struct add_job *j = arg;
    int64_t begin = (int64_t)i * ADD_SLICE, end = tl_cpu_fast_min(begin + ADD_SLICE, j->n);
    float *restrict y = j->y;
    if (!j->accumulate) memcpy(y + begin, j->parts + begin, (size_t)(end - begin) * sizeof *y);
    for (int64_t part = j->accumulate ? 0 : 1; part < j->n_parts; part++) {
        const float *restrict from = j->parts + part * j->stride;
        for (int64_t e = begin; e < end; e++) y[e] += from[e];
    }
}

void tl_cpu_fast_add_parts(struct tl_pool *pool, float *y, const float *parts, int64_t stride,
                           int64_t n_parts, int64_t n, bool accumulate)
{
    struct add_job job = {y, parts, stride, n_parts, n, accumulate};
    tl_pool_run(pool, (size_t)tl_cpu_fast_ceil(n, ADD_SLICE), add_slice, &job);
}
