#include "run/encoded_set.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "base/checked.h"
#include "sample/latents.h"
#include "tensor/exec.h"

enum { BATCH = 16 };

/* Mean beside logvar, as they are kept: [pixels][c] each into [pixels][2 c]. */
static void interleave(const float *mean, const float *logvar, size_t pixels, size_t c, float *out)
{
    for (size_t p = 0; p < pixels; p++) {
        memcpy(out + p * 2 * c, mean + p * c, c * sizeof *out);
        memcpy(out + (p * 2 + 1) * c, logvar + p * c, c * sizeof *out);
    }
}

/* Always BATCH pictures at a time, the last ones filled up, so that a picture's latents do not depend on the
 * number of pictures. */
static bool encode_pictures(const struct tl_dataset *d, struct tl_component *vae, struct tl_encoded_set *s,
                            struct tl_err *err)
{
    int f = tl_vae_factor(&vae->config.vae), h = d->height / f * f, w = d->width / f * f;
    if (vae->config.vae.in_channels != 3)
        return tl_err_set(err, TL_BAD_INPUT, "the VAE takes %d channels; pictures have 3",
                          vae->config.vae.in_channels);
    if (h == 0 || w == 0)
        return tl_err_set(err, TL_BAD_INPUT, "pictures of %dx%d are smaller than the VAE's step of %d",
                          d->width, d->height, f);
    s->n = d->n;
    s->height = h / f;
    s->width = w / f;
    s->channels = vae->config.vae.latent_channels;
    size_t n_px = (size_t)h * (size_t)w * 3, n_z = (size_t)s->height * (size_t)s->width * (size_t)s->channels,
           all;
    s->moments = tl_checked_mul((size_t)s->n * 2 * sizeof(float), n_z, &all) ? malloc(all) : NULL;
    float *px = malloc(BATCH * n_px * sizeof *px), *mean = malloc(BATCH * n_z * sizeof *mean),
          *logvar = malloc(BATCH * n_z * sizeof *logvar);
    struct tl_latent_codec *codec = tl_latent_codec_create(vae, err);
    bool ok = (codec && s->moments && px && mean && logvar) ||
              tl_err_set(err, TL_FAIL, "out of memory for the latents of %d pictures", s->n);
    for (int i = 0; ok && i < d->n; i += BATCH) {
        int n = d->n - i < BATCH ? d->n - i : BATCH;
        for (int j = 0; j < BATCH; j++)
            tl_dataset_pixels(d, j < n ? i + j : i, 0, 0, h, w, px + (size_t)j * n_px);
        ok = tl_latent_codec_encode(codec, px, BATCH, h, w, mean, logvar, err);
        if (ok)
            interleave(mean, logvar, (size_t)n * n_z / (size_t)s->channels, (size_t)s->channels,
                       s->moments + (size_t)i * 2 * n_z);
    }
    tl_latent_codec_destroy(&codec);
    free(px);
    free(mean);
    free(logvar);
    return ok;
}

/* Numbers the distinct captions; texts[0] is the empty one. Open addressing over caption numbers. */
static bool number_captions(const struct tl_dataset *d, struct tl_encoded_set *s, const char **texts,
                            struct tl_err *err)
{
    size_t size = 64;
    while (size < 4 * ((size_t)d->n + 1)) size *= 2;
    int *slot = malloc(size * sizeof *slot);
    if (!slot) return tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t i = 0; i < size; i++) slot[i] = -1;
    texts[0] = "";
    s->n_captions = 1;
    for (int i = -1; i < d->n; i++) {
        const char *text = i < 0 ? "" : tl_dataset_caption(d, i);
        uint32_t h = 2166136261u;
        for (const char *p = text; *p; p++) h = (h ^ (uint8_t)*p) * 16777619u;
        size_t at = h & (size - 1);
        while (slot[at] >= 0 && strcmp(texts[slot[at]], text) != 0) at = (at + 1) & (size - 1);
        if (slot[at] < 0) {
            slot[at] = i < 0 ? 0 : s->n_captions++;
            texts[slot[at]] = text;
        }
        if (i >= 0) s->caption[i] = slot[at];
    }
    free(slot);
    return true;
}

static struct tl_exec *plan_text(struct tl_component *text, int tokens, struct tl_err *err)
{
    struct tl_graph *g = tl_graph_create();
    if (!g) return NULL;
    struct tl_nn nn = {.g = g, .set = TL_SET_BASE, .lora_scale = TL_NONE};
    struct tl_clip_text_out out;
    tl_clip_text_build(&nn, &text->config.clip_text,
                       tl_input(g, "input_ids", TL_I32, tl_shape2(BATCH, tokens)), TL_NONE, TL_NONE, false, 0,
                       &out);
    tl_output(g, out.hidden, "hidden");
    return tl_exec_create(text->store->device, &g, err);
}

static bool encode_texts(const char *const *texts, struct tl_component *text,
                         const struct tl_clip_bpe *tokenizer, struct tl_encoded_set *s, struct tl_err *err)
{
    size_t row = (size_t)s->tokens * (size_t)s->dim;
    int32_t *ids = malloc(BATCH * (size_t)s->tokens * sizeof *ids);
    float *hidden = malloc(BATCH * row * sizeof *hidden);
    struct tl_exec *e = plan_text(text, s->tokens, err);
    bool ok = e && ids && hidden && tl_exec_bind(e, TL_SET_BASE, text->store, err);
    int n_cut = 0;
    for (int i = 0; ok && i < s->n_captions; i += BATCH) {
        int n = s->n_captions - i < BATCH ? s->n_captions - i : BATCH;
        for (int j = 0; ok && j < BATCH; j++) {
            size_t cut = 0;
            ok = tl_clip_bpe_encode(tokenizer, texts[j < n ? i + j : i], (size_t)s->tokens,
                                    ids + (size_t)(j * s->tokens), NULL, &cut, NULL, err);
            n_cut += j < n && cut > 0;
        }
        ok = ok && tl_exec_write(e, "input_ids", ids, err) && tl_exec_run(e, err) &&
             tl_exec_read(e, "hidden", hidden, err);
        if (ok) memcpy(s->contexts + (size_t)i * row, hidden, (size_t)n * row * sizeof *hidden);
    }
    if (ok && n_cut)
        tl_log(TL_LOG_WARN, "%d of %d captions are longer than %d tokens and were cut", n_cut, s->n_captions,
               s->tokens);
    tl_exec_destroy(&e);
    free(ids);
    free(hidden);
    return ok || tl_err_set(err, TL_FAIL, "out of memory");
}

bool tl_encoded_set_make(const struct tl_dataset *d, struct tl_pipeline *pipeline, struct tl_encoded_set *s,
                         struct tl_err *err)
{
    *s = (struct tl_encoded_set){0};
    const char **texts = malloc(((size_t)d->n + 1) * sizeof *texts);
    s->caption = malloc(((size_t)d->n + 1) * sizeof *s->caption);
    bool ok = (texts && s->caption) || tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && number_captions(d, s, texts, err);
    if (ok) {
        size_t row, all;
        s->tokens = pipeline->tokens;
        s->dim = pipeline->width;
        ok = tl_checked_mul((size_t)s->tokens, (size_t)s->dim, &row) &&
             tl_checked_mul(row * sizeof(float), (size_t)s->n_captions, &all);
        s->contexts = ok ? malloc(all) : NULL;
        ok = s->contexts || tl_err_set(err, TL_FAIL, "out of memory for %d text encodings of %dx%d",
                                       s->n_captions, s->tokens, s->dim);
    }
    ok = ok && encode_texts(texts, pipeline->text[0], pipeline->tokenizer[0], s, err) &&
         encode_pictures(d, pipeline->vae, s, err);
    free(texts);
    if (!ok) tl_encoded_set_finish(s);
    return ok;
}

void tl_encoded_set_finish(struct tl_encoded_set *s)
{
    free(s->moments);
    free(s->contexts);
    free(s->caption);
    *s = (struct tl_encoded_set){0};
}

void tl_encoded_set_latent(const struct tl_encoded_set *s, const struct tl_vae_config *vae, int i,
                           const float *noise, float *out)
{
    size_t c = (size_t)s->channels, pixels = (size_t)s->height * (size_t)s->width;
    const float *m = s->moments + (size_t)i * pixels * 2 * c;
    for (size_t p = 0; p < pixels; p++)
        for (size_t k = 0; k < c; k++) {
            float z = m[p * 2 * c + k] + expf(0.5f * m[p * 2 * c + c + k]) * noise[p * c + k];
            out[p * c + k] = (z - vae->shift_factor) * vae->scaling_factor;
        }
}
