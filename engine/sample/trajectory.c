#include "sample/trajectory.h"

#include <assert.h>
#include <stdlib.h>

#include "base/checked.h"

static bool sizes(size_t n_steps, size_t n_samples, size_t dim, size_t *out_x, size_t *out_ratio)
{
    size_t slots, batch, x, ratio;
    if (!tl_checked_add(n_steps, 1, &slots) || !tl_checked_mul(n_samples, dim, &batch) ||
        !tl_checked_mul(slots, batch, &x) || !tl_checked_mul(x, sizeof(float), &x) ||
        !tl_checked_mul(n_samples, n_steps, &ratio) || !tl_checked_mul(ratio, sizeof(double), &ratio))
        return false;
    *out_x = x;
    *out_ratio = ratio;
    return true;
}

bool tl_trajectory_bytes(size_t n_steps, size_t n_samples, size_t dim, size_t *out_bytes)
{
    size_t x, ratio, both;
    return sizes(n_steps, n_samples, dim, &x, &ratio) && tl_checked_mul(ratio, 2, &both) &&
           tl_checked_add(x, both, out_bytes);
}

bool tl_trajectory_init(struct tl_trajectory *t, size_t n_steps, size_t n_samples, size_t dim,
                        struct tl_err *err)
{
    *t = (struct tl_trajectory){0};
    size_t x, ratio;
    if (n_steps == 0 || n_samples == 0 || dim == 0)
        return tl_err_set(err, TL_USAGE, "a trajectory of %zu steps, %zu samples of %zu values is empty",
                          n_steps, n_samples, dim);
    if (!sizes(n_steps, n_samples, dim, &x, &ratio))
        return tl_err_set(err, TL_USAGE, "a trajectory of %zu steps, %zu samples of %zu values is too large",
                          n_steps, n_samples, dim);
    *t = (struct tl_trajectory){.n_steps = n_steps, .n_samples = n_samples, .dim = dim};
    t->x = malloc(x);
    t->old_ratio = calloc(1, ratio);
    t->ratio = calloc(1, ratio);
    if (!t->x || !t->old_ratio || !t->ratio) {
        tl_trajectory_finish(t);
        return tl_err_set(
            err, TL_FAIL,
            "no memory for trajectories of %zu bytes: take fewer steps or fewer samples at a time", x);
    }
    return true;
}

void tl_trajectory_finish(struct tl_trajectory *t)
{
    free(t->x);
    free(t->old_ratio);
    free(t->ratio);
    *t = (struct tl_trajectory){0};
}

float *tl_trajectory_slot(const struct tl_trajectory *t, size_t k)
{
    assert(k <= t->n_steps);
    return t->x + k * t->n_samples * t->dim;
}

float *tl_trajectory_at(const struct tl_trajectory *t, size_t k, size_t sample)
{
    assert(sample < t->n_samples);
    return tl_trajectory_slot(t, k) + sample * t->dim;
}
