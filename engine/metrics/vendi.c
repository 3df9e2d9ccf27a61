#include "metrics/vendi.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "metrics/dense.h"

/* Of eigenvalues l [n], ascending, that sum to 1. */
static bool score(const double *l, size_t n, double q, double *out, struct tl_err *err)
{
    const double nothing = 1e-12;
    double sum = 0, entropy = 0, powers = 0;
    size_t rank = 0;
    for (size_t i = 0; i < n; i++) sum += l[i];
    if (!(fabs(sum - 1) <= 1e-6))
        return tl_err_set(err, TL_NUMERIC,
                          "the eigenvalues of the kernel sum to %.9g, expected 1: k(x, x) must be 1", sum);
    if (l[0] < -1e-6)
        return tl_err_set(err, TL_NUMERIC, "the kernel has an eigenvalue of %g and is no kernel", l[0]);
    for (size_t i = 0; i < n; i++) {
        if (l[i] < nothing) continue;
        rank++;
        entropy -= l[i] * log(l[i]);
        powers += isinf(q) ? 0 : pow(l[i], q);
    }
    if (isinf(q))
        *out = 1 / l[n - 1];
    else if (q == 0)
        *out = (double)rank;
    else if (q == 1)
        *out = exp(entropy);
    else
        *out = pow(powers, 1 / (1 - q));
    return isfinite(*out) || tl_err_set(err, TL_NUMERIC, "the Vendi score of order %g is %g", q, *out);
}

static bool order_ok(double q, struct tl_err *err)
{
    return q >= 0 || tl_err_set(err, TL_USAGE, "the order of a Vendi score is %g, expected 0 or more", q);
}

/* m [n][n] (lower; overwritten) holds the kernel over its number of items. */
static bool of_matrix(double *m, size_t n, double q, struct tl_pool *pool, double *out, struct tl_err *err)
{
    double *l = malloc(n * sizeof *l);
    bool ok = l || tl_err_set(err, TL_FAIL, "no memory for %zu eigenvalues", n);
    ok = ok && tl_dense_eigenvalues(m, n, pool, l, err) && score(l, n, q, out, err);
    free(l);
    return ok;
}

/* Rows over their length and over sqrt(n), [n][dim] or transposed. */
static bool unit_rows(const struct tl_features *x, bool transposed, double *out, struct tl_err *err)
{
    for (size_t i = 0; i < x->n; i++) {
        const float *row = x->x + i * x->dim;
        double squares = 0;
        for (size_t j = 0; j < x->dim; j++) squares += (double)row[j] * (double)row[j];
        if (!(squares > 0))
            return tl_err_set(err, TL_NUMERIC, "row %zu of the embeddings is zero: no cosine", i);
        double scale = 1 / sqrt(squares * (double)x->n);
        for (size_t j = 0; j < x->dim; j++)
            out[transposed ? j * x->n + i : i * x->dim + j] = (double)row[j] * scale;
    }
    return true;
}

bool tl_vendi_features(const struct tl_features *x, const struct tl_vendi_params *p, struct tl_pool *pool,
                       double *out, struct tl_err *err)
{
    if (!tl_features_check(x, err) || !order_ok(p->q, err)) return false;
    bool dual = p->form == TL_VENDI_DUAL || (p->form == TL_VENDI_AUTO && x->dim < x->n);
    size_t side = dual ? x->dim : x->n, depth = dual ? x->n : x->dim, bytes, area;
    double *rows = NULL, *m = NULL;
    if (tl_checked_mul(side, depth, &bytes) && tl_checked_mul(bytes, sizeof *rows, &bytes) &&
        tl_checked_mul(side, side, &area) && tl_checked_mul(area, sizeof *m, &area)) {
        rows = malloc(bytes);
        m = malloc(area);
    }
    bool ok = rows && m;
    if (!ok) tl_err_set(err, TL_FAIL, "no memory for the Vendi score of %zu embeddings", x->n);
    ok = ok && unit_rows(x, dual, rows, err) &&
         tl_dense_product(&(struct tl_dense_product){.m = side,
                                                     .n = side,
                                                     .k = depth,
                                                     .a = rows,
                                                     .lda = depth,
                                                     .b = rows,
                                                     .ldb = depth,
                                                     .c = m,
                                                     .ldc = side,
                                                     .lower = true},
                          pool, err) &&
         of_matrix(m, side, p->q, pool, out, err);
    free(rows);
    free(m);
    return ok;
}

bool tl_vendi_kernel(const double *k, size_t n, double q, double *out, struct tl_err *err)
{
    if (n == 0) return tl_err_set(err, TL_BAD_INPUT, "a kernel of no items");
    if (!order_ok(q, err)) return false;
    size_t count;
    double *m =
        tl_checked_mul(n, n, &count) && tl_checked_mul(count, sizeof *m, &count) ? malloc(count) : NULL;
    if (!m) return tl_err_set(err, TL_FAIL, "no memory for a kernel of %zu items", n);
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++)
        for (size_t j = 0; ok && j < n; j++) {
            m[i * n + j] = k[i * n + j] / (double)n;
            if (!isfinite(k[i * n + j]))
                ok = tl_err_set(err, TL_NUMERIC, "k[%zu][%zu] is %g", i, j, k[i * n + j]);
            else if (fabs(k[i * n + j] - k[j * n + i]) > 1e-6)
                ok = tl_err_set(err, TL_BAD_INPUT, "the kernel is not symmetric at [%zu][%zu]", i, j);
        }
    ok = ok && of_matrix(m, n, q, NULL, out, err);
    free(m);
    return ok;
}
