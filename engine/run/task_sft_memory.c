/* The memory of supervised fine-tuning, planned: the run's own steps on a device that only counts
 * (tensor/device_planning.h), and by formula what the program keeps beside it. */
#include <stdlib.h>

#include "nn/optimizer.h"
#include "run/encoded_set_parts.h"
#include "run/task_sft_parts.h"
#include "sample/denoiser.h"
#include "sample/latents.h"

/* The largest run of the VAE, whose plan is gone before training begins. */
static bool plan_encoding(struct tl_sft *s, struct tl_err *err)
{
    const struct tl_vae_config *v = &s->pipeline->vae->config.vae;
    struct tl_latent_codec *codec = tl_latent_codec_create(s->pipeline->vae, err);
    int f = tl_vae_factor(v);
    bool ok = codec != NULL;
    for (int i = 0; ok && i < s->data.n_buckets; i++) {
        int h = s->data.buckets[i].height / f * f, w = s->data.buckets[i].width / f * f;
        ok = tl_latent_codec_prepare_encode(codec, TL_ENCODE_BATCH, h, w, err);
    }
    tl_latent_codec_destroy(&codec);
    return ok;
}

static bool plan_training(struct tl_sft *s, struct tl_err *err)
{
    struct tl_device *d = s->pipeline->device;
    int f = tl_vae_factor(&s->pipeline->vae->config.vae);
    s->set.channels = s->pipeline->vae->config.vae.latent_channels; /* what graphs are built from */
    s->set.tokens = s->pipeline->tokens;
    s->set.dim = s->pipeline->width;
    if (s->live_texts && !tl_sft_text_init(s, err)) return false;
    tl_device_planning_part(d, "UNet, activations of a gradient");
    for (int gradient = 1; gradient >= (s->data.n_held_out ? 0 : 1); gradient--)
        for (int i = 0; i < s->data.n_buckets; i++)
            if (!tl_sft_plan_get(s, s->data.buckets[i].height / f, s->data.buckets[i].width / f,
                                 gradient != 0, err))
                return false;
    return true;
}

/* Latents of all pictures, captions once each. */
static void count_program(struct tl_sft *s)
{
    const struct tl_pipeline *p = s->pipeline;
    struct tl_device *d = p->device;
    int f = tl_vae_factor(&p->vae->config.vae);
    size_t latents = 0, row = (size_t)p->tokens * (size_t)p->width * sizeof(float),
           channels = 2 * (size_t)p->vae->config.vae.latent_channels;
    for (int i = 0; i < s->data.n_buckets; i++)
        latents += (size_t)s->data.buckets[i].n * (size_t)(s->data.buckets[i].height / f) *
                   (size_t)(s->data.buckets[i].width / f) * channels * sizeof(float);
    tl_device_planning_host(d, "latents of the pictures", s->p.flip ? 2 * latents : latents);
    tl_device_planning_host(d, "captions, encoded", s->live_texts ? 0 : (size_t)s->data.n * row);
}

static bool plan_samples(struct tl_sft *s, struct tl_err *err)
{
    int h, w, f = tl_vae_factor(&s->pipeline->vae->config.vae), side = s->p.size / f * f;
    if (!s->prompts.n) return true;
    if (!tl_pipeline_latent_size(s->pipeline, side, side, &h, &w, err)) return false;
    const struct tl_denoiser_params dp = {.unet = s->pipeline->unet,
                                          .batch = s->prompts.n < TL_SFT_SAMPLE_BATCH ? (int)s->prompts.n
                                                                                      : TL_SFT_SAMPLE_BATCH,
                                          .height = h,
                                          .width = w,
                                          .tokens = s->pipeline->tokens,
                                          .guided = s->guidance > 1,
                                          .lora = s->spec[TL_SFT_UNET]};
    struct tl_denoiser *denoiser = tl_denoiser_create(&dp, err);
    struct tl_latent_codec *codec = denoiser ? tl_latent_codec_create(s->pipeline->vae, err) : NULL;
    bool ok = codec && tl_latent_codec_prepare(codec, s->prompts.n, h, w, NULL, err);
    tl_denoiser_destroy(&denoiser);
    tl_latent_codec_destroy(&codec);
    return ok;
}

static bool plan(struct tl_sft *s, struct tl_device *planning, struct tl_sft_needs *out, struct tl_err *err)
{
    struct tl_optimizer *optimizer = NULL;
    struct tl_store *ema = NULL, *saved[2] = {0};
    tl_device_planning_part(planning, "trained weights, gradient, Adam, EMA");
    bool ok = tl_sft_open_model(s, planning, err) && tl_sft_make_weights(s, err) &&
              tl_sft_open_data(s, err) && plan_encoding(s, err) && plan_training(s, err);
    if (ok) count_program(s);
    tl_device_planning_part(planning, "trained weights, gradient, Adam, EMA");
    ok = ok && (optimizer = tl_optimizer_create(planning, s->weights->layout, err)) &&
         (s->p.ema <= 0 || (ema = tl_store_create(planning, s->weights->layout, err)));
    ok = ok && (!s->p.sample_prompts || tl_prompts_read(s->p.sample_prompts, &s->prompts, err)) &&
         plan_samples(s, err);
    for (int i = 0; ok && i < 2; i++) /* a LoRA is saved through a copy of each part */
        ok = !s->part_layouts[i] || (saved[i] = tl_store_create(planning, s->part_layouts[i], err));
    ok = ok && tl_batches_init(&s->batches, &s->data, TL_PART_TRAIN, s->p.batch * s->p.accumulate,
                               s->job->seed, err);
    if (ok) {
        tl_memory_plan_take(planning, &out->plan);
        out->n_pictures = (size_t)s->data.n;
        out->n_held_out = (size_t)s->data.n_held_out;
        out->n_skipped = (size_t)s->data.n_skipped;
        out->visits = s->batches.visits;
        out->per_pass = s->batches.per_pass;
        out->n_buckets = (size_t)s->data.n_buckets;
        out->trained = s->weights->layout->n_elements;
        out->full = s->full;
    }
    tl_optimizer_destroy(&optimizer);
    tl_store_destroy(&ema);
    tl_store_destroy(&saved[0]);
    tl_store_destroy(&saved[1]);
    return ok;
}

bool tl_task_sft_needs(struct tl_device *device, const struct tl_job *job,
                       const struct tl_supervised_params *params, struct tl_sft_needs *out,
                       struct tl_err *err)
{
    if (!tl_sft_check(params, err)) return false;
    *out = (struct tl_sft_needs){0};
    struct tl_device *planning = tl_device_planning_open(device, err);
    struct tl_sft *s = planning ? calloc(1, sizeof *s) : NULL;
    bool ok = s != NULL;
    if (s) {
        s->p = *params;
        s->job = job;
        if (s->p.accumulate < 1) s->p.accumulate = 1;
        ok = plan(s, planning, out, err);
        tl_sft_destroy(s);
    } else if (planning) {
        tl_err_set(err, TL_FAIL, "out of memory");
    }
    tl_device_close(&planning);
    return ok;
}
