#include "sample/scheduler.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sample/sigmas.h"

const char *tl_spacing_name(enum tl_spacing spacing)
{
    static const char *const names[TL_SPACINGS] = {[TL_SPACING_LEADING] = "leading",
                                                   [TL_SPACING_TRAILING] = "trailing",
                                                   [TL_SPACING_LINSPACE] = "linspace"};
    return (unsigned)spacing < TL_SPACINGS ? names[spacing] : NULL;
}

const char *tl_variance_name(enum tl_variance variance)
{
    static const char *const names[TL_VARIANCES] = {[TL_VARIANCE_FIXED_SMALL] = "fixed_small",
                                                    [TL_VARIANCE_FIXED_SMALL_LOG] = "fixed_small_log",
                                                    [TL_VARIANCE_FIXED_LARGE] = "fixed_large"};
    return (unsigned)variance < TL_VARIANCES ? names[variance] : NULL;
}

const char *tl_last_step_name(enum tl_last_step last)
{
    static const char *const names[TL_LAST_STEPS] = {
        [TL_LAST_ZERO] = "zero", [TL_LAST_DIFFUSERS] = "diffusers", [TL_LAST_CLAMP] = "clamp"};
    return (unsigned)last < TL_LAST_STEPS ? names[last] : NULL;
}

struct tl_scheduler_config tl_scheduler_config_default(void)
{
    return (struct tl_scheduler_config){
        .class_name = "DDIMScheduler",
        .sampler = "ddim",
        .beta = {.schedule = TL_BETA_LINEAR, .beta_start = 1e-4, .beta_end = 0.02, .n = 1000},
        .prediction = TL_PREDICT_EPSILON,
        .spacing = TL_SPACING_LEADING,
        .set_alpha_to_one = true,
        .clip_sample = true,
        .clip_sample_range = 1,
        .variance = TL_VARIANCE_FIXED_SMALL,
        .solver_order = 2,
        .lower_order_final = true,
        .lambda_min_clipped = -INFINITY,
    };
}

bool tl_scheduler_init(struct tl_scheduler *s, const struct tl_scheduler_config *config, struct tl_err *err)
{
    assert(config->sampler && (unsigned)config->prediction < TL_PREDICTIONS &&
           (unsigned)config->spacing < TL_SPACINGS);
    *s = (struct tl_scheduler){0};
    if (!tl_sampler_find(config->sampler))
        return tl_err_set(err, TL_USAGE, "there is no sampler %s: see `tiller list samplers`",
                          config->sampler);
    if (config->clip_sample && !(config->clip_sample_range > 0))
        return tl_err_set(err, TL_BAD_INPUT, "clip_sample_range is %g, expected > 0",
                          config->clip_sample_range);
    if (!tl_noise_schedule_init(&s->noise, &config->beta, err)) return false;
    s->config = *config;
    s->config.beta.trained_betas = NULL;
    return true;
}

void tl_scheduler_finish(struct tl_scheduler *s)
{
    tl_noise_schedule_finish(&s->noise);
    *s = (struct tl_scheduler){0};
}

/* numpy rounds halves to even, as rint does in the default mode. */
static int timestep_at(const struct tl_scheduler *s, int n, int k)
{
    int n_train = (int)s->noise.n;
    switch (s->config.spacing) {
    case TL_SPACING_TRAILING:
        return (int)rint(n_train - k * ((double)n_train / n)) - 1;
    case TL_SPACING_LINSPACE:
        return n > 1 ? (int)rint((n - 1 - k) * ((double)(n_train - 1) / (n - 1))) : 0;
    case TL_SPACING_LEADING:
    case TL_SPACINGS:
        break;
    }
    return (n - 1 - k) * (n_train / n) + s->config.steps_offset;
}

bool tl_scheduler_timesteps(const struct tl_scheduler *s, int n, int *out, struct tl_err *err)
{
    int n_train = (int)s->noise.n;
    if (n < 1 || n > n_train)
        return tl_err_set(err, TL_USAGE, "%d steps asked, the model was trained with %d: give 1 to %d", n,
                          n_train, n_train);
    for (int k = 0; k < n; k++) {
        out[k] = timestep_at(s, n, k);
        if (out[k] < 0 || out[k] >= n_train)
            return tl_err_set(
                err, TL_USAGE,
                "%d steps with steps_offset %d reach timestep %d, the schedule has 0 to %d: take fewer steps",
                n, s->config.steps_offset, out[k], n_train - 1);
    }
    return true;
}

/* x0 and eps as linear functions of (x, m); the formulas are those of the network's input, c_in x. */
static bool set_prediction(enum tl_prediction prediction, struct tl_step *out, struct tl_err *err)
{
    double a = out->alpha_t, root_a = sqrt(a), root_n = sqrt(1 - a);
    switch (prediction) {
    case TL_PREDICT_V:
        out->p_x = root_a * out->c_in;
        out->p_m = -root_n;
        out->e_x = root_n * out->c_in;
        out->e_m = root_a;
        return true;
    case TL_PREDICT_SAMPLE:
        out->p_x = 0;
        out->p_m = 1;
        out->e_x = 1 / root_n * out->c_in;
        out->e_m = -root_a / root_n;
        return true;
    case TL_PREDICT_EPSILON:
    case TL_PREDICTIONS:
        break;
    }
    if (!(a > 0))
        return tl_err_set(err, TL_BAD_INPUT,
                          "prediction_type epsilon cannot give x0 at timestep %g, where no signal is left "
                          "(rescale_betas_zero_snr): such a model needs v_prediction",
                          out->t);
    out->p_x = 1 / root_a * out->c_in;
    out->p_m = -root_n / root_a;
    out->e_x = 0;
    out->e_m = 1;
    return true;
}

static void set_sums(struct tl_step *out)
{
    out->c_x = out->k_x0 * out->p_x + out->k_eps * out->e_x + out->k_x;
    out->c_m = out->k_x0 * out->p_m + out->k_eps * out->e_m;
}

static bool alpha_step(const struct tl_scheduler *s, const struct tl_sampler *sampler,
                       const struct tl_plan_params *p, int t, bool last, struct tl_step *out,
                       struct tl_err *err)
{
    const double *alpha_bar = s->noise.alpha_bar;
    bool final_is_one = sampler->ends_at_one || s->config.set_alpha_to_one;
    out->t = t;
    out->c_in = out->start = 1;
    out->alpha_t = alpha_bar[t];
    out->alpha_s = out->t_prev >= 0 ? alpha_bar[out->t_prev] : final_is_one ? 1 : alpha_bar[0];
    if (last && p->last == TL_LAST_CLAMP) out->alpha_s = alpha_bar[out->t_prev > 0 ? out->t_prev : 0];
    if (!(out->alpha_t < 1))
        return tl_err_set(err, TL_BAD_INPUT,
                          "timestep %d carries no noise (its betas are 0): nothing to denoise there", t);
    if (!(out->alpha_s > 0))
        return tl_err_set(err, TL_BAD_INPUT,
                          "timestep %d follows %d and carries no signal: the betas are not usable",
                          out->t_prev, t);
    if (!set_prediction(s->config.prediction, out, err)) return false;
    sampler->step(s, p, last && p->last == TL_LAST_ZERO, out);
    set_sums(out);
    out->clip = s->config.clip_sample;
    out->clip_range = s->config.clip_sample_range;
    return true;
}

static bool plan_alpha(const struct tl_scheduler *s, const struct tl_sampler *sampler,
                       const struct tl_plan_params *p, struct tl_step *out, struct tl_err *err)
{
    int n = p->n_steps, *timesteps = malloc((size_t)n * sizeof *timesteps);
    if (!timesteps) return tl_err_set(err, TL_FAIL, "no memory for %d timesteps", n);
    bool ok = tl_scheduler_timesteps(s, n, timesteps, err);
    for (int k = 0; ok && k < n; k++) {
        out[k] = (struct tl_step){.t_prev = sampler->previous(s, timesteps, k, n)};
        ok = alpha_step(s, sampler, p, timesteps[k], k + 1 == n, &out[k], err);
    }
    free(timesteps);
    return ok;
}

/* Whether step k of n of a multistep solver looks back. */
static bool looks_back(const struct tl_scheduler *s, const struct tl_sampler *sampler, int k, int n)
{
    const struct tl_scheduler_config *c = &s->config;
    if (!sampler->looks_back || c->solver_order < 2 || k == 0) return false;
    return k + 1 < n || !(c->euler_at_final || !c->final_sigma_min || (c->lower_order_final && n < 15));
}

static bool plan_sigmas(const struct tl_scheduler *s, const struct tl_sampler *sampler,
                        const struct tl_plan_params *p, struct tl_step *out, struct tl_err *err)
{
    struct tl_sigma_plan plan;
    int n = p->n_steps;
    bool ok = tl_sigma_plan_init(&plan, s, sampler, tl_scheduler_karras(s, p), n, err);
    for (int k = 0; ok && k < n; k++) {
        double sigma = plan.sigma[k], next = plan.sigma[k + 1];
        struct tl_sigma_levels at = {
            .before = looks_back(s, sampler, k, n) ? plan.sigma[k - 1] : 0, .now = sigma, .next = next};
        out[k] = (struct tl_step){.t = plan.t[k],
                                  .t_prev = -1,
                                  .alpha_t = 1 / (1 + sigma * sigma),
                                  .alpha_s = 1 / (1 + next * next),
                                  .c_in = 1,
                                  .start = plan.start};
        if (sampler->family == TL_FAMILY_EULER) out[k].c_in = 1 / sqrt(sigma * sigma + 1);
        ok = set_prediction(s->config.prediction, &out[k], err);
        sampler->sigma_step(&at, &out[k]);
        if (k + 1 == n && p->last == TL_LAST_ZERO) out[k].sigma = 0;
        set_sums(&out[k]);
    }
    tl_sigma_plan_finish(&plan);
    return ok;
}

static const struct tl_sampler *sampler_of(const struct tl_scheduler *s, const struct tl_plan_params *p)
{
    return tl_sampler_find(p->sampler ? p->sampler : s->config.sampler);
}

bool tl_scheduler_karras(const struct tl_scheduler *s, const struct tl_plan_params *p)
{
    const struct tl_sampler *sampler = sampler_of(s, p);
    if (!sampler || !sampler->karras || p->sigmas == TL_SIGMAS_PLAIN) return false;
    return p->sigmas == TL_SIGMAS_KARRAS || s->config.karras;
}

bool tl_scheduler_plan(const struct tl_scheduler *s, const struct tl_plan_params *p, struct tl_step *out,
                       struct tl_err *err)
{
    const struct tl_sampler *sampler = sampler_of(s, p);
    if (!sampler)
        return tl_err_set(err, TL_USAGE, "there is no sampler %s: see `tiller list samplers`", p->sampler);
    if (!(p->eta >= 0 && p->eta <= 1)) return tl_err_set(err, TL_USAGE, "eta is %g, expected 0 to 1", p->eta);
    if (p->sigmas == TL_SIGMAS_KARRAS && !sampler->karras)
        return tl_err_set(err, TL_USAGE,
                          "sampler %s has no karras sigmas: euler, dpmpp2m and dpmpp2m_sde have them",
                          sampler->name);
    if (p->n_steps < 1 || (size_t)p->n_steps > s->noise.n)
        return tl_scheduler_timesteps(s, p->n_steps, NULL, err); /* refuses with its message */
    return sampler->family == TL_FAMILY_ALPHA ? plan_alpha(s, sampler, p, out, err)
                                              : plan_sigmas(s, sampler, p, out, err);
}
