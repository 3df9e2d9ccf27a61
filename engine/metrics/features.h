/* Embeddings of a set of files, as metrics take them: rows of one width, grouped by the file they come from.
 */
#ifndef TL_METRICS_FEATURES_H
#define TL_METRICS_FEATURES_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

/* n rows [n][dim] in the order of the items; item i's are rows first[i] to first[i + 1] - 1, at least one.
 * Floats as encoders give them; every sum over them is taken in double. Borrowed for a call, whoever owns
 * them. */
struct tl_features {
    const float *x;
    size_t n, dim;
    const size_t *first; /* [n_items + 1]; NULL: every row is an item of its own, n_items is n */
    size_t n_items;
};

/* First row of an item; with item n_items, n. */
size_t tl_features_first(const struct tl_features *x, size_t item);

/* The rows at length 1, [n][dim], in a new block that the caller frees. NULL: what tl_features_check refuses;
 * a zero row (TL_NUMERIC, names it). */
float *tl_features_unit(const struct tl_features *x, struct tl_err *err);

/* False: no rows, no dimensions, items that do not cover the rows (TL_BAD_INPUT); a value that is not finite
 * (TL_NUMERIC; names item, row and dimension). Every function that takes features checks them so. */
bool tl_features_check(const struct tl_features *x, struct tl_err *err);
/* Both of two sets that are compared, and that they are of one width; messages say which set. */
bool tl_features_check_pair(const struct tl_features *x, const struct tl_features *y, struct tl_err *err);

#endif
