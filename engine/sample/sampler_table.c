/* The samplers: what each makes of the noise levels before and after a step. */
#include <math.h>
#include <string.h>

#include "sample/scheduler.h"

/* DDPM: the next timestep of the list, and x_0 after the last. */
static int ddpm_previous(const struct tl_scheduler *s, const int *timesteps, int k, int n)
{
    (void)s;
    return k + 1 < n ? timesteps[k + 1] : -1;
}

/* Posterior q(x_s | x_t, x0), Ho et al. eq 7: with alpha = a/a', beta = 1 - alpha,
 * mean = sqrt(a') beta / (1-a) x0 + sqrt(alpha) (1-a') / (1-a) x, variance = (1-a') / (1-a) beta.
 * diffusers clamps the variance to 1e-20, which only shows after the last step; 0 says better that it has no
 * density. */
static void ddpm_step(const struct tl_scheduler *s, const struct tl_plan_params *p, bool zero_sigma,
                      struct tl_step *out)
{
    (void)p;
    double a = out->alpha_t, b = out->alpha_s, alpha = a / b, beta = 1 - alpha;
    double variance = s->config.variance == TL_VARIANCE_FIXED_LARGE ? beta : (1 - b) / (1 - a) * beta;
    out->sigma = zero_sigma || out->t <= 0 ? 0 : sqrt(fmax(variance, 0));
    out->k_x0 = sqrt(b) * beta / (1 - a);
    out->k_eps = 0;
    out->k_x = sqrt(alpha) * (1 - b) / (1 - a);
}

/* DDIM: a stride of n_train div n whatever the list says, as diffusers has it (differs from the list for
 * linspace). */
static int ddim_previous(const struct tl_scheduler *s, const int *timesteps, int k, int n)
{
    return timesteps[k] - (int)s->noise.n / n;
}

/* Song et al. eq 12, 16: sigma^2 = eta^2 (1-a')/(1-a) (1 - a/a'); mean = sqrt(a') x0 + sqrt(1 - a' - sigma^2)
 * eps. */
static void ddim_step(const struct tl_scheduler *s, const struct tl_plan_params *p, bool zero_sigma,
                      struct tl_step *out)
{
    (void)s;
    double a = out->alpha_t, b = out->alpha_s;
    out->sigma = zero_sigma ? 0 : p->eta * sqrt(fmax((1 - b) / (1 - a) * (1 - a / b), 0));
    out->k_x0 = sqrt(b);
    out->k_eps = sqrt(fmax(1 - b - out->sigma * out->sigma, 0));
    out->k_x = 0;
}

/* Euler's step of dx/dsigma = (x - x0) / sigma (Karras et al. 2022, algorithm 1 without churn):
 * x + (x - x0) / sigma (sigma' - sigma), which is x0 + sigma' eps. */
static void euler_step(const struct tl_sigma_levels *at, struct tl_step *out)
{
    out->k_x0 = 1;
    out->k_eps = at->next;
}

/* Down to sigma'^2 / sigma, then noise back up to sigma': the posterior's variance sigma'^2 (1 - sigma'^2 /
 * sigma^2), DDPM's in these coordinates. */
static void euler_a_step(const struct tl_sigma_levels *at, struct tl_step *out)
{
    double q = at->next / at->now;
    out->k_x0 = 1;
    out->k_eps = at->next * q;
    out->sigma = at->next * sqrt(fmax(1 - q * q, 0));
}

/* Of the line through x0 and x0' over log(1/sigma), the value half a step ahead: x0 + (x0 - x0') ratio,
 * weighed by w in all. ratio: half of h / h', the steps in log(1/sigma). */
static void extrapolate(const struct tl_sigma_levels *at, double w, struct tl_step *out)
{
    out->k_x0 = w;
    if (!(at->before > at->now && at->next > 0)) return;
    double ratio = log(at->now / at->next) / log(at->before / at->now) / 2;
    out->k_x0 = w * (1 + ratio);
    out->k_prev = -w * ratio;
}

/* Lu et al. 2022 (DPM-Solver++), the second-order multistep solver, midpoint form. With s = sqrt(1 -
 * alpha_bar): x' = s'/s x + sqrt(alpha_bar') (1 - e^-h) D, e^-h = sigma' / sigma. */
static void dpmpp2m_step(const struct tl_sigma_levels *at, struct tl_step *out)
{
    double q = at->next / at->now;
    out->k_x = at->next > 0 ? sqrt((1 - out->alpha_s) / (1 - out->alpha_t)) : 0;
    extrapolate(at, sqrt(out->alpha_s) * (1 - q), out);
}

/* The same of the SDE: e^-h more of x is forgotten, 1 - e^-2h of the variance is fresh. */
static void dpmpp2m_sde_step(const struct tl_sigma_levels *at, struct tl_step *out)
{
    double q = at->next / at->now, fresh = fmax(1 - q * q, 0);
    out->k_x = at->next > 0 ? sqrt((1 - out->alpha_s) / (1 - out->alpha_t)) * q : 0;
    extrapolate(at, sqrt(out->alpha_s) * fresh, out);
    out->sigma = at->next > 0 ? sqrt((1 - out->alpha_s) * fresh) : 0;
}

const struct tl_sampler tl_samplers[] = {
    {.name = "ddim",
     .title = "DDIM",
     .help = "implicit sampler, deterministic at --eta 0, DDPM's variance at --eta 1",
     .takes_eta = true,
     .previous = ddim_previous,
     .step = ddim_step},
    {.name = "ddpm",
     .title = "DDPM",
     .help = "ancestral sampler, posterior variance after variance_type",
     .stochastic = true,
     .ends_at_one = true,
     .previous = ddpm_previous,
     .step = ddpm_step},
    {.name = "euler",
     .title = "Euler",
     .help = "first-order solver over sigmas, deterministic",
     .family = TL_FAMILY_EULER,
     .karras = true,
     .sigma_step = euler_step},
    {.name = "euler_a",
     .title = "Euler a",
     .help = "Euler with fresh noise in every step (ancestral)",
     .family = TL_FAMILY_EULER,
     .stochastic = true,
     .sigma_step = euler_a_step},
    {.name = "dpmpp2m",
     .title = "DPM++ 2M",
     .help = "DPM-Solver++ of second order, multistep, deterministic: good from 15 to 25 steps",
     .family = TL_FAMILY_DPM,
     .karras = true,
     .looks_back = true,
     .sigma_step = dpmpp2m_step},
    {.name = "dpmpp2m_sde",
     .title = "DPM++ 2M SDE",
     .help = "the same solver of the SDE, with fresh noise in every step",
     .family = TL_FAMILY_DPM,
     .stochastic = true,
     .karras = true,
     .looks_back = true,
     .sigma_step = dpmpp2m_sde_step},
};
const size_t tl_n_samplers = sizeof tl_samplers / sizeof *tl_samplers;

const struct tl_sampler *tl_sampler_find(const char *name)
{
    for (size_t i = 0; i < tl_n_samplers; i++)
        if (strcmp(tl_samplers[i].name, name) == 0) return &tl_samplers[i];
    return NULL;
}
