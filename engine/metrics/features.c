#include "metrics/features.h"

#include <math.h>
#include <stdlib.h>

#include "base/checked.h"

size_t tl_features_first(const struct tl_features *x, size_t item)
{
    return x->first ? x->first[item] : item;
}

bool tl_features_check(const struct tl_features *x, struct tl_err *err)
{
    if (x->n == 0) return tl_err_set(err, TL_BAD_INPUT, "there are no embeddings");
    if (x->dim == 0) return tl_err_set(err, TL_BAD_INPUT, "embeddings of 0 dimensions");
    if (!x->first && x->n_items != x->n)
        return tl_err_set(err, TL_BAD_INPUT, "%zu items of one row each cannot have %zu rows", x->n_items,
                          x->n);
    if (x->first && (x->n_items == 0 || x->first[0] != 0 || x->first[x->n_items] != x->n))
        return tl_err_set(err, TL_BAD_INPUT, "the items do not cover the %zu rows", x->n);
    for (size_t item = 0; item < x->n_items; item++) {
        size_t from = tl_features_first(x, item), to = tl_features_first(x, item + 1);
        if (from >= to || to > x->n) return tl_err_set(err, TL_BAD_INPUT, "item %zu has no rows", item);
        for (size_t i = from * x->dim; i < to * x->dim; i++)
            if (!isfinite(x->x[i]))
                return tl_err_set(err, TL_NUMERIC,
                                  "item %zu: row %zu of its embeddings has %g at dimension %zu", item,
                                  i / x->dim - from, (double)x->x[i], i % x->dim);
    }
    return true;
}

float *tl_features_unit(const struct tl_features *x, struct tl_err *err)
{
    size_t bytes;
    if (!tl_features_check(x, err)) return NULL;
    float *out = tl_checked_mul(x->n, x->dim * sizeof *out, &bytes) ? malloc(bytes) : NULL;
    if (!out) {
        tl_err_set(err, TL_FAIL, "no memory for %zu embeddings", x->n);
        return NULL;
    }
    for (size_t i = 0; i < x->n; i++) {
        const float *row = x->x + i * x->dim;
        double squares = 0;
        for (size_t j = 0; j < x->dim; j++) squares += (double)row[j] * (double)row[j];
        if (!(squares > 0)) {
            tl_err_set(err, TL_NUMERIC, "row %zu of the embeddings is zero and has no direction", i);
            free(out);
            return NULL;
        }
        double scale = 1 / sqrt(squares);
        for (size_t j = 0; j < x->dim; j++) out[i * x->dim + j] = (float)((double)row[j] * scale);
    }
    return out;
}

bool tl_features_check_pair(const struct tl_features *x, const struct tl_features *y, struct tl_err *err)
{
    if (!tl_features_check(x, err)) return tl_err_add(err, "first set");
    if (!tl_features_check(y, err)) return tl_err_add(err, "second set");
    return x->dim == y->dim ||
           tl_err_set(
               err, TL_BAD_INPUT,
               "embeddings of %zu and of %zu dimensions do not compare: both sides need the same encoder",
               x->dim, y->dim);
}
