/* Whether options fit the run that is resumed with them. */
#ifndef TL_RUN_RESUME_CHECK_H
#define TL_RUN_RESUME_CHECK_H

#include <tiller/option.h>

#include "io/json.h"

/* Compares the rows of a set with what config.json recorded under their names; `given_only` leaves out those
 * that nobody gave. The first that differs and is not free is TL_USAGE with both values. A path that leads to
 * the same file is the same; one whose recorded file is gone is taken, with a warning (the second time, when
 * all rows are compared). */
bool tl_resume_check(const struct tl_options *set, const cJSON *recorded, bool given_only,
                     struct tl_err *err);

#endif
