/* Lines of a text file, for prompts, captions and JSONL. */
#ifndef TL_IO_TEXT_LINES_H
#define TL_IO_TEXT_LINES_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

#include "base/arena.h"
#include "io/json.h"

struct tl_text_lines {
    const char *p, *end; /* borrowed; what is left */
    const char *what;    /* names the text */
    size_t line;         /* number of the line given last, from 1 */
};

/* Skips a byte order mark; fails on invalid UTF-8 or a NUL and names the line. */
bool tl_text_lines_begin(struct tl_text_lines *lines, const char *text, size_t n, const char *what,
                         struct tl_err *err);

/* The next line that is not blank, without its white space at both ends; false at the end of the text. */
bool tl_text_lines_next(struct tl_text_lines *lines, const char **out_text, size_t *out_n);

/* Cuts ASCII white space off both ends. */
void tl_text_trim(const char **text, size_t *n);

/* Copies n bytes and a NUL into the arena. */
char *tl_text_keep(struct tl_arena *arena, const char *text, size_t n);

/* The line given last as a JSON object; the caller ends it with cJSON_Delete. */
cJSON *tl_text_lines_object(const struct tl_text_lines *lines, const char *text, size_t n,
                            struct tl_err *err);

/* The first of the keys that a row has, as a trimmed copy; *out is NULL where it has none. Fails on another
 * type. */
bool tl_text_caption(const cJSON *row, const char *const *keys, size_t n_keys, struct tl_arena *arena,
                     const char **out, struct tl_err *err);

#endif
