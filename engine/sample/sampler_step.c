#include "sample/sampler_step.h"

#include <assert.h>

void tl_step_apply(const struct tl_step *s, const float *x, const float *m, const float *noise, size_t n,
                   float *out_x_prev, float *out_x0)
{
    assert(s->k_prev == 0);
    double sigma = noise ? s->sigma : 0;
    for (size_t i = 0; i < n; i++) {
        double xi = (double)x[i], mi = (double)m[i];
        double next = tl_step_mean_at(s, xi, mi);
        if (sigma > 0) next += sigma * (double)noise[i];
        if (out_x0) out_x0[i] = (float)tl_step_x0_at(s, xi, mi);
        out_x_prev[i] = (float)next;
    }
}

void tl_step_apply_after(const struct tl_step *s, const float *x, const float *m, const float *x0_before,
                         const float *noise, size_t n, float *out_x_prev)
{
    if (s->k_prev == 0) {
        tl_step_apply(s, x, m, noise, n, out_x_prev, NULL);
        return;
    }
    double sigma = noise ? s->sigma : 0;
    for (size_t i = 0; i < n; i++) {
        double next = tl_step_mean_at(s, (double)x[i], (double)m[i]) + s->k_prev * (double)x0_before[i];
        if (sigma > 0) next += sigma * (double)noise[i];
        out_x_prev[i] = (float)next;
    }
}

void tl_step_mean(const struct tl_step *s, const float *x, const float *m, size_t n, float *out_mean)
{
    assert(s->k_prev == 0);
    for (size_t i = 0; i < n; i++) out_mean[i] = (float)tl_step_mean_at(s, (double)x[i], (double)m[i]);
}

/* d mean / d x, as tl_step_slope_at is for m. */
static double slope_x(const struct tl_step *s, double x, double m)
{
    if (!s->clip) return s->c_x;
    double x0 = s->p_x * x + s->p_m * m;
    bool inside = x0 >= -s->clip_range && x0 <= s->clip_range;
    return (inside ? s->k_x0 * s->p_x : 0) + s->k_eps * s->e_x + s->k_x;
}

void tl_step_cotangent(const struct tl_step *s, const float *x, const float *m, const float *d_mean, size_t n,
                       float *out_d_x, float *out_d_m)
{
    for (size_t i = 0; i < n; i++) {
        double xi = (double)x[i], mi = (double)m[i], d = (double)d_mean[i];
        if (out_d_x) out_d_x[i] = (float)(d * slope_x(s, xi, mi));
        if (out_d_m) out_d_m[i] = (float)(d * tl_step_slope_at(s, xi, mi));
    }
}
