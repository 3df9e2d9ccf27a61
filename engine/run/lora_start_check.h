/* A LoRA that a run goes on from brings its own shape: options that give another one are refused. */
#ifndef TL_RUN_LORA_START_CHECK_H
#define TL_RUN_LORA_START_CHECK_H

#include <tiller/option.h>

/* The options of a method that shape a new LoRA, as they are set. */
struct tl_lora_shape {
    int rank;
    double alpha;
    const char *targets, *text_targets; /* NULL: not looked at */
};

/* TL_USAGE where one of them is not what the method's table falls back to; names those. */
bool tl_lora_start_check(const struct tl_option *table, const struct tl_lora_shape *shape,
                         struct tl_err *err);

#endif
