/* Options that act only together with another one: alone they are told, or refused where they contradict. */
#ifndef TL_RUN_TRAIN_PARTNERS_H
#define TL_RUN_TRAIN_PARTNERS_H

#include <tiller/train.h>

/* Looks at what was given: on the command line, or in a file with another value than the fallback. The table
 * of the options may lack rows. TL_USAGE: --full with a LoRA's shape. */
bool tl_train_partners_check(const struct tl_options *options, const struct tl_supervised_params *params,
                             struct tl_err *err);

#endif
