#include "metrics/dense.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cblas.h>
#include <lapacke.h>

/* Large matrices go to a band first, by panels whose updates are our products: LAPACK's tridiagonalisation
 * does half its work as matrix times vector, at the speed of memory. From the band on it is LAPACK's. Source:
 * Bischof, Lang, Sun, "A framework for symmetric band reduction" (2000), its first step. */
enum { BAND = 24, LARGE = 600 };

/* Room of one reduction. Owns its arrays. */
struct band {
    size_t n;
    double *v, *y;  /* [n][2 BAND]: rows V Y and Y V, whose product is the update */
    double *vt, *w; /* V^T [BAND][n]; A V [n][BAND] */
    double *panel;  /* column-major [BAND][n] */
    double tau[BAND], t[BAND * BAND];
};

static bool band_init(struct band *b, size_t n, struct tl_err *err)
{
    *b = (struct band){.n = n};
    b->v = calloc(n * BAND * 7, sizeof *b->v);
    if (!b->v) return tl_err_set(err, TL_FAIL, "no memory for eigenvalues of a %zu x %zu matrix", n, n);
    b->y = b->v + n * BAND * 2;
    b->vt = b->y + n * BAND * 2;
    b->w = b->vt + n * BAND;
    b->panel = b->w + n * BAND;
    return true;
}

/* The block below the band in columns j0 .. j0 + BAND - 1 is Q R: R goes to a, V and T of Q = I - V T V^T to
 * b. */
static void factor_panel(struct band *b, double *a, size_t lda, size_t j0)
{
    size_t r0 = j0 + BAND, m = b->n - r0, k = m < BAND ? m : BAND;
    for (size_t c = 0; c < BAND; c++)
        for (size_t r = 0; r < m; r++) b->panel[c * m + r] = a[(r0 + r) * lda + j0 + c];
    LAPACKE_dgeqrf(LAPACK_COL_MAJOR, (int)m, BAND, b->panel, (int)m, b->tau);
    for (size_t c = 0; c < BAND; c++)
        for (size_t r = 0; r < m; r++) a[(r0 + r) * lda + j0 + c] = r <= c ? b->panel[c * m + r] : 0;
    memset(b->t, 0, sizeof b->t);
    LAPACKE_dlarft(LAPACK_COL_MAJOR, 'F', 'C', (int)m, (int)k, b->panel, (int)m, b->tau, b->t, BAND);
    memset(b->vt, 0, BAND * m * sizeof *b->vt);
    for (size_t c = 0; c < k; c++) {
        b->vt[c * m + c] = 1;
        memcpy(b->vt + c * m + c + 1, b->panel + c * m + c + 1, (m - c - 1) * sizeof *b->vt);
    }
}

/* x [BAND] = row times the upper triangular t, or its transposed. */
static void times_t(const double *t, bool transposed, const double *row, double *x)
{
    for (size_t c = 0; c < BAND; c++) {
        double sum = 0;
        for (size_t k = 0; k < BAND; k++) sum += row[k] * (transposed ? t[k * BAND + c] : t[c * BAND + k]);
        x[c] = sum;
    }
}

/* Q^T A Q on the trailing block: A - V Y^T - Y V^T, W = A V T, Y = W - V (T^T V^T W) / 2. */
static bool update(struct band *b, double *a, size_t lda, size_t r0, struct tl_pool *pool, struct tl_err *err)
{
    size_t m = b->n - r0;
    double *block = a + r0 * lda + r0, inner[BAND * BAND] = {0}, s[BAND * BAND];
    struct tl_dense_product av = {
        .m = m, .n = BAND, .k = m, .a = block, .lda = lda, .b = b->vt, .ldb = m, .c = b->w};
    av.ldc = BAND;
    av.a_symmetric = true;
    if (!tl_dense_product(&av, pool, err)) return false;
    for (size_t r = 0; r < m; r++) {
        double w[BAND];
        times_t(b->t, false, b->w + r * BAND, w);
        memcpy(b->w + r * BAND, w, sizeof w);
        for (size_t c = 0; c < BAND; c++) {
            double v = b->vt[c * m + r];
            for (size_t k = 0; v != 0 && k < BAND; k++) inner[c * BAND + k] += v * w[k]; /* V^T W */
        }
    }
    for (size_t k = 0; k < BAND; k++) /* T^T (V^T W) */
        for (size_t c = 0; c < BAND; c++) {
            double sum = 0;
            for (size_t i = 0; i <= c; i++) sum += b->t[c * BAND + i] * inner[i * BAND + k];
            s[c * BAND + k] = sum;
        }
    for (size_t r = 0; r < m; r++) {
        double *v = b->v + r * 2 * BAND, *y = b->y + r * 2 * BAND;
        for (size_t k = 0; k < BAND; k++) y[k] = v[BAND + k] = b->w[r * BAND + k];
        for (size_t c = 0; c < BAND; c++) {
            double x = b->vt[c * m + r];
            v[c] = y[BAND + c] = x;
            for (size_t k = 0; x != 0 && k < BAND; k++) y[k] -= 0.5 * x * s[c * BAND + k];
        }
        for (size_t k = 0; k < BAND; k++) v[BAND + k] = y[k];
    }
    struct tl_dense_product rank = {.m = m, .n = m, .k = 2 * BAND, .a = b->v, .lda = 2 * BAND, .b = b->y};
    rank.ldb = 2 * BAND;
    rank.c = block;
    rank.ldc = lda;
    rank.alpha = -1;
    rank.accumulate = rank.lower = true;
    return tl_dense_product(&rank, pool, err);
}

static bool to_band(double *a, size_t n, struct tl_pool *pool, struct tl_err *err)
{
    struct band b;
    bool ok = band_init(&b, n, err);
    for (size_t j = 0; ok && j + BAND + 1 < n; j += BAND) {
        factor_panel(&b, a, n, j);
        ok = update(&b, a, n, j + BAND, pool, err);
    }
    free(b.v);
    return ok;
}

static bool large(double *a, size_t n, struct tl_pool *pool, double *out, int *out_info, struct tl_err *err)
{
    if (!to_band(a, n, pool, err)) return false;
    double *band = calloc(n * (BAND + 1), sizeof *band), none = 0;
    if (!band) return tl_err_set(err, TL_FAIL, "no memory for eigenvalues of a %zu x %zu matrix", n, n);
    for (size_t j = 0; j < n; j++)
        for (size_t i = j; i < n && i <= j + BAND; i++) band[j * (BAND + 1) + i - j] = a[i * n + j];
    *out_info = LAPACKE_dsbev_2stage(LAPACK_COL_MAJOR, 'N', 'L', (int)n, BAND, band, BAND + 1, out, &none, 1);
    free(band);
    return true;
}

bool tl_dense_eigenvalues(double *a, size_t n, struct tl_pool *pool, double *out, struct tl_err *err)
{
    if (n == 0) return true;
    if (n > INT32_MAX) return tl_err_set(err, TL_BAD_INPUT, "a %zu x %zu matrix is too large", n, n);
    openblas_set_num_threads(1);
    int info = 0;
    if (n < LARGE)
        info = LAPACKE_dsyevd(LAPACK_COL_MAJOR, 'N', 'U', (int)n, a, (int)n, out);
    else if (!large(a, n, pool, out, &info, err))
        return false;
    return info == 0 ||
           tl_err_set(err, TL_NUMERIC, "eigenvalues of a %zu x %zu matrix: LAPACK says %d", n, n, info);
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
