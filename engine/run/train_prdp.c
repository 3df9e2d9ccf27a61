/* Method `prdp`: options, and the run over epochs: draw, decode, score, update. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/interrupt.h>
#include <tiller/log.h>

#include "base/clock.h"
#include "base/rng.h"
#include "metrics/stats.h"
#include "run/prdp_run.h"

enum { STANDARD_SAMPLES = 256, EVAL_FIRST = 1 << 28, OTHERS_FIRST = (1 << 28) + (1 << 27), STANDARD_FIRST = 1 << 29 };

static const char *const reduces[] = {"sum", "mean", "mean-steps", NULL}, *const last_steps[] = {"zero", "diffusers", "clamp", NULL};

#define P struct tl_prdp_run_params
const struct tl_option tl_prdp_options[] = {
    TL_OPTION_STRING(P, model, 0, "model", NULL, "FOLDER", "diffusers pipeline folder"),
    TL_OPTION_STRING(P, prompts, 0, "prompts", NULL, "FILE", "one a line, or JSONL"),
    TL_OPTION_STRINGS(P, reward, 0, "reward", NULL, "NAME[:ARG][@WEIGHT]", "what is trained on; repeat it for a sum (tiller list rewards)"),
    TL_OPTION_STRINGS(P, eval_reward, 0, "eval-reward", NULL, "NAME[:ARG][@WEIGHT]", "what is watched and not trained on"),
    TL_OPTION_STRING(P, eval_prompts, 0, "eval-prompts", NULL, "FILE", "prompts that are read before and after and not trained on"),
    TL_OPTION_STRING(P, out, 'o', "out", NULL, "FOLDER", "the run"),
    TL_OPTION_INT(P, epochs, 0, "epochs", "100", 1, 1000000, "N", "rounds of drawing and learning"),
    TL_OPTION_INT(P, prompts_per_epoch, 0, "prompts-per-epoch", "8", 1, 65536, "N", "drawn without repetition"),
    TL_OPTION_INT(P, samples_per_prompt, 0, "samples-per-prompt", "8", 2, 4096, "N", "compared with each other"),
    TL_OPTION_INT(P, steps, 0, "steps", "20", 1, 1000, "N", "of the sampler"),
    TL_OPTION_STRING(P, sampler, 0, "sampler", "ddim", "NAME", "ddim or ddpm"),
    TL_OPTION_REAL(P, eta, 0, "eta", "1", 0, 1, "X", "share of fresh noise in a DDIM step; PRDP needs it above 0"),
    TL_OPTION_REAL(P, guidance, 0, "guidance", "5", 0, 100, "X", "classifier-free guidance, in training too; 1: none"),
    TL_OPTION_STRING(P, negative_prompt, 0, "negative-prompt", NULL, "TEXT", "of the unconditional branch"),
    TL_OPTION_STRING(P, size, 0, "size", NULL, "WxH", "of the pictures; the model's own where it is not given"),
    TL_OPTION_INT(P, passes, 0, "passes", "2", 1, 1000, "K", "over an epoch's samples"),
    TL_OPTION_INT(P, minibatches, 0, "minibatches", "4", 1, 65536, "M", "updates per pass; divides --prompts-per-epoch"),
    TL_OPTION_INT(P, batch, 0, "batch", "0", 0, 4096, "N", "samples per network run; 0: chosen"),
    TL_OPTION_REAL(P, beta, 0, "beta", "0.03", 1e-12, 1e12, "X", "reward per unit of log-ratio (sum: nats)"),
    TL_OPTION_REAL(P, clip, 0, "clip", "0.3", 0, INFINITY, "X", "how far a step's log-ratio may move in an epoch; inf: no clip"),
    TL_OPTION_ENUM(P, reduce, 0, "logprob-reduce", "sum", reduces, "log-ratios summed, or averaged over dimensions (and steps)"),
    TL_OPTION_BOOL(P, ties_drop, 0, "drop-ties", "false", "leave out pairs of equal rewards"),
    TL_OPTION_ENUM(P, last_step, 0, "last-step", "zero", last_steps, "variance of the last step: none, the scheduler's, or alpha_bar clamped"),
    TL_OPTION_REAL(P, lr, 0, "lr", "0.0003", 0, 10, "X", "learning rate"),
    TL_OPTION_REAL(P, beta1, 0, "beta1", "0.9", 0, 0.99999, "X", "AdamW"),
    TL_OPTION_REAL(P, beta2, 0, "beta2", "0.99", 0, 0.99999, "X", "AdamW"),
    TL_OPTION_REAL(P, weight_decay, 0, "weight-decay", "0.0001", 0, 10, "X", "AdamW"),
    TL_OPTION_REAL(P, clip_norm, 0, "clip-norm", "1", 0, 1e12, "X", "largest gradient norm; 0: no limit"),
    TL_OPTION_INT(P, rank, 0, "rank", "8", 1, 4096, "N", "of the LoRA"),
    TL_OPTION_REAL(P, alpha, 0, "alpha", "0", 0, 1e6, "X", "of the LoRA; 0: the rank"),
    TL_OPTION_STRING(P, targets, 0, "targets", "to_q,to_k,to_v,to_out.0,ff.net.0.proj,ff.net.2", "NAMES", "layers that carry the LoRA, by the end of their names"),
    TL_OPTION_BOOL(P, full, 0, "full", "false", "train all weights instead of a LoRA"),
    TL_OPTION_BOOL(P, checkpoint, 0, "recompute", "false", "recompute activations in the backward pass: less memory, more time"),
    TL_OPTION_INT(P, resample_every, 0, "resample-every", "1", 0, 1000000, "EPOCHS", "new trajectories; 0: learn from the first epoch's stored samples alone"),
    TL_OPTION_INT(P, checkpoint_every, 0, "checkpoint-every", "10", 1, 1000000, "EPOCHS", "checkpoints, and the LoRA as files"),
    TL_OPTION_INT(P, eval_samples, 0, "eval-samples", "8", 2, 4096, "N", "per prompt, before and after, with the same noise"),
    TL_OPTION_INT(P, eval_every, 0, "eval-every", "0", 0, 1000000, "EPOCHS", "readings in between; 0: none"),
    TL_OPTION_BOOL(P, raw_rewards, 0, "raw-rewards", "false", "sum rewards as they are instead of standardised"),
    TL_OPTION_BOOL(P, resume, 0, "resume", "false", "go on with the run in --out"),
    {0},
};
#undef P

/* ---- the epoch's conditions ---- */

static size_t prompt_of_sample(const struct tl_prdp_run *r, size_t sample)
{
    return r->drawn[sample / (size_t)r->p->samples_per_prompt];
}

static const float *context(void *user, size_t sample, bool negative)
{
    const struct tl_prdp_run *r = user;
    const struct tl_encoding *e = negative ? &r->negative : &r->encoding;
    return e->context + (negative ? 0 : prompt_of_sample(r, sample)) * (size_t)e->tokens * (size_t)e->width;
}

static const float *pooled(void *user, size_t sample, bool negative)
{
    const struct tl_prdp_run *r = user;
    const struct tl_encoding *e = negative ? &r->negative : &r->encoding;
    return e->pooled + (negative ? 0 : prompt_of_sample(r, sample)) * (size_t)e->pooled_width;
}

static const char *prompt_text(void *user, size_t sample)
{
    const struct tl_prdp_run *r = user;
    return r->prompts.items[prompt_of_sample(r, sample)].text;
}

static struct tl_prdp_conditions conditions(struct tl_prdp_run *r)
{
    return (struct tl_prdp_conditions){.context = context, .text_embeds = r->pipeline->xl ? pooled : NULL, .user = r};
}

/* All prompts in order where they are exactly as many as an epoch takes; else a draw without repetition. */
static bool draw_prompts(struct tl_prdp_run *r, struct tl_err *err)
{
    uint32_t n = (uint32_t)r->prompts.n, take = (uint32_t)r->p->prompts_per_epoch, *order = malloc((n + 1) * sizeof *order);
    if (!order) return tl_err_set(err, TL_FAIL, "out of memory");
    tl_rng_permute((struct tl_rng_key){.seed = r->job->seed, .stream = TL_RNG_PROMPT, .step = (uint32_t)r->epoch}, n, order);
    for (uint32_t i = 0; i < take; i++) r->drawn[i] = take == n ? i : order[i];
    free(order);
    return true;
}

/* ---- opening ---- */

static bool read_prompts(struct tl_prdp_run *r, struct tl_err *err)
{
    const struct tl_prdp_run_params *p = r->p;
    if (!p->model || !p->prompts || p->reward.n == 0)
        return tl_err_set(err, TL_USAGE, "%s is missing", !p->model ? "--model" : !p->prompts ? "--prompts" : "--reward");
    if (!tl_prompts_read(p->prompts, &r->prompts, err) || (p->eval_prompts && !tl_prompts_read(p->eval_prompts, &r->eval_prompts, err))) return false;
    if ((size_t)p->prompts_per_epoch > r->prompts.n)
        return tl_err_set(err, TL_USAGE, "--prompts-per-epoch %d, but %s has %zu prompts", p->prompts_per_epoch, p->prompts, r->prompts.n);
    if (p->passes * p->minibatches == 1)
        tl_log(TL_LOG_WARN, "one update per epoch: the clip cannot act, because the policy is its own snapshot; use --passes or --minibatches above 1");
    return true;
}

static bool encode_prompts(struct tl_prdp_run *r, struct tl_err *err)
{
    const char **texts = malloc((r->prompts.n + 1) * sizeof *texts);
    if (!texts) return tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t i = 0; i < r->prompts.n; i++) texts[i] = r->prompts.items[i].text;
    bool ok = tl_pipeline_encode(r->pipeline, texts, r->prompts.n, &r->encoding, err) && tl_pipeline_encode(r->pipeline, &r->p->negative_prompt, 1, &r->negative, err);
    free(texts);
    return ok;
}

static bool open_model(struct tl_prdp_run *r, struct tl_err *err)
{
    r->pipeline = tl_pipeline_open(r->t.device, r->p->model, err);
    if (!r->pipeline) return false;
    if (r->p->size && (sscanf(r->p->size, "%dx%d", &r->width, &r->height) != 2 || r->width < 1 || r->height < 1))
        return tl_err_set(err, TL_USAGE, "--size %s: WIDTHxHEIGHT in pixels is wanted", r->p->size);
    if (r->pipeline->xl) return tl_err_set(err, TL_BAD_INPUT, "PRDP trains text-conditioned UNets of SD 1 and 2; this is an XL pipeline");
    if (!tl_pipeline_latent_size(r->pipeline, r->height, r->width, &r->latent_h, &r->latent_w, err)) return false;
    int factor = tl_vae_factor(&r->pipeline->vae->config.vae);
    r->width = r->latent_w * factor;
    r->height = r->latent_h * factor;
    r->codec = tl_latent_codec_create(r->pipeline->vae, err);
    return r->codec && encode_prompts(r, err);
}

static struct tl_reward_set *open_rewards(struct tl_prdp_run *r, const struct tl_strings *specs, struct tl_err *err)
{
    return tl_reward_set_open(&(struct tl_reward_set_params){.specs = specs->items, .n_specs = specs->n, .raw = r->p->raw_rewards, .device = r->t.device}, err);
}

static bool make_trainer(struct tl_prdp_run *r, struct tl_err *err)
{
    const struct tl_prdp_run_params *p = r->p;
    static const enum tl_last_step last[] = {TL_LAST_ZERO, TL_LAST_DIFFUSERS, TL_LAST_CLAMP};
    if (!tl_lora_spec_parse(p->targets, p->rank, p->alpha > 0 ? p->alpha : p->rank, &r->lora, err)) return false;
    struct tl_prdp_trainer_params tp = {
        .unet = r->pipeline->unet, .scheduler = &r->pipeline->scheduler,
        .sampling = {.sampler = p->sampler, .n_steps = p->steps, .eta = p->eta, .last = last[p->last_step]},
        .n_groups = p->prompts_per_epoch, .group_size = p->samples_per_prompt, .minibatches = p->minibatches, .passes = p->passes, .batch = p->batch,
        .height = r->latent_h, .width = r->latent_w, .tokens = r->encoding.tokens, .guidance = p->guidance, .lora = p->full ? NULL : &r->lora,
        .checkpoint = p->checkpoint,
        .loss = {.beta = p->beta, .clip = p->clip, .reduce_dims = p->reduce > 0 ? TL_PRDP_MEAN : TL_PRDP_SUM, .reduce_steps = p->reduce > 1 ? TL_PRDP_MEAN : TL_PRDP_SUM,
                 .ties = p->ties_drop ? TL_PRDP_TIES_DROP : TL_PRDP_TIES_KEEP},
        .adamw = {p->lr, p->beta1, p->beta2, 1e-8, p->weight_decay, p->clip_norm}, .seed = r->job->seed};
    r->trainer = tl_prdp_trainer_create(&tp, err);
    if (!r->trainer) return false;
    tl_log(TL_LOG_INFO, "beta is %.4g reward per nat; the last step's variance: %s; %.1f MB besides the weights", tl_prdp_beta_nats(&r->trainer->p.loss),
           tl_last_step_name(tp.sampling.last), (double)tl_prdp_trainer_bytes(r->trainer) / 1e6);
    return true;
}

/* Sums of several rewards are standardised by samples of the untouched model; the numbers are kept in run.json. */
static bool standardise(struct tl_prdp_run *r, struct tl_reward_set *set, const char *key, struct tl_err *err)
{
    if (!set || !tl_reward_set_needs_standard(set)) return true;
    size_t parts = tl_reward_set_count(set), n = STANDARD_SAMPLES, bytes = (size_t)r->width * (size_t)r->height * 3;
    struct tl_prdp_conditions c = conditions(r);
    float *latents = malloc(n * r->trainer->dim * sizeof *latents);
    uint8_t *rgb = malloc(n * bytes);
    double *scores = malloc(n * parts * sizeof *scores);
    struct tl_reward_item *items = calloc(n, sizeof *items);
    bool ok = (latents && rgb && scores && items) || tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t done = 0; ok && done < n;) { /* the epoch's prompts again and again */
        size_t take = n - done < r->trainer->n ? n - done : r->trainer->n;
        ok = tl_prdp_trainer_sample(r->trainer, &c, take, r->job->seed + 1, STANDARD_FIRST + (uint32_t)done, true, latents, err) &&
             tl_prdp_decode(r, latents, take, rgb + done * bytes, err);
        for (size_t i = 0; i < take; i++)
            items[done + i] = (struct tl_reward_item){.prompt = prompt_text(r, i), .rgb = rgb + (done + i) * bytes, .width = r->width, .height = r->height};
        done += take;
    }
    ok = ok && tl_reward_set_score(set, items, n, NULL, scores, err) && tl_reward_set_measure(set, scores, n, err);
    if (ok) {
        const struct tl_reward_standard *s = tl_reward_set_standards(set);
        cJSON *list = cJSON_CreateArray();
        for (size_t k = 0; k < parts; k++) cJSON_AddItemToArray(list, cJSON_CreateDoubleArray((const double[]){s[k].mean, s[k].deviation}, 2));
        ok = tl_run_folder_note(r->t.folder, key, list, err);
    }
    free(latents);
    free(rgb);
    free(scores);
    free(items);
    return ok;
}

/* The numbers of the beginning, for a run that goes on. */
static bool restandardise(struct tl_prdp_run *r, struct tl_reward_set *set, const char *key, struct tl_err *err)
{
    if (!set || !tl_reward_set_needs_standard(set)) return true;
    cJSON *about = tl_run_folder_read_about(r->t.folder, err);
    if (!about) return false;
    size_t parts = tl_reward_set_count(set);
    const cJSON *list = tl_json_get(about, key);
    struct tl_reward_standard *s = calloc(parts, sizeof *s);
    bool ok = s && cJSON_GetArraySize(list) == (int)parts;
    for (size_t k = 0; ok && k < parts; k++) {
        const cJSON *pair = cJSON_GetArrayItem(list, (int)k);
        ok = cJSON_GetArraySize(pair) == 2;
        if (ok) s[k] = (struct tl_reward_standard){cJSON_GetArrayItem(pair, 0)->valuedouble, cJSON_GetArrayItem(pair, 1)->valuedouble};
    }
    ok = ok ? tl_reward_set_standardise(set, s, err) : tl_err_set(err, TL_BAD_INPUT, "run.json has no %s for these rewards", key);
    free(s);
    cJSON_Delete(about);
    return ok;
}

static bool open_run(struct tl_prdp_run *r, struct tl_options *options, struct tl_err *err)
{
    const struct tl_run_input inputs[] = {{"prompts", r->p->prompts, NULL}, {"eval_prompts", r->p->eval_prompts, NULL}};
    if (!tl_training_open(&r->t, r->job, options, "prdp", r->p->out, r->p->resume, inputs, r->p->eval_prompts ? 2 : 1, err) || !open_model(r, err)) return false;
    r->drawn = calloc((size_t)r->p->prompts_per_epoch, sizeof *r->drawn);
    r->reward = open_rewards(r, &r->p->reward, err);
    r->held_out = r->reward && r->p->eval_reward.n ? open_rewards(r, &r->p->eval_reward, err) : NULL;
    if (!r->drawn || !r->reward || (r->p->eval_reward.n && !r->held_out) || !make_trainer(r, err) || !draw_prompts(r, err)) return false;
    if (!tl_prdp_eval_init(r, &r->trained, "trained", &r->prompts, EVAL_FIRST, err)) return false;
    if (r->eval_prompts.n && !tl_prdp_eval_init(r, &r->others, "other", &r->eval_prompts, OTHERS_FIRST, err)) return false;
    if (r->t.folder->resumes) {
        if (!restandardise(r, r->reward, "reward_standards", err) || !restandardise(r, r->held_out, "eval_reward_standards", err) || !tl_prdp_load(r, err)) return false;
    } else if (!standardise(r, r->reward, "reward_standards", err) || !standardise(r, r->held_out, "eval_reward_standards", err)) {
        return false;
    }
    r->metrics = tl_run_metrics_open(r->t.folder->path, r->t.folder->resumes ? r->epoch : -1, err);
    return r->metrics != NULL;
}

static void close_run(struct tl_prdp_run *r)
{
    tl_run_metrics_close(&r->metrics);
    tl_prdp_trainer_destroy(&r->trainer);
    tl_prdp_eval_finish(&r->trained);
    tl_prdp_eval_finish(&r->others);
    tl_lora_spec_finish(&r->lora);
    tl_reward_set_close(&r->reward);
    tl_reward_set_close(&r->held_out);
    tl_encoding_finish(&r->encoding);
    tl_encoding_finish(&r->negative);
    tl_latent_codec_destroy(&r->codec);
    tl_pipeline_close(&r->pipeline);
    tl_prompts_finish(&r->prompts);
    tl_prompts_finish(&r->eval_prompts);
    free(r->drawn);
    tl_training_close(&r->t);
}

/* ---- epochs ---- */

static void progress(struct tl_prdp_run *r, const char *phase, const char *health)
{
    if (!r->job->progress) return;
    double rate = r->epoch > 0 && r->start > 0 ? r->epoch / (tl_clock_s() - r->start) : 0;
    r->job->progress(r->job->user, &(struct tl_progress){.phase = phase, .done = r->epoch, .total = r->p->epochs, .unit = "epochs", .rate = rate,
                                                          .seconds_left = rate > 0 ? (r->p->epochs - r->epoch) / rate : -1, .health = health});
}

/* Mean over prompts of the deviation within a prompt: falls to 0 where a policy collapses onto one score. */
static double spread_within(const struct tl_prdp_run *r, const double *rewards)
{
    double sum = 0;
    for (int g = 0; g < r->p->prompts_per_epoch; g++) sum += tl_stats_sd(rewards + g * r->p->samples_per_prompt, (size_t)r->p->samples_per_prompt);
    return sum / r->p->prompts_per_epoch;
}

static bool write_metrics(struct tl_prdp_run *r, const double *rewards, const struct tl_prdp_epoch_stats *s, struct tl_err *err)
{
    size_t n = r->trainer->n;
    double low = rewards[0], high = rewards[0];
    for (size_t i = 1; i < n; i++) {
        low = fmin(low, rewards[i]);
        high = fmax(high, rewards[i]);
    }
    const struct tl_run_metric row[] = {
        {"reward_mean", tl_stats_mean(rewards, n)}, {"reward_sd", tl_stats_sd(rewards, n)}, {"reward_se", tl_stats_se(rewards, n)}, {"reward_min", low},
        {"reward_max", high}, {"reward_spread", spread_within(r, rewards)}, {"loss", s->loss}, {"first_loss", s->first.loss}, {"kl_nats", s->kl_ref_nats},
        {"clip_fraction", s->clip_fraction}, {"log_ratio_max", s->last.ratio_max}, {"log_ratio_move", s->ratio_move}, {"correlation", s->last.correlation},
        {"grad_norm", s->grad_norm}, {"skipped", s->skipped}};
    return tl_run_metrics_append(r->metrics, "train", r->epoch, row, sizeof row / sizeof *row, err);
}

static bool write_eval(struct tl_prdp_run *r, struct tl_err *err)
{
    for (int i = 0; i < 2; i++) {
        struct tl_prdp_eval *e = i ? &r->others : &r->trained;
        if (e->n == 0) continue;
        if (!tl_prdp_eval_read(r, e, true, err)) return false;
        const struct tl_run_metric row[] = {{"reward", tl_stats_mean(e->after, e->n)}, {"held_out", e->n_rewards > 1 ? tl_stats_mean(e->after + e->n, e->n) : 0}};
        if (!tl_run_metrics_append(r->metrics, i ? "eval_others" : "eval_trained", r->epoch, row, (size_t)e->n_rewards, err)) return false;
    }
    return true;
}

static bool one_epoch(struct tl_prdp_run *r, uint8_t *rgb, double *rewards, struct tl_err *err)
{
    struct tl_prdp_conditions c = conditions(r);
    struct tl_prdp_epoch_stats stats;
    int every = r->p->resample_every;
    bool draw = r->epoch == 0 || (every > 0 && r->epoch % every == 0);
    /* stored samples are those of the epoch that drew them; after a resume in between they are drawn again by that epoch's number only if
     * the policy is the same, so runs on stored samples checkpoint at the epochs that draw */
    if (draw) {
        if (!draw_prompts(r, err) || !tl_prdp_trainer_draw(r->trainer, &c, (uint32_t)r->epoch * (uint32_t)r->trainer->n, err)) return false;
        if (!tl_prdp_decode(r, tl_trajectory_slot(&r->trainer->paths, r->trainer->p.loss.n_steps), r->trainer->n, rgb, err)) return false;
        if (!tl_prdp_score(r, r->reward, rgb, r->trainer->n, prompt_text, r, rewards, err)) return false;
    } else if (!tl_prdp_trainer_snapshot(r->trainer, &c, err)) {
        return false;
    }
    if (!tl_prdp_trainer_update(r->trainer, &c, rewards, (uint32_t)r->epoch, &stats, err)) return false;
    r->epoch++;
    char health[128];
    snprintf(health, sizeof health, "reward %.3f, KL %.2f nats, clip %.0f %%", tl_stats_mean(rewards, r->trainer->n), stats.kl_ref_nats, 100 * stats.clip_fraction);
    progress(r, "prdp", health);
    return write_metrics(r, rewards, &stats, err);
}

static bool epochs(struct tl_prdp_run *r, struct tl_err *err)
{
    size_t n = r->trainer->n;
    uint8_t *rgb = malloc(n * (size_t)r->width * (size_t)r->height * 3);
    double *rewards = malloc(n * sizeof *rewards);
    bool ok = (rgb && rewards) || tl_err_set(err, TL_FAIL, "out of memory");
    r->start = tl_clock_s();
    int first = r->epoch;
    while (ok && r->epoch < r->p->epochs) {
        ok = one_epoch(r, rgb, rewards, err) || tl_err_add(err, "epoch %d", r->epoch);
        bool last = r->epoch == r->p->epochs;
        if (ok && (last || (r->p->eval_every && r->epoch % r->p->eval_every == 0))) ok = write_eval(r, err);
        bool stop = tl_interrupted() && !last;
        if (ok && (last || stop || r->epoch % r->p->checkpoint_every == 0)) ok = tl_prdp_save(r, err);
        if (ok && stop) ok = tl_interrupt_check("training", err);
    }
    if (ok && first == r->p->epochs) ok = write_eval(r, err); /* resumed when all was done: the report again */
    free(rgb);
    free(rewards);
    return ok;
}

static bool run(struct tl_prdp_run *r, struct tl_options *options, struct tl_err *err)
{
    if (!read_prompts(r, err) || !open_run(r, options, err)) return false;
    if (!r->t.folder->resumes) {
        progress(r, "reading the untouched model", "");
        if (!tl_prdp_eval_read(r, &r->trained, false, err) || !tl_prdp_eval_read(r, &r->others, false, err)) return false;
    }
    if (!epochs(r, err)) return false;
    if (r->p->full) {
        struct tl_str path = {0};
        bool ok = tl_run_folder_path(r->t.folder, "model", &path, err) && tl_pipeline_save(r->pipeline, path.data, &(struct tl_pipeline_save_params){.dtype = TL_ST_F32}, err);
        tl_str_finish(&path);
        if (!ok) return false;
    }
    return tl_prdp_report(r, err);
}

bool tl_train_prdp(const struct tl_job *job, struct tl_options *options, const void *params, struct tl_err *err)
{
    struct tl_prdp_run r = {.job = job, .p = params};
    bool ok = run(&r, options, err);
    close_run(&r);
    return ok;
}
