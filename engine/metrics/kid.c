#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/interrupt.h>

#include "base/checked.h"
#include "base/rng.h"
#include "metrics/mmd.h"
#include "metrics/stats.h"

struct tl_kernel tl_kid_kernel(const struct tl_kid_params *p, size_t dim)
{
    return (struct tl_kernel){.kind = TL_KERNEL_POLYNOMIAL,
                              .degree = p->degree ? p->degree : 3,
                              .gamma = p->gamma != 0 ? p->gamma : 1 / (double)dim,
                              .coef = isnan(p->coef) ? 1 : p->coef};
}

/* Rows of one subset, gathered. `order` [n] is scratch. */
static bool gather(const struct tl_features *x, const uint32_t *given, struct tl_rng_key key, size_t size,
                   uint32_t *order, float *out, struct tl_err *err)
{
    if (!given) tl_rng_permute(key, (uint32_t)x->n, order);
    const uint32_t *rows = given ? given : order;
    for (size_t i = 0; i < size; i++) {
        if (rows[i] >= x->n)
            return tl_err_set(err, TL_USAGE, "a subset names row %u of %zu", (unsigned)rows[i], x->n);
        memcpy(out + i * x->dim, x->x + rows[i] * x->dim, x->dim * sizeof *out);
    }
    return true;
}

static bool subset(const struct tl_features *x, const struct tl_features *y, const struct tl_kid_params *p,
                   size_t which, size_t size, uint32_t *order, float *rows, struct tl_pool *pool, double *out,
                   struct tl_err *err)
{
    const uint32_t *gx = p->subset_x ? p->subset_x + which * size : NULL;
    const uint32_t *gy = p->subset_y ? p->subset_y + which * size : NULL;
    struct tl_rng_key key = {.seed = p->seed, .stream = TL_RNG_SUBSET, .sample = (uint32_t)which};
    struct tl_rng_key key_y = {
        .seed = p->seed, .stream = TL_RNG_SUBSET, .sample = (uint32_t)which, .step = 1};
    float *rows_y = rows + size * x->dim;
    if (!gather(x, gx, key, size, order, rows, err) || !gather(y, gy, key_y, size, order, rows_y, err))
        return false;
    struct tl_features fx = {.x = rows, .n = size, .dim = x->dim, .n_items = size}, fy = fx;
    fy.x = rows_y;
    struct tl_kernel k = tl_kid_kernel(p, x->dim);
    struct tl_mmd m = {0};
    if (!tl_mmd(&fx, &fy, &k, true, 1, pool, &m, err)) return tl_err_add(err, "subset %zu", which);
    *out = m.value;
    return true;
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
    size_t least = x->n < y->n ? x->n : y->n, size = p->subset_size, bytes = 0;
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
    double *values = calloc(p->n_subsets, sizeof *values);
    uint32_t *order = calloc(x->n > y->n ? x->n : y->n, sizeof *order);
    float *rows = tl_checked_mul(size * 2, x->dim * sizeof *rows, &bytes) ? malloc(bytes) : NULL;
    bool ok = values && order && rows;
    if (!ok) tl_err_set(err, TL_FAIL, "no memory for subsets of %zu embeddings", size);
    for (size_t i = 0; ok && i < p->n_subsets; i++)
        ok = tl_interrupt_check("scoring", err) &&
             subset(x, y, p, i, size, order, rows, pool, &values[i], err);
    if (ok) {
        double n = (double)p->n_subsets, sd = p->n_subsets > 1 ? tl_stats_sd(values, p->n_subsets) : 0;
        *out = (struct tl_kid){tl_stats_mean(values, p->n_subsets), sd * sqrt((n - 1) / n), size};
    }
    free(values);
    free(order);
    free(rows);
    return ok;
}
