/* The inside of a bound option table, shared by the option files (base/option*.c, io/option_json.c) only. */
#ifndef TL_BASE_OPTION_INNER_H
#define TL_BASE_OPTION_INNER_H

#include <tiller/option.h>

#include "base/arena.h"

struct tl_options {
    const struct tl_option *table; /* borrowed */
    void *params;                  /* borrowed */
    struct tl_arena arena;         /* every string that params point to */
    unsigned char *source;         /* a row each */
};

/* Number of a row in its table. */
static inline size_t tl_option_index(const struct tl_options *o, const struct tl_option *row)
{
    return (size_t)(row - o->table);
}

/* "1 to 1000", "at least 1", "above 0"; "" where there are no limits. Returns out. */
char *tl_option_limits(const struct tl_option *row, char *out, size_t size);

/* Shortest text that reads back to the same double, with '.' in any locale. */
void tl_option_real_text(double v, char out[32]);

/* The row and the set it is in, by name over several sets; NULL if none has it. */
const struct tl_option *tl_option_find_in(struct tl_options *const *sets, size_t n_sets, const char *name,
                                          struct tl_options **out_set);

/* Empties a list before a source gives it anew; does nothing where a stronger source spoke. */
void tl_option_clear_list(struct tl_options *o, const struct tl_option *row, enum tl_option_source source);

#endif
