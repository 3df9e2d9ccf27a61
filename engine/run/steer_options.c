/* Options of `steer`, and what is refused before the model is open. */
#include <math.h>
#include <string.h>

#include <tiller/log.h>

#include "base/str.h"
#include "run/memory_plan.h"
#include "run/steer_parts.h"

static const char *const paths[] = {"auto", "device", "bytes", NULL};

#define P struct tl_steer_params
const struct tl_option tl_steer_options[] = {
    TL_OPTION_STRING(P, sample.model, 'm', "model", NULL, "FOLDER", "a diffusers pipeline (model_index.json)",
                     TL_OPTION_PLACE),
    TL_OPTION_STRINGS(P, sample.prompt, 'p', "prompt", NULL, "TEXT", "what to draw; repeat it for more"),
    TL_OPTION_STRING(P, sample.prompts, 0, "prompts", NULL, "FILE", "prompts, one a line, or JSONL",
                     TL_OPTION_PLACE),
    TL_OPTION_STRINGS(P, reward, 0, "reward", NULL, "NAME[:ARG][@WEIGHT]",
                      "what is steered to; repeat it for a sum (tiller list rewards)"),
    TL_OPTION_STRING(P, sample.out, 'o', "out", NULL, "FOLDER", "where pictures and numbers go",
                     TL_OPTION_FREE),
    TL_OPTION_INT(P, sample.n, 'k', "particles", "4", 1, 4096, "K", "pictures a prompt that compete"),
    TL_OPTION_REAL(P, lambda, 0, "lambda", "10", -1e6, 1e6, "X",
                   "strength, in units of the reward (of several: of their standardised sum); 0: none"),
    TL_OPTION_STRING(P, potential, 0, "potential", "diff", "NAME",
                     "what a scored step adds to the weights: diff, max, sum, immediate; none: best of k"),
    TL_OPTION_STRING(P, resample, 0, "resample", "systematic", "NAME",
                     "systematic, stratified, residual, multinomial, ssp"),
    TL_OPTION_REAL(
        P, ess, 0, "ess", "0.5", 0, 1, "X",
        "resample where the effective sample size is below this share of K (above 1/K to matter); 1: "
        "wherever weights differ; 0: never, and nothing is scored on the way"),
    TL_OPTION_INT(P, every, 0, "every", "5", 1, 100000, "N",
                  "score each so many steps, from the first of --from on"),
    TL_OPTION_REAL(P, from, 0, "from", "0.2", 0, 1, "X",
                   "first scored step, as share of the steps: step ceil(X n), from 0"),
    TL_OPTION_REAL(P, to, 0, "to", "0.8", 0, 1, "X", "last scored step: at most step floor(X n)"),
    TL_OPTION_INT(P, draws, 0, "draws", "1", 1, 4096, "N",
                  "an intermediate reward is that of N draws around the prediction; 1: the prediction's"),
    TL_OPTION_REAL(P, guide, 0, "guide", "0", 0, 1000, "X",
                   "move each step of the window along the reward's gradient, X times lambda; weights make "
                   "up for it"),
    TL_OPTION_ENUM(P, reward_path, 0, "reward-path", "auto", paths,
                   "intermediate rewards: of the device's float pictures, or of 8-bit ones; auto: device "
                   "where all rewards have a gradient"),
    TL_OPTION_BOOL(P, raw_rewards, 0, "raw-rewards", NULL, "sum several rewards as they are"),
    TL_OPTION_INT(P, standardise, 0, "standardise", "64", 2, 100000, "N",
                  "plain samples that give several rewards their scale"),
    TL_OPTION_STRING(P, sample.negative_prompt, 0, "negative-prompt", NULL, "TEXT",
                     "what guidance leads away from"),
    TL_OPTION_STRINGS(P, sample.lora, 0, "lora", NULL, "FILE[@SCALE]",
                      "an adapter (diffusers, kohya or PEFT); repeat it for more"),
    TL_OPTION_STRING(P, sample.sampler, 0, "sampler", NULL, "NAME",
                     "a stochastic one: ddpm, euler_a, dpmpp2m_sde, ddim with --eta; else the model's own"),
    TL_OPTION_ENUM(P, sample.sigmas, 0, "sigmas", "own", tl_sigmas_choices,
                   "noise levels of dpmpp2m_sde; own: as the model's scheduler says"),
    TL_OPTION_INT(P, sample.steps, 0, "steps", "50", 1, 100000, "N", "denoising steps"),
    TL_OPTION_REAL(P, sample.eta, 0, "eta", "1", 0, 1, "X",
                   "share of fresh noise in a step of ddim, which copies need to part again"),
    TL_OPTION_REAL(P, sample.guidance, 0, "guidance", "-1", -1, 1000, "X",
                   "classifier-free guidance, works above 1; -1: what model_index.json names "
                   "(_guidance_scale), else 7.5"),
    TL_OPTION_STRING(P, sample.size, 0, "size", NULL, "WxH", "pixels; else the model's own"),
    TL_OPTION_STRING(P, sample.init_latents, 0, "init-latents", NULL, "FILE",
                     "safetensors with one tensor [N,C,h,w] of unit noise, a picture each", TL_OPTION_PLACE),
    TL_OPTION_STRING(P, sample.grid, 0, "grid", NULL, "FILE", "one PNG with all pictures, a row a prompt",
                     TL_OPTION_FREE),
    TL_OPTION_INT(P, sample.batch, 0, "batch", "0", 0, 4096, "N",
                  "pictures at a time, in whole groups where it holds one; 0: by their size"),
    TL_OPTION_STRING(P, memory, 0, "memory", NULL, "SIZE",
                     "the most that the run may take, such as 6G: chooses the largest --batch that fits",
                     TL_OPTION_FREE),
    TL_OPTION_INT(P, sample.first, 0, "first", "0", 0, 1 << 30, "N",
                  "number of the first picture, which its noise depends on"),
    TL_OPTION_ENUM(P, sample.dtype, 0, "dtype", "f32", tl_dtype_choices,
                   "what weights are kept in, whatever the files have; everything is computed in f32"),
    TL_OPTION_BOOL(P, report, 0, "report", NULL,
                   "leave report.html: who descends from whom, ESS, steered beside plain samples",
                   TL_OPTION_FREE),
    TL_OPTION_BOOL(P, compare, 0, "compare", "true",
                   "with --report, draw plain samples of as many network evaluations, too: twice the time",
                   TL_OPTION_FREE),
    TL_OPTION_BOOL(P, resume, 0, "resume", NULL, "go on with the run of that folder", TL_OPTION_FREE),
    TL_OPTION_STRING(P, method, 0, "method", "steer", "NAME", NULL),
    {0},
};
#undef P

enum { MOST_ROWS = 16 };

static bool unknown(const char *what, const char *name, const char *const *names, size_t n,
                    struct tl_err *err)
{
    struct tl_str all = {0};
    const char *near = tl_str_nearest(name, names, n);
    for (size_t i = 0; i < n; i++) tl_str_printf(&all, "%s%s", i ? ", " : "", names[i]);
    tl_err_set(err, TL_USAGE, "there is no %s '%.40s'; %s%s%s%s", what, name, near ? "did you mean " : "",
               near ? near : "", near ? "? there are " : "there are ", all.data ? all.data : "");
    tl_str_finish(&all);
    return false;
}

static bool find_rows(struct tl_steer *s, struct tl_err *err)
{
    const char *names[MOST_ROWS];
    size_t n = 0;
    for (; n < MOST_ROWS && tl_potentials[n].name; n++) names[n] = tl_potentials[n].name;
    s->potential = tl_potential_find(s->p->potential ? s->p->potential : "");
    if (!s->potential) return unknown("potential", s->p->potential ? s->p->potential : "", names, n, err);
    for (n = 0; n < MOST_ROWS && tl_resamplers[n].name; n++) names[n] = tl_resamplers[n].name;
    s->resampler = tl_resampler_find(s->p->resample ? s->p->resample : "");
    return s->resampler || unknown("resampler", s->p->resample ? s->p->resample : "", names, n, err);
}

/* The rows of the table bound these already; callers of the library may not have gone through it. */
static bool check_numbers(const struct tl_steer_params *p, struct tl_err *err)
{
    if (p->sample.n < 1)
        return tl_err_set(err, TL_USAGE, "--particles %d: 1 or more are needed", p->sample.n);
    if (!isfinite(p->lambda))
        return tl_err_set(err, TL_USAGE, "--lambda %g: a finite number is needed", p->lambda);
    if (!(p->from >= 0 && p->from <= p->to && p->to <= 1))
        return tl_err_set(err, TL_USAGE, "--from %g --to %g: shares of the steps, 0 to 1 and rising", p->from,
                          p->to);
    if (p->every < 1 || p->draws < 1 || p->standardise < 2)
        return tl_err_set(err, TL_USAGE,
                          "--every %d --draws %d --standardise %d: at least 1, 1 and 2 are needed", p->every,
                          p->draws, p->standardise);
    if (!(p->guide >= 0 && isfinite(p->guide)))
        return tl_err_set(err, TL_USAGE, "--guide %g: 0 or more is needed", p->guide);
    return (p->ess >= 0 && p->ess <= 1) ||
           tl_err_set(err, TL_USAGE, "--ess %g: a share of the particles, 0 to 1, is needed", p->ess);
}

bool tl_steer_check(struct tl_steer *s, struct tl_err *err)
{
    const struct tl_steer_params *p = s->p;
    if (!tl_sample_check_options(&p->sample, "steer", err) || !check_numbers(p, err) || !find_rows(s, err))
        return false;
    if (p->reward.n == 0)
        return tl_err_set(err, TL_USAGE,
                          "what is steered to? --reward NAME[:ARG]; tiller list rewards shows them");
    if (p->sample.n == 1 && p->lambda != 0 && !(p->guide > 0) && tl_potential_looks(s->potential))
        tl_log(TL_LOG_WARN, "one particle has nobody to compete with: the picture is that of tiller sample");
    return true;
}
