/* One reverse step of a diffusion sampler as plain numbers.
 *
 * The network sees (c_in x, t) and answers m. From x and m come (all scalar coefficients, the same for every
 * element)
 *     x0   = p_x x + p_m m                     the predicted clean sample
 *     eps  = e_x x + e_m m                     the predicted noise
 *     mean = k_x0 x0 + k_eps eps + k_x x + k_prev x0'   of the Gaussian transition; x0' is the x0 of the step
 *                                              before, which multistep samplers look back to
 *          = c_x x + c_m m + k_prev x0'        when x0 is not clipped: all samplers are linear in (x, m)
 *     x_s  = mean + sigma z,  z ~ N(0, 1)
 * so d mean / d m = c_m, which every trajectory loss (PRDP and its peers) multiplies into its gradient. With
 * clip_sample, x0 is clamped to +-clip_range before it enters the mean and the derivative through x0 is 0
 * where it was clamped; eps is left as it is (diffusers' default, use_clipped_model_output false). sigma is
 * the same for every policy, so log-ratios need no normaliser. All coefficients are double, tensors are
 * float.
 *
 * x is what the sampler walks in: sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps, with c_in = 1; or, of the
 * Euler samplers, that over sqrt(alpha_bar), which c_in = sqrt(alpha_bar) takes back for the network (a
 * derivative by x through the network has this factor, too). Both are x_0 at the end.
 *
 * Sources: Ho et al. 2020 eq 7; Song et al. 2021 (DDIM) eq 12, 16; sampler_table.c names the others'. */
#ifndef TL_SAMPLE_SAMPLER_STEP_H
#define TL_SAMPLE_SAMPLER_STEP_H

#include <stdbool.h>
#include <stddef.h>

struct tl_step {
    double t;   /* timestep given to the network: not whole where sigmas were chosen, not timesteps */
    int t_prev; /* where ddpm and ddim lead; < 0 means x_0. -1 of the others */
    double alpha_t, alpha_s; /* alpha_bar before and after the step */
    double c_in;             /* the network sees c_in x */
    double start;            /* a walk that begins with this step begins at start times unit noise */
    double sigma;            /* scale of the noise; 0: the step is deterministic and has no log-probability */
    double p_x, p_m;
    double e_x, e_m;
    double k_x0, k_eps, k_x;
    double k_prev; /* of x0 one step before; 0: this step does not look back */
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

/* Whether x0 of one element stands at the clip, so that neither x nor m moves it. */
static inline bool tl_step_clips_at(const struct tl_step *s, double x, double m)
{
    double x0 = s->p_x * x + s->p_m * m;
    return s->clip && (x0 > s->clip_range || x0 < -s->clip_range);
}

/* Whether any of the steps looks back, so that whoever walks them keeps x0. */
static inline bool tl_steps_look_back(const struct tl_step *steps, size_t n)
{
    for (size_t k = 0; k < n; k++)
        if (steps[k].k_prev != 0) return true;
    return false;
}

/* Mean of the transition for one element, without k_prev x0'. Equal m gives bit-equal means, so an unchanged
 * model has log-ratio exactly 0. */
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
 * NULL. Of a step that does not look back. */
void tl_step_apply(const struct tl_step *s, const float *x, const float *m, const float *noise, size_t n,
                   float *out_x_prev, float *out_x0);

/* The same of any step. x0_before [n]: x0 of the step before, looked at only where the step looks back. */
void tl_step_apply_after(const struct tl_step *s, const float *x, const float *m, const float *x0_before,
                         const float *noise, size_t n, float *out_x_prev);

/* Of a step that does not look back. out_mean [n], may be x or m. */
void tl_step_mean(const struct tl_step *s, const float *x, const float *m, size_t n, float *out_mean);

/* Pulls d_mean [n] back to the step's inputs: out_d_x and out_d_m [n], either may be NULL, either may be
 * d_mean. */
void tl_step_cotangent(const struct tl_step *s, const float *x, const float *m, const float *d_mean, size_t n,
                       float *out_d_x, float *out_d_m);

#endif
