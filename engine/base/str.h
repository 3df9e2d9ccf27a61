/* A growing string. A zeroed struct is a valid empty one. Out of memory marks it failed and keeps what it
 * has. */
#ifndef TL_BASE_STR_H
#define TL_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>

struct tl_str {
    char *data; /* NUL-terminated once non-empty; owns */
    size_t len, size;
    bool failed;
};

void tl_str_finish(struct tl_str *s);
void tl_str_clear(struct tl_str *s);
void tl_str_append(struct tl_str *s, const char *text);
void tl_str_append_n(struct tl_str *s, const void *bytes, size_t n);
void tl_str_printf(struct tl_str *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Closest candidate by edit distance, or NULL where none is near: "did you mean". */
const char *tl_str_nearest(const char *word, const char *const *candidates, size_t n);

bool tl_str_ends(const char *text, const char *suffix);

#endif
