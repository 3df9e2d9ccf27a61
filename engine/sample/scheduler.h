/* Schedulers as diffusers' configs name them: which timesteps a sampler visits and what each step does.
 *
 * A scheduler is its config plus the noise schedule; a plan is an array of `struct tl_step`, one per
 * denoising step, ready for any batch. Samplers are rows of one table (`ddpm`, `ddim`); a config names its
 * own, a caller may take the other, since both read the same fields. Nothing here knows tensors or devices.
 *
 *     struct tl_scheduler s;
 *     tl_scheduler_init(&s, &config, &err);
 *     tl_scheduler_plan(&s, &(struct tl_plan_params){.n_steps = 50, .eta = 1}, steps, &err);   // steps[50]
 *     for k in 0..49: m = network(x, steps[k].t); tl_step_apply(&steps[k], x, m, noise, n, x, NULL);
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

/* The fields of scheduler_config.json, absent ones already filled (scheduler_config.h reads the file). */
struct tl_scheduler_config {
    char class_name[64]; /* `_class_name`, kept for messages */
    const char *sampler; /* a row of the sampler table; static */
    struct tl_beta_params beta;
    enum tl_prediction prediction;
    enum tl_spacing spacing;
    int steps_offset;      /* added to the timesteps of leading spacing */
    bool set_alpha_to_one; /* DDIM: alpha_bar after the last step is 1, else alpha_bar[0] */
    bool clip_sample;
    double clip_sample_range; /* > 0 when clip_sample */
    enum tl_variance variance;
};

struct tl_scheduler {
    struct tl_scheduler_config config; /* its beta.trained_betas is NULL: not kept after init */
    struct tl_noise_schedule noise;    /* owned */
};

struct tl_plan_params {
    const char *sampler; /* NULL: the config's */
    int n_steps;         /* 1 .. num_train_timesteps */
    double eta; /* DDIM, 0 .. 1: 0 is deterministic, 1 has DDPM's posterior variance. DDPM ignores it */
    enum tl_last_step last;
};

/* One row a sampler. */
struct tl_sampler {
    const char *name, *help;
    bool ends_at_one; /* alpha_bar after the last step is 1 whatever set_alpha_to_one says */
    /* Where step k of n leads (index into alpha_bar, negative for x_0). timesteps [n] are the plan's. */
    int (*previous)(const struct tl_scheduler *s, const int *timesteps, int k, int n);
    /* Fills sigma, k_x0, k_eps, k_x from alpha_t and alpha_s, which are set, and t, which is > 0 where noise
     * is due. */
    void (*step)(const struct tl_scheduler *s, const struct tl_plan_params *p, bool zero_sigma,
                 struct tl_step *out);
};

extern const struct tl_sampler tl_samplers[];
extern const size_t tl_n_samplers;

/* NULL when there is no such row. */
const struct tl_sampler *tl_sampler_find(const char *name);

const char *tl_spacing_name(enum tl_spacing spacing);
const char *tl_variance_name(enum tl_variance variance);
const char *tl_last_step_name(enum tl_last_step last);

/* The defaults of diffusers' DDIMScheduler and DDPMScheduler, with DDIM as sampler. */
struct tl_scheduler_config tl_scheduler_config_default(void);

/* config is copied; what beta.trained_betas points to is not kept. */
bool tl_scheduler_init(struct tl_scheduler *s, const struct tl_scheduler_config *config, struct tl_err *err);
void tl_scheduler_finish(struct tl_scheduler *s);

/* out [n], falling. False: n outside 1 .. num_train_timesteps, or steps_offset pushes one beyond the
 * schedule. */
bool tl_scheduler_timesteps(const struct tl_scheduler *s, int n, int *out, struct tl_err *err);

/* out [p->n_steps]. False with a message on a bad parameter, or where the prediction type cannot give x0
 * (epsilon at alpha_bar 0: a zero-SNR schedule needs v_prediction). */
bool tl_scheduler_plan(const struct tl_scheduler *s, const struct tl_plan_params *p, struct tl_step *out,
                       struct tl_err *err);

#endif
