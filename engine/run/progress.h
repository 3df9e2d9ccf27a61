/* Measures a job's speed and reports it through the job's callback (tiller/progress.h). */
#ifndef TL_RUN_PROGRESS_H
#define TL_RUN_PROGRESS_H

#include <stdbool.h>

#include <tiller/progress.h>

/* One phase of a job. Fill the first group, then begin; the rest is the meter's own. Strings are borrowed. */
struct tl_progress_meter {
    tl_progress_fn fn; /* NULL: nothing is reported */
    void *user;
    const char *phase, *unit;
    int64_t total;         /* 0: not known */
    double interval_s;     /* between reports; 0: 0.2 */
    double (*clock)(void); /* seconds; NULL: the monotonic clock */

    int64_t done;
    double last_time, last_report; /* of the last advance and report */
    double sum_done, sum_time;     /* of late, older parts fading */
};

/* Reports once. `done` > 0 where a resumed job has part of the work behind it. */
void tl_progress_begin(struct tl_progress_meter *meter, int64_t done);

/* `done` units are finished by now. health may be NULL. Reports if the interval is over or all is done. */
void tl_progress_advance(struct tl_progress_meter *meter, int64_t done, const char *health);

#endif
