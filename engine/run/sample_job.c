#include <tiller/sample.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/interrupt.h>
#include <tiller/log.h>

#include "io/json.h"
#include "base/clock.h"
#include "io/file.h"
#include "io/safetensors.h"
#include "run/listing.h"
#include "run/memory_plan.h"
#include "run/progress.h"
#include "run/sample_parts.h"
#include "sample/latents.h"
#include "sample/sampler_run.h"

const struct tl_option tl_sample_options[] = {
    TL_OPTION_STRING(struct tl_sample_params, model, 'm', "model", NULL, "FOLDER",
                     "a diffusers pipeline (model_index.json)"),
    TL_OPTION_STRINGS(struct tl_sample_params, prompt, 'p', "prompt", NULL, "TEXT",
                      "what to draw; repeat it for more"),
    TL_OPTION_STRING(struct tl_sample_params, prompts, 0, "prompts", NULL, "FILE",
                     "prompts, one a line, or JSONL"),
    TL_OPTION_INT(struct tl_sample_params, n, 'n', "n", "1", 1, 100000, "N", "pictures a prompt"),
    TL_OPTION_STRING(struct tl_sample_params, out, 'o', "out", NULL, "FOLDER",
                     "where the pictures go, numbered in prompt order"),
    TL_OPTION_STRING(struct tl_sample_params, negative_prompt, 0, "negative-prompt", NULL, "TEXT",
                     "what guidance leads away from"),
    TL_OPTION_STRINGS(struct tl_sample_params, lora, 0, "lora", NULL, "FILE[@SCALE]",
                      "an adapter (diffusers, kohya or PEFT); repeat it for more"),
    TL_OPTION_STRING(struct tl_sample_params, sampler, 0, "sampler", NULL, "NAME",
                     "ddpm or ddim; else the model's own"),
    TL_OPTION_INT(struct tl_sample_params, steps, 0, "steps", "50", 1, 100000, "N", "denoising steps"),
    TL_OPTION_REAL(struct tl_sample_params, eta, 0, "eta", "0", 0, 1, "X",
                   "share of fresh noise in a DDIM step"),
    TL_OPTION_REAL(struct tl_sample_params, guidance, 0, "guidance", "-1", -1, 1000, "X",
                   "classifier-free guidance, works above 1; -1: what model_index.json names "
                   "(_guidance_scale), else 7.5"),
    TL_OPTION_STRING(struct tl_sample_params, size, 0, "size", NULL, "WxH", "pixels; else the model's own"),
    TL_OPTION_STRING(struct tl_sample_params, init_latents, 0, "init-latents", NULL, "FILE",
                     "safetensors with one tensor [N,C,h,w] of unit noise, a picture each"),
    TL_OPTION_STRING(struct tl_sample_params, save_latents, 0, "save-latents", NULL, "FILE",
                     "safetensors for the latents after the last step"),
    TL_OPTION_STRING(struct tl_sample_params, grid, 0, "grid", NULL, "FILE",
                     "one PNG with all pictures, a row a prompt"),
    TL_OPTION_INT(struct tl_sample_params, batch, 0, "batch", "0", 0, 4096, "N",
                  "pictures at a time; 0: by their size"),
    TL_OPTION_INT(struct tl_sample_params, first, 0, "first", "0", 0, 1 << 30, "N",
                  "number of the first picture, which its noise depends on"),
    TL_OPTION_ENUM(struct tl_sample_params, dtype, 0, "dtype", "f32", tl_dtype_choices,
                   "what weights are kept in, whatever the files have; everything is computed in f32"),
    {0},
};

struct sample {
    const struct tl_sample_params *params;
    const struct tl_job *job;
    struct tl_sample_inputs inputs;
    struct tl_sample_settings settings;
    struct tl_sample_output output;
    struct tl_sample_params own; /* what params points to */
    struct tl_device *device;
    struct tl_pipeline *pipeline;
    struct tl_latent_codec *codec;
    struct tl_denoiser *denoiser;
    struct tl_step *steps;
    struct tl_encoding prompts, negative; /* a batch's, and the one negative */
    int h, w, c, batch;                   /* of the latents */
    size_t dim;
    float *latents;  /* [n][dim]: x_0 of all */
    uint8_t *pixels; /* [batch][height][width][3] */
    double start;
    struct tl_progress_meter meter;
    size_t batch_first; /* of the batch under way */
    size_t left_out;    /* tensors of LoRAs that fit nothing */
};

static bool check_options(const struct tl_sample_params *p, struct tl_err *err)
{
    if (!p->model) return tl_err_set(err, TL_USAGE, "sample needs --model FOLDER");
    if (!p->out || !*p->out) return tl_err_set(err, TL_USAGE, "sample needs -o FOLDER");
    const char *names[16];
    for (size_t i = 0; i < tl_n_samplers && i < 16; i++) names[i] = tl_samplers[i].name;
    if (p->sampler && !tl_sampler_find(p->sampler)) {
        const char *near = tl_str_nearest(p->sampler, names, tl_n_samplers);
        return tl_err_set(err, TL_USAGE, "there is no sampler '%.40s'%s%s; tiller list samplers shows them",
                          p->sampler, near ? "; did you mean " : "", near ? near : "");
    }
    if (p->negative_prompt && *p->negative_prompt && p->guidance >= 0 && !tl_guidance_active(p->guidance))
        tl_log(TL_LOG_WARN, "the negative prompt has no effect at guidance %g: it works above 1",
               p->guidance);
    return true;
}

static bool open_model(struct sample *s, struct tl_err *err)
{
    s->device =
        tl_device_open(&(struct tl_device_params){.name = s->job->device, .threads = s->job->threads}, err);
    if (!s->device) return false;
    const struct tl_pipeline_params how = {.dtype = (enum tl_dtype)s->params->dtype};
    s->pipeline = tl_pipeline_open_as(s->device, s->params->model, &how, err);
    if (!s->pipeline) return false;
    /* diffusers passes over keys that begin with '_' */
    if (s->own.guidance < 0 &&
        (!tl_json_double(s->pipeline->index, "_guidance_scale", 7.5, &s->own.guidance, err) ||
         s->own.guidance < 0))
        return tl_err_set(err, TL_BAD_INPUT, "%s/model_index.json: _guidance_scale must not be negative",
                          s->params->model);
    for (size_t i = 0; i < s->inputs.n_loras; i++)
        if (!tl_pipeline_merge_lora(s->pipeline, s->inputs.loras[i].path, s->inputs.loras[i].scale,
                                    &s->left_out, err))
            return false;
    return true;
}

static bool set_size(struct sample *s, struct tl_err *err)
{
    const struct tl_sample_inputs *in = &s->inputs;
    int factor = tl_vae_factor(&s->pipeline->vae->config.vae);
    s->c = s->pipeline->unet->config.unet.in_channels;
    bool given = in->latents && !in->width;
    if (given) {
        s->h = in->latent_h;
        s->w = in->latent_w;
    } else if (!tl_pipeline_latent_size(s->pipeline, in->height, in->width, &s->h, &s->w, err)) {
        return false;
    }
    if (in->latents && (in->latent_channels != s->c || in->latent_h != s->h || in->latent_w != s->w))
        return tl_err_set(err, TL_BAD_INPUT, "%s holds latents [%d,%d,%d], the run's are [%d,%d,%d]",
                          s->params->init_latents, in->latent_channels, in->latent_h, in->latent_w, s->c,
                          s->h, s->w);
    s->dim = (size_t)s->h * (size_t)s->w * (size_t)s->c;
    s->settings.width = s->w * factor;
    s->settings.height = s->h * factor;
    return true;
}

/* 16 pictures of 16x16 latents at a time, fewer of larger ones. */
static int batch_of(const struct sample *s)
{
    int64_t batch = s->params->batch ? s->params->batch : 4096 / ((int64_t)s->h * s->w);
    if (!s->params->batch && batch > 16) batch = 16;
    if (batch < 1) batch = 1;
    return (size_t)batch < s->inputs.n ? (int)batch : (int)s->inputs.n;
}

static bool plan(struct sample *s, struct tl_err *err)
{
    const struct tl_sample_params *p = s->params;
    struct tl_plan_params how = {
        .sampler = p->sampler, .n_steps = p->steps, .eta = p->eta, .last = TL_LAST_DIFFUSERS};
    size_t pixels = (size_t)s->settings.width * (size_t)s->settings.height * 3;
    int trained = (int)s->pipeline->scheduler.noise.n;
    if (p->steps > trained)
        return tl_err_set(err, TL_USAGE, "--steps %d: the model was trained with %d", p->steps, trained);
    if (s->pipeline->vae->config.vae.out_channels != 3)
        return tl_err_set(err, TL_BAD_INPUT, "%s: the VAE gives %d channels, pictures have 3", p->model,
                          s->pipeline->vae->config.vae.out_channels);
    s->batch = batch_of(s);
    s->steps = calloc((size_t)p->steps, sizeof *s->steps);
    s->latents = calloc(s->inputs.n, s->dim * sizeof *s->latents);
    s->pixels = malloc((size_t)s->batch * pixels);
    if (!s->steps || !s->latents || !s->pixels)
        return tl_err_set(err, TL_FAIL, "out of memory for %zu pictures", s->inputs.n);
    if (!tl_scheduler_plan(&s->pipeline->scheduler, &how, s->steps, err)) return false;
    s->settings.sampler = p->sampler ? p->sampler : s->pipeline->scheduler.config.sampler;
    s->codec = tl_latent_codec_create(s->pipeline->vae, err);
    s->denoiser =
        s->codec ? tl_denoiser_create(&(struct tl_denoiser_params){.unet = s->pipeline->unet,
                                                                   .batch = s->batch,
                                                                   .height = s->h,
                                                                   .width = s->w,
                                                                   .tokens = s->pipeline->tokens,
                                                                   .guided = tl_guidance_active(p->guidance)},
                                      err)
                 : NULL;
    if (!s->denoiser) return false;
    return tl_pipeline_encode(s->pipeline, &p->negative_prompt, 1, &s->negative, err);
}

/* Progress counts the steps of single pictures. */
static bool after_step(void *user, size_t done, size_t k, size_t first, size_t m, const float *x,
                       struct tl_err *err)
{
    struct sample *s = user;
    char health[48];
    (void)k, (void)first, (void)m, (void)x;
    if (!tl_interrupt_check("sampling", err)) return false;
    snprintf(health, sizeof health, "%zu of %zu images", s->output.n_done, s->inputs.n);
    tl_progress_advance(&s->meter, (int64_t)(s->batch_first * (size_t)s->params->steps + done), health);
    return true;
}

static bool encode_batch(struct sample *s, size_t first, size_t m, struct tl_err *err)
{
    const char **texts = calloc(m, sizeof *texts);
    if (!texts) return tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t i = 0; i < m; i++) texts[i] = s->inputs.prompts[(first + i) / (size_t)s->params->n].text;
    tl_encoding_finish(&s->prompts);
    bool ok = tl_pipeline_encode(s->pipeline, texts, m, &s->prompts, err);
    free((void *)texts);
    return ok;
}

static bool draw_batch(struct sample *s, size_t first, size_t m, struct tl_err *err)
{
    uint32_t *numbers = malloc(m * sizeof *numbers);
    float *initial = s->inputs.latents ? malloc(m * s->dim * sizeof *initial) : NULL,
          *x0 = s->latents + first * s->dim;
    bool ok = (numbers && (initial || !s->inputs.latents)) || tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && encode_batch(s, first, m, err);
    for (size_t i = 0; ok && i < m; i++) numbers[i] = (uint32_t)((size_t)s->params->first + first + i);
    if (ok && initial) tl_latents_from_nchw(s->inputs.latents + first * s->dim, m, s->h, s->w, s->c, initial);
    s->batch_first = first;
    struct tl_sampler_run run = {.pipeline = s->pipeline,
                                 .denoiser = s->denoiser,
                                 .weights = &(struct tl_denoiser_weights){0},
                                 .batch = s->batch,
                                 .height = s->h,
                                 .width = s->w,
                                 .steps = s->steps,
                                 .n_steps = (size_t)s->params->steps,
                                 .guidance = s->params->guidance,
                                 .seed = s->settings.seed,
                                 .n = m,
                                 .numbers = numbers,
                                 .prompts = &s->prompts,
                                 .negative = &s->negative,
                                 .initial = initial,
                                 .after_step = after_step,
                                 .user = s};
    ok = ok && tl_sampler_run(&run, x0, NULL, NULL, err) &&
         tl_latent_codec_decode(s->codec, x0, m, s->h, s->w, NULL, s->pixels, err);
    size_t bytes = (size_t)s->settings.width * (size_t)s->settings.height * 3;
    for (size_t i = 0; ok && i < m; i++)
        ok = tl_sample_output_picture(&s->output, first + i, s->pixels + i * bytes, err);
    free(numbers);
    free(initial);
    return ok;
}

static bool save_latents(struct sample *s, struct tl_err *err)
{
    if (!s->params->save_latents) return true;
    size_t n = s->inputs.n;
    float *nchw = malloc(n * s->dim * sizeof *nchw);
    if (!nchw) return tl_err_set(err, TL_FAIL, "out of memory for the latents");
    tl_latents_to_nchw(s->latents, n, s->h, s->w, s->c, nchw);
    struct tl_st_item item = {.name = "latents",
                              .dtype = TL_ST_F32,
                              .rank = 4,
                              .shape = {n, (uint64_t)s->c, (uint64_t)s->h, (uint64_t)s->w},
                              .data = nchw};
    bool ok = tl_st_write(s->params->save_latents, &item, 1, NULL, err);
    free(nchw);
    return ok;
}

static bool draw_all(struct sample *s, struct tl_err *err)
{
    size_t n = s->inputs.n;
    if (!tl_sample_output_begin(&s->output, &s->settings, err)) return false;
    s->start = tl_clock_s();
    s->meter = (struct tl_progress_meter){.fn = s->job->progress,
                                          .user = s->job->user,
                                          .phase = "sampling",
                                          .unit = "steps",
                                          .total = (int64_t)n * s->params->steps};
    tl_progress_begin(&s->meter, 0);
    bool ok = true;
    for (size_t first = 0; ok && first < n; first += (size_t)s->batch)
        ok = draw_batch(s, first, n - first < (size_t)s->batch ? n - first : (size_t)s->batch, err);
    /* What is finished stays, with its metadata, whatever came after it. */
    return tl_sample_output_end(&s->output, err) && ok && save_latents(s, err);
}

static cJSON *report(const struct sample *s)
{
    cJSON *out = cJSON_CreateObject();
    double seconds = tl_clock_s() - s->start;
    tl_listing_text(out, "out", s->params->out);
    tl_listing_count(out, "pictures", s->inputs.n);
    if (s->left_out) tl_listing_count(out, "left_out", s->left_out);
    tl_listing_format(out, "size", "%dx%d", s->settings.width, s->settings.height);
    tl_listing_format(out, "sampler", "%s, %d steps, eta %g, guidance %g", s->settings.sampler,
                      s->params->steps, s->params->eta, s->params->guidance);
    tl_listing_format(out, "seed", "%llu", (unsigned long long)s->settings.seed);
    tl_listing_text(out, "grid", s->params->grid);
    tl_listing_text(out, "latents", s->params->save_latents);
    tl_listing_format(out, "device", "%s (%s)", s->device->name, s->device->description);
    tl_listing_count(out, "batch", (uint64_t)s->batch);
    tl_listing_count(out, "arena_bytes", tl_denoiser_bytes(s->denoiser));
    tl_listing_number(out, "seconds", seconds);
    return out;
}

char *tl_sample(const struct tl_sample_params *params, const struct tl_job *job, bool *out_whole,
                struct tl_err *err)
{
    struct sample s = {.own = *params, .job = job};
    s.params = params = &s.own; /* the guidance may become the model's */
    s.settings = (struct tl_sample_settings){
        .params = params, .inputs = &s.inputs, .command = job->command, .seed = job->seed};
    bool ok = check_options(params, err) && tl_sample_inputs_read(params, &s.inputs, err) &&
              open_model(&s, err) && set_size(&s, err) && plan(&s, err) && draw_all(&s, err);
    char *text = ok ? tl_listing_print(report(&s), "tiller.sample/1", params->json, err) : NULL;
    *out_whole = s.left_out == 0;
    tl_sample_output_finish(&s.output);
    tl_encoding_finish(&s.prompts);
    tl_encoding_finish(&s.negative);
    tl_denoiser_destroy(&s.denoiser);
    tl_latent_codec_destroy(&s.codec);
    tl_pipeline_close(&s.pipeline);
    tl_device_close(&s.device);
    tl_sample_inputs_finish(&s.inputs);
    free(s.steps);
    free(s.latents);
    free(s.pixels);
    return text;
}
