/* Method `prdp`: options, and the run over epochs: draw, decode, score, update. */
#include <math.h>
#include <stdio.h>

#include <tiller/interrupt.h>

#include "base/clock.h"
#include "metrics/stats.h"
#include "run/prdp_run.h"

static const char *const reduces[] = {"sum", "mean", "mean-steps", NULL}, *const last_steps[] = {
                                                                              "zero", "diffusers", "clamp",
                                                                              NULL};

#define P struct tl_prdp_run_params
const struct tl_option tl_prdp_options[] = {
    TL_OPTION_STRING(P, model, 0, "model", NULL, "FOLDER", "diffusers pipeline folder"),
    TL_OPTION_STRING(P, prompts, 0, "prompts", NULL, "FILE", "one a line, or JSONL"),
    TL_OPTION_STRINGS(P, reward, 0, "reward", NULL, "NAME[:ARG][@WEIGHT]",
                      "what is trained on; repeat it for a sum (tiller list rewards)"),
    TL_OPTION_STRINGS(P, eval_reward, 0, "eval-reward", NULL, "NAME[:ARG][@WEIGHT]",
                      "what is watched and not trained on"),
    TL_OPTION_STRING(P, eval_prompts, 0, "eval-prompts", NULL, "FILE",
                     "prompts that are read before and after and not trained on"),
    TL_OPTION_STRING(P, out, 'o', "out", NULL, "FOLDER", "the run"),
    TL_OPTION_INT(P, epochs, 0, "epochs", "100", 1, 1000000, "N", "rounds of drawing and learning"),
    TL_OPTION_INT(P, prompts_per_epoch, 0, "prompts-per-epoch", "8", 1, 65536, "N",
                  "drawn without repetition"),
    TL_OPTION_INT(P, samples_per_prompt, 0, "samples-per-prompt", "8", 2, 4096, "N",
                  "compared with each other"),
    TL_OPTION_INT(P, steps, 0, "steps", "20", 1, 1000, "N", "of the sampler"),
    TL_OPTION_STRING(P, sampler, 0, "sampler", "ddim", "NAME", "ddim or ddpm"),
    TL_OPTION_REAL(P, eta, 0, "eta", "1", 0, 1, "X",
                   "share of fresh noise in a DDIM step; PRDP needs it above 0"),
    TL_OPTION_REAL(P, guidance, 0, "guidance", "5", 0, 100, "X",
                   "classifier-free guidance, in training too; 1: none"),
    TL_OPTION_STRING(P, negative_prompt, 0, "negative-prompt", NULL, "TEXT", "of the unconditional branch"),
    TL_OPTION_STRING(P, size, 0, "size", NULL, "WxH",
                     "of the pictures; the model's own where it is not given"),
    TL_OPTION_INT(P, passes, 0, "passes", "2", 1, 1000, "K", "over an epoch's samples"),
    TL_OPTION_INT(P, minibatches, 0, "minibatches", "4", 1, 65536, "M",
                  "updates per pass; divides --prompts-per-epoch"),
    TL_OPTION_INT(P, batch, 0, "batch", "0", 0, 4096, "N", "samples per network run; 0: chosen"),
    TL_OPTION_REAL(P, beta, 0, "beta", "0.03", 1e-12, 1e12, "X", "reward per unit of log-ratio (sum: nats)"),
    TL_OPTION_REAL(P, clip, 0, "clip", "0.3", 0, INFINITY, "X",
                   "how far a step's log-ratio may move in an epoch; inf: no clip"),
    TL_OPTION_ENUM(P, reduce, 0, "logprob-reduce", "sum", reduces,
                   "log-ratios summed, or averaged over dimensions (and steps)"),
    TL_OPTION_BOOL(P, ties_drop, 0, "drop-ties", "false", "leave out pairs of equal rewards"),
    TL_OPTION_ENUM(P, last_step, 0, "last-step", "zero", last_steps,
                   "variance of the last step: none, the scheduler's, or alpha_bar clamped"),
    TL_OPTION_REAL(P, lr, 0, "lr", "0.0003", 0, 10, "X", "learning rate"),
    TL_OPTION_REAL(P, beta1, 0, "beta1", "0.9", 0, 0.99999, "X", "AdamW"),
    TL_OPTION_REAL(P, beta2, 0, "beta2", "0.99", 0, 0.99999, "X", "AdamW"),
    TL_OPTION_REAL(P, weight_decay, 0, "weight-decay", "0.0001", 0, 10, "X", "AdamW"),
    TL_OPTION_REAL(P, clip_norm, 0, "clip-norm", "1", 0, 1e12, "X", "largest gradient norm; 0: no limit"),
    TL_OPTION_INT(P, rank, 0, "rank", "8", 1, 4096, "N", "of the LoRA"),
    TL_OPTION_REAL(P, alpha, 0, "alpha", "0", 0, 1e6, "X", "of the LoRA; 0: the rank"),
    TL_OPTION_STRING(P, targets, 0, "targets", "to_q,to_k,to_v,to_out.0,ff.net.0.proj,ff.net.2", "NAMES",
                     "layers that carry the LoRA, by the end of their names"),
    TL_OPTION_BOOL(P, full, 0, "full", "false", "train all weights instead of a LoRA"),
    TL_OPTION_BOOL(P, checkpoint, 0, "recompute", "false",
                   "recompute activations in the backward pass: less memory, more time"),
    TL_OPTION_INT(P, resample_every, 0, "resample-every", "1", 0, 1000000, "EPOCHS",
                  "new trajectories; 0: learn from the first epoch's stored samples alone"),
    TL_OPTION_INT(P, checkpoint_every, 0, "checkpoint-every", "10", 1, 1000000, "EPOCHS",
                  "checkpoints, and the LoRA as files"),
    TL_OPTION_INT(P, eval_samples, 0, "eval-samples", "8", 2, 4096, "N",
                  "per prompt, before and after, with the same noise"),
    TL_OPTION_INT(P, eval_every, 0, "eval-every", "0", 0, 1000000, "EPOCHS", "readings in between; 0: none"),
    TL_OPTION_BOOL(P, raw_rewards, 0, "raw-rewards", "false",
                   "sum rewards as they are instead of standardised"),
    TL_OPTION_BOOL(P, resume, 0, "resume", "false", "go on with the run in --out"),
    {0},
};
#undef P

static void progress(struct tl_prdp_run *r, const char *phase, const char *health)
{
    if (!r->job->progress) return;
    double spent = tl_clock_s() - r->start,
           rate = r->epoch > r->start_epoch && spent > 0 ? (r->epoch - r->start_epoch) / spent : 0;
    r->job->progress(r->job->user,
                     &(struct tl_progress){.phase = phase,
                                           .done = r->epoch,
                                           .total = r->p->epochs,
                                           .unit = "epochs",
                                           .rate = rate,
                                           .seconds_left = rate > 0 ? (r->p->epochs - r->epoch) / rate : -1,
                                           .health = health});
}

/* Mean over prompts of the deviation within a prompt: falls to 0 where a policy collapses onto one score. */
static double spread_within(const struct tl_prdp_run *r)
{
    double sum = 0;
    size_t each = (size_t)r->p->samples_per_prompt;
    for (size_t g = 0; g < (size_t)r->p->prompts_per_epoch; g++)
        sum += tl_stats_sd(r->rewards + g * each, each);
    return sum / r->p->prompts_per_epoch;
}

static bool write_metrics(struct tl_prdp_run *r, const struct tl_prdp_epoch_stats *s, struct tl_err *err)
{
    const double *rewards = r->rewards;
    size_t n = r->trainer->n;
    double low = rewards[0], high = rewards[0];
    for (size_t i = 1; i < n; i++) {
        low = fmin(low, rewards[i]);
        high = fmax(high, rewards[i]);
    }
    const struct tl_run_metric row[] = {{"reward_mean", tl_stats_mean(rewards, n)},
                                        {"reward_sd", tl_stats_sd(rewards, n)},
                                        {"reward_se", tl_stats_se(rewards, n)},
                                        {"reward_min", low},
                                        {"reward_max", high},
                                        {"reward_spread", spread_within(r)},
                                        {"loss", s->loss},
                                        {"first_loss", s->first.loss},
                                        {"first_move", s->first.drift_max},
                                        {"kl_nats", s->kl_ref_nats},
                                        {"clip_fraction", s->clip_fraction},
                                        {"log_ratio_max", s->last.ratio_max},
                                        {"log_ratio_move", s->ratio_move},
                                        {"correlation", s->last.correlation},
                                        {"grad_norm", s->grad_norm},
                                        {"skipped", s->skipped}};
    return tl_run_metrics_append(r->metrics, "train", r->epoch, row, sizeof row / sizeof *row, err);
}

/* Readings of the present policy, into the evals' `after`, and with `write` a row each. */
static bool read_evals(struct tl_prdp_run *r, bool write, struct tl_err *err)
{
    for (int i = 0; i < 2; i++) {
        struct tl_prdp_eval *e = i ? &r->others : &r->trained;
        if (e->n == 0) continue;
        if (!tl_prdp_eval_read(r, e, true, err)) return false;
        const struct tl_run_metric row[] = {
            {"reward", tl_stats_mean(e->after, e->n)},
            {"held_out", e->n_rewards > 1 ? tl_stats_mean(e->after + e->n, e->n) : 0}};
        if (write && !tl_run_metrics_append(r->metrics, i ? "eval_others" : "eval_trained", r->epoch, row,
                                            (size_t)e->n_rewards, err))
            return false;
    }
    return true;
}

static bool one_epoch(struct tl_prdp_run *r, struct tl_err *err)
{
    struct tl_prdp_conditions c = tl_prdp_conditions(r);
    struct tl_prdp_epoch_stats stats;
    if (!(tl_prdp_draws(r, r->epoch) ? tl_prdp_draw(r, err) : tl_prdp_trainer_snapshot(r->trainer, &c, err)))
        return false;
    if (!tl_prdp_trainer_update(r->trainer, &c, r->rewards, (uint32_t)r->epoch, &stats, err)) return false;
    r->epoch++;
    char health[128];
    snprintf(health, sizeof health, "reward %.3f, KL %.2f nats, clip %.0f %%",
             tl_stats_mean(r->rewards, r->trainer->n), stats.kl_ref_nats, 100 * stats.clip_fraction);
    progress(r, "prdp", health);
    return write_metrics(r, &stats, err);
}

static bool epochs(struct tl_prdp_run *r, struct tl_err *err)
{
    const struct tl_prdp_run_params *p = r->p;
    r->start = tl_clock_s();
    r->start_epoch = r->epoch;
    if (r->epoch >= p->epochs)
        return read_evals(r, false, err); /* resumed when all was done: the report again */
    while (r->epoch < p->epochs) {
        if (!one_epoch(r, err)) return tl_err_add(err, "epoch %d", r->epoch);
        bool last = r->epoch == p->epochs, stop = tl_interrupted() && !last;
        if ((last || (p->eval_every && r->epoch % p->eval_every == 0)) && !read_evals(r, true, err))
            return false;
        if ((last || stop || r->epoch % p->checkpoint_every == 0) && !tl_prdp_save(r, err)) return false;
        if (stop) return tl_interrupt_check("training", err);
    }
    return true;
}

/* What the untouched model gives: the scale of summed rewards, and the readings that the report compares
 * with. */
static bool read_untouched(struct tl_prdp_run *r, struct tl_err *err)
{
    if (!tl_prdp_standardise(r, r->reward, "reward_standards", err) ||
        !tl_prdp_standardise(r, r->held_out, "eval_reward_standards", err))
        return false;
    if (r->untouched_read) return true;
    progress(r, "reading the untouched model", "");
    if (!tl_prdp_eval_read(r, &r->trained, false, err) || !tl_prdp_eval_read(r, &r->others, false, err))
        return false;
    r->untouched_read = true;
    return tl_prdp_save(r, err); /* from here on a run can go on, whatever ends it */
}

/* An interrupt leaves a checkpoint, so that the folder can be resumed; a reward that does not take the
 * pictures leaves nothing. */
static bool begin(struct tl_prdp_run *r, struct tl_err *err)
{
    struct tl_err why = {0};
    if (read_untouched(r, &why)) return true;
    if (why.code == TL_INTERRUPTED && !tl_prdp_save(r, err)) return false;
    if (why.code != TL_INTERRUPTED) tl_training_forget(&r->t);
    return tl_err_set(err, why.code, "%s", why.text);
}

static bool save_model(struct tl_prdp_run *r, struct tl_err *err)
{
    struct tl_str path = {0};
    bool ok =
        tl_run_folder_path(r->t.folder, "model", &path, err) &&
        tl_pipeline_save(r->pipeline, path.data, &(struct tl_pipeline_save_params){.dtype = TL_ST_F32}, err);
    tl_str_finish(&path);
    return ok;
}

bool tl_train_prdp(const struct tl_job *job, struct tl_options *options, const void *params,
                   struct tl_err *err)
{
    struct tl_prdp_run r = {.job = job, .p = params};
    bool ok = tl_prdp_open(&r, options, err) && begin(&r, err) && epochs(&r, err) &&
              (!r.p->full || save_model(&r, err)) && tl_prdp_report(&r, err);
    tl_prdp_close(&r);
    return ok;
}
