/* Matrix products on the device: records the right kernels for the shapes, the alignment and the device's
 * class.
 *
 *   C[m,n] = alpha * A op B (+ bias[n]) (+ add[m,n]) (+ C where accumulate)      for each of batch[0] *
 * batch[1] NN  A[m,k] B[k,n]     NT  A[m,k] B[n,k]     TN  A[k,m] B[k,n]
 *
 * f32, row-major, dense by default; leading dimensions and batch strides in elements. Slices need 4-byte
 * alignment only; 16 bytes and sizes in fours are the fast case. Sums run in an order that depends on shapes
 * and device class alone, never on timing. */
#ifndef TL_GPU_GEMM_H
#define TL_GPU_GEMM_H

#include <stdbool.h>
#include <stdint.h>

#include "gpu/gpu_command.h"
#include "gpu/gpu_context.h"

enum tl_gpu_gemm_op { TL_GPU_NN, TL_GPU_NT, TL_GPU_TN };

/* AUTO picks by the device's class; the others are for tests and measurements. */
enum tl_gpu_variant { TL_GPU_AUTO, TL_GPU_PLAIN, TL_GPU_TEXEL, TL_GPU_SHARED };

struct tl_gpu_gemm {
    enum tl_gpu_gemm_op op;
    int64_t m, n, k;            /* all at least 1 */
    int64_t lda, ldb, ldc, ldd; /* 0: dense */
    int64_t batch[2];           /* inner, outer; 0 means 1 */
    int64_t a_stride[2], b_stride[2], c_stride[2],
        add_stride[2]; /* of the batch; 0 shares an operand (not C) */
    struct tl_gpu_slice a, b, c;
    struct tl_gpu_slice bias, add; /* no buffer: none */
    float alpha;                   /* 1 for a plain product */
    bool accumulate;
    enum tl_gpu_variant variant;
    struct tl_gpu_slice scratch; /* tl_gpu_gemm_scratch bytes for long k and few outputs; none: slower */
};

/* Bytes of scratch that would help; 0: none. */
uint64_t tl_gpu_gemm_scratch(const struct tl_gpu *gpu, const struct tl_gpu_gemm *g);

bool tl_gpu_gemm_record(struct tl_gpu *gpu, struct tl_gpu_program *program, const struct tl_gpu_gemm *g,
                        struct tl_err *err);

#endif
