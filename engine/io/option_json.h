/* Options as JSON: the merged config of a run, and config files. Keys are written with underscores and read
 * with dashes too.
 *
 * A seed above 2^53 and an infinite number are written as strings, because JSON numbers cannot hold them;
 * both are read back. */
#ifndef TL_IO_OPTION_JSON_H
#define TL_IO_OPTION_JSON_H

#include <tiller/option.h>

#include "io/json.h"

/* Adds every row to the object, in the table's order. A key that is there already is replaced. */
bool tl_option_to_json(const struct tl_options *options, cJSON *object, struct tl_err *err);

/* Reads every member into the set whose table knows it. An unknown key, a wrong type or a value out of range
 * is TL_USAGE and names the key; prefix the file's name with tl_err_add. null leaves the option as it is. */
bool tl_options_from_json(struct tl_options *const *sets, size_t n_sets, const cJSON *object,
                          enum tl_option_source source, struct tl_err *err);

/* The same from a file. */
bool tl_options_read_json(struct tl_options *const *sets, size_t n_sets, const char *path,
                          enum tl_option_source source, struct tl_err *err);

#endif
