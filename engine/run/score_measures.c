/* Distances and diversity: from embeddings to a row of the report. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "metrics/intervals.h"
#include "run/score_metrics.h"

static bool is_way(const struct tl_measure *m, const char *name)
{
    return strcmp(m->way->flavour.name, name) == 0;
}

static void take_interval(struct tl_score_row *out, const struct tl_interval *interval)
{
    out->low = interval->low;
    out->high = interval->high;
    out->interval = interval->method;
}

static struct tl_interval_params interval_params(const struct tl_measure *m)
{
    return (struct tl_interval_params){.seed = m->seed, .none = m->params->no_interval};
}

/* ---- Frechet ---- */

static struct tl_frechet_side side_of(const struct tl_feature_set *set)
{
    return set->source == TL_FEATURES_OF_STATISTICS ? (struct tl_frechet_side){.gaussian = &set->gaussian}
                                                    : (struct tl_frechet_side){.rows = &set->features};
}

static void note_rank(struct tl_score_row *out, const char *path, size_t n, size_t dim)
{
    if (n && n <= dim)
        tl_score_row_note(out,
                          "rank-deficient: %s has %zu rows in %zu dimensions; the value is biased upward and "
                          "compares only with sets of the same size",
                          path, n, dim);
}

static size_t rows_of(const struct tl_feature_set *set)
{
    return set->source == TL_FEATURES_OF_STATISTICS ? set->gaussian.n : set->features.n;
}

static bool measure_inf(const struct tl_measure *m, struct tl_score_row *out, struct tl_err *err)
{
    struct tl_interval_params ip = interval_params(m);
    struct tl_fad_inf_params p = {.seed = m->seed, .replace = is_way(m, "fadtk") || is_way(m, "kadtk")};
    struct tl_fad_inf inf;
    struct tl_interval interval;
    if (m->set->source == TL_FEATURES_OF_STATISTICS)
        return tl_err_set(err, TL_USAGE, "%s: --inf draws rows, and statistics have none", m->set->path);
    struct tl_frechet_side reference = side_of(m->reference);
    if (!tl_fad_inf(reference, &m->set->features, &p, m->pool, &inf, NULL, NULL, err)) return false;
    tl_score_row_number(out, "plain_value", out->value);
    tl_score_row_number(out, "r2", inf.r2);
    tl_score_row_number(out, "slope", inf.slope);
    out->value = inf.value;
    out->is_drawn = true;
    out->settings =
        tl_arena_printf(&out->arena,
                        "extrapolated from %zu sizes of %zu to %zu rows, drawn %s replacement; an "
                        "interval covers the evaluated set alone",
                        inf.n_sizes, inf.n_min, inf.n_max, p.replace ? "with" : "without");
    if (p.replace)
        tl_score_row_note(out, "drawn with replacement, as %s does, most of the bias stays",
                          m->way->flavour.name);
    if (!tl_interval_fad_inf(reference, &m->set->features, &p, inf.value, &ip, m->pool, &interval, err))
        return false;
    take_interval(out, &interval);
    return true;
}

/* With fadtk's statistics where there are rows. */
static bool fadtk_distance(const struct tl_measure *m, struct tl_frechet *out, struct tl_err *err)
{
    const struct tl_feature_set *sets[2] = {m->reference, m->set};
    struct tl_gaussian made[2] = {{0}, {0}};
    struct tl_frechet_side sides[2];
    bool ok = true;
    for (int i = 0; ok && i < 2; i++) {
        sides[i] = side_of(sets[i]);
        if (!sides[i].rows) continue;
        ok = tl_score_fadtk_gaussian(sides[i].rows, m->pool, &made[i], err);
        sides[i] = (struct tl_frechet_side){.gaussian = &made[i]};
    }
    ok = ok && tl_frechet_sides(sides[0], sides[1], TL_FRECHET_AUTO, m->pool, out, err);
    tl_gaussian_finish(&made[0]);
    tl_gaussian_finish(&made[1]);
    return ok;
}

bool tl_measure_frechet(const struct tl_measure *m, struct tl_score_row *out, struct tl_err *err)
{
    struct tl_frechet f;
    struct tl_interval interval;
    struct tl_interval_params p = interval_params(m);
    struct tl_frechet_side a = side_of(m->reference), b = side_of(m->set);
    bool is_fadtk = is_way(m, "fadtk");
    if (is_fadtk ? !fadtk_distance(m, &f, err) : !tl_frechet_sides(a, b, TL_FRECHET_AUTO, m->pool, &f, err))
        return false;
    out->value = f.value;
    if (m->params->inf) {
        if (!measure_inf(m, out, err)) return false;
    } else {
        if (!tl_interval_frechet(a, b, f.value, &p, m->pool, &interval, err)) return false;
        take_interval(out, &interval);
        out->settings = is_fadtk ? "covariances with n - 1, symmetric root, files' means as float16"
                                 : "covariances with n - 1, symmetric root";
        tl_score_row_number(out, "mean_term", f.mean_term);
    }
    note_rank(out, m->reference->path, rows_of(m->reference), f.dim);
    note_rank(out, m->set->path, rows_of(m->set), f.dim);
    return !m->params->indiv || tl_score_write_individual(m, err);
}

/* ---- kernels ---- */

bool tl_measure_kid(const struct tl_measure *m, struct tl_score_row *out, struct tl_err *err)
{
    const struct tl_features *x = &m->reference->features, *y = &m->set->features;
    struct tl_kid_params p = is_way(m, "clean-fid")      ? TL_KID_CLEAN_FID
                             : is_way(m, "torchmetrics") ? TL_KID_TORCHMETRICS
                                                         : TL_KID_DEFAULT;
    struct tl_kid kid;
    struct tl_interval interval;
    struct tl_interval_params ip = interval_params(m);
    p.seed = m->seed;
    if (!tl_kid(x, y, &p, m->pool, &kid, err)) return false;
    struct tl_kernel kernel = tl_kid_kernel(&p, x->dim);
    if (!tl_interval_mmd(x, y, &kernel, true, 1, kid.mean, &ip, m->pool, &interval, err)) return false;
    out->value = kid.mean;
    take_interval(out, &interval);
    if (p.n_subsets) {
        tl_score_row_number(out, "subset_deviation", kid.sd_n);
        out->is_drawn = true;
        out->settings = tl_arena_printf(&out->arena, "(x.y/%zu + 1)^3, %zu subsets of %zu", x->dim,
                                        p.n_subsets, kid.subset_size);
    } else {
        out->settings = tl_arena_printf(&out->arena, "(x.y/%zu + 1)^3, all pairs, unbiased", x->dim);
    }
    return true;
}

bool tl_measure_kad(const struct tl_measure *m, struct tl_score_row *out, struct tl_err *err)
{
    const struct tl_features *x = &m->reference->features, *y = &m->set->features;
    bool given = m->params->bandwidth > 0;
    struct tl_kad_params p = {.from = given                ? TL_KAD_GIVEN
                                      : is_way(m, "kadtk") ? TL_KAD_EVALUATED
                                                           : TL_KAD_REFERENCE,
                              .bandwidth = m->params->bandwidth};
    struct tl_kernel kernel;
    struct tl_mmd mmd = {0};
    struct tl_interval interval;
    struct tl_interval_params ip = interval_params(m);
    double bandwidth;
    if (!tl_kad_kernel(x, y, &p, m->pool, &kernel, &bandwidth, err) ||
        !tl_mmd(x, y, &kernel, true, TL_KAD_SCALE, m->pool, &mmd, err) ||
        !tl_interval_mmd(x, y, &kernel, true, TL_KAD_SCALE, mmd.value, &ip, m->pool, &interval, err))
        return false;
    out->value = mmd.value;
    take_interval(out, &interval);
    tl_score_row_number(out, "bandwidth", bandwidth);
    out->settings = tl_arena_printf(&out->arena, "100 x unbiased, Gaussian, bandwidth %s",
                                    given                        ? "as given"
                                    : p.from == TL_KAD_EVALUATED ? "from the evaluated set"
                                                                 : "from the reference");
    return true;
}

bool tl_measure_cmmd(const struct tl_measure *m, struct tl_score_row *out, struct tl_err *err)
{
    struct tl_features x = m->reference->features, y = m->set->features;
    const struct tl_kernel kernel = TL_CMMD_KERNEL;
    struct tl_interval_params ip = interval_params(m);
    struct tl_mmd mmd = {0};
    struct tl_interval interval;
    float *a = tl_features_unit(&x, err), *b = NULL;
    if (!a)
        tl_err_add(err, "%s", m->reference->path);
    else if (!(b = tl_features_unit(&y, err)))
        tl_err_add(err, "%s", m->set->path);
    x.x = a;
    y.x = b;
    bool ok = b && tl_cmmd(&x, &y, false, m->pool, &mmd, err) &&
              tl_interval_mmd(&x, &y, &kernel, false, TL_CMMD_SCALE, mmd.value, &ip, m->pool, &interval, err);
    free(a);
    free(b);
    if (!ok) return false;
    out->value = mmd.value;
    take_interval(out, &interval);
    out->settings = "1000 x biased, Gaussian of sigma 10 on unit rows";
    return true;
}

/* ---- diversity ---- */

/* A row a file: the mean of its windows, whose length the cosine does not see. A long file would count once
 * for each window else. The caller frees out->x. */
static bool mean_rows(const struct tl_features *x, struct tl_features *out, struct tl_err *err)
{
    size_t bytes;
    float *means = tl_checked_mul(x->n_items, x->dim * sizeof *means, &bytes) ? malloc(bytes + 1) : NULL;
    *out = (struct tl_features){.x = means, .n = x->n_items, .dim = x->dim, .n_items = x->n_items};
    if (!means) return tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t i = 0; i < x->n_items; i++) {
        size_t first = tl_features_first(x, i), end = tl_features_first(x, i + 1);
        for (size_t k = 0; k < x->dim; k++) {
            double sum = 0;
            for (size_t r = first; r < end; r++) sum += (double)x->x[r * x->dim + k];
            means[i * x->dim + k] = (float)(sum / (double)(end - first));
        }
    }
    return true;
}

bool tl_measure_vendi(const struct tl_measure *m, struct tl_score_row *out, struct tl_err *err)
{
    struct tl_vendi_params p = TL_VENDI_DEFAULT;
    struct tl_interval_params ip = interval_params(m);
    struct tl_interval interval;
    struct tl_features files;
    if (m->params->order > 0) p.q = m->params->order;
    bool ok = mean_rows(&m->set->features, &files, err) &&
              tl_vendi_features(&files, &p, m->pool, &out->value, err) &&
              tl_interval_vendi(&files, &p, out->value, &ip, m->pool, &interval, err);
    free((void *)files.x);
    if (!ok) return false;
    take_interval(out, &interval);
    tl_score_row_number(out, "order", p.q);
    bool many = m->set->features.n > m->set->features.n_items;
    out->settings =
        tl_arena_printf(&out->arena, "cosine kernel, order %g%s", p.q, many ? ", mean row of each file" : "");
    return true;
}
