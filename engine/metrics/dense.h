/* Dense linear algebra in double for the metrics: one matrix product of our own, and on it what the metrics
 * take of LAPACK, which ends here.
 *
 * Results do not depend on the number of threads: work is cut into fixed tiles that a pool shares, every
 * element is summed in one order, and OpenBLAS is told to use one thread whenever it is called. The product
 * is our own because OpenBLAS 0.3.21 takes CPUs that it does not know for a Prescott, a quarter of the speed.
 * Matrices are row-major with a row stride. pool may be NULL. */
#ifndef TL_METRICS_DENSE_H
#define TL_METRICS_DENSE_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

#include "base/thread.h"

/* C = alpha A B^T, or C += alpha A B^T. */
struct tl_dense_product {
    size_t m, n, k;
    const double *a; /* [m][k] */
    size_t lda;
    const double *b; /* [n][k] */
    size_t ldb;
    double *c; /* [m][n] */
    size_t ldc;
    double alpha; /* 0 means 1 */
    bool accumulate;
    bool lower;            /* m == n: elements above the diagonal are left undefined */
    bool a_symmetric;      /* m == k: a holds the lower triangle only */
    bool a_upper, b_upper; /* row i is zero before column i */
};

/* False: no memory. */
bool tl_dense_product(const struct tl_dense_product *p, struct tl_pool *pool, struct tl_err *err);

/* Factor of a symmetric positive semidefinite matrix s [n][n] (its lower triangle is read, left alone): rows
 * r [rank][n], r^T r = s. Plain Cholesky (then r is upper triangular), or with pivoting where a pivot falls
 * below n eps max(diagonal): directions of smaller variance are rounding, and dropped. *out_r is owned by the
 * caller. False: s is not positive semidefinite by more than rounding of floats (TL_BAD_INPUT), no memory. */
bool tl_dense_root(const double *s, size_t n, struct tl_pool *pool, double **out_r, size_t *out_rank,
                   bool *out_upper, struct tl_err *err);

/* Eigenvalues of the symmetric a [n][n] (lower triangle; overwritten), ascending in out [n]. */
bool tl_dense_eigenvalues(double *a, size_t n, struct tl_pool *pool, double *out, struct tl_err *err);

/* Sum of singular values of g [m][n] (overwritten), to about n eps of the largest each: slower than by
 * eigenvalues, but small ones keep their digits. */
bool tl_dense_nuclear_norm(double *g, size_t m, size_t n, struct tl_pool *pool, double *out,
                           struct tl_err *err);

#endif
