/* One reverse step of a diffusion sampler as plain numbers.
 *
 * From x_t and the network's output m come (all scalar coefficients, the same for every element)
 *     x0   = p_x x + p_m m                     the predicted clean sample
 *     eps  = e_x x + e_m m                     the predicted noise
 *     mean = k_x0 x0 + k_eps eps + k_x x       of the Gaussian transition
 *          = c_x x + c_m m                     when x0 is not clipped: DDPM and DDIM are linear in (x, m)
 *     x_s  = mean + sigma z,  z ~ N(0, 1)
 * so d mean / d m = c_m, which every trajectory loss (PRDP and its peers) multiplies into its gradient. With
 * clip_sample, x0 is clamped to +-clip_range before it enters the mean and the derivative through x0 is 0
 * where it was clamped; eps is left as it is (diffusers' default, use_clipped_model_output false). sigma is
 * the same for every policy, so log-ratios need no normaliser. All coefficients are double, tensors are
 * float. Sources: Ho et al. 2020 eq 7; Song et al. 2021 (DDIM) eq 12, 16; diffusers scheduling_ddpm.py,
 * scheduling_ddim.py. */
#ifndef TL_SAMPLE_SAMPLER_STEP_H
#define TL_SAMPLE_SAMPLER_STEP_H

#include <stdbool.h>
#include <stddef.h>

struct tl_step {
    int t, t_prev; /* timestep given to the network, and the one it leads to; t_prev < 0 means x_0 */
    double alpha_t, alpha_s; /* alpha_bar before and after the step */
    double sigma;            /* scale of the noise; 0: the step is deterministic and has no log-probability */
    double p_x, p_m;
    double e_x, e_m;
    double k_x0, k_eps, k_x;
    double c_x, c_m;
    bool clip;
    double clip_range; /* > 0 when clip */
};

/* Predicted clean sample of one element, clipped if the step clips. */
static inline double tl_step_x0_at(const struct tl_step *s, double x, double m)
{
    double x0 = s->p_x * x + s->p_m * m;
    if (s->clip && x0 > s->clip_range) return s->clip_range;
    if (s->clip && x0 < -s->clip_range) return -s->clip_range;
    return x0; /* a NaN stays a NaN */
}

/* Mean of the transition for one element. Equal m gives bit-equal means, so an unchanged model has log-ratio
 * exactly 0. */
static inline double tl_step_mean_at(const struct tl_step *s, double x, double m)
{
    if (!s->clip) return s->c_x * x + s->c_m * m;
    return s->k_x0 * tl_step_x0_at(s, x, m) + s->k_eps * (s->e_x * x + s->e_m * m) + s->k_x * x;
}

/* d mean / d m of one element: c_m, or only the part through eps where x0 is clamped. */
static inline double tl_step_slope_at(const struct tl_step *s, double x, double m)
{
    if (!s->clip) return s->c_m;
    double x0 = s->p_x * x + s->p_m * m;
    bool inside = x0 >= -s->clip_range && x0 <= s->clip_range;
    return (inside ? s->k_x0 * s->p_m : 0) + s->k_eps * s->e_m;
}

/* x [n], m [n] (after guidance), noise [n] or NULL for none. out_x_prev [n] may be x or m; out_x0 [n] may be
 * NULL. */
void tl_step_apply(const struct tl_step *s, const float *x, const float *m, const float *noise, size_t n,
                   float *out_x_prev, float *out_x0);

/* out_mean [n], may be x or m. */
void tl_step_mean(const struct tl_step *s, const float *x, const float *m, size_t n, float *out_mean);

/* Pulls d_mean [n] back to the step's inputs: out_d_x and out_d_m [n], either may be NULL, either may be
 * d_mean. */
void tl_step_cotangent(const struct tl_step *s, const float *x, const float *m, const float *d_mean, size_t n,
                       float *out_d_x, float *out_d_m);

#endif
