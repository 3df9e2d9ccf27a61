/* Device memory: few large blocks, a free list by offset in each, first fit.
 *
 * LOCAL is where tensors live: device memory, and on CPU drivers and integrated GPUs the kind that the host
 * can map as well. HOST is for transfers. Blocks stay mapped. Nothing falls back from LOCAL to host memory:
 * out of memory is an error that says how much was asked for and how much is left. */
#ifndef TL_GPU_MEMORY_H
#define TL_GPU_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include <tiller/err.h>

struct tl_gpu;
struct tl_gpu_block;

enum tl_gpu_place { TL_GPU_LOCAL, TL_GPU_HOST, TL_GPU_N_PLACES };

struct tl_gpu_span {
    struct tl_gpu_block *block; /* borrows; NULL: empty */
    uint64_t offset, bytes;
};

/* align is a power of two. TL_DEVICE when the device has no more. */
bool tl_gpu_memory_alloc(struct tl_gpu *gpu, enum tl_gpu_place place, uint64_t bytes, uint64_t align,
                         struct tl_gpu_span *out, struct tl_err *err);
void tl_gpu_memory_free(struct tl_gpu *gpu, struct tl_gpu_span *span);

struct tl_gpu_memory_stats {
    uint64_t used, peak; /* handed out, and the most ever */
    uint64_t reserved;   /* taken from the driver */
    uint64_t free;       /* left on the device, as far as is known */
};
void tl_gpu_memory_stats(const struct tl_gpu *gpu, struct tl_gpu_memory_stats *out);
void tl_gpu_memory_reset_peak(struct tl_gpu *gpu);

/* For tests: the nth allocation from now on fails as if the device were full; 0 turns that off. */
void tl_gpu_memory_fail_at(struct tl_gpu *gpu, uint64_t nth);

#endif
