#include "metrics/dense.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cblas.h>
#include <lapacke.h>

bool tl_dense_eigenvalues(double *a, size_t n, struct tl_pool *pool, double *out, struct tl_err *err)
{
    (void)pool;
    if (n == 0) return true;
    if (n > INT32_MAX) return tl_err_set(err, TL_BAD_INPUT, "a %zu x %zu matrix is too large", n, n);
    openblas_set_num_threads(1);
    int info = LAPACKE_dsyevd(LAPACK_COL_MAJOR, 'N', 'U', (int)n, a, (int)n, out);
    if (info != 0)
        return tl_err_set(err, TL_NUMERIC, "eigenvalues of a %zu x %zu matrix: LAPACK says %d", n, n, info);
    return true;
}

bool tl_dense_nuclear_norm(double *g, size_t m, size_t n, struct tl_pool *pool, double *out,
                           struct tl_err *err)
{
    (void)pool;
    size_t least = m < n ? m : n;
    *out = 0;
    if (least == 0) return true;
    if (m > INT32_MAX || n > INT32_MAX)
        return tl_err_set(err, TL_BAD_INPUT, "a %zu x %zu matrix is too large", m, n);
    double *s = calloc(least, sizeof *s);
    if (!s) return tl_err_set(err, TL_FAIL, "no memory for %zu singular values", least);
    openblas_set_num_threads(1);
    double none = 0;
    int info = LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'N', (int)n, (int)m, g, (int)n, s, &none, 1, &none, 1);
    for (size_t i = 0; i < least; i++) *out += s[i];
    free(s);
    if (info != 0)
        return tl_err_set(err, TL_NUMERIC, "singular values of a %zu x %zu matrix: LAPACK says %d", m, n,
                          info);
    return true;
}
