/* PRDP (Deng et al., CVPR 2024, arXiv 2402.08714): regress the difference of two samples' trajectory
 * log-ratios on the difference of their rewards, for all pairs of samples of one prompt, with a proximal clip
 * of each step.
 *
 *   r_{theta,t} = log pi_theta(x_s | x_t) - log pi_ref(x_s | x_t),   pi = N(mu, sigma_t^2 I), sigma_t shared
 *   s_i    = sum_t r_{theta,t}[i]                                             (mean over t with reduce_steps
 * mean) c_i    = sum_t clip(r_{theta,t}[i], r_{old,t}[i] - clip, r_{old,t}[i] + clip) l_ij   = max( (s_i -
 * s_j - (R_i - R_j)/beta)^2, (c_i - c_j - (R_i - R_j)/beta)^2 )          eq 18, 20, 21 loss   = 1 / (n_groups
 * * B (B-1) / 2) * sum over groups and pairs i < j of l_ij
 *
 * Two passes: pass 1 fills the ratios without gradient; tl_prdp_loss gives the loss and d loss / d
 * r_{theta,t}[i] in closed form; pass 2 walks the steps, and tl_prdp_output_cotangent turns that number into
 * the gradient of the network's output. Where both branches of the maximum are equal the unclipped one is
 * taken, so inside the band the gradient is whole.
 *
 * Steps with sigma 0 have no density: their ratio is 0 and their cotangent is 0. Everything is double but the
 * tensors. Units: with `mean` over dims or steps the numbers are smaller by D or T, and so is beta in nats
 * (tl_prdp_beta_nats); the published settings (clip 1e-6 to 1e-4) seem to be mean over dims. */
#ifndef TL_ALGO_PRDP_H
#define TL_ALGO_PRDP_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

#include "sample/sampler_step.h"

enum tl_prdp_reduce { TL_PRDP_SUM, TL_PRDP_MEAN };

/* Pairs with equal rewards. Keep (the default) follows eq 14, so the unclipped loss is exactly the centred
 * regression and its minimum the tilted policy: tied samples pull their ratios together, which is no pull
 * while all ratios are 0. Drop follows the paper's appendix G: a group averages over its untied pairs; a
 * group whose rewards are all equal gives loss and gradient 0 and still counts in n_groups. */
enum tl_prdp_ties { TL_PRDP_TIES_KEEP, TL_PRDP_TIES_DROP };

struct tl_prdp_params {
    size_t n_groups;   /* prompts */
    size_t group_size; /* B >= 2 samples of each prompt; sample i belongs to group i / B */
    size_t n_steps;    /* T */
    size_t dim;        /* D, values of one sample; only for the units of stats */
    double beta;       /* > 0 */
    double clip;       /* >= 0, half width of the band per step; INFINITY for none */
    enum tl_prdp_reduce reduce_dims, reduce_steps;
    enum tl_prdp_ties ties;
};

struct tl_prdp_stats {
    double loss;
    size_t n_pairs, n_ties; /* pairs that count; pairs with equal rewards */
    double clip_fraction;   /* share of (sample, step) outside its band */
    double clipped_pairs;   /* share of pairs whose clipped branch was larger */
    double ratio_mean;      /* mean over samples and steps of r_{theta,t}, in the units of the loss */
    double ratio_max;       /* max |r_{theta,t}| */
    double drift_max;       /* max |r_{theta,t} - r_{old,t}|: exactly 0 before the first update */
    double kl_nats; /* mean over samples of log pi_theta/pi_ref of the trajectory, in nats: KL(theta || ref)
                       estimated from samples of theta, so exact in expectation only near the snapshot */
    double correlation; /* of trajectory ratio and reward, both centred in their group; 0 if either is flat */
};

/* beta of the objective E[R] - beta KL in nats: beta / (D if mean over dims) / (T if mean over steps). */
double tl_prdp_beta_nats(const struct tl_prdp_params *p);

/* ratio, old_ratio [n][n_steps], rewards [n], n = n_groups * group_size, all read; out_d_ratio [n][n_steps]
 * or NULL. False: TL_NUMERIC for a reward or ratio that is not finite (names the sample), TL_USAGE for bad
 * parameters; out_d_ratio is then not touched. */
bool tl_prdp_loss(const struct tl_prdp_params *p, const double *ratio, const double *old_ratio,
                  const double *rewards, double *out_d_ratio, struct tl_prdp_stats *out_stats,
                  struct tl_err *err);

/* Log-ratio of one sample's step in direct form, accumulated in double:
 *     d . ((x_s - mu_ref) + (x_s - mu)) / (2 sigma^2),  d = mu - mu_ref
 * Never the difference of two log-probs: that loses what the clip compares. 0 if sigma is 0. mu, mu_ref,
 * x_prev [dim]. */
double tl_prdp_log_ratio(const float *mu, const float *mu_ref, const float *x_prev, double sigma, size_t dim,
                         enum tl_prdp_reduce reduce);

/* The same from network outputs, without means rounded to float: more exact where the policies are close
 * (there, a float mean's rounding is as large as d). m, m_ref after guidance. Equal outputs give exactly 0.
 */
double tl_prdp_output_log_ratio(const struct tl_step *step, const float *x, const float *m,
                                const float *m_ref, const float *x_prev, size_t dim,
                                enum tl_prdp_reduce reduce);

/* KL(N(mu, sigma^2) || N(mu_ref, sigma^2)) = |mu - mu_ref|^2 / (2 sigma^2) of one step, in nats; 0 if sigma
 * is 0. */
double tl_prdp_output_kl(const struct tl_step *step, const float *x, const float *m, const float *m_ref,
                         size_t dim);

/* d_ratio * d r / d mu = d_ratio (x_prev - mu) / sigma^2, over D if mean. out_d_mu [dim], may be mu or
 * x_prev. */
void tl_prdp_mu_cotangent(double d_ratio, const float *mu, const float *x_prev, double sigma, size_t dim,
                          enum tl_prdp_reduce reduce, float *out_d_mu);

/* The same carried on to the network's output after guidance: times c_m (or the clipped step's slope).
 * out_d_m [dim] may be any of the inputs. */
void tl_prdp_output_cotangent(double d_ratio, const struct tl_step *step, const float *x, const float *m,
                              const float *x_prev, size_t dim, enum tl_prdp_reduce reduce, float *out_d_m);

/* Through m = m_u + w (m_c - m_u): d_c = w d_m, d_u = (1 - w) d_m. [n]; either output may be d_m or NULL. */
void tl_prdp_guidance_cotangent(double guidance, const float *d_m, size_t n, float *out_d_cond,
                                float *out_d_uncond);

#endif
