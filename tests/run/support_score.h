/* Asking `tiller score` by its function, for tests. */
#ifndef SUPPORT_SCORE_H
#define SUPPORT_SCORE_H

#include <stdbool.h>

#include <tiller/job.h>
#include <tiller/score.h>

#include "io/json.h"

extern struct tl_job support_score_job; /* cpu, one thread, seed 3; a test that changes it puts it back */

/* folders ends at NULL; without the cache, as JSON. */
struct tl_score_params support_score_of(const char *metric, const char *const *folders, const char *encoder);
#define SETS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* The report's array, which the caller deletes; `whole`: that nothing was skipped. */
cJSON *support_score_ask(struct tl_score_params p, bool whole);
double support_score_number(const cJSON *row, const char *key);
void support_score_refused(struct tl_score_params p, enum tl_code code, const char *says);

#endif
