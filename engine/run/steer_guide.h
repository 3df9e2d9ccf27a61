/* Where the particles of a walk would rather be: the gradient of a reward of x0hat(x) by x, which moves the
 * mean of a guided proposal.
 *
 *     r(x0hat(x)),  x0hat = p_x x + p_m m(c_in x, t), clipped where the step clips
 * d r / d x0 comes from the lens, on through the network goes tl_walk_pullback. The proposal is
 * N(mean + S sigma^2 lambda d r / d x, sigma^2): S = 1 moves as far as an optimal twist of small steps would.
 * Any S, and any gradient, leaves the target as it is: tl_walk_advance's log-ratio goes into the weights.
 * Source: Wu et al. 2023, "Practical and asymptotically exact conditional sampling" (twisted proposals). */
#ifndef TL_RUN_STEER_GUIDE_H
#define TL_RUN_STEER_GUIDE_H

#include "run/reward_lens.h"
#include "sample/walk.h"

/* After tl_walk_predict; prompts [walk->n] as of tl_reward_lens_score. out_total [n] (may be NULL): rewards
 * of walk->x0. out_d_x [n][dim]. TL_NUMERIC, with advice, where a number is not finite. */
bool tl_steer_guide_gradient(struct tl_walk *walk, struct tl_reward_lens *lens, const char *const *prompts,
                             double *out_total, float *out_d_x, struct tl_err *err);

/* Turns gradients [n] into the shift of the step's mean. TL_NUMERIC where float cannot hold it. */
bool tl_steer_guide_shift(const struct tl_step *step, double strength, double lambda, size_t n,
                          float *gradient, struct tl_err *err);

#endif
