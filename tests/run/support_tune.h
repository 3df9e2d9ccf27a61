/* Short runs that learn from rewards, on the small pipeline. */
#ifndef TL_TESTS_RUN_SUPPORT_TUNE_H
#define TL_TESTS_RUN_SUPPORT_TUNE_H

#include "support_train.h"

/* Group setup: a folder with one.txt, two.txt and four.txt, so many prompts each; *state is its path. */
int support_tune_setup(void **state);

/* A run of two epochs into NAME of that folder, `method` prdp, on two.txt and the CLIP score unless `more`
 * says otherwise (ended by NULL; later options win). Valid until the fourth call after it. */
struct support_train support_tune_run(const char *name, const char *const *more);

#endif
