/* Programs: dispatches recorded once and replayed many times.
 *
 * The order of recording is the order of effects: a global memory barrier is put in where a command touches
 * bytes that an earlier one wrote (or writes bytes that an earlier one read), and only there, so independent
 * commands run side by side. A long program is cut into several submissions by estimated work, so that none
 * holds the device for much longer than a quarter of a second; the estimate learns from measured runs.
 * Bound buffers must outlive the program. Per-step values live in a buffer that the host writes between runs.
 */
#ifndef TL_GPU_COMMAND_H
#define TL_GPU_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

#include "gpu/gpu_buffer.h"
#include "gpu/gpu_pipeline.h"

struct tl_gpu_program;

struct tl_gpu_program_params {
    bool timed; /* timestamps around every command; see tl_gpu_program_times */
};

struct tl_gpu_program *tl_gpu_program_create(struct tl_gpu *gpu, const struct tl_gpu_program_params *params,
                                             struct tl_err *err);
/* Waits for the device first. Accepts empty. */
void tl_gpu_program_destroy(struct tl_gpu_program **program);

struct tl_gpu_dispatch {
    const struct tl_gpu_kernel *kernel;
    const struct tl_gpu_slice
        *bind;     /* one a binding, in order; those that the kernel does not use are ignored */
    size_t n_bind; /* at least the kernel's highest binding + 1 */
    const void *push;
    size_t push_bytes;
    uint32_t groups[3]; /* a zero means nothing to do */
    double work;        /* about its floating-point operations; memory-bound kernels: about 4 a byte moved */
    const char *label;  /* shown by timings; static text; NULL: the kernel's name */
};

bool tl_gpu_program_dispatch(struct tl_gpu_program *program, const struct tl_gpu_dispatch *dispatch,
                             struct tl_err *err);
/* from.bytes bytes; both offsets and the size multiples of 4. */
bool tl_gpu_program_copy(struct tl_gpu_program *program, struct tl_gpu_slice from, struct tl_gpu_slice to,
                         struct tl_err *err);
/* Every 32-bit word of the slice becomes value. */
bool tl_gpu_program_fill(struct tl_gpu_program *program, struct tl_gpu_slice to, uint32_t value,
                         struct tl_err *err);

/* Ends recording; then the program can run. */
bool tl_gpu_program_end(struct tl_gpu_program *program, struct tl_err *err);

/* Queues one replay and returns; work of the same device runs in the order queued. tl_gpu_wait waits. */
bool tl_gpu_program_run(struct tl_gpu_program *program, struct tl_err *err);

struct tl_gpu_program_stats {
    size_t n_commands, n_barriers, n_submissions;
    double work;
};
void tl_gpu_program_stats(const struct tl_gpu_program *program, struct tl_gpu_program_stats *out);

struct tl_gpu_time {
    const char *label;
    double seconds;
};
/* Times of the last run, one a command, after tl_gpu_wait. Fills up to cap and returns how many there are;
 * 0 where the program is not timed or the device has no timestamps. */
size_t tl_gpu_program_times(const struct tl_gpu_program *program, struct tl_gpu_time *out, size_t cap);

#endif
