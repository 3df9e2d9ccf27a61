/* What the losses over stored trajectories share: shapes, units, and what is told of each.
 *
 *   r_{theta,t} = log pi_theta(x_s | x_t) - log pi_ref(x_s | x_t),   pi = N(mu, sigma_t^2 I), sigma_t shared
 *
 * A loss is a pure function on arrays: it reads r_theta and r_old of every sample and step and one number a
 * sample (a reward or an advantage), and gives the loss and its derivative by every r_theta in closed form.
 * The trainer (policy_trainer.h) makes the two passes around it: forward without gradient to fill r_theta,
 * then each derivative back through the network. Since r_theta - r_old = log pi_theta / pi_old, the same
 * arrays serve losses of the ratio to the reference (PRDP) and to the snapshot (DDPO).
 *
 * Steps with sigma 0 have no density: their ratio is 0 and their cotangent is 0. Everything is double but the
 * tensors. Units: with `mean` over dims or steps the numbers are smaller by D or T; the published clips (1e-6
 * to 1e-4) are means over dims. */
#ifndef TL_ALGO_POLICY_LOSS_H
#define TL_ALGO_POLICY_LOSS_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

#include "algo/log_ratio.h"

/* Pairs with equal rewards (PRDP). Keep (the default) follows eq 14, so the unclipped loss is exactly the
 * centred regression and its minimum the tilted policy: tied samples pull their ratios together, which is no
 * pull while all ratios are 0. Drop follows the paper's appendix G: a group averages over its untied pairs; a
 * group whose rewards are all equal gives loss and gradient 0 and still counts in n_groups. */
enum tl_policy_ties { TL_POLICY_TIES_KEEP, TL_POLICY_TIES_DROP };

struct tl_policy_params {
    size_t n_groups;   /* prompts */
    size_t group_size; /* B samples of each prompt; sample i belongs to group i / B */
    size_t n_steps;    /* T */
    size_t dim;        /* D, values of one sample; only for the units of stats */
    size_t n_live; /* steps that are learnt from and have a density; 0: all. The ratios of the others are 0 */
    double beta;   /* PRDP: > 0 */
    double clip;   /* >= 0, INFINITY for none; PRDP: half width of the band of a step's log-ratio; DDPO: of
                      the ratio around 1 */
    enum tl_log_ratio_reduce reduce_dims, reduce_steps;
    enum tl_policy_ties ties;
};

struct tl_policy_stats {
    double loss;
    size_t n_pairs, n_ties; /* PRDP: pairs that count; pairs with equal rewards */
    double clip_fraction;   /* share of (sample, live step) outside its band */
    double clipped_pairs;   /* PRDP: share of pairs whose clipped branch was larger */
    double ratio_mean;      /* mean over samples and steps of r_{theta,t}, in the units of the loss */
    double ratio_max;       /* max |r_{theta,t}| */
    double drift_max;       /* max |r_{theta,t} - r_{old,t}|: exactly 0 before the first update */
    double kl_nats; /* mean over samples of log pi_theta/pi_ref of the trajectory, in nats: KL(theta || ref)
                       estimated from samples of theta, so exact in expectation only near the snapshot */
    double correlation; /* of trajectory ratio and reward, both centred in their group; 0 if either is flat */
};

/* ratio, old_ratio [n][n_steps], signal [n], n = n_groups * group_size, all read; out_d_ratio [n][n_steps] or
 * NULL. False: TL_NUMERIC for a number that is not finite (names the sample), TL_USAGE for bad parameters;
 * out_d_ratio is then not touched. */
typedef bool tl_policy_loss(const struct tl_policy_params *p, const double *ratio, const double *old_ratio,
                            const double *signal, double *out_d_ratio, struct tl_policy_stats *out_stats,
                            struct tl_err *err);

/* ---- for the losses ---- */

/* Sizes, clip and finiteness; *out_n the samples. `what` names the loss, `signal_name` its signal. */
bool tl_policy_loss_check(const struct tl_policy_params *p, const char *what, const char *signal_name,
                          const double *ratio, const double *old_ratio, const double *signal, size_t *out_n,
                          struct tl_err *err);

/* What the stats say of single steps (ratio, drift, KL), and out_s [n]: each sample's sum of r_theta over
 * steps (mean with reduce_steps mean). */
void tl_policy_loss_observe(const struct tl_policy_params *p, size_t n, const double *ratio,
                            const double *old_ratio, double *out_s, struct tl_policy_stats *stats);

/* Samples times live steps. */
double tl_policy_loss_cells(const struct tl_policy_params *p, size_t n);

/* Pearson correlation of s and signal, [n], after both are centred in their group. */
double tl_policy_loss_correlation(const struct tl_policy_params *p, const double *s, const double *signal);

#endif
