/* Samples while training: one picture a prompt, picture i from the noise that `tiller sample --prompts FILE`
 * draws it from with the run's seed. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <tiller/interrupt.h>

#include "base/checked.h"
#include "base/str.h"
#include "io/draw.h"
#include "io/file.h"
#include "run/task_sft_parts.h"
#include "sample/latents.h"
#include "sample/sampler_run.h"

enum { GRID_MOST = 256, GRID_COLUMNS = 8 };

/* What one look needs; made for it and dropped again, so that training keeps its memory. */
struct look {
    struct tl_sft *s;
    const char **texts; /* [n] */
    struct tl_encoding prompts, negative;
    struct tl_step *steps;
    struct tl_denoiser *denoiser;
    struct tl_latent_codec *codec;
    struct tl_store *weights;
    int h, w, width, height; /* latents, pixels */
    size_t n, dim, bytes;
    float *x0;
    uint8_t *rgb;
};

static bool encode_live(struct look *l, const char *const *texts, size_t n, struct tl_encoding *out,
                        struct tl_err *err)
{
    const struct tl_pipeline *p = l->s->pipeline;
    size_t floats;
    *out = (struct tl_encoding){.n = n, .tokens = p->tokens, .width = p->width};
    out->context = tl_checked_mul(n * sizeof(float), (size_t)p->tokens * (size_t)p->width, &floats)
                       ? malloc(floats)
                       : NULL;
    if (!out->context) return tl_err_set(err, TL_FAIL, "out of memory for %zu prompts", n);
    return tl_sft_text_encode(l->s, texts, n, l->weights, out->context, err);
}

static bool encode(struct look *l, struct tl_err *err)
{
    const char *empty = "";
    for (size_t i = 0; i < l->n; i++) l->texts[i] = l->s->prompts.items[i].text;
    if (l->s->live_texts)
        return encode_live(l, l->texts, l->n, &l->prompts, err) &&
               encode_live(l, &empty, 1, &l->negative, err);
    return tl_pipeline_encode(l->s->pipeline, l->texts, l->n, &l->prompts, err) &&
           tl_pipeline_encode(l->s->pipeline, &empty, 1, &l->negative, err);
}

static bool plan(struct look *l, struct tl_err *err)
{
    struct tl_sft *s = l->s;
    struct tl_pipeline *p = s->pipeline;
    struct tl_plan_params how = {.n_steps = s->p.sample_steps, .last = TL_LAST_DIFFUSERS};
    if (p->vae->config.vae.out_channels != 3)
        return tl_err_set(err, TL_BAD_INPUT, "the VAE gives %d channels, pictures have 3",
                          p->vae->config.vae.out_channels);
    int factor = tl_vae_factor(&p->vae->config.vae), side = s->p.size / factor * factor;
    if (!tl_pipeline_latent_size(p, side, side, &l->h, &l->w, err)) return false;
    l->width = l->w * factor;
    l->height = l->h * factor;
    l->dim = (size_t)l->h * (size_t)l->w * (size_t)s->set.channels;
    l->bytes = (size_t)l->width * (size_t)l->height * 3;
    l->texts = calloc(l->n, sizeof *l->texts);
    l->steps = calloc((size_t)how.n_steps, sizeof *l->steps);
    l->x0 = calloc(l->n, l->dim * sizeof *l->x0);
    l->rgb = calloc(l->n, l->bytes);
    if (!l->texts || !l->steps || !l->x0 || !l->rgb)
        return tl_err_set(err, TL_FAIL, "out of memory for %zu pictures", l->n);
    if (!tl_scheduler_plan(&p->scheduler, &how, l->steps, err)) return false;
    struct tl_denoiser_params dp = {.unet = p->unet,
                                    .batch = l->n < TL_SFT_SAMPLE_BATCH ? (int64_t)l->n : TL_SFT_SAMPLE_BATCH,
                                    .height = l->h,
                                    .width = l->w,
                                    .tokens = p->tokens,
                                    .guided = tl_guidance_active(s->guidance),
                                    .lora = s->spec[TL_SFT_UNET]};
    l->denoiser = tl_denoiser_create(&dp, err);
    l->codec = l->denoiser ? tl_latent_codec_create(p->vae, err) : NULL;
    return l->codec != NULL;
}

static bool after_step(void *user, size_t done, size_t k, size_t first, size_t m, const float *x,
                       struct tl_err *err)
{
    (void)user, (void)done, (void)k, (void)first, (void)m, (void)x;
    return tl_interrupt_check("drawing samples", err);
}

static bool draw(struct look *l, struct tl_err *err)
{
    struct tl_sft *s = l->s;
    struct tl_denoiser_weights weights = {.base = s->full ? l->weights : NULL,
                                          .lora = s->full ? NULL : l->weights,
                                          .lora_scale = tl_sft_scale(s, TL_SFT_UNET)};
    struct tl_sampler_run run = {.pipeline = s->pipeline,
                                 .denoiser = l->denoiser,
                                 .weights = &weights,
                                 .batch = l->n < TL_SFT_SAMPLE_BATCH ? (int)l->n : TL_SFT_SAMPLE_BATCH,
                                 .height = l->h,
                                 .width = l->w,
                                 .steps = l->steps,
                                 .n_steps = (size_t)s->p.sample_steps,
                                 .guidance = s->guidance,
                                 .seed = s->job->seed,
                                 .n = l->n,
                                 .after_step = after_step,
                                 .prompts = &l->prompts,
                                 .negative = &l->negative};
    return tl_sampler_run(&run, l->x0, NULL, NULL, err) &&
           tl_latent_codec_decode(l->codec, l->x0, l->n, l->h, l->w, NULL, l->rgb, err);
}

static bool save(const struct look *l, const char *folder, struct tl_err *err)
{
    size_t shown = l->n < GRID_MOST ? l->n : GRID_MOST;
    int columns = (int)ceil(sqrt((double)shown));
    if (columns > GRID_COLUMNS) columns = GRID_COLUMNS;
    int rows = ((int)shown + columns - 1) / columns;
    struct tl_image *pictures = calloc((size_t)(rows * columns), sizeof *pictures), grid = {0};
    const char **captions = calloc((size_t)(rows * columns), sizeof *captions);
    struct tl_str path = {0};
    bool ok = (pictures && captions) || tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t i = 0; ok && i < l->n; i++) {
        struct tl_image one = {
            .width = l->width, .height = l->height, .channels = 3, .px = l->rgb + i * l->bytes};
        struct tl_png_text text = {"prompt", l->texts[i]};
        char name[32];
        snprintf(name, sizeof name, "%05zu.png", i);
        tl_path_join(&path, folder, name);
        ok = (!path.failed || tl_err_set(err, TL_FAIL, "out of memory")) &&
             tl_image_save_png(path.data, &one, &text, 1, err);
        if (i >= shown) continue;
        pictures[i] = one; /* borrowed */
        captions[i] = l->texts[i];
    }
    tl_path_join(&path, folder, "grid.png");
    ok = ok &&
         tl_draw_grid(
             &(struct tl_draw_grid){
                 .rows = rows, .columns = columns, .pictures = pictures, .captions = captions},
             &grid, err) &&
         tl_image_save_png(path.data, &grid, NULL, 0, err);
    tl_image_finish(&grid);
    tl_str_finish(&path);
    free(pictures);
    free((void *)captions);
    return ok;
}

bool tl_sft_sample(void *self, struct tl_store *weights, const char *folder, struct tl_err *err)
{
    struct tl_sft *s = self;
    struct look l = {.s = s, .weights = weights, .n = s->prompts.n};
    bool ok = tl_interrupt_check("drawing samples", err) && plan(&l, err) && encode(&l, err) &&
              draw(&l, err) && save(&l, folder, err);
    tl_encoding_finish(&l.prompts);
    tl_encoding_finish(&l.negative);
    tl_denoiser_destroy(&l.denoiser);
    tl_latent_codec_destroy(&l.codec);
    free((void *)l.texts);
    free(l.steps);
    free(l.x0);
    free(l.rgb);
    return ok;
}
