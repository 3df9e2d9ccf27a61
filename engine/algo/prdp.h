/* PRDP (Deng et al., CVPR 2024, arXiv 2402.08714): regress the difference of two samples' trajectory
 * log-ratios on the difference of their rewards, for all pairs of samples of one prompt, with a proximal clip
 * of each step.
 *
 *   s_i    = sum_t r_{theta,t}[i]                                     (mean over t with reduce_steps mean)
 *   c_i    = sum_t clip(r_{theta,t}[i], r_{old,t}[i] - clip, r_{old,t}[i] + clip)
 *   l_ij   = max( (s_i - s_j - (R_i - R_j)/beta)^2, (c_i - c_j - (R_i - R_j)/beta)^2 )      eq 18, 20, 21
 *   loss   = 1 / (n_groups * B (B-1) / 2) * sum over groups and pairs i < j of l_ij
 *
 * Where both branches of the maximum are equal the unclipped one is taken, so inside the band the gradient is
 * whole. r, units and arrays: policy_loss.h. */
#ifndef TL_ALGO_PRDP_H
#define TL_ALGO_PRDP_H

#include "algo/policy_loss.h"

/* beta of the objective E[R] - beta KL in nats: beta / (D if mean over dims) / (T if mean over steps). */
double tl_prdp_beta_nats(const struct tl_policy_params *p);

/* The signal is the reward; group_size >= 2. */
tl_policy_loss tl_prdp_loss;

#endif
