#include "run/lora_start_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_text(const struct tl_option *table, const char *name, const char *text)
{
    const struct tl_option *row = tl_option_find(table, name);
    return !text || !row || strcmp(text, row->fallback ? row->fallback : "") == 0;
}

static bool is_number(const struct tl_option *table, const char *name, double value)
{
    const struct tl_option *row = tl_option_find(table, name);
    return !row || !row->fallback || value == strtod(row->fallback, NULL);
}

bool tl_lora_start_check(const struct tl_option *table, const struct tl_lora_shape *s, struct tl_err *err)
{
    const struct {
        const char *name;
        bool changed;
    } rows[] = {{"rank", !is_number(table, "rank", s->rank)},
                {"alpha", !is_number(table, "alpha", s->alpha)},
                {"targets", !is_text(table, "targets", s->targets)},
                {"text-targets", !is_text(table, "text-targets", s->text_targets)}};
    char names[96] = "";
    size_t n = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].changed)
            n += (size_t)snprintf(names + n, sizeof names - n, "%s--%s", n ? ", " : "", rows[i].name);
    return n == 0 ||
           tl_err_set(err, TL_USAGE, "--lora brings its own rank, alpha and layers: leave %s out", names);
}
