/* A file of prompts: one a line, blank lines and lines that start with # passed over; or JSONL, one object a
 * line with `prompt` (or `text`, `caption`) and any other members. JSONL is a file named .jsonl, or one whose
 * first line of content is an object. Lines may end in CR LF; a UTF-8 byte order mark is skipped. Invalid
 * UTF-8, a NUL, a bad row or a file without prompts is one TL_BAD_INPUT that names the line. */
#ifndef TL_IO_PROMPTS_H
#define TL_IO_PROMPTS_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

#include "base/arena.h"

struct tl_prompt {
    const char *text; /* UTF-8, outer white space cut; an empty one only from JSONL ("prompt": "") */
    const char *json; /* the row as it stands in a JSONL file; NULL in a plain one */
    size_t line;      /* from 1 */
};

struct tl_prompts {
    struct tl_arena arena; /* owns everything below */
    struct tl_prompt *items;
    size_t n;
};

bool tl_prompts_read(const char *path, struct tl_prompts *out, struct tl_err *err);
bool tl_prompts_parse(const char *text, size_t n, bool jsonl, const char *what, struct tl_prompts *out,
                      struct tl_err *err);
void tl_prompts_finish(struct tl_prompts *prompts);

#endif
