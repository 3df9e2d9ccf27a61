/* Kernels and whole steps, timed on one device, against what a multiply-add loop and a triad loop reach
 * there.
 *
 * A row's time is the median of 20 runs after warm-up, of 5 where one takes more than half a second. Its
 * `peak_fraction` is the time that its arithmetic or its memory traffic alone would need at the measured
 * peaks (whichever is longer), over the time it took. */
#ifndef TILLER_BENCH_H
#define TILLER_BENCH_H

#include <stddef.h>

#include <tiller/job.h>

struct tl_bench_params {
    const char *const *names; /* which rows; none: all */
    size_t n_names;
    bool json; /* an array of {name, device, ms, gflops, gbytes_s, peak_fraction} instead of a table */
};

/* Text that the caller frees. Unknown names are TL_USAGE. */
char *tl_bench(const struct tl_bench_params *params, const struct tl_job *job, struct tl_err *err);

/* The rows' names with one clause each, as text or JSON (schema "tiller.bench-list/1"). The caller frees. */
char *tl_bench_list(bool json, struct tl_err *err);

#endif
