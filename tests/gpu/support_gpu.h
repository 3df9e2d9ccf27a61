/* What the gpu tests share: one device with the validation layer on, data, slices with guards around them. */
#ifndef TL_TESTS_SUPPORT_GPU_H
#define TL_TESTS_SUPPORT_GPU_H

#include "support/check.h"

#include "gpu/gpu_command.h"
#include "gpu/gpu_context.h"

/* Opened on first use, kept for the program. Exits with 77 and the reason where there is no device. */
struct tl_gpu *support_gpu(void);

/* Group teardown: closes the device and fails unless the validation layer said nothing. */
int support_gpu_close(void **state);

/* Repeatable numbers in [-1, 1). */
void support_fill(float *out, size_t n, uint64_t seed);

/* A slice of n floats that starts `shift` elements after a multiple of 256 bytes, with guards before and
 * after. data NULL: filled with the guard's value. */
struct tl_gpu_slice support_slice(const float *data, size_t n, size_t shift);
void support_slice_free(struct tl_gpu_slice *slice);

/* Reads a slice back and fails if its guards were written. */
void support_read(const struct tl_gpu_slice *slice, float *out);

/* How far a sum of k products in f32, one after the other, may be off in relative L2: rounding walks at
 * random with the root of k. A single product left out is about 1 / sqrt(k), hundreds of times more. */
static inline double support_tolerance(double k)
{
    return 2e-6 + 1e-7 * sqrt(k);
}

/* Runs the program once, waits, destroys it. */
void support_run(struct tl_gpu_program *program);

#endif
