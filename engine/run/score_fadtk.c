/* fadtk's statistics. Its embeddings are float16, and numpy gives the mean of such rows as float16: a file's
 * mean is rounded before files are merged, its covariance is not. Moves a distance by about 1e-4 of itself.
 */
#include <math.h>

#include "base/half.h"
#include "run/score_metrics.h"

/* Rows of item i, their mean rounded. A single row is one of float16 already. */
static bool item_moments(const struct tl_features *x, size_t i, struct tl_pool *pool, struct tl_moments *out,
                         struct tl_err *err)
{
    size_t first = tl_features_first(x, i), n = tl_features_first(x, i + 1) - first;
    struct tl_gaussian merged = {0};
    if (!tl_moments_init(out, x->dim, err)) return false;
    bool ok = tl_moments_add(out, x->x + first * x->dim, n, pool, err) &&
              (n < 2 || tl_moments_gaussian(out, pool, &merged, err)); /* no row waits behind it */
    for (size_t k = 0; ok && n >= 2 && k < x->dim; k++)
        out->mean[k] = (double)tl_f16_to_f32(tl_f32_to_f16((float)out->mean[k]));
    tl_gaussian_finish(&merged);
    if (!ok) tl_moments_finish(out);
    return ok;
}

bool tl_score_fadtk_gaussian(const struct tl_features *x, struct tl_pool *pool, struct tl_gaussian *out,
                             struct tl_err *err)
{
    struct tl_moments all = {0};
    bool ok = tl_features_check(x, err) && tl_moments_init(&all, x->dim, err);
    for (size_t i = 0; ok && i < x->n_items; i++) {
        struct tl_moments item;
        ok = item_moments(x, i, pool, &item, err);
        if (!ok) break;
        ok = tl_moments_merge(&all, &item, pool, err);
        tl_moments_finish(&item);
    }
    ok = ok && tl_moments_gaussian(&all, pool, out, err);
    tl_moments_finish(&all);
    return ok;
}

bool tl_score_fadtk_per_item(const struct tl_features *x, const struct tl_gaussian *reference,
                             struct tl_pool *pool, struct tl_frechet_item *out, struct tl_err *err)
{
    bool ok = true;
    for (size_t i = 0; ok && i < x->n_items; i++) {
        size_t first = tl_features_first(x, i), n = tl_features_first(x, i + 1) - first;
        const size_t whole[2] = {0, n};
        struct tl_features one = {x->x + first * x->dim, n, x->dim, whole, 1};
        struct tl_gaussian g = {0};
        struct tl_frechet f;
        out[i] = (struct tl_frechet_item){.value = NAN, .n_rows = n};
        if (n < 2) {
            out[i].error = "fewer than two embeddings: too short for a covariance";
            continue;
        }
        ok = tl_score_fadtk_gaussian(&one, pool, &g, err) &&
             tl_frechet_gaussians(reference, &g, pool, &f, err);
        if (ok) out[i].value = f.value;
        tl_gaussian_finish(&g);
    }
    return ok;
}
