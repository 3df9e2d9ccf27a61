/* What a device does at most, by two loops: multiply-adds in registers, and a triad over arrays larger than
 * its caches. */
#ifndef TL_GPU_PEAK_H
#define TL_GPU_PEAK_H

#include <stdbool.h>

#include <tiller/err.h>

struct tl_gpu;

/* Operations a second and bytes a second (12 an element: two reads and a write); the best of several runs of
 * at least 20 ms. Needs 192 MiB of device memory for a moment. */
bool tl_gpu_peak(struct tl_gpu *gpu, double *out_flops, double *out_bytes_s, struct tl_err *err);

#endif
