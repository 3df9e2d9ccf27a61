/* Log-ratio of one Gaussian transition under two policies that share its sigma, and its derivatives.
 *
 *     r = log N(x_s; mu, sigma^2) - log N(x_s; mu_ref, sigma^2)
 *       = d . ((x_s - mu_ref) + (x_s - mu)) / (2 sigma^2),     d = mu - mu_ref
 *
 * In this direct form, accumulated in double; never the difference of two log-probs, which loses what a clip
 * compares. A step with sigma 0 has no density: ratio and cotangent are 0. */
#ifndef TL_ALGO_LOG_RATIO_H
#define TL_ALGO_LOG_RATIO_H

#include <stddef.h>

#include "sample/sampler_step.h"

/* Over the D values of a sample, or over steps. */
enum tl_log_ratio_reduce { TL_LOG_RATIO_SUM, TL_LOG_RATIO_MEAN };

/* From means. mu, mu_ref, x_prev [dim]. */
double tl_log_ratio_mean(const float *mu, const float *mu_ref, const float *x_prev, double sigma, size_t dim,
                         enum tl_log_ratio_reduce reduce);

/* From network outputs (after guidance), without means rounded to float: more exact where the policies are
 * close (there, a float mean's rounding is as large as d). Equal outputs give exactly 0. */
double tl_log_ratio_output(const struct tl_step *step, const float *x, const float *m, const float *m_ref,
                           const float *x_prev, size_t dim, enum tl_log_ratio_reduce reduce);

/* KL(N(mu, sigma^2) || N(mu_ref, sigma^2)) = |mu - mu_ref|^2 / (2 sigma^2) of one step, in nats. */
double tl_log_ratio_kl(const struct tl_step *step, const float *x, const float *m, const float *m_ref,
                       size_t dim);

/* d_ratio * d r / d mu = d_ratio (x_prev - mu) / sigma^2, over D if mean. out_d_mu [dim], may be mu or
 * x_prev. */
void tl_log_ratio_mean_cotangent(double d_ratio, const float *mu, const float *x_prev, double sigma,
                                 size_t dim, enum tl_log_ratio_reduce reduce, float *out_d_mu);

/* The same carried on to the network's output after guidance: times c_m (or the clipped step's slope).
 * out_d_m [dim] may be any of the inputs. */
void tl_log_ratio_output_cotangent(double d_ratio, const struct tl_step *step, const float *x, const float *m,
                                   const float *x_prev, size_t dim, enum tl_log_ratio_reduce reduce,
                                   float *out_d_m);

/* Through m = m_u + w (m_c - m_u): d_c = w d_m, d_u = (1 - w) d_m. [n]; either output may be d_m or NULL. */
void tl_log_ratio_guidance_cotangent(double guidance, const float *d_m, size_t n, float *out_d_cond,
                                     float *out_d_uncond);

#endif
