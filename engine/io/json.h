/* JSON files through cJSON, read strictly: valid UTF-8, the grammar of RFC 8259 to the letter, no duplicate
 * keys, at most 64 levels, nothing behind the value, finite numbers, no U+0000 in strings. A UTF-8 byte order
 * mark is skipped. Independent of the locale. Numbers are doubles: whole numbers are exact up to 2^53, the
 * getters refuse larger ones.
 *
 * Look keys up with tl_json_get or the getters: cJSON's own plain lookup ignores case. Lookup walks a list,
 * so walk large objects (a vocabulary) with cJSON_ArrayForEach instead of asking for each key. */
#ifndef TL_IO_JSON_H
#define TL_IO_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include <tiller/err.h>

#include "base/str.h"

/* The caller owns the result and ends it with cJSON_Delete. `what` names the text in messages, which say line
 * and column. TL_BAD_INPUT. Files up to 256 MiB. */
cJSON *tl_json_parse(const char *text, size_t n, const char *what, struct tl_err *err);
cJSON *tl_json_read(const char *path, struct tl_err *err);

/* The same of a file that Python wrote, which is not quite JSON: Infinity and -Infinity, outside strings, are
 * read as 1e300 and -1e300. diffusers' scheduler configs have them. */
cJSON *tl_json_read_python(const char *path, struct tl_err *err);

/* Member of an object by exact name, borrowed; NULL where absent, null, or `object` is no object. */
const cJSON *tl_json_get(const cJSON *object, const char *key);

/* Typed members: absent or null gives the fallback; another type fails and names the key (TL_BAD_INPUT;
 * prefix the file's name with tl_err_add). Strings are borrowed from the object. */
bool tl_json_int(const cJSON *object, const char *key, int64_t fallback, int64_t *out, struct tl_err *err);
bool tl_json_double(const cJSON *object, const char *key, double fallback, double *out, struct tl_err *err);
bool tl_json_bool(const cJSON *object, const char *key, bool fallback, bool *out, struct tl_err *err);
bool tl_json_string(const cJSON *object, const char *key, const char *fallback, const char **out,
                    struct tl_err *err);

/* A list of at most `most` whole numbers into out[0..*out_n); absent or null gives *out_n = 0. */
bool tl_json_ints(const cJSON *object, const char *key, int64_t *out, size_t most, size_t *out_n,
                  struct tl_err *err);

/* Text of a value, the caller frees; pretty: 2-space indent and a final newline, as Python's indent=2; else
 * one line without spaces. Doubles get the fewest digits that read back to the same bits. Fails on a
 * non-finite number. */
char *tl_json_print(const cJSON *value, bool pretty, struct tl_err *err);

/* Appends a quoted, escaped string. Only what must be escaped is; the rest stays UTF-8. Names of files may
 * be any bytes: those that are not UTF-8 become the text \xNN, so that what is written is JSON. */
void tl_json_quote(struct tl_str *out, const char *text);

/* Pretty, atomic. */
bool tl_json_write(const char *path, const cJSON *value, struct tl_err *err);

#endif
