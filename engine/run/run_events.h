/* The TensorBoard copy of a run's metrics: FOLDER/events.out.tfevents.TIME.HOST.PID.N, scalars `phase/name`
 * and pictures.
 *
 * A convenience that never ends a run: the first failure is one warning (tl_log), and no more events are
 * written. Nothing is synced; bytes reach the file at the latest 10 s after the event before them, and at
 * flush and close. The file is begun with its first event, and each opening begins a new one whose name sorts
 * behind all that are there, so that TensorBoard reads them in order. Where the folder has event files
 * already, the new one begins with SessionLog START at the step behind the resumed one: what the earlier
 * files hold from there on is dropped by TensorBoard. A torn last record is passed over by readers. */
#ifndef TL_RUN_RUN_EVENTS_H
#define TL_RUN_RUN_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/tb_events.h"

struct tl_run_events;
struct tl_run_metric;

/* resumed_step < 0: a new run. NULL if out of memory; all functions take NULL and then do nothing. */
struct tl_run_events *tl_run_events_open(const char *folder, int64_t resumed_step);
void tl_run_events_close(struct tl_run_events **events);

void tl_run_events_scalars(struct tl_run_events *events, const char *phase, int64_t step,
                           const struct tl_run_metric *values, size_t n, double time);
void tl_run_events_image(struct tl_run_events *events, int64_t step, const struct tl_tb_image *image,
                         double time);
void tl_run_events_flush(struct tl_run_events *events);

#endif
