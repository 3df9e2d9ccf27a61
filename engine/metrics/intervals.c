#include "metrics/intervals.h"

#include <math.h>
#include <stdlib.h>

#include "metrics/jackknife.h"
#include "metrics/stats.h"

static const struct tl_interval none = {.low = NAN, .high = NAN, .se = NAN, .method = "none"};

static double level_of(const struct tl_interval_params *p)
{
    return p && p->level != 0 ? p->level : 0.95;
}

static bool level_ok(const struct tl_interval_params *p, struct tl_err *err)
{
    double level = level_of(p);
    return (level > 0 && level < 1) ||
           tl_err_set(err, TL_USAGE, "level is %g, expected between 0 and 1", level);
}

static bool is_unwanted(const struct tl_interval_params *p)
{
    return p && p->none;
}

static bool is_finite(const struct tl_interval *t, struct tl_err *err)
{
    return (isfinite(t->low) && isfinite(t->high) && isfinite(t->se)) ||
           tl_err_set(err, TL_NUMERIC,
                      "the values are too large for an interval: their squares overflow; without one "
                      "(--no-interval) there is a mean");
}

bool tl_interval_mean(const double *x, size_t n, const struct tl_interval_params *p, struct tl_interval *out,
                      struct tl_err *err)
{
    *out = none;
    if (!level_ok(p, err)) return false;
    if (is_unwanted(p)) return true;
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return tl_err_set(err, TL_NUMERIC, "value %zu is %g", i, x[i]);
    if (n < 2) return true;
    if (n < TL_INTERVAL_FEW) {
        double half = tl_student_quantile(level_of(p), (double)n - 1) * tl_stats_se(x, n),
               mean = tl_stats_mean(x, n);
        *out = (struct tl_interval){mean - half, mean + half, tl_stats_se(x, n), n, "Student's t over files"};
        return is_finite(out, err);
    }
    struct tl_stats_bootstrap_params b = {.seed = p ? p->seed : 0, .level = level_of(p)};
    if (!tl_stats_bootstrap(x, n, &b, &out->low, &out->high, err)) return false;
    out->se = tl_stats_se(x, n);
    out->n_groups = n;
    out->method = "bootstrap over files";
    return is_finite(out, err);
}

/* Jackknife's variance of the mean of leave-outs t [n]. */
static double variance_of(const double *t, size_t n)
{
    double mean = tl_stats_mean(t, n), squares = 0;
    for (size_t i = 0; i < n; i++) squares += (t[i] - mean) * (t[i] - mean);
    return squares * (double)(n - 1) / (double)n;
}

/* n_b 0: one set, or another that counts as exact. */
static void from_leave_outs(const double *a, size_t n_a, const double *b, size_t n_b, double value,
                            double least, const char *method, const struct tl_interval_params *p,
                            struct tl_interval *out)
{
    *out = none;
    for (size_t i = 0; i < n_a; i++)
        if (!isfinite(a[i])) return;
    for (size_t i = 0; i < n_b; i++)
        if (!isfinite(b[i])) return;
    if ((n_a == 0 && n_b == 0) || n_a == 1 || n_b == 1) return;
    double va = n_a ? variance_of(a, n_a) : 0, vb = n_b ? variance_of(b, n_b) : 0, v = va + vb;
    double shares = (n_a ? va * va / (double)(n_a - 1) : 0) + (n_b ? vb * vb / (double)(n_b - 1) : 0);
    double dof = shares > 0 ? v * v / shares : 1,
           half = v > 0 ? sqrt(v) * tl_student_quantile(level_of(p), dof) : 0;
    *out = (struct tl_interval){.low = fmax(value - half, least),
                                .high = value + half,
                                .se = sqrt(v),
                                .n_groups = n_a + n_b,
                                .method = method};
}

static size_t groups_of(const struct tl_interval_params *p, size_t dim, size_t n_items)
{
    size_t n = p && p->n_groups ? p->n_groups : dim <= 512 ? 20 : 10;
    return n < n_items ? n : n_items;
}

static const char *jackknife_name(size_t groups, size_t items)
{
    return groups == items ? "jackknife over items" : "delete-a-group jackknife over items";
}

/* Leave-outs of the rows of `side` against `other`. */
static bool frechet_leave_outs(struct tl_frechet_side side, struct tl_frechet_side other,
                               const struct tl_interval_params *p, struct tl_pool *pool, double **out,
                               size_t *out_n, struct tl_err *err)
{
    *out = NULL;
    *out_n = 0;
    if (!side.rows) return true;
    if (!tl_features_check(side.rows, err)) return false;
    size_t n = groups_of(p, side.rows->dim, side.rows->n_items);
    *out = malloc((n + 1) * sizeof **out);
    if (!*out) return tl_err_set(err, TL_FAIL, "no memory for an interval");
    *out_n = n;
    if (n < 2) return true;
    return tl_jackknife_frechet(side.rows, other, n, p ? p->seed : 0, pool, *out, err);
}

bool tl_interval_frechet(struct tl_frechet_side a, struct tl_frechet_side b, double value,
                         const struct tl_interval_params *p, struct tl_pool *pool, struct tl_interval *out,
                         struct tl_err *err)
{
    *out = none;
    if (!level_ok(p, err)) return false;
    if (is_unwanted(p)) return true;
    double *ta = NULL, *tb = NULL;
    size_t na = 0, nb = 0;
    bool ok =
        frechet_leave_outs(a, b, p, pool, &ta, &na, err) && frechet_leave_outs(b, a, p, pool, &tb, &nb, err);
    size_t items = (a.rows ? a.rows->n_items : 0) + (b.rows ? b.rows->n_items : 0);
    if (ok) from_leave_outs(ta, na, tb, nb, value, 0, jackknife_name(na + nb, items), p, out);
    free(ta);
    free(tb);
    return ok;
}

bool tl_interval_mmd(const struct tl_features *x, const struct tl_features *y, const struct tl_kernel *kernel,
                     bool unbiased, double scale, double value, const struct tl_interval_params *p,
                     struct tl_pool *pool, struct tl_interval *out, struct tl_err *err)
{
    *out = none;
    if (!level_ok(p, err)) return false;
    if (is_unwanted(p)) return true;
    struct tl_mmd m = {.without_x = malloc((x->n_items + 1) * sizeof(double)),
                       .without_y = malloc((y->n_items + 1) * sizeof(double))};
    bool ok = m.without_x && m.without_y;
    if (!ok)
        tl_err_set(err, TL_FAIL, "no memory for an interval of %zu and %zu items", x->n_items, y->n_items);
    ok = ok && tl_mmd(x, y, kernel, unbiased, scale, pool, &m, err);
    if (ok)
        from_leave_outs(m.without_x, x->n_items, m.without_y, y->n_items, value, -INFINITY,
                        "jackknife over items", p, out);
    free(m.without_x);
    free(m.without_y);
    return ok;
}

bool tl_interval_vendi(const struct tl_features *x, const struct tl_vendi_params *v, double value,
                       const struct tl_interval_params *p, struct tl_pool *pool, struct tl_interval *out,
                       struct tl_err *err)
{
    *out = none;
    if (!level_ok(p, err) || !tl_features_check(x, err)) return false;
    if (is_unwanted(p)) return true;
    size_t n = groups_of(p, x->dim < x->n ? x->dim : x->n, x->n_items);
    if (n < 2) return true;
    double *t = malloc(n * sizeof *t);
    bool ok = t || tl_err_set(err, TL_FAIL, "no memory for an interval");
    ok = ok && tl_jackknife_vendi(x, v, n, p ? p->seed : 0, pool, t, err);
    if (ok) from_leave_outs(t, n, NULL, 0, value, 1, jackknife_name(n, x->n_items), p, out);
    free(t);
    return ok;
}

bool tl_interval_fad_inf(struct tl_frechet_side reference, const struct tl_features *evaluated,
                         const struct tl_fad_inf_params *f, double value, const struct tl_interval_params *p,
                         struct tl_pool *pool, struct tl_interval *out, struct tl_err *err)
{
    *out = none;
    if (!level_ok(p, err) || !tl_features_check(evaluated, err)) return false;
    if (is_unwanted(p)) return true;
    size_t n = p && p->n_groups ? groups_of(p, evaluated->dim, evaluated->n_items)
                                : (evaluated->n_items < 10 ? evaluated->n_items : 10);
    if (n < 2) return true;
    double *t = malloc(n * sizeof *t);
    bool ok = t || tl_err_set(err, TL_FAIL, "no memory for an interval");
    ok = ok && tl_jackknife_fad_inf(reference, evaluated, f, n, p ? p->seed : 0, pool, t, err);
    if (ok) from_leave_outs(t, n, NULL, 0, value, -INFINITY, jackknife_name(n, evaluated->n_items), p, out);
    free(t);
    return ok;
}
