/* Sums of a kernel over all pairs of two sets of rows, tile by tile: what the kernel distances and the median
 * distance share. Not for use outside this folder.
 *
 * Distance kernels are taken minus 1 (expm1 and the like), which cancels in every maximum mean discrepancy
 * and keeps the digits of kernels near 1; and rows are shifted by the mean of the first set beforehand, which
 * keeps those of |x|^2 + |y|^2 - 2 x.y. */
#ifndef TL_METRICS_KERNEL_SUMS_H
#define TL_METRICS_KERNEL_SUMS_H

#include "metrics/mmd.h"

/* Rows in double. Owns its arrays; zero is empty. */
struct tl_rows64 {
    double *x;       /* [n][dim] */
    double *squares; /* [n]: |x|^2 */
    size_t n, dim;
};

/* Checked copy of x, minus shift [dim] where that is not NULL. */
bool tl_rows64_init(struct tl_rows64 *r, const struct tl_features *x, const double *shift,
                    struct tl_err *err);
void tl_rows64_finish(struct tl_rows64 *r);

/* Means of the columns of x, for the shift; owned by the caller. */
double *tl_rows64_mean(const struct tl_features *x, struct tl_err *err);

/* k(x, y) (minus 1 for distance kernels) from the product x.y and the squared distance. */
double tl_kernel_value(const struct tl_kernel *k, double product, double distance2);

/* out_a[i] = sum_j k(a_i, b_j), out_b[j] likewise (NULL where b == a: then out_a without the pairs i = j). */
bool tl_kernel_row_sums(const struct tl_rows64 *a, const struct tl_rows64 *b, const struct tl_kernel *k,
                        struct tl_pool *pool, double *out_a, double *out_b, struct tl_err *err);

/* A tile of squared distances, or of kernel values, d [rows][cols] (row stride ld), of pairs (i0 + r, j0 +
 * c); worker < threads. */
typedef void (*tl_kernel_tile_fn)(void *user, const double *d, size_t ld, size_t i0, size_t rows, size_t j0,
                                  size_t cols, int worker);

/* All tiles of pairs of rows of a with j0 <= i0; those with j0 == i0 hold pairs twice, and i = j. */
bool tl_kernel_distances(const struct tl_rows64 *a, struct tl_pool *pool, tl_kernel_tile_fn fn, void *user,
                         struct tl_err *err);

/* The same with kernel values, of all pairs of rows of a and b; where b is a, of those with j0 <= i0. */
bool tl_kernel_tiles(const struct tl_rows64 *a, const struct tl_rows64 *b, const struct tl_kernel *k,
                     struct tl_pool *pool, tl_kernel_tile_fn fn, void *user, struct tl_err *err);

#endif
