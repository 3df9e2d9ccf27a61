/* DDPO (Black et al., ICLR 2024, arXiv 2305.13301): policy gradients on the steps of the sampler.
 *
 * Importance-weighted (DDPO-IS), with PPO's clip on each step's ratio to the snapshot:
 *
 *   rho_t[i] = exp(r_{theta,t}[i] - r_{old,t}[i]) = pi_theta / pi_old
 *   loss     = 1/(n T) sum_{i,t} max( -A_i rho_t[i], -A_i clip(rho_t[i], 1 - clip, 1 + clip) )
 *
 * Plain (DDPO-SF, the score function), right for one update an epoch only, while theta is the snapshot:
 *
 *   loss     = -1/(n T) sum_{i,t} A_i r_{theta,t}[i]
 *
 * The signal A is the advantage (advantage.h). T counts live steps. r, units and arrays:
 * policy_loss.h. Equation and defaults: the authors' released trainer (kvablack/ddpo-pytorch,
 * scripts/train.py), whose log-probs are means over dims with clip 1e-4. */
#ifndef TL_ALGO_DDPO_H
#define TL_ALGO_DDPO_H

#include "algo/policy_loss.h"

tl_policy_loss tl_ddpo_loss, tl_ddpo_plain_loss;

#endif
