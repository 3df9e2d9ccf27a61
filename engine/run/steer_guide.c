#include "run/steer_guide.h"

#include "base/finite.h"

static bool check_finite(const float *x, size_t n, const char *what, struct tl_err *err)
{
    return tl_all_finite(x, n) || tl_err_set(err, TL_NUMERIC, "%s is not finite", what);
}

static bool advise(struct tl_err *err)
{
    if (err && err->code == TL_NUMERIC)
        tl_err_add(err,
                   "guidance (where it runs away, a smaller --guide or --lambda, a later --from or --dtype "
                   "f32 helps)");
    return false;
}

bool tl_steer_guide_gradient(struct tl_walk *walk, struct tl_reward_lens *lens, const char *const *prompts,
                             double *out_total, float *out_d_x, struct tl_err *err)
{
    if (!tl_reward_lens_gradient(lens, walk->x0, prompts, walk->n, out_total, NULL, out_d_x, err))
        return advise(err);
    return tl_walk_pullback(walk, out_d_x, out_d_x, err) &&
           (check_finite(out_d_x, walk->n * walk->dim, "the gradient through the network", err) ||
            advise(err));
}

bool tl_steer_guide_shift(const struct tl_step *step, double strength, double lambda, size_t n,
                          float *gradient, struct tl_err *err)
{
    double factor = strength * lambda * step->sigma * step->sigma;
    for (size_t i = 0; i < n; i++) gradient[i] = (float)(factor * (double)gradient[i]);
    return check_finite(gradient, n, "the shift of the mean", err) || advise(err);
}
