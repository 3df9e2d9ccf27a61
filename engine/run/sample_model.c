#include "run/sample_model.h"

#include <stdlib.h>

#include <tiller/log.h>

#include "io/json.h"

/* Positions of a latent from which on a gradient keeps no activations: 32x32, 256 pixels of most models. */
enum { RECOMPUTE_FROM = 1024 };

bool tl_sample_check_options(const struct tl_sample_params *p, const char *verb, struct tl_err *err)
{
    if (!p->model) return tl_err_set(err, TL_USAGE, "%s needs --model FOLDER", verb);
    if (!p->out || !*p->out) return tl_err_set(err, TL_USAGE, "%s needs -o FOLDER", verb);
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

static bool set_size(struct tl_sample_model *m, struct tl_err *err)
{
    const struct tl_sample_inputs *in = m->inputs;
    int factor = tl_vae_factor(&m->pipeline->vae->config.vae);
    m->c = m->pipeline->unet->config.unet.in_channels;
    bool given = in->latents && !in->width;
    if (given) {
        m->h = in->latent_h;
        m->w = in->latent_w;
    } else if (!tl_pipeline_latent_size(m->pipeline, in->height, in->width, &m->h, &m->w, err)) {
        return false;
    }
    if (in->latents && (in->latent_channels != m->c || in->latent_h != m->h || in->latent_w != m->w))
        return tl_err_set(err, TL_BAD_INPUT, "%s holds latents [%d,%d,%d], the run's are [%d,%d,%d]",
                          m->params->init_latents, in->latent_channels, in->latent_h, in->latent_w, m->c,
                          m->h, m->w);
    m->dim = (size_t)m->h * (size_t)m->w * (size_t)m->c;
    m->width = m->w * factor;
    m->height = m->h * factor;
    m->bytes = (size_t)m->width * (size_t)m->height * 3;
    return true;
}

bool tl_sample_model_open(struct tl_sample_model *m, struct tl_device *device,
                          const struct tl_sample_params *params, const struct tl_sample_inputs *inputs,
                          double *guidance, struct tl_err *err)
{
    const struct tl_pipeline_params how = {.dtype = (enum tl_dtype)params->dtype};
    *m = (struct tl_sample_model){.params = params, .inputs = inputs};
    m->pipeline = tl_pipeline_open_as(device, params->model, &how, err);
    if (!m->pipeline) return false;
    /* diffusers passes over keys that begin with '_' */
    if (*guidance < 0 &&
        (!tl_json_double(m->pipeline->index, "_guidance_scale", 7.5, guidance, err) || *guidance < 0))
        return tl_err_set(err, TL_BAD_INPUT, "%s/model_index.json: _guidance_scale must not be negative",
                          params->model);
    for (size_t i = 0; i < inputs->n_loras; i++)
        if (!tl_pipeline_merge_lora(m->pipeline, inputs->loras[i].path, inputs->loras[i].scale, &m->left_out,
                                    err))
            return false;
    return set_size(m, err);
}

int tl_sample_model_batch(const struct tl_sample_model *m)
{
    int64_t batch = m->params->batch ? m->params->batch : 4096 / ((int64_t)m->h * m->w);
    if (!m->params->batch && batch > 16) batch = 16;
    if (batch < 1) batch = 1;
    return (size_t)batch < m->inputs->n ? (int)batch : (int)m->inputs->n;
}

bool tl_sample_model_plan(struct tl_sample_model *m, int batch, struct tl_err *err)
{
    const struct tl_sample_params *p = m->params;
    const struct tl_scheduler *scheduler = &m->pipeline->scheduler;
    struct tl_plan_params how = {.sampler = p->sampler,
                                 .n_steps = p->steps,
                                 .eta = p->eta,
                                 .last = TL_LAST_DIFFUSERS,
                                 .sigmas = (enum tl_sigmas)p->sigmas};
    int trained = (int)scheduler->noise.n;
    if (p->steps > trained)
        return tl_err_set(err, TL_USAGE, "--steps %d: the model was trained with %d", p->steps, trained);
    if (m->pipeline->vae->config.vae.out_channels != 3)
        return tl_err_set(err, TL_BAD_INPUT, "%s: the VAE gives %d channels, pictures have 3", p->model,
                          m->pipeline->vae->config.vae.out_channels);
    m->batch = batch;
    m->steps = calloc((size_t)p->steps, sizeof *m->steps);
    if (!m->steps) return tl_err_set(err, TL_FAIL, "out of memory for %d steps", p->steps);
    if (!tl_scheduler_plan(scheduler, &how, m->steps, err)) return false;
    m->sampler = p->sampler ? p->sampler : scheduler->config.sampler;
    m->karras = tl_scheduler_karras(scheduler, &how);
    m->codec = tl_latent_codec_create(m->pipeline->vae, err);
    if (!m->codec) return false;
    m->denoiser =
        tl_denoiser_create(&(struct tl_denoiser_params){.unet = m->pipeline->unet,
                                                        .batch = batch,
                                                        .height = m->h,
                                                        .width = m->w,
                                                        .tokens = m->pipeline->tokens,
                                                        .guided = tl_guidance_active(p->guidance),
                                                        .input_gradient = m->input_gradient,
                                                        .checkpoint = m->h * m->w >= RECOMPUTE_FROM},
                           err);
    return m->denoiser && tl_pipeline_encode(m->pipeline, &p->negative_prompt, 1, &m->negative, err);
}

void tl_sample_model_unplan(struct tl_sample_model *m)
{
    tl_encoding_finish(&m->negative);
    tl_denoiser_destroy(&m->denoiser);
    tl_latent_codec_destroy(&m->codec);
    free(m->steps);
    m->steps = NULL;
}

void tl_sample_model_close(struct tl_sample_model *m)
{
    tl_sample_model_unplan(m);
    tl_pipeline_close(&m->pipeline);
    *m = (struct tl_sample_model){0};
}

static bool encode(struct tl_sample_batch *b, struct tl_sample_model *m, size_t first, size_t n,
                   struct tl_err *err)
{
    const char **texts = calloc(n, sizeof *texts);
    if (!texts) return tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t i = 0; i < n; i++) texts[i] = m->inputs->prompts[(first + i) / (size_t)m->params->n].text;
    bool ok = tl_pipeline_encode(m->pipeline, texts, n, &b->prompts, err);
    free((void *)texts);
    return ok;
}

bool tl_sample_batch_begin(struct tl_sample_batch *b, struct tl_sample_model *m, uint64_t seed, size_t first,
                           size_t n, struct tl_err *err)
{
    const float *latents = m->inputs->latents;
    *b = (struct tl_sample_batch){0};
    b->numbers = malloc(n * sizeof *b->numbers);
    b->initial = latents ? malloc(n * m->dim * sizeof *b->initial) : NULL;
    if (!b->numbers || (latents && !b->initial)) return tl_err_set(err, TL_FAIL, "out of memory");
    if (!encode(b, m, first, n, err)) return false;
    for (size_t i = 0; i < n; i++) b->numbers[i] = (uint32_t)((size_t)m->params->first + first + i);
    if (latents) tl_latents_from_nchw(latents + first * m->dim, n, m->h, m->w, m->c, b->initial);
    b->run = (struct tl_sampler_run){.pipeline = m->pipeline,
                                     .denoiser = m->denoiser,
                                     .weights = &b->weights,
                                     .batch = m->batch,
                                     .height = m->h,
                                     .width = m->w,
                                     .steps = m->steps,
                                     .n_steps = (size_t)m->params->steps,
                                     .guidance = m->params->guidance,
                                     .seed = seed,
                                     .n = n,
                                     .numbers = b->numbers,
                                     .prompts = &b->prompts,
                                     .negative = &m->negative,
                                     .initial = b->initial};
    return true;
}

void tl_sample_batch_finish(struct tl_sample_batch *b)
{
    free(b->numbers);
    free(b->initial);
    tl_encoding_finish(&b->prompts);
    *b = (struct tl_sample_batch){0};
}
