/* KID over many subsets from one pass over all pairs of rows. Not for use outside this folder. */
#ifndef TL_METRICS_KID_SUBSETS_H
#define TL_METRICS_KID_SUBSETS_H

#include "metrics/mmd.h"

struct tl_kid_subsets {
    const struct tl_features *x, *y;
    struct tl_kernel kernel;
    size_t n, size;                  /* subsets, and rows of each; two at least */
    const uint32_t *rows_x, *rows_y; /* [n][size], below x->n and y->n; a row may stand in a subset twice */
};

/* out [n]: each subset's unbiased value. Every product of two rows is taken once, however many subsets have
 * both, so time is dim (n_x + n_y)^2 and an addition for each pair of a subset; memory, beside a copy of the
 * rows, 8 bytes for each tile of pairs and subset. Values are those of tl_mmd but for the order of sums, and
 * do not depend on threads. */
bool tl_kid_together(const struct tl_kid_subsets *subsets, struct tl_pool *pool, double *out,
                     struct tl_err *err);

#endif
