/* The readings of a report's run: report_data.h says what they are. */
#ifndef TL_RUN_REPORT_SAMPLES_H
#define TL_RUN_REPORT_SAMPLES_H

#include "run/report_data.h"

/* Reads samples/. */
bool tl_report_load_samples(struct tl_report_run *run, struct tl_err *err);

/* Rows of a .jsonl; `take` says whether a line is one. */
bool tl_report_rows(struct tl_report_run *run, const char *path, bool (*take)(void *user, const cJSON *row),
                    void *user, struct tl_err *err);

#endif
