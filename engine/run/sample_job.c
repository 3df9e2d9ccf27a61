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
#include "run/sample_model.h"

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
                     "ddim, ddpm, euler, euler_a, dpmpp2m or dpmpp2m_sde (tiller list samplers); else the "
                     "model's own"),
    TL_OPTION_ENUM(struct tl_sample_params, sigmas, 0, "sigmas", "own", tl_sigmas_choices,
                   "noise levels of euler, dpmpp2m and dpmpp2m_sde; own: as the model's scheduler says"),
    TL_OPTION_INT(struct tl_sample_params, steps, 0, "steps", "50", 1, 100000, "N", "denoising steps"),
    TL_OPTION_REAL(struct tl_sample_params, eta, 0, "eta", "0", 0, 1, "X",
                   "share of fresh noise in a step of ddim; other samplers have none to choose"),
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
    struct tl_sample_model model;
    float *latents;  /* [n][dim]: x_0 of all */
    uint8_t *pixels; /* [batch][height][width][3] */
    double start;
    struct tl_progress_meter meter;
    size_t batch_first; /* of the batch under way */
};

static bool open_model(struct sample *s, struct tl_err *err)
{
    struct tl_sample_model *m = &s->model;
    s->device =
        tl_device_open(&(struct tl_device_params){.name = s->job->device, .threads = s->job->threads}, err);
    if (!s->device || !tl_sample_model_open(m, s->device, s->params, &s->inputs, &s->own.guidance, err))
        return false;
    s->settings.width = m->width;
    s->settings.height = m->height;
    return true;
}

static bool plan(struct sample *s, struct tl_err *err)
{
    struct tl_sample_model *m = &s->model;
    int batch = tl_sample_model_batch(m);
    s->latents = calloc(s->inputs.n, m->dim * sizeof *s->latents);
    s->pixels = malloc((size_t)batch * m->bytes);
    if (!s->latents || !s->pixels)
        return tl_err_set(err, TL_FAIL, "out of memory for %zu pictures", s->inputs.n);
    if (!tl_sample_model_plan(m, batch, err)) return false;
    s->settings.sampler = m->sampler;
    s->settings.karras = m->karras;
    if (s->params->eta > 0 && !tl_sampler_find(m->sampler)->takes_eta)
        tl_log(TL_LOG_WARN, "--eta %g has no effect on sampler %s: it is ddim's", s->params->eta, m->sampler);
    return true;
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

static bool draw_batch(struct sample *s, size_t first, size_t m, struct tl_err *err)
{
    const struct tl_sample_model *model = &s->model;
    struct tl_sample_batch batch;
    float *x0 = s->latents + first * model->dim;
    bool ok = tl_sample_batch_begin(&batch, &s->model, s->settings.seed, first, m, err);
    s->batch_first = first;
    batch.run.after_step = after_step;
    batch.run.user = s;
    ok = ok && tl_sampler_run(&batch.run, x0, NULL, NULL, err) &&
         tl_latent_codec_decode(model->codec, x0, m, model->h, model->w, NULL, s->pixels, err);
    for (size_t i = 0; ok && i < m; i++)
        ok = tl_sample_output_picture(&s->output, first + i, s->pixels + i * model->bytes, err);
    tl_sample_batch_finish(&batch);
    return ok;
}

static bool save_latents(struct sample *s, struct tl_err *err)
{
    if (!s->params->save_latents) return true;
    const struct tl_sample_model *m = &s->model;
    size_t n = s->inputs.n;
    float *nchw = malloc(n * m->dim * sizeof *nchw);
    if (!nchw) return tl_err_set(err, TL_FAIL, "out of memory for the latents");
    tl_latents_to_nchw(s->latents, n, m->h, m->w, m->c, nchw);
    struct tl_st_item item = {.name = "latents",
                              .dtype = TL_ST_F32,
                              .rank = 4,
                              .shape = {n, (uint64_t)m->c, (uint64_t)m->h, (uint64_t)m->w},
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
    size_t batch = (size_t)s->model.batch;
    for (size_t first = 0; ok && first < n; first += batch)
        ok = draw_batch(s, first, n - first < batch ? n - first : batch, err);
    /* What is finished stays, with its metadata, whatever came after it. */
    return tl_sample_output_end(&s->output, err) && ok && save_latents(s, err);
}

static cJSON *report(const struct sample *s)
{
    cJSON *out = cJSON_CreateObject();
    double seconds = tl_clock_s() - s->start;
    tl_listing_text(out, "out", s->params->out);
    tl_listing_count(out, "pictures", s->inputs.n);
    if (s->model.left_out) tl_listing_count(out, "left_out", s->model.left_out);
    tl_listing_format(out, "size", "%dx%d", s->settings.width, s->settings.height);
    tl_sample_say_sampler(&s->settings, out);
    tl_listing_format(out, "seed", "%llu", (unsigned long long)s->settings.seed);
    tl_listing_text(out, "grid", s->params->grid);
    tl_listing_text(out, "latents", s->params->save_latents);
    tl_listing_format(out, "device", "%s (%s)", s->device->name, s->device->description);
    tl_listing_count(out, "batch", (uint64_t)s->model.batch);
    tl_listing_count(out, "arena_bytes", tl_denoiser_bytes(s->model.denoiser));
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
    bool ok = tl_sample_check_options(params, "sample", err) &&
              tl_sample_inputs_read(params, &s.inputs, err) && open_model(&s, err) && plan(&s, err) &&
              draw_all(&s, err);
    char *text = ok ? tl_listing_print(report(&s), "tiller.sample/1", params->json, err) : NULL;
    *out_whole = s.model.left_out == 0;
    tl_sample_output_finish(&s.output);
    tl_sample_model_close(&s.model);
    tl_device_close(&s.device);
    tl_sample_inputs_finish(&s.inputs);
    free(s.latents);
    free(s.pixels);
    return text;
}
