#include "metrics/frechet.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/interrupt.h>

#include "base/checked.h"
#include "metrics/dense.h"

/* One side as the distance needs it: covariance = rows^T rows. Owns its arrays. */
struct root {
    double *mean; /* [dim] */
    double *rows; /* [rank][dim] */
    size_t rank, dim, n;
    double trace;
    bool upper, gram;
};

static void root_finish(struct root *r)
{
    free(r->mean);
    free(r->rows);
    *r = (struct root){0};
}

static bool root_alloc(struct root *r, size_t dim, size_t n, size_t rank, struct tl_err *err)
{
    *r = (struct root){.dim = dim, .n = n, .rank = rank};
    size_t count, bytes;
    if (tl_checked_mul(rank, dim, &count) && tl_checked_mul(count, sizeof *r->rows, &bytes)) {
        r->mean = calloc(dim, sizeof *r->mean);
        if (rank) r->rows = calloc(count, sizeof *r->rows);
    }
    if (r->mean && (r->rows || !rank)) return true;
    root_finish(r);
    return tl_err_set(err, TL_FAIL, "no memory for a Frechet distance of %zu dimensions", dim);
}

static bool root_of_gaussian(struct root *r, const struct tl_gaussian *g, struct tl_pool *pool,
                             struct tl_err *err)
{
    if (!root_alloc(r, g->dim, g->n, 0, err)) return false;
    memcpy(r->mean, g->mu, g->dim * sizeof *r->mean);
    for (size_t i = 0; i < g->dim; i++) r->trace += g->sigma[i * g->dim + i];
    if (tl_dense_root(g->sigma, g->dim, pool, &r->rows, &r->rank, &r->upper, err)) return true;
    root_finish(r);
    return false;
}

/* Helmert's contrasts: row k is the step of x_k from the mean of those before it, weighted; their outer
 * products sum to the scatter exactly, with no direction too many as centred rows have. */
static bool root_of_rows(struct root *r, const float *x, size_t n, size_t dim, struct tl_err *err)
{
    if (!root_alloc(r, dim, n, n - 1, err)) return false;
    r->gram = true;
    for (size_t j = 0; j < dim; j++) r->mean[j] = (double)x[j];
    for (size_t k = 1; k < n; k++) {
        double *row = r->rows + (k - 1) * dim, squares = 0;
        double weight = sqrt((double)k / ((double)(k + 1) * (double)(n - 1)));
        for (size_t j = 0; j < dim; j++) {
            double step = (double)x[k * dim + j] - r->mean[j];
            row[j] = step * weight;
            squares += row[j] * row[j];
            r->mean[j] += step / (double)(k + 1);
        }
        r->trace += squares;
    }
    return true;
}

static bool root_of_side(struct root *r, struct tl_frechet_side side, enum tl_frechet_form form,
                         struct tl_pool *pool, struct tl_err *err)
{
    *r = (struct root){0};
    if (side.gaussian) return root_of_gaussian(r, side.gaussian, pool, err);
    const struct tl_features *x = side.rows;
    if (!tl_features_check(x, err)) return false;
    if (x->n < 2)
        return tl_err_set(err, TL_BAD_INPUT, "a covariance needs two embeddings or more, there is one");
    if (form == TL_FRECHET_GRAM || (form == TL_FRECHET_AUTO && x->n <= x->dim))
        return root_of_rows(r, x->x, x->n, x->dim, err);
    struct tl_gaussian g;
    bool ok = tl_gaussian_from_features(&g, x, pool, err) && root_of_gaussian(r, &g, pool, err);
    tl_gaussian_finish(&g);
    return ok;
}

/* Sum of roots of the eigenvalues w [n], and how far rounding may have moved it. */
static double sum_of_roots(const double *w, size_t n, double *out_error)
{
    double sum = 0, squares = 0, most = n ? fmax(w[n - 1], 0) : 0;
    double off = 4 * DBL_EPSILON * sqrt((double)n) * most;
    for (size_t i = 0; i < n; i++) {
        double s = sqrt(fmax(w[i], 0)), e = fmin(sqrt(off), s > 0 ? off / (2 * s) : INFINITY);
        sum += s;
        squares += e * e;
    }
    *out_error = sqrt(squares);
    return sum;
}

/* From here on the Gram matrix is faster; below, singular values cost nothing and have all their digits. */
enum { SMALL = 128 };

/* Sum of singular values of g [n][m], n <= m, as roots of eigenvalues of g g^T. */
static bool by_eigenvalues(const double *g, size_t n, size_t m, struct tl_pool *pool, double *out,
                           double *out_error, struct tl_err *err)
{
    double *gram = malloc(n * n * sizeof *gram), *w = malloc(n * sizeof *w);
    bool ok = (gram && w) || tl_err_set(err, TL_FAIL, "no memory for a %zu x %zu product", n, n);
    struct tl_dense_product square = {.m = n, .n = n, .k = m, .a = g, .lda = m, .b = g, .ldb = m};
    square.c = gram;
    square.ldc = n;
    square.lower = true;
    ok = ok && tl_dense_product(&square, pool, err) && tl_dense_eigenvalues(gram, n, pool, w, err);
    if (ok) *out = sum_of_roots(w, n, out_error);
    free(gram);
    free(w);
    return ok;
}

/* Nuclear norm of a b^T. `rest` is the distance without it: says which error matters. */
static bool nuclear_norm(const struct root *a, const struct root *b, double rest, struct tl_pool *pool,
                         double *out, struct tl_err *err)
{
    *out = 0;
    if (a->rank > b->rank) return nuclear_norm(b, a, rest, pool, out, err);
    size_t n = a->rank, m = b->rank, count;
    if (n == 0) return true;
    double *g = NULL, error = INFINITY;
    if (tl_checked_mul(n, m, &count) && tl_checked_mul(count, sizeof *g, &count)) g = malloc(count);
    bool ok = g || tl_err_set(err, TL_FAIL, "no memory for a %zu x %zu product", n, m);
    struct tl_dense_product cross = {.m = n, .n = m, .k = a->dim, .a = a->rows, .lda = a->dim, .b = b->rows};
    cross.ldb = a->dim;
    cross.c = g;
    cross.ldc = m;
    cross.a_upper = a->upper;
    cross.b_upper = b->upper;
    ok = ok && tl_dense_product(&cross, pool, err);
    if (ok && n > SMALL) ok = by_eigenvalues(g, n, m, pool, out, &error, err);
    double value = fabs(rest - 2 * *out), scale = a->trace + b->trace;
    if (ok && (n <= SMALL || (2 * error > 1e-6 * value && error > 1e-13 * scale)))
        ok = tl_dense_nuclear_norm(g, n, m, pool, out, err);
    free(g);
    return ok;
}

static bool distance(const struct root *a, const struct root *b, bool same, struct tl_pool *pool,
                     struct tl_frechet *out, struct tl_err *err)
{
    if (a->dim != b->dim)
        return tl_err_set(err, TL_BAD_INPUT,
                          "embeddings of %zu and of %zu dimensions do not compare: both sides need the "
                          "same encoder",
                          a->dim, b->dim);
    struct tl_frechet f = {.trace_a = a->trace,
                           .trace_b = b->trace,
                           .n_a = a->n,
                           .n_b = b->n,
                           .dim = a->dim,
                           .rank_a = a->rank,
                           .rank_b = b->rank,
                           .gram = a->gram || b->gram};
    f.singular =
        f.rank_a < f.dim || f.rank_b < f.dim || (f.n_a && f.n_a <= f.dim) || (f.n_b && f.n_b <= f.dim);
    for (size_t i = 0; i < a->dim; i++) f.mean_term += (a->mean[i] - b->mean[i]) * (a->mean[i] - b->mean[i]);
    double traces = f.trace_a + f.trace_b;
    f.cross = a->trace;
    if (!same && !nuclear_norm(a, b, f.mean_term + traces, pool, &f.cross, err)) return false;
    f.raw = same ? 0 : f.mean_term + (traces - 2 * f.cross);
    if (!isfinite(f.raw))
        return tl_err_set(err, TL_NUMERIC, "the Frechet distance is %g: embeddings too large", f.raw);
    if (f.raw < -1e-6 * traces)
        return tl_err_set(err, TL_NUMERIC,
                          "the Frechet distance is %g, traces %g and %g: statistics that are no "
                          "covariances",
                          f.raw, f.trace_a, f.trace_b);
    f.value = fmax(f.raw, 0);
    *out = f;
    return true;
}

/* Bit for bit the same rows or statistics: the distance is 0 and needs no arithmetic. */
static bool same_side(struct tl_frechet_side a, struct tl_frechet_side b)
{
    if (a.gaussian && b.gaussian) {
        size_t d = a.gaussian->dim;
        return d == b.gaussian->dim && memcmp(a.gaussian->mu, b.gaussian->mu, d * sizeof(double)) == 0 &&
               memcmp(a.gaussian->sigma, b.gaussian->sigma, d * d * sizeof(double)) == 0;
    }
    if (!a.rows || !b.rows) return false;
    return a.rows->n == b.rows->n && a.rows->dim == b.rows->dim &&
           memcmp(a.rows->x, b.rows->x, a.rows->n * a.rows->dim * sizeof(float)) == 0;
}

bool tl_frechet_sides(struct tl_frechet_side a, struct tl_frechet_side b, enum tl_frechet_form form,
                      struct tl_pool *pool, struct tl_frechet *out, struct tl_err *err)
{
    struct root ra = {0}, rb = {0};
    bool ok = (root_of_side(&ra, a, form, pool, err) || tl_err_add(err, "first set")) &&
              (root_of_side(&rb, b, form, pool, err) || tl_err_add(err, "second set"));
    ok = ok && distance(&ra, &rb, same_side(a, b), pool, out, err);
    root_finish(&ra);
    root_finish(&rb);
    return ok;
}

bool tl_frechet_gaussians(const struct tl_gaussian *a, const struct tl_gaussian *b, struct tl_pool *pool,
                          struct tl_frechet *out, struct tl_err *err)
{
    return tl_frechet_sides((struct tl_frechet_side){.gaussian = a}, (struct tl_frechet_side){.gaussian = b},
                            TL_FRECHET_AUTO, pool, out, err);
}

bool tl_frechet_features(const struct tl_features *a, const struct tl_features *b, struct tl_pool *pool,
                         struct tl_frechet *out, struct tl_err *err)
{
    return tl_frechet_sides((struct tl_frechet_side){.rows = a}, (struct tl_frechet_side){.rows = b},
                            TL_FRECHET_AUTO, pool, out, err);
}

static bool finite_rows(const float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

static bool item_distance(const struct tl_features *x, size_t item, const struct root *reference,
                          struct tl_pool *pool, struct tl_frechet_item *out, struct tl_err *err)
{
    size_t from = tl_features_first(x, item), n = tl_features_first(x, item + 1) - from;
    const float *rows = x->x + from * x->dim;
    *out = (struct tl_frechet_item){.value = NAN, .n_rows = n};
    if (n < 2)
        out->error = "fewer than two embeddings: too short for a covariance";
    else if (!finite_rows(rows, n * x->dim))
        out->error = "embeddings that are not finite";
    if (out->error) return true;
    struct root r = {0};
    struct tl_frechet f;
    struct tl_features one = {.x = rows, .n = n, .dim = x->dim, .n_items = n};
    bool ok = root_of_side(&r, (struct tl_frechet_side){.rows = &one}, TL_FRECHET_AUTO, pool, err) &&
              distance(reference, &r, false, pool, &f, err);
    root_finish(&r);
    if (ok) out->value = f.value;
    return ok;
}

bool tl_frechet_per_item(const struct tl_features *x, struct tl_frechet_side reference, struct tl_pool *pool,
                         struct tl_frechet_item *out, struct tl_err *err)
{
    struct root r = {0};
    if (!root_of_side(&r, reference, TL_FRECHET_AUTO, pool, err)) return tl_err_add(err, "reference");
    bool ok = true;
    for (size_t i = 0; ok && i < x->n_items; i++)
        ok = (tl_interrupt_check("scoring", err) && item_distance(x, i, &r, pool, &out[i], err)) ||
             tl_err_add(err, "item %zu", i);
    root_finish(&r);
    return ok;
}
