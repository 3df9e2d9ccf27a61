#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/interrupt.h>

#include "base/checked.h"
#include "base/rng.h"
#include "metrics/kid_subsets.h"
#include "metrics/stats.h"

struct tl_kernel tl_kid_kernel(const struct tl_kid_params *p, size_t dim)
{
    return (struct tl_kernel){.kind = TL_KERNEL_POLYNOMIAL,
                              .degree = p->degree ? p->degree : 3,
                              .gamma = p->gamma != 0 ? p->gamma : 1 / (double)dim,
                              .coef = isnan(p->coef) ? 1 : p->coef};
}

/* Rows of all subsets, out [n_subsets][size]; step: 0 for x, 1 for y. */
static bool draw(const struct tl_features *x, const uint32_t *given, const struct tl_kid_params *p,
                 uint32_t step, size_t size, uint32_t *out, struct tl_err *err)
{
    uint32_t *order = given ? NULL : calloc(x->n, sizeof *order);
    if (!given && !order) return tl_err_set(err, TL_FAIL, "no memory for subsets of %zu embeddings", size);
    for (size_t s = 0; s < p->n_subsets; s++) {
        struct tl_rng_key key = {
            .seed = p->seed, .stream = TL_RNG_SUBSET, .sample = (uint32_t)s, .step = step};
        const uint32_t *rows = given ? given + s * size : order;
        if (order) tl_rng_permute(key, (uint32_t)x->n, order);
        memcpy(out + s * size, rows, size * sizeof *out);
    }
    free(order);
    for (size_t i = 0; i < p->n_subsets * size; i++)
        if (out[i] >= x->n)
            return tl_err_set(err, TL_USAGE, "a subset names row %u of %zu", (unsigned)out[i], x->n);
    return true;
}

static void gather(const struct tl_features *x, const uint32_t *rows, size_t size, float *out)
{
    for (size_t i = 0; i < size; i++) memcpy(out + i * x->dim, x->x + rows[i] * x->dim, x->dim * sizeof *out);
}

/* Each subset by itself. */
static bool one_by_one(const struct tl_kid_subsets *s, struct tl_pool *pool, double *out, struct tl_err *err)
{
    const size_t dim = s->x->dim;
    size_t bytes;
    float *rows = tl_checked_mul(s->size * 2, dim * sizeof *rows, &bytes) ? malloc(bytes) : NULL;
    bool ok = rows || tl_err_set(err, TL_FAIL, "no memory for subsets of %zu embeddings", s->size);
    for (size_t i = 0; ok && i < s->n; i++) {
        struct tl_features fx = {.x = rows, .n = s->size, .dim = dim, .n_items = s->size}, fy = fx;
        struct tl_mmd m = {0};
        fy.x = rows + s->size * dim;
        gather(s->x, s->rows_x + i * s->size, s->size, rows);
        gather(s->y, s->rows_y + i * s->size, s->size, rows + s->size * dim);
        ok = tl_interrupt_check("scoring", err) &&
             (tl_mmd(&fx, &fy, &s->kernel, true, 1, pool, &m, err) || tl_err_add(err, "subset %zu", i));
        out[i] = m.value;
    }
    free(rows);
    return ok;
}

/* Pairs of rows that the subsets have together are often more than all that there are. */
static bool is_cheaper_together(const struct tl_kid_subsets *s)
{
    double nx = (double)s->x->n, ny = (double)s->y->n, size = (double)s->size;
    return nx * nx / 2 + ny * ny / 2 + nx * ny < 2 * size * size * (double)s->n;
}

static bool over_subsets(struct tl_kid_subsets *s, const struct tl_kid_params *p, struct tl_pool *pool,
                         double *values, struct tl_err *err)
{
    size_t n = 0;
    uint32_t *rows = tl_checked_mul(s->n * 2, s->size, &n) ? calloc(n, sizeof *rows) : NULL;
    s->rows_x = rows;
    s->rows_y = rows ? rows + n / 2 : NULL;
    bool ok =
        (rows || tl_err_set(err, TL_FAIL, "no memory for subsets of %zu embeddings", s->size)) &&
        draw(s->x, p->subset_x, p, 0, s->size, rows, err) &&
        draw(s->y, p->subset_y, p, 1, s->size, rows + n / 2, err) &&
        (is_cheaper_together(s) ? tl_kid_together(s, pool, values, err) : one_by_one(s, pool, values, err));
    free(rows);
    return ok;
}

/* Every subset is the whole of both sets: its order changes nothing. */
static bool all_same(const struct tl_features *x, const struct tl_features *y, const struct tl_kid_params *p,
                     size_t size)
{
    return !p->subset_x && !p->subset_y && size == x->n && size == y->n;
}

bool tl_kid(const struct tl_features *x, const struct tl_features *y, const struct tl_kid_params *p,
            struct tl_pool *pool, struct tl_kid *out, struct tl_err *err)
{
    if (!tl_features_check_pair(x, y, err)) return false;
    size_t least = x->n < y->n ? x->n : y->n, size = p->subset_size;
    if (p->shrink && size > least) size = least;
    struct tl_kernel k = tl_kid_kernel(p, x->dim);
    if (p->n_subsets == 0 || all_same(x, y, p, size)) {
        struct tl_mmd m = {0};
        bool ok = tl_mmd(x, y, &k, true, 1, pool, &m, err);
        *out = (struct tl_kid){.mean = m.value, .sd_n = p->n_subsets ? 0 : NAN, .subset_size = size};
        return ok;
    }
    if (size < 2 || size > least || x->n > UINT32_MAX || y->n > UINT32_MAX)
        return tl_err_set(err, TL_USAGE, "subsets of %zu embeddings cannot be drawn from %zu and %zu", size,
                          x->n, y->n);
    struct tl_kid_subsets s = {.x = x, .y = y, .kernel = k, .n = p->n_subsets, .size = size};
    double *values = calloc(p->n_subsets, sizeof *values);
    bool ok = (values || tl_err_set(err, TL_FAIL, "no memory for %zu subsets", p->n_subsets)) &&
              over_subsets(&s, p, pool, values, err);
    if (ok) {
        double n = (double)p->n_subsets, sd = p->n_subsets > 1 ? tl_stats_sd(values, p->n_subsets) : 0;
        *out = (struct tl_kid){tl_stats_mean(values, p->n_subsets), sd * sqrt((n - 1) / n), size};
    }
    free(values);
    return ok;
}
