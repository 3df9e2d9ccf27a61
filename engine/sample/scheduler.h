/* Schedulers as diffusers' configs name them: which timesteps a sampler visits and what each step does.
 *
 * A scheduler is its config plus the noise schedule; a plan is an array of `struct tl_step`, one per
 * denoising step, ready for any batch. Samplers are rows of one table (`ddpm`, `euler`, ...); a config names
 * its own, a caller may take another, since all read the same fields. Nothing here knows tensors or devices.
 *
 *     struct tl_scheduler s;
 *     tl_scheduler_init(&s, &config, &err);
 *     tl_scheduler_plan(&s, &(struct tl_plan_params){.n_steps = 50, .eta = 1}, steps, &err);   // steps[50]
 *     x = steps[0].start * unit noise
 *     for k in 0..49: m = network(c_in x, steps[k].t); x = tl_step_apply_after(&steps[k], x, m, ...);
 *     tl_scheduler_finish(&s);
 */
#ifndef TL_SAMPLE_SCHEDULER_H
#define TL_SAMPLE_SCHEDULER_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

#include "sample/noise_schedule.h"
#include "sample/sampler_step.h"

enum tl_spacing { TL_SPACING_LEADING, TL_SPACING_TRAILING, TL_SPACING_LINSPACE, TL_SPACINGS };

/* DDPM's sigma^2: the posterior variance (small and small_log are the same number), or the step's beta. */
enum tl_variance {
    TL_VARIANCE_FIXED_SMALL,
    TL_VARIANCE_FIXED_SMALL_LOG,
    TL_VARIANCE_FIXED_LARGE,
    TL_VARIANCES
};

/* What the last step does. Its density would be a spike (DDPM: alpha_bar 1 after it), so a trajectory loss
 * has to say how it is treated; tl_last_step_name gives the word to print. */
enum tl_last_step {
    TL_LAST_ZERO, /* sigma = 0: the mean is returned, the step has no log-ratio and no gradient. The default
                   */
    TL_LAST_DIFFUSERS, /* as the scheduler class does; DDIM with set_alpha_to_one false has a small sigma
                          there */
    TL_LAST_CLAMP,     /* alpha_bar after it is alpha_bar[0], as ddpo-pytorch has it, so that sigma > 0 */
    TL_LAST_STEPS,
};

/* Which noise levels a sampler of sigmas visits: those of its timesteps, or Karras et al. 2022 eq 5 with
 * rho 7. */
enum tl_sigmas { TL_SIGMAS_OWN, TL_SIGMAS_PLAIN, TL_SIGMAS_KARRAS, TL_SIGMAS }; /* own: the config's */

/* The fields of scheduler_config.json, absent ones already filled (scheduler_config.h reads the file). */
struct tl_scheduler_config {
    char class_name[64]; /* `_class_name`, kept for messages */
    const char *sampler; /* a row of the sampler table; static */
    struct tl_beta_params beta;
    enum tl_prediction prediction;
    enum tl_spacing spacing;
    bool spacing_unsaid; /* the file has none: `spacing` is its class's, and samplers of sigmas that the class
                            does not name take linspace, their classes' own (as from_config does) */
    int steps_offset;    /* added to the timesteps of leading spacing */
    bool set_alpha_to_one; /* DDIM: alpha_bar after the last step is 1, else alpha_bar[0] */
    bool clip_sample;
    double clip_sample_range; /* > 0 when clip_sample */
    enum tl_variance variance;
    /* samplers of sigmas */
    bool karras;          /* use_karras_sigmas */
    bool final_sigma_min; /* final_sigmas_type sigma_min: the last step leads to timestep 0's sigma, not to 0
                           */
    /* dpmpp2m, dpmpp2m_sde */
    int solver_order;          /* 1 or 2 */
    bool lower_order_final;    /* the last step is of first order when there are less than 15 */
    bool euler_at_final;       /* it is so always; without final_sigma_min, too */
    double lambda_min_clipped; /* timesteps whose log(alpha / sigma) is below are left out; -INFINITY: none */
};

struct tl_scheduler {
    struct tl_scheduler_config config; /* its beta.trained_betas is NULL: not kept after init */
    struct tl_noise_schedule noise;    /* owned */
};

struct tl_plan_params {
    const char *sampler; /* NULL: the config's */
    int n_steps;         /* 1 .. num_train_timesteps */
    double eta; /* DDIM, 0 .. 1: 0 is deterministic, 1 has DDPM's posterior variance. Others ignore it */
    enum tl_last_step last; /* clamp: ddpm and ddim only */
    enum tl_sigmas sigmas;  /* karras is refused where the sampler has none */
};

/* What a step of a sampler of sigmas is made from. sigma = sqrt((1 - alpha_bar) / alpha_bar). */
struct tl_sigma_levels {
    double before; /* of the step before; 0: there is none, or it is not to be looked at */
    double now, next;
};

/* How a sampler walks: over timesteps of alpha_bar, or over sigmas as diffusers' Euler or DPM-Solver classes
 * choose them. */
enum tl_sampler_family { TL_FAMILY_ALPHA, TL_FAMILY_EULER, TL_FAMILY_DPM };

/* One row a sampler. */
struct tl_sampler {
    const char *name, *title, *help; /* title: as other programs write it, "Euler a" */
    enum tl_sampler_family family;
    bool stochastic; /* its steps add noise (but the last); ddim's where eta > 0 */
    bool takes_eta;
    bool karras;      /* has Karras' sigmas */
    bool looks_back;  /* multistep: not a Markov chain, so no trajectory loss */
    bool ends_at_one; /* alpha_bar after the last step is 1 whatever set_alpha_to_one says */
    /* TL_FAMILY_ALPHA: */
    /* Where step k of n leads (index into alpha_bar, negative for x_0). timesteps [n] are the plan's. */
    int (*previous)(const struct tl_scheduler *s, const int *timesteps, int k, int n);
    /* Fills sigma, k_x0, k_eps, k_x from alpha_t and alpha_s, which are set, and t, which is > 0 where noise
     * is due. */
    void (*step)(const struct tl_scheduler *s, const struct tl_plan_params *p, bool zero_sigma,
                 struct tl_step *out);
    /* The others: fills sigma, k_x0, k_eps, k_x, k_prev. */
    void (*sigma_step)(const struct tl_sigma_levels *at, struct tl_step *out);
};

extern const struct tl_sampler tl_samplers[];
extern const size_t tl_n_samplers;

/* NULL when there is no such row. */
const struct tl_sampler *tl_sampler_find(const char *name);

/* Whether trajectory losses can train on it: x is the network's own input and steps do not look back. */
static inline bool tl_sampler_trains(const struct tl_sampler *sampler)
{
    return sampler->family == TL_FAMILY_ALPHA;
}

const char *tl_spacing_name(enum tl_spacing spacing);
const char *tl_variance_name(enum tl_variance variance);
const char *tl_last_step_name(enum tl_last_step last);

/* The defaults of diffusers' DDIMScheduler and DDPMScheduler, with DDIM as sampler. */
struct tl_scheduler_config tl_scheduler_config_default(void);

/* config is copied; what beta.trained_betas points to is not kept. */
bool tl_scheduler_init(struct tl_scheduler *s, const struct tl_scheduler_config *config, struct tl_err *err);
void tl_scheduler_finish(struct tl_scheduler *s);

/* The timesteps of TL_FAMILY_ALPHA. out [n], falling. False: n outside 1 .. num_train_timesteps, or
 * steps_offset pushes one beyond the schedule. */
bool tl_scheduler_timesteps(const struct tl_scheduler *s, int n, int *out, struct tl_err *err);

/* out [p->n_steps]. False with a message on a bad parameter, or where the prediction type cannot give x0
 * (epsilon at alpha_bar 0: a zero-SNR schedule needs v_prediction). */
bool tl_scheduler_plan(const struct tl_scheduler *s, const struct tl_plan_params *p, struct tl_step *out,
                       struct tl_err *err);

/* Whether the plan for p visits Karras' sigmas: what p says, else the config where the sampler has them. */
bool tl_scheduler_karras(const struct tl_scheduler *s, const struct tl_plan_params *p);

#endif
