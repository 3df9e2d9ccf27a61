/* The tables of what there is: model classes, samplers, and their peers. `tiller list` prints them; the rows
 * are those that the engine itself walks. */
#ifndef TILLER_REGISTRY_H
#define TILLER_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

/* One table by name, or all (NULL), as text or JSON (schema "tiller.list/1"). The caller frees. An unknown
 * name is TL_USAGE. */
char *tl_registry_print(const char *table, bool json, struct tl_err *err);

/* The name closest to a mistyped word, for "did you mean"; NULL where none is near. */
const char *tl_registry_nearest(const char *word, const char *const *names, size_t n);

/* A table's names with their help clauses, a line each, for help texts; wrapped to 100 columns. The caller
 * frees. */
char *tl_registry_help(const char *table, struct tl_err *err);

#endif
