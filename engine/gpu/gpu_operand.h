/* Small helpers that the front ends of the kernels share. Inside of engine/gpu. */
#ifndef TL_GPU_OPERAND_H
#define TL_GPU_OPERAND_H

#include <stdbool.h>
#include <stdint.h>

#include "gpu/gpu_buffer.h"

/* Bindings must start at a multiple of the device's alignment, which is at most this. */
enum { TL_GPU_ALIGN = 256 };

/* The slice cut open at an aligned place before it; *out_first is the element of the result that it starts
 * at. */
static inline struct tl_gpu_slice tl_gpu_align_slice(struct tl_gpu_slice s, int64_t *out_first)
{
    uint64_t shift = s.offset % TL_GPU_ALIGN;
    *out_first = (int64_t)(shift / sizeof(float));
    s.offset -= shift;
    s.bytes += shift;
    return s;
}

static inline struct tl_gpu_slice tl_gpu_texels(struct tl_gpu_slice s, bool vec)
{
    s.texel = vec ? TL_GPU_RGBA32F : TL_GPU_R32F;
    return s;
}

static inline struct tl_gpu_slice tl_gpu_first(struct tl_gpu_slice s, int64_t elements)
{
    s.bytes = (uint64_t)elements * sizeof(float);
    return s;
}

/* True when all are multiples of four: then four neighbours move as one. */
static inline bool tl_gpu_fours(const int64_t *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (v[i] % 4) return false;
    return true;
}

static inline int64_t tl_gpu_ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static inline int64_t tl_gpu_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

#endif
