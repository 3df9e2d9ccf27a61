/* metrics.jsonl of a run: one object a line, in the order of the steps.
 *
 *     {"step":12,"phase":"train","loss":0.25,"reward_mean":0.31,"time":1767225600.125}
 *
 * "time" is the wall clock in seconds since 1970 and the only member that may differ between two runs of the
 * same bytes: keep rates and durations out of rows. A line is written with one call, so a reader sees whole
 * lines but for the last one.
 *
 * Write all rows of a step before its checkpoint, and sync in between: a resume cuts off what came later.
 *
 * Every value goes to TensorBoard too, as scalar `phase/name` (run_events.h): a copy for viewing that
 * metrics.jsonl does not depend on, and whose failure ends no run. */
#ifndef TL_RUN_RUN_METRICS_H
#define TL_RUN_RUN_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

struct tl_run_metrics;

struct tl_run_metric {
    const char *name; /* not "step", "phase" or "time" */
    double value;
};

/* Opens FOLDER/metrics.jsonl. resumed_step < 0: a new run, the file starts empty. Else rows beyond that step,
 * and what is no whole row, are cut off first; where nothing is to be cut the file is not touched. */
struct tl_run_metrics *tl_run_metrics_open(const char *folder, int64_t resumed_step, struct tl_err *err);
/* The same where the checkpoint says how many rows stood before it (< 0: it does not): those after them are
 * cut off, too. A step alone does not tell the rows that came after a stop between a step and its readings.
 */
struct tl_run_metrics *tl_run_metrics_reopen(const char *folder, int64_t resumed_step, int64_t resumed_rows,
                                             struct tl_err *err);
void tl_run_metrics_close(struct tl_run_metrics **metrics);

/* One row. A value that is not finite is refused by name (TL_NUMERIC); nothing is written then, nor on
 * TL_OUTPUT. */
bool tl_run_metrics_append(struct tl_run_metrics *metrics, const char *phase, int64_t step,
                           const struct tl_run_metric *values, size_t n, struct tl_err *err);

/* Rows in the file: what a checkpoint keeps for tl_run_metrics_reopen. Bytes would not do, for they differ
 * between runs with the digits of "time". */
int64_t tl_run_metrics_rows(const struct tl_run_metrics *metrics);

/* A picture for TensorBoard alone, under `tag`: the bytes of a PNG with its size in pixels, RGB. Nothing is
 * copied beyond the call, and nothing can fail. */
void tl_run_metrics_image(struct tl_run_metrics *metrics, const char *tag, int64_t step, const void *png,
                          size_t n_bytes, int width, int height);

/* The same from a PNG file; one that cannot be read is left out. */
void tl_run_metrics_picture(struct tl_run_metrics *metrics, const char *tag, int64_t step,
                            const char *png_path);

/* Down to the disk (the events: to the file). */
bool tl_run_metrics_sync(struct tl_run_metrics *metrics, struct tl_err *err);

/* One column of a file: the rows of a phase (NULL: all) that have the member. Lines that are no objects are
 * passed over. The caller frees both arrays; with n 0 both are NULL. */
bool tl_run_metrics_column(const char *path, const char *phase, const char *name, double **out_steps,
                           double **out_values, size_t *out_n, struct tl_err *err);

#endif
