#include "metrics/dense.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cblas.h>
#include <lapacke.h>

#include "base/checked.h"

enum { PANEL = 96 };

static double *square(size_t n, struct tl_err *err)
{
    size_t count, bytes;
    double *a = NULL;
    if (n <= INT32_MAX && tl_checked_mul(n, n, &count) && tl_checked_mul(count, sizeof *a, &bytes))
        a = calloc(count ? count : 1, sizeof *a);
    if (!a) tl_err_set(err, TL_FAIL, "no memory for a %zu x %zu matrix", n, n);
    return a;
}

/* Lower Cholesky of a [n][n] in place, by panels: the diagonal block by LAPACK, the rows below it by a
 * product with its inverse. *out_ok false: a pivot below least. LAPACK sees the transposed of row-major,
 * hence 'U'. */
static bool cholesky(double *a, size_t n, double least, struct tl_pool *pool, bool *out_ok,
                     struct tl_err *err)
{
    double inverse[PANEL * PANEL];
    double *below = calloc(n * PANEL + 1, sizeof *below);
    if (!below) return tl_err_set(err, TL_FAIL, "no memory for a Cholesky factor");
    *out_ok = true;
    bool ok = true;
    for (size_t j = 0; ok && *out_ok && j < n; j += PANEL) {
        size_t w = n - j < PANEL ? n - j : PANEL, rest = n - j - w;
        double *diag = a + j * n + j, *down = diag + w * n;
        if (LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', (int)w, diag, (int)n) != 0) *out_ok = false;
        for (size_t i = 0; i < w; i++) *out_ok &= diag[i * n + i] * diag[i * n + i] > least;
        if (!*out_ok || rest == 0) break;
        memset(inverse, 0, sizeof inverse);
        for (size_t i = 0; i < w; i++) memcpy(inverse + i * PANEL, diag + i * n, (i + 1) * sizeof *a);
        LAPACKE_dtrtri_work(LAPACK_COL_MAJOR, 'U', 'N', (int)w, inverse, PANEL);
        ok = tl_dense_product(&(struct tl_dense_product){.m = rest,
                                                         .n = w,
                                                         .k = w,
                                                         .a = down,
                                                         .lda = n,
                                                         .b = inverse,
                                                         .ldb = PANEL,
                                                         .c = below,
                                                         .ldc = w},
                              pool, err);
        for (size_t i = 0; ok && i < rest; i++) memcpy(down + i * n, below + i * w, w * sizeof *a);
        ok = ok && tl_dense_product(&(struct tl_dense_product){.m = rest,
                                                               .n = rest,
                                                               .k = w,
                                                               .a = below,
                                                               .lda = w,
                                                               .b = below,
                                                               .ldb = w,
                                                               .c = down + w,
                                                               .ldc = n,
                                                               .alpha = -1,
                                                               .accumulate = true,
                                                               .lower = true},
                                    pool, err);
    }
    free(below);
    return ok;
}

/* r [n][n] = transposed lower triangle of l. */
static void transpose_lower(const double *l, size_t n, double *r)
{
    enum { BLOCK = 32 };
    for (size_t i0 = 0; i0 < n; i0 += BLOCK)
        for (size_t j0 = 0; j0 <= i0; j0 += BLOCK)
            for (size_t i = i0; i < n && i < i0 + BLOCK; i++)
                for (size_t j = j0; j <= i && j < j0 + BLOCK; j++) r[j * n + i] = l[i * n + j];
}

/* P^T S P = U^T U with the largest pivots first; row k of U, columns put back, is row k of r. */
static bool pivoted(double *a, size_t n, double least, double *r, size_t *out_rank, struct tl_err *err)
{
    int rank = 0, *pivot = calloc(n, sizeof *pivot);
    double *work = calloc(2 * n, sizeof *work);
    bool ok = pivot && work;
    if (!ok) tl_err_set(err, TL_FAIL, "no memory for a Cholesky factor");
    if (ok) {
        /* Row-major lower is column-major upper: a = U^T U in LAPACK's eyes, U's column c at a + c n. */
        if (LAPACKE_dpstrf_work(LAPACK_COL_MAJOR, 'U', (int)n, a, (int)n, pivot, &rank, least, work) < 0)
            ok = tl_err_set(err, TL_NUMERIC, "the pivoted Cholesky factorisation failed");
        for (size_t c = 0; ok && c < n; c++)
            for (size_t k = 0; k < (size_t)rank && k <= c; k++)
                r[k * n + (size_t)pivot[c] - 1] = a[c * n + k];
        *out_rank = (size_t)rank;
    }
    free(pivot);
    free(work);
    return ok;
}

/* Of a true covariance the factor leaves out rounding only: its squares sum to the trace. */
static bool whole(const double *r, size_t count, double trace, struct tl_err *err)
{
    double squares = 0;
    for (size_t i = 0; i < count; i++) squares += r[i] * r[i];
    return fabs(squares - trace) <= 1e-3 * trace ||
           tl_err_set(err, TL_BAD_INPUT,
                      "a covariance is not positive semidefinite: trace %g, of its factor %g", trace,
                      squares);
}

bool tl_dense_root(const double *s, size_t n, struct tl_pool *pool, double **out_r, size_t *out_rank,
                   bool *out_upper, struct tl_err *err)
{
    double most = 0, trace = 0, *a = NULL, *r = NULL;
    for (size_t i = 0; i < n; i++) {
        most = fmax(most, s[i * n + i]);
        trace += fabs(s[i * n + i]);
    }
    double least = (double)n * DBL_EPSILON * most;
    for (size_t i = 0; i < n; i++)
        if (s[i * n + i] < -1e-6 * trace)
            return tl_err_set(err, TL_BAD_INPUT, "variance %zu of a covariance is %g", i, s[i * n + i]);
    openblas_set_num_threads(1);
    bool ok = (a = square(n, err)) && (r = square(n, err)), positive = false;
    if (ok) {
        memcpy(a, s, n * n * sizeof *a);
        ok = cholesky(a, n, least, pool, &positive, err);
    }
    *out_upper = positive;
    *out_rank = n;
    if (ok && positive) transpose_lower(a, n, r);
    if (ok && !positive) {
        memcpy(a, s, n * n * sizeof *a);
        ok = pivoted(a, n, least, r, out_rank, err) && whole(r, *out_rank * n, trace, err);
    }
    free(a);
    if (!ok) free(r);
    *out_r = ok ? r : NULL;
    return ok;
}
