/* A cursor over JSON text: strict RFC 8259, exact integers. Under json.c and the safetensors header.
 * The text must be valid UTF-8 already. Each function returns false with err set, line and column named. */
#ifndef TL_IO_JSON_SCAN_H
#define TL_IO_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

#include "base/str.h"

enum { TL_JSON_DEPTH = 64 };

struct tl_json_scan {
    const char *start, *p, *end; /* borrowed */
    const char *what;            /* names the text */
    struct tl_err *err;
};

/* Records "what: line L, column C: reason"; returns false. */
bool tl_json_scan_fail(struct tl_json_scan *s, const char *reason);

void tl_json_scan_space(struct tl_json_scan *s);

/* The next byte after white space; 0 at the end. Nothing is consumed but the space. */
char tl_json_scan_peek(struct tl_json_scan *s);

/* Consumes white space and then c, or fails. */
bool tl_json_scan_char(struct tl_json_scan *s, char c);

/* After a member or element: consumes ',' (more = true) or `close` (more = false). */
bool tl_json_scan_more(struct tl_json_scan *s, char close, bool *out_more);

/* A string, unescaped into `out` (replaced), which may be NULL. Refuses U+0000 and lone surrogates. */
bool tl_json_scan_string(struct tl_json_scan *s, struct tl_str *out);

/* A plain non-negative integer: no sign, fraction or exponent, at most 2^64 - 1. */
bool tl_json_scan_u64(struct tl_json_scan *s, uint64_t *out);

/* Any value; `depth` is the level it stands at (0 at the top), at most TL_JSON_DEPTH levels. */
bool tl_json_scan_skip(struct tl_json_scan *s, int depth);

/* Only white space is left. */
bool tl_json_scan_finish(struct tl_json_scan *s);

#endif
