#include "metrics/jackknife.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/interrupt.h>

#include "base/checked.h"
#include "base/rng.h"

/* Who is where. Owns its arrays. */
struct deal {
    const struct tl_features *x;
    size_t n_groups;
    uint32_t *group; /* [rows] */
    float *rows;     /* [n][dim]: room for the rows of a group, or for all others */
};

static void deal_finish(struct deal *d)
{
    free(d->group);
    free(d->rows);
}

static bool deal_init(struct deal *d, const struct tl_features *x, size_t n_groups, uint64_t seed,
                      struct tl_err *err)
{
    *d = (struct deal){.x = x, .n_groups = n_groups};
    if (x->n_items > UINT32_MAX) return tl_err_set(err, TL_BAD_INPUT, "%zu items are too many", x->n_items);
    size_t bytes;
    uint32_t *order = calloc(x->n_items, sizeof *order);
    d->group = calloc(x->n, sizeof *d->group);
    if (tl_checked_mul(x->n, x->dim * sizeof *d->rows, &bytes)) d->rows = malloc(bytes);
    bool ok = order && d->group && d->rows;
    if (ok) {
        struct tl_rng_key key = {.seed = seed, .stream = TL_RNG_SUBSET, .sample = UINT32_MAX};
        tl_rng_permute(key, (uint32_t)x->n_items, order);
        for (size_t k = 0; k < x->n_items; k++)
            for (size_t r = tl_features_first(x, order[k]); r < tl_features_first(x, (size_t)order[k] + 1);
                 r++)
                d->group[r] = (uint32_t)(k % n_groups);
    } else {
        tl_err_set(err, TL_FAIL, "no memory for a jackknife of %zu embeddings", x->n);
        deal_finish(d);
    }
    free(order);
    return ok;
}

/* Rows of group g, or those of all others, gathered; every row an item. */
static struct tl_features gather(struct deal *d, size_t g, bool others)
{
    size_t n = 0, dim = d->x->dim;
    for (size_t i = 0; i < d->x->n; i++)
        if ((d->group[i] == g) != others)
            memcpy(d->rows + n++ * dim, d->x->x + i * dim, dim * sizeof *d->rows);
    return (struct tl_features){.x = d->rows, .n = n, .dim = dim, .n_items = n};
}

static bool copy_moments(struct tl_moments *to, struct tl_moments *from, struct tl_pool *pool,
                         struct tl_err *err)
{
    return tl_moments_init(to, from->dim, err) && tl_moments_merge(to, from, pool, err);
}

/* The distance without group g, of the whole's moments. */
static bool frechet_by_moments(struct deal *d, struct tl_moments *all, size_t g, struct tl_frechet_side other,
                               struct tl_pool *pool, double *out, struct tl_err *err)
{
    struct tl_features rows = gather(d, g, false);
    struct tl_moments part = {0}, left = {0};
    struct tl_gaussian gaussian = {0};
    struct tl_frechet f;
    bool ok = tl_moments_init(&part, rows.dim, err) && tl_moments_add(&part, rows.x, rows.n, pool, err) &&
              copy_moments(&left, all, pool, err) && tl_moments_remove(&left, &part, pool, err) &&
              tl_moments_gaussian(&left, pool, &gaussian, err) &&
              tl_frechet_sides((struct tl_frechet_side){.gaussian = &gaussian}, other, TL_FRECHET_AUTO, pool,
                               &f, err);
    if (ok) *out = f.value;
    tl_moments_finish(&part);
    tl_moments_finish(&left);
    tl_gaussian_finish(&gaussian);
    return ok;
}

static bool frechet_by_rows(struct deal *d, size_t g, struct tl_frechet_side other, struct tl_pool *pool,
                            double *out, struct tl_err *err)
{
    struct tl_features rows = gather(d, g, true);
    struct tl_frechet f;
    if (!tl_frechet_sides((struct tl_frechet_side){.rows = &rows}, other, TL_FRECHET_AUTO, pool, &f, err))
        return false;
    *out = f.value;
    return true;
}

static size_t rows_without(const struct deal *d, size_t g)
{
    size_t n = 0;
    for (size_t i = 0; i < d->x->n; i++) n += d->group[i] != g;
    return n;
}

bool tl_jackknife_frechet(const struct tl_features *x, struct tl_frechet_side other, size_t n_groups,
                          uint64_t seed, struct tl_pool *pool, double *out, struct tl_err *err)
{
    struct deal d;
    struct tl_moments all = {0};
    struct tl_gaussian reference = {0};
    if (!deal_init(&d, x, n_groups, seed, err)) return false;
    bool ok = true, moments = x->n > x->dim;
    if (other.rows && other.rows->n > other.rows->dim) { /* its statistics once for all groups */
        ok = tl_gaussian_from_features(&reference, other.rows, pool, err);
        other = (struct tl_frechet_side){.gaussian = &reference};
    }
    if (ok && moments) ok = tl_moments_init(&all, x->dim, err) && tl_moments_add(&all, x->x, x->n, pool, err);
    for (size_t g = 0; ok && g < n_groups; g++) { /* items may differ in length, and groups with them */
        size_t left = rows_without(&d, g);
        out[g] = NAN;
        if (left < 2) continue;
        ok = tl_interrupt_check("scoring", err) &&
             (left > x->dim && 2 * left >= x->n ? frechet_by_moments(&d, &all, g, other, pool, &out[g], err)
                                                : frechet_by_rows(&d, g, other, pool, &out[g], err));
    }
    tl_moments_finish(&all);
    tl_gaussian_finish(&reference);
    deal_finish(&d);
    return ok;
}

bool tl_jackknife_vendi(const struct tl_features *x, const struct tl_vendi_params *v, size_t n_groups,
                        uint64_t seed, struct tl_pool *pool, double *out, struct tl_err *err)
{
    struct deal d;
    if (!deal_init(&d, x, n_groups, seed, err)) return false;
    bool ok = true;
    for (size_t g = 0; ok && g < n_groups; g++) {
        struct tl_features rows = gather(&d, g, true);
        ok = tl_interrupt_check("scoring", err) && tl_vendi_features(&rows, v, pool, &out[g], err);
    }
    deal_finish(&d);
    return ok;
}

/* `plan` without the rows of group g. */
static void thin(const struct tl_fad_inf_plan *plan, const struct deal *d, size_t g,
                 struct tl_fad_inf_plan *out)
{
    const uint32_t *from = plan->rows;
    uint32_t *to = out->rows;
    for (size_t k = 0; k < plan->n_sizes; from += plan->sizes[k++]) {
        out->sizes[k] = 0;
        for (size_t i = 0; i < plan->sizes[k]; i++)
            if (d->group[from[i]] != g) to[out->sizes[k]++] = from[i];
        to += out->sizes[k];
    }
}

/* Whether every sample has a covariance, and their sizes a line. */
static bool has_line(const struct tl_fad_inf_plan *plan)
{
    size_t least = SIZE_MAX, most = 0;
    for (size_t k = 0; k < plan->n_sizes; k++) {
        least = plan->sizes[k] < least ? plan->sizes[k] : least;
        most = plan->sizes[k] > most ? plan->sizes[k] : most;
    }
    return least >= 2 && least < most;
}

bool tl_jackknife_fad_inf(struct tl_frechet_side reference, const struct tl_features *x,
                          const struct tl_fad_inf_params *f, size_t n_groups, uint64_t seed,
                          struct tl_pool *pool, double *out, struct tl_err *err)
{
    struct deal d;
    struct tl_fad_inf_plan plan = {0}, left = {0};
    struct tl_gaussian g = {0};
    if (!deal_init(&d, x, n_groups, seed, err)) return false;
    bool ok = tl_fad_inf_plan_init(&plan, x->n, f, err) && tl_fad_inf_plan_init(&left, x->n, f, err);
    if (ok && reference.rows && reference.rows->n > reference.rows->dim) {
        ok = tl_gaussian_from_features(&g, reference.rows, pool, err);
        reference = (struct tl_frechet_side){.gaussian = &g};
    }
    for (size_t i = 0; ok && i < n_groups; i++) {
        struct tl_fad_inf fit;
        thin(&plan, &d, i, &left);
        out[i] = NAN;
        if (!has_line(&left)) continue;
        ok = tl_fad_inf_of_plan(reference, x, &left, pool, &fit, NULL, err);
        if (ok) out[i] = fit.value;
    }
    tl_fad_inf_plan_finish(&plan);
    tl_fad_inf_plan_finish(&left);
    tl_gaussian_finish(&g);
    deal_finish(&d);
    return ok;
}
