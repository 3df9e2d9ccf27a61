/* What verbs on LoRA files share: FILE[@SCALE] as an adapter is named, and the choices of --dtype. */
#ifndef TL_RUN_LORA_ARG_H
#define TL_RUN_LORA_ARG_H

#include <stdbool.h>

#include <tiller/err.h>

#include "base/arena.h"

/* Numbers in the files that are written: as-is, f32, f16, bf16; ends at NULL. */
extern const char *const tl_lora_dtype_choices[];

struct tl_lora_arg {
    const char *path; /* in the arena; a file or a folder that exists */
    double scale;     /* 1 where none is given */
};

/* An @ that no number follows, or a file of the whole name, belongs to the name. */
bool tl_lora_arg_parse(const char *text, struct tl_arena *arena, struct tl_lora_arg *out, struct tl_err *err);

#endif
