#include "run/lora_arg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"

const char *const tl_lora_dtype_choices[] = {"as-is", "f32", "f16", "bf16", NULL};

bool tl_lora_arg_parse(const char *text, struct tl_arena *arena, struct tl_lora_arg *out, struct tl_err *err)
{
    const char *at = strrchr(text, '@');
    char *end = NULL;
    *out = (struct tl_lora_arg){tl_arena_strdup(arena, text), 1};
    if (at && at[1] && !tl_file_exists(text)) {
        double scale = strtod(at + 1, &end);
        if (*end == 0) {
            if (!isfinite(scale))
                return tl_err_set(err, TL_USAGE, "--lora %s: the scale must be a finite number", text);
            *out = (struct tl_lora_arg){tl_arena_printf(arena, "%.*s", (int)(at - text), text), scale};
        }
    }
    if (!out->path) return tl_err_set(err, TL_FAIL, "out of memory");
    return tl_file_exists(out->path) ||
           tl_err_set(err, TL_BAD_INPUT, "--lora %s: there is no such file", out->path);
}
