/* Opening a run that learns from rewards: what is cheap to refuse comes first, then prompts, model, rewards,
 * trainer; then the run begins. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/interrupt.h>
#include <tiller/log.h>

#include "algo/prdp.h"
#include "base/checked.h"
#include "io/file.h"
#include "run/tune.h"

/* What the numbers alone say of the trainer; the model's part is added when it is open. */
struct tl_policy_trainer_params tl_tune_trainer_params(const struct tl_tune *r)
{
    static const enum tl_last_step last[] = {TL_LAST_ZERO, TL_LAST_DIFFUSERS, TL_LAST_CLAMP};
    const struct tl_tune_params *p = r->p;
    const struct tl_pipeline *pipeline = r->pipeline;
    return (struct tl_policy_trainer_params){
        .unet = pipeline ? pipeline->unet : NULL,
        .scheduler = pipeline ? &pipeline->scheduler : NULL,
        .height = r->latent_h,
        .width = r->latent_w,
        .tokens = pipeline ? pipeline->tokens : 0,
        .sampling = {.sampler = p->sampler, .n_steps = p->steps, .eta = p->eta, .last = last[p->last_step]},
        .n_groups = p->prompts_per_epoch,
        .group_size = p->learn_samples > 0 ? p->learn_samples : p->samples_per_prompt,
        .draw_size = p->samples_per_prompt,
        .minibatches = p->minibatches,
        .passes = p->passes,
        .batch = r->choice.batch,
        .learn_steps = p->learn_steps,
        .guidance = p->guidance,
        .checkpoint = r->choice.recompute,
        .objective = r->method->loss,
        .go_on = tl_tune_go_on,
        .user = (void *)(uintptr_t)r,
        .loss = {.beta = p->beta,
                 .clip = p->clip,
                 .reduce_dims = p->reduce > 0 ? TL_LOG_RATIO_MEAN : TL_LOG_RATIO_SUM,
                 .reduce_steps = p->reduce > 1 ? TL_LOG_RATIO_MEAN : TL_LOG_RATIO_SUM,
                 .ties = p->ties_drop ? TL_POLICY_TIES_DROP : TL_POLICY_TIES_KEEP},
        .adamw = {p->lr, p->beta1, p->beta2, p->adam_eps, p->weight_decay, p->clip_norm},
        .seed = r->job->seed};
}

static bool encode_prompts(struct tl_tune *r, struct tl_err *err)
{
    const char **texts = malloc((r->prompts.n + 1) * sizeof *texts);
    if (!texts) return tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t i = 0; i < r->prompts.n; i++) texts[i] = r->prompts.items[i].text;
    bool ok = tl_pipeline_encode(r->pipeline, texts, r->prompts.n, &r->encoding, err) &&
              tl_pipeline_encode(r->pipeline, &r->p->negative_prompt, 1, &r->negative, err);
    free(texts);
    return ok;
}

bool tl_tune_open_model(struct tl_tune *r, struct tl_device *device, struct tl_err *err)
{
    /* with --full the pipeline is trained, or saved beside what is */
    const struct tl_pipeline_params how = {.dtype = r->p->full ? TL_F32 : (enum tl_dtype)r->p->dtype};
    r->pipeline = tl_pipeline_open_as(device, r->p->model, &how, err);
    if (!r->pipeline) return false;
    if (r->pipeline->xl)
        return tl_err_set(
            err, TL_BAD_INPUT,
            "%s: runs on rewards train text-conditioned UNets of SD 1 and 2; this is an XL pipeline",
            r->p->model);
    if (r->pipeline->vae->config.vae.out_channels != 3)
        return tl_err_set(err, TL_BAD_INPUT, "%s: its VAE makes no RGB pictures", r->p->model);
    if (!tl_pipeline_latent_size(r->pipeline, r->height, r->width, &r->latent_h, &r->latent_w, err))
        return false;
    int factor = tl_vae_factor(&r->pipeline->vae->config.vae);
    r->width = r->latent_w * factor;
    r->height = r->latent_h * factor;
    r->bytes = (size_t)r->width * (size_t)r->height * 3;
    r->codec = tl_latent_codec_create(r->pipeline->vae, err);
    return r->codec != NULL;
}

static struct tl_reward_set *open_rewards(struct tl_tune *r, const struct tl_strings *specs,
                                          struct tl_device *device, struct tl_err *err)
{
    return tl_reward_set_open(&(struct tl_reward_set_params){.specs = specs->items,
                                                             .n_specs = specs->n,
                                                             .raw = r->p->raw_rewards,
                                                             .device = device,
                                                             .dtype = tl_dtype_choices[r->p->dtype]},
                              err);
}

bool tl_tune_open_rewards(struct tl_tune *r, struct tl_device *device, struct tl_err *err)
{
    r->reward = open_rewards(r, &r->p->reward, device, err);
    if (!r->reward) return tl_err_add(err, "--reward");
    if (r->p->eval_reward.n == 0) return true;
    r->held_out = open_rewards(r, &r->p->eval_reward, device, err);
    return r->held_out || tl_err_add(err, "--eval-reward");
}

/* A target that names no layer is most likely a slip of the pen; the others train all the same. */
static void warn_of_targets(const struct tl_lora_spec *lora, const struct tl_store_layout *layout)
{
    static const char ending[] = ".lora_A.weight";
    for (int k = 0; k < lora->n_targets; k++) {
        struct tl_lora_spec one = {.rank = 1, .targets = lora->targets + k, .n_targets = 1};
        bool found = false;
        for (int32_t i = 0; i < layout->n_entries && !found; i++) {
            char layer[512];
            size_t n = strlen(layout->entries[i].name), cut = sizeof ending - 1;
            if (n <= cut || n >= sizeof layer || strcmp(layout->entries[i].name + n - cut, ending) != 0)
                continue;
            memcpy(layer, layout->entries[i].name, n - cut);
            layer[n - cut] = 0;
            found = tl_lora_rank(&one, layer) > 0;
        }
        if (!found) tl_log(TL_LOG_WARN, "--targets: no layer of the UNet ends in %s", lora->targets[k]);
    }
}

const struct tl_lora_spec *tl_tune_choose_lora(struct tl_tune *r, struct tl_err *err)
{
    const struct tl_tune_params *p = r->p;
    if (p->full) return NULL;
    if (!p->lora || !*p->lora)
        return tl_lora_spec_parse(p->targets, p->rank, p->alpha > 0 ? p->alpha : p->rank, &r->lora, err)
                   ? &r->lora
                   : NULL;
    const struct tl_lora_model model = {.part = {[TL_LORA_UNET] = r->pipeline->unet->layout}};
    r->lora_start = tl_lora_start_open(p->lora, &model, 1u << TL_LORA_UNET, err);
    if (!r->lora_start) return NULL;
    tl_log(TL_LOG_INFO, "going on from %s: %s", p->lora, tl_lora_start_about(r->lora_start, TL_LORA_UNET));
    return tl_lora_start_spec(r->lora_start, TL_LORA_UNET);
}

/* Lines that are said once, when everything is there. */
static void tell(const struct tl_tune *r)
{
    const struct tl_policy_trainer *t = r->trainer;
    if (r->p->beta > 0) tl_log(TL_LOG_INFO, "beta is %.4g reward per nat", tl_prdp_beta_nats(&t->p.loss));
    tl_log(TL_LOG_INFO, "the last step's variance: %s", tl_last_step_name(t->p.sampling.last));
}

size_t tl_tune_decode_most(const struct tl_tune *r)
{
    return r->choice.single ? 1 : (size_t)r->p->prompts_per_epoch * (size_t)r->p->samples_per_prompt;
}

static bool make_trainer(struct tl_tune *r, struct tl_err *err)
{
    const struct tl_tune_params *p = r->p;
    const struct tl_lora_spec *lora = tl_tune_choose_lora(r, err);
    if (!lora && !p->full) return false;
    struct tl_policy_trainer_params tp = tl_tune_trainer_params(r);
    tp.lora = lora;
    if (!tl_latent_codec_prepare(r->codec, tl_tune_decode_most(r), r->latent_h, r->latent_w, NULL, err))
        return false;
    r->trainer = tl_policy_trainer_create(&tp, err);
    if (!r->trainer) return false;
    if (r->lora_start && !tl_lora_start_fill(r->lora_start, TL_LORA_UNET, r->trainer->weights, err))
        return false;
    if (lora && !r->lora_start) warn_of_targets(lora, r->trainer->weights->layout);
    tell(r);
    size_t pictures;
    r->n_drawn = r->trainer->n_drawn;
    if (!tl_checked_mul(r->n_drawn, r->bytes, &pictures))
        return tl_err_set(err, TL_USAGE, "too many samples of %dx%d", r->width, r->height);
    r->drawn = calloc((size_t)p->prompts_per_epoch, sizeof *r->drawn);
    r->rewards = calloc(r->n_drawn, sizeof *r->rewards);
    r->signal = calloc(r->n_drawn, sizeof *r->signal);
    r->warnings = cJSON_CreateArray();
    r->rgb = malloc(pictures);
    if (!r->drawn || !r->rewards || !r->signal || !r->warnings || !r->rgb)
        return tl_err_set(err, TL_FAIL, "out of memory for %zu pictures of %dx%d", r->n_drawn, r->width,
                          r->height);
    if (r->method->advantages && p->advantages == TL_ADVANTAGE_PROMPT &&
        !tl_advantage_history_init(&r->history, r->prompts.n, err))
        return false;
    return tl_tune_draw_prompts(r, 0, err);
}

/* "clip:shapes-clip" of "clip:assets/encoders/shapes-clip": pictures and summaries name no folders of this
 * machine. */
static void name_reward(struct tl_tune *r)
{
    const char *spec = r->p->reward.n == 1 ? r->p->reward.items[0] : "reward", *colon = strchr(spec, ':');
    int end = (int)strlen(spec), head = colon ? (int)(colon + 1 - spec) : 0, base;
    while (colon && end > head && spec[end - 1] == '/') end--;
    for (base = end; colon && base > head && spec[base - 1] != '/';) base--;
    if (!colon) base = 0;
    snprintf(r->label, sizeof r->label, "%.*s%.*s", head, spec, end - base, spec + base);
}

/* A run that is only looked at makes no folder. */
static bool open_training(struct tl_tune *r, struct tl_err *err)
{
    const struct tl_job *job = r->job;
    if (!r->p->dry_run) return tl_training_open(&r->t, job, r->p->out, r->p->resume, err);
    r->t = (struct tl_training){.job = job};
    r->t.device =
        tl_device_open(&(struct tl_device_params){.name = job->device, .threads = job->threads}, err);
    return r->t.device != NULL;
}

/* Text encoders go before the trainer comes, for all prompts are encoded by then; with --full they stay, to
 * be saved with the model. */
static bool open_all(struct tl_tune *r, struct tl_err *err)
{
    const struct tl_tune_params *p = r->p;
    struct tl_device *device = r->t.device;
    if (!tl_tune_open_model(r, device, err) || !encode_prompts(r, err) ||
        !tl_tune_open_rewards(r, device, err) ||
        !tl_tune_eval_init(r, &r->trained, "trained", &r->prompts, (size_t)p->eval_trained_most,
                           TL_TUNE_EVAL_FIRST, err))
        return false;
    if (r->eval_prompts.n && !tl_tune_eval_init(r, &r->others, "others", &r->eval_prompts,
                                                (size_t)p->eval_others_most, TL_TUNE_OTHERS_FIRST, err))
        return false;
    for (size_t i = 0; i < r->n_rules; i++)
        if (r->rules[i].metric == TL_GUARD_DIVERSITY && !r->trained.embedder)
            return tl_err_set(err, TL_USAGE,
                              "--stop-when %s: no reward has an encoder of pictures to measure diversity by",
                              p->stop_when.items[i]);
    if (!p->full) tl_pipeline_free_text(r->pipeline);
    return make_trainer(r, err);
}

/* What the run is made from: a resume refuses another one. */
static bool list_inputs(const struct tl_tune_params *p, struct tl_run_inputs *in, struct tl_err *err)
{
    bool ok = tl_run_inputs_add(in, "prompts", p->prompts, err) &&
              tl_run_inputs_add(in, "eval_prompts", p->eval_prompts, err) &&
              tl_run_inputs_add(in, "lora", p->lora, err) && tl_run_inputs_add(in, "model", p->model, err);
    for (size_t i = 0; ok && i < p->reward.n; i++)
        ok = tl_run_inputs_add_reward(in, "reward", p->reward.items[i], err);
    for (size_t i = 0; ok && i < p->eval_reward.n; i++)
        ok = tl_run_inputs_add_reward(in, "eval_reward", p->eval_reward.items[i], err);
    return ok;
}

static bool begin(struct tl_tune *r, const struct tl_options *options, struct tl_err *err)
{
    struct tl_run_inputs inputs = {0};
    bool ok = list_inputs(r->p, &inputs, err) &&
              tl_training_begin(&r->t, options, r->method->name, inputs.list, inputs.n, err);
    tl_run_inputs_finish(&inputs);
    return ok;
}

bool tl_tune_open(struct tl_tune *r, const struct tl_options *options, struct tl_err *err)
{
    const struct tl_tune_params *p = r->p;
    r->choice = (struct tl_tune_choice){.batch = p->batch, .recompute = p->checkpoint};
    if (!tl_tune_check(r, err) || !tl_tune_read_prompts(r, err) || !open_training(r, err) ||
        !tl_tune_plan(r, err))
        return false;
    if (p->dry_run && !tl_tune_fits(r)) return true;
    if (!open_all(r, err)) return false;
    name_reward(r);
    if (p->dry_run) return true;
    if (!begin(r, options, err) || !tl_tune_plan_note(r, err)) return false;
    if (r->t.folder->resumes && !tl_tune_load(r, err)) return false;
    r->metrics =
        tl_run_metrics_reopen(r->t.folder->path, r->t.folder->resumes ? r->epoch : -1, r->resumed_rows, err);
    return r->metrics != NULL;
}

void tl_tune_close_model(struct tl_tune *r)
{
    tl_lora_spec_finish(&r->lora);
    tl_lora_start_close(&r->lora_start);
    tl_reward_set_close(&r->reward);
    tl_reward_set_close(&r->held_out);
    tl_latent_codec_destroy(&r->codec);
    tl_pipeline_close(&r->pipeline);
}

void tl_tune_close(struct tl_tune *r)
{
    tl_run_metrics_close(&r->metrics);
    tl_policy_trainer_destroy(&r->trainer);
    tl_tune_eval_finish(&r->trained);
    tl_tune_eval_finish(&r->others);
    tl_advantage_history_finish(&r->history);
    cJSON_Delete(r->warnings);
    tl_encoding_finish(&r->encoding);
    tl_encoding_finish(&r->negative);
    tl_tune_close_model(r);
    tl_prompts_finish(&r->prompts);
    tl_prompts_finish(&r->eval_prompts);
    free(r->drawn);
    free(r->rewards);
    free(r->signal);
    free(r->rgb);
    tl_training_close(&r->t);
}
