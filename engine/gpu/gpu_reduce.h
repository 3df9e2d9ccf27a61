/* The second half of a split product: adds its layers of partial sums in fixed order. Inside of engine/gpu.
 */
#ifndef TL_GPU_REDUCE_H
#define TL_GPU_REDUCE_H

#include <stdbool.h>
#include <stdint.h>

#include "gpu/gpu_command.h"
#include "gpu/gpu_context.h"

/* c = alpha * sum over splits of part[batch][split][rows][cols] (+ bias) (+ add) (+ c) */
struct tl_gpu_reduce {
    struct tl_gpu_slice part;
    int64_t rows, cols, n_splits;
    int64_t batch[2]; /* at least 1 each */
    int64_t ldc, ldd, c_stride[2], add_stride[2];
    struct tl_gpu_slice c, bias, add; /* cut to what is touched; bias, add: no buffer: none */
    float alpha;
    bool accumulate;
};

bool tl_gpu_reduce_record(struct tl_gpu *gpu, struct tl_gpu_program *program, const struct tl_gpu_reduce *r,
                          struct tl_err *err);

#endif
