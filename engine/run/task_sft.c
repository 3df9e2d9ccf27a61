#include "run/task_sft.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "base/rng.h"
#include "io/json.h"
#include "run/task_sft_parts.h"

enum { BUCKET_STEP = 64 };

/* ---- a batch ---- */

/* Min-SNR (Hang et al. 2023): min(SNR, gamma) times the x_0 loss, of which the epsilon loss is SNR and the v
 * loss SNR + 1 times as much. */
static double snr_weight(const struct tl_sft *s, size_t time)
{
    if (s->p.snr_gamma <= 0) return 1;
    double snr = tl_noise_snr(&s->pipeline->scheduler.noise, time), least = fmin(snr, s->p.snr_gamma);
    switch (s->pipeline->scheduler.config.prediction) {
    case TL_PREDICT_EPSILON:
        return snr <= s->p.snr_gamma ? 1 : least / snr; /* also where nothing but noise is left */
    case TL_PREDICT_V:
        return least / (snr + 1);
    default:
        return least;
    }
}

/* Noised latents and target of row j: picture `i`, mirrored where the key says so. */
static void fill_row(struct tl_sft *s, int j, int i, struct tl_rng_key key)
{
    const struct tl_scheduler *scheduler = &s->pipeline->scheduler;
    const struct tl_moments *m = &s->set.moments[i];
    size_t c = (size_t)s->set.channels, n = (size_t)m->height * (size_t)m->width * c;
    float *x = s->x + (size_t)j * n, *target = s->target + (size_t)j * n;
    key.stream = TL_RNG_AUGMENT;
    bool flip = s->p.flip && tl_rng_uniform(key, 0) < 0.5f;
    key.stream = TL_RNG_POSTERIOR;
    tl_rng_normal(key, 0, n, s->noise);
    tl_encoded_set_latent_of(&s->set, &s->pipeline->vae->config.vae, i, flip, s->noise, x);
    key.stream = TL_RNG_TRAIN_NOISE;
    tl_rng_normal(key, 0, n, s->noise);
    if (s->p.noise_offset > 0) { /* one more draw a channel, the same for all pixels */
        float *shift = s->noise + n;
        tl_rng_normal(key, (uint32_t)n, c, shift);
        for (size_t e = 0; e < n; e++) s->noise[e] += (float)s->p.noise_offset * shift[e % c];
    }
    key.stream = TL_RNG_TRAIN_TIME;
    size_t time = tl_rng_below(key, 0, (uint32_t)scheduler->noise.n);
    tl_noise_target(&scheduler->noise, scheduler->config.prediction, time, x, s->noise, n, target);
    tl_noise_add(&scheduler->noise, time, x, s->noise, n, x);
    s->t[j] = (float)time;
    s->weight[j] = (float)snr_weight(s, time);
}

/* Runs the plan of the batch's size and reads the loss of each row. */
static bool run_batch(struct tl_sft *s, struct tl_exec *e, struct tl_err *err)
{
    return tl_exec_write(e, "sample", s->x, err) && tl_exec_write(e, "timestep", s->t, err) &&
           tl_exec_write(e, "context", s->context, err) && tl_exec_write(e, "target", s->target, err) &&
           tl_exec_write(e, "weight", s->weight, err) && tl_exec_run(e, err) &&
           tl_exec_read(e, "rows", s->rows, err);
}

/* An update sees one batch of batch * accumulate pictures of one size; part k is its k-th slice. What fills
 * the last batch of a pass up weighs nothing. */
static bool gradient(void *self, uint64_t step, uint32_t part, double out[TL_TASK_METRICS],
                     struct tl_err *err)
{
    struct tl_sft *s = self;
    int b = s->p.batch, first = (int)part * b, all = b * s->p.accumulate;
    struct tl_batch batch = tl_batches_get(&s->batches, step);
    struct tl_rng_key keys[TL_SFT_MOST_BATCH];
    if (first >= batch.n_own) return true;
    const struct tl_moments *m = &s->set.moments[batch.pictures[0]];
    struct tl_exec *e = tl_sft_plan_get(s, m->height, m->width, true, err);
    if (!e) return false;
    for (int j = 0; j < b; j++) {
        keys[j] = (struct tl_rng_key){s->job->seed, TL_RNG_DROPOUT, (uint32_t)(first + j), (uint32_t)step};
        fill_row(s, j, batch.pictures[first + j], keys[j]);
        s->weight[j] = first + j < batch.n_own ? s->weight[j] * (float)((double)all / batch.n_own) : 0;
    }
    if (!tl_sft_contexts(s, batch.pictures + first, keys, NULL, err) || !run_batch(s, e, err)) return false;
    for (int j = 0; j < b && first + j < batch.n_own; j++) {
        out[0] += (double)s->weight[j] * (double)s->rows[j] / b;
        out[1] += (double)s->rows[j] * s->p.accumulate / batch.n_own;
    }
    return !s->p.train_text || (tl_exec_read(e, "d_context", s->d_context, err) &&
                                tl_sft_text_gradient(s, s->text_list, s->d_context, err));
}

/* ---- opening ---- */

bool tl_sft_check(const struct tl_supervised_params *p, struct tl_err *err)
{
    if (p->full && (p->lora || p->rank > 0))
        return tl_err_set(err, TL_USAGE, "--full trains all weights, %s a LoRA: leave one of them out",
                          p->lora ? "--lora" : "--rank");
    if ((int64_t)p->batch * p->accumulate > 1 << 20)
        return tl_err_set(err, TL_USAGE, "--batch %d times --accumulate %d: at most %d pictures an update",
                          p->batch, p->accumulate, 1 << 20);
    if (p->sample_guidance < 0 && p->sample_guidance != -1)
        return tl_err_set(err, TL_USAGE, "--sample-guidance %g: 0 or more, or -1 for what the model names",
                          p->sample_guidance);
    if (p->val_share > 0 && p->val_every == 0)
        return tl_err_set(err, TL_USAGE, "--val-share holds pictures out, --val-every 0 never looks at them");
    return true;
}

bool tl_sft_open_model(struct tl_sft *s, struct tl_device *d, struct tl_err *err)
{
    const struct tl_pipeline_params how = {.dtype = (enum tl_dtype)s->p.dtype, .seed = &s->job->seed};
    s->pipeline = tl_pipeline_open_as(d, s->p.model, &how, err);
    if (!s->pipeline) return false;
    if (s->pipeline->xl)
        return tl_err_set(err, TL_BAD_INPUT,
                          "%s: sft trains UNets that are conditioned on text alone; this is an XL pipeline",
                          s->p.model);
    bool fresh = s->pipeline->unet->folder == NULL;
    if (fresh && (s->p.lora || s->p.rank > 0))
        return tl_err_set(err, TL_USAGE, "%s: its unet/ has no weights, so all are trained; leave %s out",
                          s->p.model, s->p.lora ? "--lora" : "--rank");
    s->full = s->p.full || fresh;
    if (s->full && s->p.dtype)
        return tl_err_set(err, TL_USAGE,
                          "--dtype %s is for training a LoRA: all weights are trained in f32 here",
                          tl_dtype_name((enum tl_dtype)s->p.dtype));
    if (!tl_json_double(s->pipeline->index, "_guidance_scale", 7.5, &s->guidance, err)) return false;
    if (s->p.sample_guidance >= 0) s->guidance = s->p.sample_guidance;
    return true;
}

bool tl_sft_open_data(struct tl_sft *s, struct tl_err *err)
{
    const struct tl_supervised_params *p = &s->p;
    int factor = tl_vae_factor(&s->pipeline->vae->config.vae), size = p->size, step = p->bucket_step;
    if (!size) size = factor * s->pipeline->unet->config.unet.sample_size[0];
    if (p->fit == TL_FIT_BUCKET && !size)
        return tl_err_set(err, TL_USAGE, "--fit bucket needs --size: the model's config names none");
    if (!step) step = size >= 4 * BUCKET_STEP ? BUCKET_STEP : size / 4 / factor * factor;
    if (step < factor) step = factor;
    if (p->fit == TL_FIT_BUCKET && step % factor)
        return tl_err_set(err, TL_USAGE, "--bucket-step %d: a multiple of the VAE's %d is needed", step,
                          factor);
    struct tl_dataset_params dp = {.folder = p->data,
                                   .fit = (enum tl_fit)p->fit,
                                   .width = size,
                                   .height = size,
                                   .area_side = size,
                                   .bucket_step = step,
                                   .no_upscale = p->no_upscale,
                                   .need_captions = true,
                                   .strict = p->strict,
                                   .job = s->job,
                                   .val_share = p->val_share};
    s->captions = (struct tl_caption_params){.dropout = p->caption_dropout,
                                             .tag_dropout = p->tag_dropout,
                                             .shuffle = p->shuffle_caption,
                                             .keep_tokens = p->keep_tokens};
    s->live_texts = p->train_text || !tl_caption_is_fixed(&s->captions);
    return tl_dataset_open(&dp, &s->data, err);
}

static bool encode_data(struct tl_sft *s, struct tl_err *err)
{
    const struct tl_supervised_params *p = &s->p;
    struct tl_encoded_params ep = {
        .cache = p->latent_cache, .flips = p->flip, .no_captions = s->live_texts, .job = s->job};
    if (!tl_encoded_set_open(&s->data, s->pipeline, &ep, &s->set, err)) return false;
    if (p->fit == TL_FIT_BUCKET)
        for (int i = 0; i < s->data.n_buckets; i++)
            tl_log(TL_LOG_INFO, "bucket %dx%d: %d pictures", s->data.buckets[i].width,
                   s->data.buckets[i].height, s->data.buckets[i].n);
    return tl_batches_init(&s->batches, &s->data, TL_PART_TRAIN, p->batch * p->accumulate, s->job->seed,
                           err) &&
           tl_batches_init(&s->held_out, &s->data, TL_PART_HELD_OUT, p->batch, s->job->seed, err) &&
           (!p->sample_prompts || tl_prompts_read(p->sample_prompts, &s->prompts, err));
}

static bool allocate(struct tl_sft *s, struct tl_err *err)
{
    size_t b = (size_t)s->p.batch, c = (size_t)s->set.channels,
           row = (size_t)s->pipeline->tokens * (size_t)s->pipeline->width;
    for (int i = 0; i < s->set.n; i++) {
        size_t n = (size_t)s->set.moments[i].height * (size_t)s->set.moments[i].width * c;
        if (n > s->most_latent) s->most_latent = n;
    }
    s->x = malloc(b * s->most_latent * sizeof(float));
    s->target = malloc(b * s->most_latent * sizeof(float));
    s->noise = malloc((s->most_latent + c) * sizeof(float));
    s->t = malloc(b * sizeof(float));
    s->weight = malloc(b * sizeof(float));
    s->rows = malloc(b * sizeof(float));
    s->context = malloc(b * row * sizeof(float));
    s->d_context = malloc(b * row * sizeof(float));
    s->texts = calloc(b, sizeof *s->texts);
    s->text_list = calloc(b, sizeof *s->text_list);
    return (s->x && s->target && s->noise && s->t && s->weight && s->rows && s->context && s->d_context &&
            s->texts && s->text_list) ||
           tl_err_set(err, TL_FAIL, "out of memory");
}

void tl_sft_destroy(void *self)
{
    struct tl_sft *s = self;
    tl_sft_plans_finish(&s->plans);
    tl_sft_text_finish(&s->text);
    tl_sft_free_weights(s);
    tl_batches_finish(&s->batches);
    tl_batches_finish(&s->held_out);
    tl_encoded_set_finish(&s->set);
    tl_dataset_finish(&s->data);
    tl_prompts_finish(&s->prompts);
    tl_pipeline_close(&s->pipeline);
    float *const all[] = {s->x, s->target, s->t, s->weight, s->context, s->d_context, s->noise, s->rows};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    for (int j = 0; s->texts && j < s->p.batch; j++) tl_str_finish(&s->texts[j]);
    free(s->texts);
    free((void *)s->text_list);
    free(s);
}

/* The first batch's plan is made here, so that what does not fit the model is refused before the run begins.
 */
static bool prepare(struct tl_sft *s, struct tl_device *d, struct tl_err *err)
{
    if (!tl_sft_open_model(s, d, err) || !tl_sft_make_weights(s, err) || !tl_sft_open_data(s, err) ||
        !encode_data(s, err) || !allocate(s, err))
        return false;
    if (s->live_texts && !tl_sft_text_init(s, err)) return false;
    const struct tl_moments *m = &s->set.moments[tl_batches_get(&s->batches, 0).pictures[0]];
    return tl_sft_plan_get(s, m->height, m->width, true, err) != NULL;
}

bool tl_task_sft_create(struct tl_device *device, const struct tl_job *job,
                        const struct tl_supervised_params *params, struct tl_task *out, struct tl_err *err)
{
    if (!tl_sft_check(params, err)) return false;
    struct tl_sft *s = calloc(1, sizeof *s);
    if (!s) return tl_err_set(err, TL_FAIL, "out of memory");
    s->p = *params;
    s->job = job;
    if (s->p.accumulate < 1) s->p.accumulate = 1;
    if (!prepare(s, device, err)) {
        tl_sft_destroy(s);
        return false;
    }
    *out = (struct tl_task){.self = s,
                            .weights = s->weights,
                            .grads = s->grads,
                            .metrics = {"loss", "mse"},
                            .gradient = gradient,
                            .validate = s->data.n_held_out ? tl_sft_validate : NULL,
                            .sample = s->prompts.n ? tl_sft_sample : NULL,
                            .save = tl_sft_save,
                            .saves_often = !s->full,
                            .n_pictures = s->data.folder.n,
                            .n_skipped = (size_t)s->data.n_skipped,
                            .n_strays = s->data.folder.n_strays,
                            .destroy = tl_sft_destroy};
    tl_sft_validation_names(s, out->validation);
    return true;
}
