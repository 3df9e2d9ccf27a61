/* Policy gradients on stored trajectories, without prompts, pictures or rewards: draw groups of trajectories
 * from the present policy, then, given a number a sample, make K passes of M updates of a loss
 * (policy_loss.h) in two passes each: forward through every step without gradient, then each step's
 * derivative back through the network.
 *
 * Samples are laid out group by group (all samples of one prompt behind each other) and always run through
 * the network in the same chunks of `batch` samples, so that old, reference and new outputs of an unchanged
 * policy are the same bytes and its log-ratios exactly zero. Memory: x and the reference's output of every
 * step for all samples, the present output of every step for one minibatch; activations of one step only.
 *
 * Source: Deng et al. 2024 (PRDP), algorithm 1; Black et al. 2024 (DDPO). */
#ifndef TL_ALGO_POLICY_TRAINER_H
#define TL_ALGO_POLICY_TRAINER_H

#include "algo/policy_loss.h"
#include "nn/optimizer.h"
#include "sample/denoiser.h"
#include "sample/scheduler.h"
#include "sample/trajectory.h"

struct tl_policy_trainer_params {
    struct tl_component *unet; /* borrowed */
    const struct tl_scheduler *scheduler;
    struct tl_plan_params sampling; /* steps, eta, last step */
    int n_groups, group_size;       /* prompts, samples per prompt that are learnt from */
    int draw_size;                  /* samples per prompt that are drawn; 0: group_size */
    int minibatches;                /* M: updates per pass; divides n_groups */
    int passes;                     /* K */
    int learn_steps; /* the loss sees the first (noisiest) so many of the sampler's steps; 0: all */
    int batch;       /* samples per network run; 0: as many as fit a minibatch, at most 64 */
    int64_t height, width, tokens;   /* of the latents, of the context */
    double guidance;                 /* <= 1: one branch, conditional only */
    const struct tl_lora_spec *lora; /* NULL: all weights are trained */
    bool checkpoint;
    tl_policy_loss *objective;
    struct tl_policy_params loss; /* beta, clip, reductions, ties; the sizes are filled in */
    bool (*go_on)(
        void *user); /* asked before each network run; false: leave with TL_INTERRUPTED. May be NULL */
    void *user;
    struct tl_adamw_params adamw;
    uint64_t seed;
};

struct tl_policy_trainer {
    struct tl_policy_trainer_params p;
    struct tl_denoiser *denoiser;
    struct tl_step *steps;            /* [n_steps]; owns */
    struct tl_store *weights, *grads; /* LoRA, or the UNet's own weights (then not owned) */
    struct tl_store *reference;       /* full fine-tuning: a copy of the starting weights */
    struct tl_optimizer *optimizer;
    struct tl_trajectory paths; /* x of every step, ratios */
    float *m_ref;               /* [n_steps][n][dim] */
    float *m;                   /* [n_steps][minibatch][dim] */
    struct tl_trajectory drawn; /* x of every step of what is drawn, where that is more than is learnt from */
    float *m_drawn;             /* the network's output in these: [n_learn][n_drawn][dim] */
    size_t n, dim;              /* samples; floats of one */
    size_t n_drawn;             /* samples of a draw: n_groups * draw_size */
    size_t n_learn;             /* steps that the loss sees: the ratios of later ones stay 0 */
};

/* What create checks of the numbers alone (TL_USAGE): for a caller that wants to know before it loads a
 * model. */
bool tl_policy_trainer_check(const struct tl_policy_trainer_params *params, struct tl_err *err);

struct tl_policy_trainer *tl_policy_trainer_create(const struct tl_policy_trainer_params *params,
                                                   struct tl_err *err);
void tl_policy_trainer_destroy(struct tl_policy_trainer **trainer);

/* Conditions of all n samples; with guidance uncond holds the negative ones: each [n, tokens, D] (and SDXL's
 * parts) by sample. */
struct tl_policy_conditions {
    const float *(*context)(void *user, size_t sample, bool negative);     /* [tokens, D] */
    const float *(*text_embeds)(void *user, size_t sample, bool negative); /* [P] or NULL function */
    const float *(*time_ids)(void *user, size_t sample);                   /* [6] or NULL function */
    void *user;
};

/* Draws n_drawn trajectories (TL_INTERRUPTED: none are there), draw_size a group; sample i starts from the
 * noise of number first_sample + i, and is sample i to `conditions`. */
bool tl_policy_trainer_draw(struct tl_policy_trainer *t, const struct tl_policy_conditions *conditions,
                            uint32_t first_sample, struct tl_err *err);

/* The results x_0 of the draw: [n_drawn][dim], borrowed. */
const float *tl_policy_trainer_results(const struct tl_policy_trainer *t);

/* Takes those of the draw that are learnt from: which [n], numbers of the draw, group_size of each group in
 * turn; NULL where all are. Fills paths.x, m_ref, old_ratio. `conditions` counts the samples that are kept.
 */
bool tl_policy_trainer_keep(struct tl_policy_trainer *t, const struct tl_policy_conditions *conditions,
                            const size_t *which, struct tl_err *err);

/* The snapshot's ratios for the trajectories that are there: what an epoch on stored samples begins with. */
bool tl_policy_trainer_snapshot(struct tl_policy_trainer *t, const struct tl_policy_conditions *conditions,
                                struct tl_err *err);

/* m_ref for trajectories that were put into paths.x from outside (a resumed run's stored samples): the bytes
 * that draw would leave. */
bool tl_policy_trainer_reference(struct tl_policy_trainer *t, const struct tl_policy_conditions *conditions,
                                 struct tl_err *err);

/* Where an epoch's updates stand, and sums over those made. Zeroed: at the beginning. Plain data, which a
 * checkpoint may keep as bytes: an interrupted epoch goes on from it, given the same trajectories, old ratios
 * and signal. */
struct tl_policy_epoch {
    int64_t updates, skipped;           /* made; of these without effect, for gradients that are not finite */
    struct tl_policy_stats first, last; /* of the first and of the last minibatch's loss */
    double loss, grad_norm;             /* sums over updates; norms before clipping, of updates with effect */
    double clip_fraction, ratio_move;   /* sums: outside the band; |r - r_old| at most */
    double kl_ref_nats; /* log pi_old / pi_ref of the trajectories, mean over samples: estimates KL(old ||
                           reference) if old drew them */
};

/* The updates that are left of K passes over M minibatches. signal [n]: rewards or advantages, as the loss
 * takes them. number keys the order of minibatches. TL_INTERRUPTED leaves *epoch and the weights as after
 * the last whole update. TL_NUMERIC where a ratio or every gradient is not finite. */
bool tl_policy_trainer_update(struct tl_policy_trainer *t, const struct tl_policy_conditions *conditions,
                              const double *signal, uint32_t number, struct tl_policy_epoch *epoch,
                              struct tl_err *err);

/* Samples from the present policy (or, with reference, the untouched one) without keeping anything: x_T of
 * numbers first + i of `seed`. out [n, dim] for any n; conditions by sample. */
bool tl_policy_trainer_sample(struct tl_policy_trainer *t, const struct tl_policy_conditions *conditions,
                              size_t n, uint64_t seed, uint32_t first, bool reference, float *out,
                              struct tl_err *err);

#endif
