#include "metrics/moments.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "metrics/dense.h"

static double *vector_of(size_t n, size_t times, struct tl_err *err)
{
    size_t count, bytes;
    double *v = NULL;
    if (tl_checked_mul(n, times, &count) && tl_checked_mul(count, sizeof *v, &bytes))
        v = calloc(count + 1, sizeof *v);
    if (!v) tl_err_set(err, TL_FAIL, "no memory for statistics of %zu dimensions", n);
    return v;
}

void tl_gaussian_finish(struct tl_gaussian *g)
{
    free(g->mu);
    free(g->sigma);
    *g = (struct tl_gaussian){0};
}

static bool gaussian_alloc(struct tl_gaussian *g, size_t dim, size_t n, struct tl_err *err)
{
    *g = (struct tl_gaussian){.dim = dim, .n = n};
    g->mu = vector_of(dim, 1, err);
    g->sigma = g->mu ? vector_of(dim, dim, err) : NULL;
    if (!g->sigma) tl_gaussian_finish(g);
    return g->sigma != NULL;
}

/* Both halves of sigma become their mean. */
static bool symmetrise(struct tl_gaussian *g, struct tl_err *err)
{
    double trace = 0;
    size_t d = g->dim;
    for (size_t i = 0; i < d; i++) {
        double v = g->sigma[i * d + i];
        if (v < 0)
            return tl_err_set(err, TL_BAD_INPUT, "sigma[%zu][%zu] is %g, a variance cannot be negative", i, i,
                              v);
        trace += v;
    }
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < i; j++) {
            double *low = &g->sigma[i * d + j], *high = &g->sigma[j * d + i];
            if (fabs(*low - *high) > 1e-6 * trace)
                return tl_err_set(err, TL_BAD_INPUT,
                                  "sigma is not symmetric: [%zu][%zu] is %g, [%zu][%zu] is %g", i, j, *low, j,
                                  i, *high);
            *low = *high = 0.5 * (*low + *high);
        }
    return true;
}

bool tl_gaussian_init(struct tl_gaussian *g, size_t dim, size_t n, const double *mu, const double *sigma,
                      struct tl_err *err)
{
    *g = (struct tl_gaussian){0};
    if (dim == 0) return tl_err_set(err, TL_BAD_INPUT, "statistics of 0 dimensions");
    for (size_t i = 0; i < dim; i++)
        if (!isfinite(mu[i])) return tl_err_set(err, TL_BAD_INPUT, "mu[%zu] is %g", i, mu[i]);
    if (!gaussian_alloc(g, dim, n, err)) return false;
    for (size_t i = 0; i < dim * dim; i++)
        if (!isfinite(sigma[i])) {
            tl_gaussian_finish(g);
            return tl_err_set(err, TL_BAD_INPUT, "sigma[%zu][%zu] is %g", i / dim, i % dim, sigma[i]);
        }
    memcpy(g->mu, mu, dim * sizeof *mu);
    memcpy(g->sigma, sigma, dim * dim * sizeof *sigma);
    if (symmetrise(g, err)) return true;
    tl_gaussian_finish(g);
    return false;
}

bool tl_moments_init(struct tl_moments *m, size_t dim, struct tl_err *err)
{
    *m = (struct tl_moments){.dim = dim};
    if (dim == 0) return tl_err_set(err, TL_BAD_INPUT, "embeddings of 0 dimensions");
    size_t count;
    m->mean = vector_of(dim, 1, err);
    m->scatter = m->mean ? vector_of(dim, dim, err) : NULL;
    if (m->scatter && tl_checked_mul(dim, TL_MOMENTS_BLOCK, &count))
        m->waiting = calloc(count, sizeof *m->waiting);
    if (m->waiting) return true;
    tl_moments_finish(m);
    return tl_err_set(err, TL_FAIL, "no memory for statistics of %zu dimensions", dim);
}

void tl_moments_finish(struct tl_moments *m)
{
    free(m->mean);
    free(m->scatter);
    free(m->waiting);
    *m = (struct tl_moments){0};
}

/* Mean of column j of x [n][dim], in two passes. */
static double column_mean(const float *x, size_t n, size_t dim, size_t j)
{
    double sum = 0, rest = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i * dim + j];
    double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) rest += (double)x[i * dim + j] - mean;
    return mean + rest / (double)n;
}

/* The waiting rows as one block: its centred columns, and the step of the mean as one column more, so that
 * Chan's update is one product. */
static bool flush(struct tl_moments *m, struct tl_pool *pool, struct tl_err *err)
{
    size_t n = m->n_waiting, k = n + 1, dim = m->dim;
    if (n == 0) return true;
    double *centred = vector_of(dim, k, err); /* [dim][n + 1] */
    if (!centred) return false;
    double both = (double)(m->n + n), step = sqrt((double)m->n * (double)n / both);
    for (size_t j = 0; j < dim; j++) {
        double mean = column_mean(m->waiting, n, dim, j), *to = centred + j * k;
        for (size_t i = 0; i < n; i++) to[i] = (double)m->waiting[i * dim + j] - mean;
        to[n] = (mean - m->mean[j]) * step;
        m->mean[j] += (mean - m->mean[j]) * ((double)n / both);
    }
    bool ok = tl_dense_product(&(struct tl_dense_product){.m = dim,
                                                          .n = dim,
                                                          .k = k,
                                                          .a = centred,
                                                          .lda = k,
                                                          .b = centred,
                                                          .ldb = k,
                                                          .c = m->scatter,
                                                          .ldc = dim,
                                                          .accumulate = true,
                                                          .lower = true},
                               pool, err);
    free(centred);
    m->n += n;
    m->n_waiting = 0;
    return ok;
}

bool tl_moments_add(struct tl_moments *m, const float *x, size_t n, struct tl_pool *pool, struct tl_err *err)
{
    size_t dim = m->dim;
    for (size_t i = 0; i < n; i++) {
        const float *row = x + i * dim;
        for (size_t j = 0; j < dim; j++)
            if (!isfinite(row[j]))
                return tl_err_set(err, TL_NUMERIC, "row %zu of the embeddings has %g at dimension %zu",
                                  m->n + m->n_waiting, (double)row[j], j);
        memcpy(m->waiting + m->n_waiting * dim, row, dim * sizeof *row);
        if (++m->n_waiting == TL_MOMENTS_BLOCK && !flush(m, pool, err)) return false;
    }
    return true;
}

/* scatter += sign (other + step step^T), lower triangles. */
static void scatter_add(struct tl_moments *m, const double *other, const double *step, double weight,
                        double sign)
{
    size_t dim = m->dim;
    for (size_t i = 0; i < dim; i++) {
        double *to = m->scatter + i * dim, w = weight * step[i];
        const double *from = other + i * dim;
        for (size_t j = 0; j <= i; j++) to[j] += sign * (from[j] + w * step[j]);
    }
}

bool tl_moments_merge(struct tl_moments *m, struct tl_moments *from, struct tl_pool *pool, struct tl_err *err)
{
    if (m->dim != from->dim)
        return tl_err_set(err, TL_BAD_INPUT, "embeddings of %zu and of %zu dimensions do not merge", m->dim,
                          from->dim);
    if (!flush(m, pool, err) || !flush(from, pool, err)) return false;
    if (from->n == 0) return true;
    double *step = vector_of(m->dim, 1, err), both = (double)(m->n + from->n);
    if (!step) return false;
    for (size_t j = 0; j < m->dim; j++) {
        step[j] = from->mean[j] - m->mean[j];
        m->mean[j] += step[j] * ((double)from->n / both);
    }
    scatter_add(m, from->scatter, step, (double)m->n * (double)from->n / both, 1);
    m->n += from->n;
    free(step);
    return true;
}

bool tl_moments_remove(struct tl_moments *m, struct tl_moments *part, struct tl_pool *pool,
                       struct tl_err *err)
{
    if (!flush(m, pool, err) || !flush(part, pool, err)) return false;
    if (m->dim != part->dim || part->n > m->n)
        return tl_err_set(err, TL_BAD_INPUT, "%zu rows cannot be taken from %zu", part->n, m->n);
    double *step = vector_of(m->dim, 1, err), all = (double)m->n, left = (double)(m->n - part->n);
    if (!step) return false;
    for (size_t j = 0; j < m->dim && left > 0; j++) {
        double moved = (m->mean[j] - part->mean[j]) * ((double)part->n / left);
        m->mean[j] += moved;
        step[j] = part->mean[j] - m->mean[j];
    }
    scatter_add(m, part->scatter, step, left * (double)part->n / all, -1);
    m->n -= part->n;
    free(step);
    return true;
}

bool tl_moments_gaussian(struct tl_moments *m, struct tl_pool *pool, struct tl_gaussian *out,
                         struct tl_err *err)
{
    *out = (struct tl_gaussian){0};
    if (!flush(m, pool, err)) return false;
    if (m->n < 2)
        return tl_err_set(err, TL_BAD_INPUT, "a covariance needs two embeddings or more, there %s %zu",
                          m->n == 1 ? "is" : "are", m->n);
    if (!gaussian_alloc(out, m->dim, m->n, err)) return false;
    memcpy(out->mu, m->mean, m->dim * sizeof *m->mean);
    for (size_t i = 0; i < m->dim; i++)
        for (size_t j = 0; j <= i; j++)
            out->sigma[i * m->dim + j] = out->sigma[j * m->dim + i] =
                m->scatter[i * m->dim + j] / (double)(m->n - 1);
    return true;
}

bool tl_gaussian_from_features(struct tl_gaussian *g, const struct tl_features *x, struct tl_pool *pool,
                               struct tl_err *err)
{
    *g = (struct tl_gaussian){0};
    struct tl_moments m;
    if (!tl_features_check(x, err) || !tl_moments_init(&m, x->dim, err)) return false;
    bool ok = tl_moments_add(&m, x->x, x->n, pool, err) && tl_moments_gaussian(&m, pool, g, err);
    tl_moments_finish(&m);
    return ok;
}
