#include "metrics/fad_inf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/interrupt.h>

#include "base/checked.h"
#include "base/rng.h"

enum { LEAST = 500, SIZES = 25 };

size_t tl_fad_inf_size(size_t n_min, size_t n, size_t n_sizes, size_t k)
{
    if (k + 1 >= n_sizes) return n;
    double step = (double)(n - n_min) / (double)(n_sizes - 1);
    return (size_t)((double)k * step + (double)n_min);
}

void tl_fad_inf_plan_finish(struct tl_fad_inf_plan *plan)
{
    free(plan->sizes);
    free(plan->rows);
    *plan = (struct tl_fad_inf_plan){0};
}

static bool plan_check(size_t n, size_t n_min, size_t n_sizes, bool allow_small, struct tl_err *err)
{
    if (n_sizes < 3) return tl_err_set(err, TL_USAGE, "a line needs 3 sizes or more, %zu asked for", n_sizes);
    if (n_min < 2) return tl_err_set(err, TL_USAGE, "the least size is %zu, expected 2 or more", n_min);
    if (n < LEAST && !allow_small)
        return tl_err_set(err, TL_BAD_INPUT, "an extrapolation needs %d embeddings or more, there are %zu",
                          LEAST, n);
    if (n <= n_min)
        return tl_err_set(err, TL_BAD_INPUT, "sizes from %zu up cannot be drawn from %zu embeddings", n_min,
                          n);
    return n <= UINT32_MAX || tl_err_set(err, TL_BAD_INPUT, "%zu embeddings are too many", n);
}

/* One sample of `size` of n rows; `order` [n] is scratch. */
static void draw(size_t n, size_t size, struct tl_rng_key key, bool replace, uint32_t *order, uint32_t *out)
{
    if (replace) {
        for (size_t i = 0; i < size; i++) out[i] = tl_rng_below(key, (uint32_t)i, (uint32_t)n);
        return;
    }
    tl_rng_permute(key, (uint32_t)n, order);
    memcpy(out, order, size * sizeof *out);
}

bool tl_fad_inf_plan_init(struct tl_fad_inf_plan *plan, size_t n, const struct tl_fad_inf_params *p,
                          struct tl_err *err)
{
    size_t n_min = p->n_min ? p->n_min : LEAST, total = 0;
    *plan = (struct tl_fad_inf_plan){.n_sizes = p->n_sizes ? p->n_sizes : SIZES};
    if (!plan_check(n, n_min, plan->n_sizes, p->allow_small, err)) return false;
    plan->sizes = calloc(plan->n_sizes, sizeof *plan->sizes);
    for (size_t k = 0; plan->sizes && k < plan->n_sizes; k++)
        total += plan->sizes[k] = tl_fad_inf_size(n_min, n, plan->n_sizes, k);
    plan->rows = calloc(total + 1, sizeof *plan->rows);
    uint32_t *order = calloc(n, sizeof *order), *at = plan->rows;
    bool ok = plan->sizes && plan->rows && order;
    if (!ok) tl_err_set(err, TL_FAIL, "no memory for samples of %zu embeddings", n);
    if (ok && p->rows) memcpy(plan->rows, p->rows, total * sizeof *plan->rows);
    for (size_t k = 0; ok && !p->rows && k < plan->n_sizes; at += plan->sizes[k++]) {
        struct tl_rng_key key = {.seed = p->seed, .stream = TL_RNG_SUBSET, .sample = (uint32_t)k};
        draw(n, plan->sizes[k], key, p->replace, order, at);
    }
    for (size_t i = 0; ok && i < total; i++)
        if (plan->rows[i] >= n)
            ok = tl_err_set(err, TL_USAGE, "a sample names row %u of %zu", (unsigned)plan->rows[i], n);
    free(order);
    if (!ok) tl_fad_inf_plan_finish(plan);
    return ok;
}

bool tl_fad_inf_fit(const size_t *sizes, const double *values, size_t n_sizes, struct tl_fad_inf *out,
                    struct tl_err *err)
{
    double n = (double)n_sizes, mx = 0, my = 0, xx = 0, xy = 0, yy = 0;
    for (size_t k = 0; k < n_sizes; k++) {
        mx += 1 / (double)sizes[k] / n;
        my += values[k] / n;
    }
    for (size_t k = 0; k < n_sizes; k++) {
        double x = 1 / (double)sizes[k] - mx, y = values[k] - my;
        xx += x * x;
        xy += x * y;
        yy += y * y;
    }
    if (!(xx > 0) || n_sizes < 3)
        return tl_err_set(err, TL_BAD_INPUT, "%zu equal sizes make no line", n_sizes);
    double slope = xy / xx, rest = fmax(yy - slope * xy, 0);
    *out = (struct tl_fad_inf){.value = my - slope * mx,
                               .slope = slope,
                               .r2 = yy > 0 ? 1 - rest / yy : NAN,
                               .se = sqrt(rest / (n - 2) * (1 / n + mx * mx / xx)),
                               .n_min = sizes[0],
                               .n_max = sizes[n_sizes - 1],
                               .n_sizes = n_sizes};
    return true;
}

static bool sample_distance(struct tl_frechet_side reference, const struct tl_features *x,
                            const uint32_t *rows, size_t n, float *gathered, struct tl_pool *pool,
                            double *out, struct tl_err *err)
{
    for (size_t i = 0; i < n; i++)
        memcpy(gathered + i * x->dim, x->x + rows[i] * x->dim, x->dim * sizeof *gathered);
    struct tl_features sample = {.x = gathered, .n = n, .dim = x->dim, .n_items = n};
    struct tl_frechet f;
    if (!tl_frechet_sides(reference, (struct tl_frechet_side){.rows = &sample}, TL_FRECHET_AUTO, pool, &f,
                          err))
        return tl_err_add(err, "sample of %zu", n);
    *out = f.value;
    return true;
}

bool tl_fad_inf_of_plan(struct tl_frechet_side reference, const struct tl_features *evaluated,
                        const struct tl_fad_inf_plan *plan, struct tl_pool *pool, struct tl_fad_inf *out,
                        double *out_values, struct tl_err *err)
{
    if (!tl_features_check(evaluated, err)) return false;
    size_t most = 0, bytes;
    for (size_t k = 0; k < plan->n_sizes; k++) most = plan->sizes[k] > most ? plan->sizes[k] : most;
    /* Statistics of a large reference are taken once. */
    struct tl_gaussian g = {0};
    const struct tl_features *r = reference.rows;
    if (r && r->n > r->dim) {
        if (!tl_gaussian_from_features(&g, r, pool, err)) return tl_err_add(err, "reference");
        reference = (struct tl_frechet_side){.gaussian = &g};
    }
    float *gathered = tl_checked_mul(most, evaluated->dim * sizeof *gathered, &bytes) ? malloc(bytes) : NULL;
    double *values = calloc(plan->n_sizes, sizeof *values);
    const uint32_t *rows = plan->rows;
    bool ok = gathered && values;
    if (!ok) tl_err_set(err, TL_FAIL, "no memory for samples of %zu embeddings", most);
    for (size_t k = 0; ok && k < plan->n_sizes; rows += plan->sizes[k++])
        ok = tl_interrupt_check("scoring", err) &&
             sample_distance(reference, evaluated, rows, plan->sizes[k], gathered, pool, &values[k], err);
    ok = ok && tl_fad_inf_fit(plan->sizes, values, plan->n_sizes, out, err);
    if (ok && out_values) memcpy(out_values, values, plan->n_sizes * sizeof *values);
    free(gathered);
    free(values);
    tl_gaussian_finish(&g);
    return ok;
}

bool tl_fad_inf(struct tl_frechet_side reference, const struct tl_features *evaluated,
                const struct tl_fad_inf_params *p, struct tl_pool *pool, struct tl_fad_inf *out,
                size_t *out_sizes, double *out_values, struct tl_err *err)
{
    struct tl_fad_inf_plan plan;
    if (!tl_fad_inf_plan_init(&plan, evaluated->n, p, err)) return false;
    bool ok = tl_fad_inf_of_plan(reference, evaluated, &plan, pool, out, out_values, err);
    if (ok && out_sizes) memcpy(out_sizes, plan.sizes, plan.n_sizes * sizeof *out_sizes);
    tl_fad_inf_plan_finish(&plan);
    return ok;
}
