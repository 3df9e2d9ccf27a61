#include "run/task_vae.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/str.h"
#include "io/file.h"
#include "run/dataset.h"
#include "sample/latents.h"
#include "tensor/exec.h"

enum { CANDIDATES = 4 };

struct task {
    struct tl_component *vae;
    struct tl_store *grads;
    struct tl_task_vae_params p;
    struct tl_dataset data;
    struct tl_task_order order;
    struct tl_exec *exec;
    int h, w;        /* of what the network sees */
    size_t n_latent; /* floats of the noise of one batch */
    float *pixels, *noise;
};

static tl_val build_loss(struct tl_nn *nn, const struct task *t)
{
    struct tl_graph *g = nn->g;
    const struct tl_vae_config *c = &t->vae->config.vae;
    int f = tl_vae_factor(c);
    tl_val x = tl_input(g, "pixels", TL_F32, tl_shape4(t->p.batch, t->h, t->w, c->in_channels)), mean, logvar;
    tl_val noise =
        tl_input(g, "noise", TL_F32, tl_shape4(t->p.batch, t->h / f, t->w / f, c->latent_channels));
    tl_vae_moments(nn, tl_vae_encode(nn, c, x), &mean, &logvar);
    tl_val std = tl_unary(g, TL_UNARY_EXP, tl_scale(g, logvar, 0.5f), 0, 0);
    tl_val z = tl_add(g, mean, tl_mul(g, std, noise));
    tl_val diff = tl_sub(g, tl_vae_decode(nn, c, z), x);
    tl_val l1 = tl_mean_all(g, tl_unary(g, TL_UNARY_ABS, diff, 0, 0)),
           mse = tl_mean_all(g, tl_unary(g, TL_UNARY_SQUARE, diff, 0, 0));
    /* KL of N(mean, e^logvar) to N(0, 1): (mean^2 + e^logvar - 1 - logvar) / 2 */
    tl_val kl = tl_add(g, tl_unary(g, TL_UNARY_SQUARE, mean, 0, 0),
                       tl_sub(g, tl_unary(g, TL_UNARY_EXP, logvar, 0, 0), logvar));
    kl = tl_mean_all(g, tl_unary(g, TL_UNARY_AFFINE, kl, 0.5f, -0.5f));
    tl_output(g, l1, "l1");
    tl_output(g, mse, "mse");
    tl_output(g, kl, "kl");
    return tl_add(g, tl_add(g, l1, mse), tl_scale(g, kl, (float)t->p.kl_weight));
}

static struct tl_exec *plan(struct task *t, struct tl_err *err)
{
    struct tl_graph *g = tl_graph_create();
    if (!g) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    struct tl_nn nn = {.g = g, .set = TL_SET_BASE, .lora_scale = TL_NONE};
    tl_val loss = build_loss(&nn, t), one = tl_fill(g, tl_shape1(1), 1);
    tl_output(g, loss, "loss");
    tl_graph_backward(
        g, &(struct tl_backward_params){
               .outputs = &loss, .cotangents = &one, .n_outputs = 1, .param_sets = 1u << TL_SET_BASE});
    return tl_exec_create(t->vae->store->device, &g, err);
}

static double variance(const float *x, size_t n)
{
    double s = 0, q = 0;
    for (size_t i = 0; i < n; i++) {
        s += x[i];
        q += (double)x[i] * x[i];
    }
    return q / (double)n - s / (double)n * (s / (double)n);
}

/* A crop with something in it: of CANDIDATES random places the one whose pixels vary most. */
static void take_crop(struct task *t, uint64_t step, int sample, int item, float *out)
{
    size_t n = (size_t)(t->h * t->w * 3);
    float *trial = t->pixels + (size_t)t->p.batch * n;
    double best = -1;
    struct tl_rng_key key = {
        .seed = t->p.seed, .stream = TL_RNG_AUGMENT, .sample = (uint32_t)sample, .step = (uint32_t)step};
    for (uint32_t k = 0; k < CANDIDATES; k++) {
        int y = (int)tl_rng_below(key, 2 * k, (uint32_t)(t->data.height - t->h + 1)),
            x = (int)tl_rng_below(key, 2 * k + 1, (uint32_t)(t->data.width - t->w + 1));
        tl_dataset_pixels(&t->data, item, y, x, t->h, t->w, trial);
        double v = variance(trial, n);
        if (v > best) {
            best = v;
            memcpy(out, trial, n * sizeof *out);
        }
    }
}

static bool gradient(void *self, uint64_t step, uint32_t part, double out[TL_TASK_METRICS],
                     struct tl_err *err)
{
    struct task *t = self;
    static const char *const names[4] = {"loss", "l1", "mse", "kl"};
    size_t n = (size_t)(t->h * t->w * 3);
    int first = (int)part * t->p.batch; /* sample j of this batch is sample first + j of the update */
    for (int j = 0; j < t->p.batch; j++) {
        uint64_t place = step * (uint64_t)(t->p.batch * t->p.accumulate) + (uint64_t)(first + j);
        int item = (int)tl_task_order_item(&t->order, place);
        if (t->p.crop)
            take_crop(t, step, first + j, item, t->pixels + (size_t)j * n);
        else
            tl_dataset_pixels(&t->data, item, 0, 0, t->h, t->w, t->pixels + (size_t)j * n);
    }
    tl_rng_normal((struct tl_rng_key){.seed = t->p.seed, .stream = TL_RNG_POSTERIOR, .step = (uint32_t)step},
                  (uint32_t)(part * t->n_latent), t->n_latent, t->noise);
    if (!tl_exec_write(t->exec, "pixels", t->pixels, err) ||
        !tl_exec_write(t->exec, "noise", t->noise, err) || !tl_exec_run(t->exec, err))
        return false;
    for (int i = 0; i < 4; i++) {
        float v;
        if (!tl_exec_read(t->exec, names[i], &v, err)) return false;
        out[i] = v;
    }
    return true;
}

/* The logvar half of quant_conv starts small and at a deviation of 0.1: a loud posterior at the start slows
 * learning. */
static bool quiet_posterior(struct tl_component *vae, struct tl_err *err)
{
    const struct tl_vae_config *c = &vae->config.vae;
    const char *layer = c->quant_conv ? "quant_conv" : "encoder.conv_out";
    for (int bias = 0; bias < 2; bias++) {
        char name[64];
        snprintf(name, sizeof name, "%s.%s", layer, bias ? "bias" : "weight");
        const struct tl_store_entry *e = tl_store_layout_find(vae->layout, name);
        if (!e) return tl_err_set(err, TL_FAIL, "%s is missing", name);
        size_t n = (size_t)tl_shape_count(&e->shape), width = 2 * (size_t)c->latent_channels;
        float *v = malloc(n * sizeof *v);
        bool ok = v && tl_store_read(vae->store, e, v, err);
        for (size_t i = 0; ok && i < n; i++)
            if (i % width >= width / 2) v[i] = bias ? -4.6f : v[i] * 0.1f;
        ok = ok && tl_store_write(vae->store, e, v, err);
        free(v);
        if (!ok) return tl_err_set(err, TL_FAIL, "out of memory");
    }
    return true;
}

/* scaling_factor = 1 / deviation of the latents' means over pictures of the data. */
static bool measure_scaling(struct task *t, struct tl_store *weights, struct tl_err *err)
{
    enum { BATCH = 8, MOST = 512 };
    const struct tl_vae_config *c = &t->vae->config.vae;
    int f = tl_vae_factor(c), h = t->data.height / f * f, w = t->data.width / f * f,
        n_pictures = t->data.n < MOST ? t->data.n : MOST;
    size_t n_px = (size_t)h * (size_t)w * 3,
           n_z = (size_t)(h / f) * (size_t)(w / f) * (size_t)c->latent_channels;
    float *px = malloc(BATCH * n_px * sizeof *px), *mean = malloc(BATCH * n_z * sizeof *mean),
          *logvar = malloc(BATCH * n_z * sizeof *logvar);
    struct tl_latent_codec *codec = tl_latent_codec_create(t->vae, err);
    bool ok = (codec && px && mean && logvar) || tl_err_set(err, TL_FAIL, "out of memory");
    if (codec) tl_latent_codec_use(codec, weights);
    double s = 0, q = 0, count = (double)n_pictures * (double)n_z;
    for (int i = 0; ok && i < n_pictures; i += BATCH) {
        int n = n_pictures - i < BATCH ? n_pictures - i : BATCH;
        for (int j = 0; j < n; j++) tl_dataset_pixels(&t->data, i + j, 0, 0, h, w, px + (size_t)j * n_px);
        ok = tl_latent_codec_encode(codec, px, (size_t)n, h, w, mean, logvar, err);
        for (size_t k = 0; ok && k < (size_t)n * n_z; k++) {
            s += (double)mean[k];
            q += (double)mean[k] * (double)mean[k];
        }
    }
    double deviation = sqrt(q / count - s / count * (s / count));
    if (ok && deviation > 0) {
        cJSON_DeleteItemFromObjectCaseSensitive(t->vae->json, "scaling_factor");
        ok = cJSON_AddNumberToObject(t->vae->json, "scaling_factor", 1.0 / deviation) ||
             tl_err_set(err, TL_FAIL, "out of memory");
    }
    tl_latent_codec_destroy(&codec);
    free(px);
    free(mean);
    free(logvar);
    return ok;
}

static bool save(void *self, struct tl_store *weights, const char *run_folder, struct tl_err *err)
{
    struct task *t = self;
    struct tl_str path = {0};
    tl_path_join(&path, run_folder, "model");
    bool ok = (!path.failed || tl_err_set(err, TL_FAIL, "out of memory")) &&
              measure_scaling(t, weights, err) &&
              tl_component_save(t->vae, weights, path.data, TL_ST_F32, err);
    tl_str_finish(&path);
    return ok;
}

static void destroy(void *self)
{
    struct task *t = self;
    tl_exec_destroy(&t->exec);
    tl_store_destroy(&t->grads);
    tl_component_close(&t->vae);
    tl_dataset_finish(&t->data);
    tl_task_order_finish(&t->order);
    free(t->pixels);
    free(t->noise);
    free(t);
}

static bool prepare(struct task *t, struct tl_err *err)
{
    const struct tl_vae_config *c = &t->vae->config.vae;
    int f = tl_vae_factor(c), size = t->p.size ? t->p.size : c->sample_size[0];
    if (c->in_channels != 3 || c->out_channels != 3)
        return tl_err_set(err, TL_BAD_INPUT, "the VAE has %d channels; pictures have 3", c->in_channels);
    if (!tl_dataset_load(t->p.data, size, size, false, t->p.strict, &t->data, err)) return false;
    t->h = t->p.crop ? t->p.crop : t->data.height / f * f;
    t->w = t->p.crop ? t->p.crop : t->data.width / f * f;
    if (t->p.crop && (t->h > t->data.height || t->w > t->data.width || t->h % f))
        return tl_err_set(err, TL_USAGE, "--crop %d: a multiple of %d up to the pictures' %dx%d is needed",
                          t->p.crop, f, t->data.width, t->data.height);
    if (t->h == 0 || t->w == 0)
        return tl_err_set(err, TL_BAD_INPUT, "pictures of %dx%d are smaller than the VAE's step of %d",
                          t->data.width, t->data.height, f);
    t->n_latent = (size_t)t->p.batch * (size_t)(t->h / f) * (size_t)(t->w / f) * (size_t)c->latent_channels;
    t->pixels = malloc(((size_t)t->p.batch + 1) * (size_t)t->h * (size_t)t->w * 3 * sizeof(float));
    t->noise = malloc(t->n_latent * sizeof(float));
    if (!t->pixels || !t->noise) return tl_err_set(err, TL_FAIL, "out of memory");
    if (!tl_task_order_of(&t->order, t->p.seed, &t->data, err)) return false;
    if (t->p.fresh && !quiet_posterior(t->vae, err)) return false;
    t->grads = tl_store_create(t->vae->store->device, t->vae->layout, err);
    t->exec = t->grads ? plan(t, err) : NULL;
    return t->exec && tl_exec_bind(t->exec, TL_SET_BASE, t->vae->store, err) &&
           tl_exec_bind(t->exec, TL_SET_BASE + TL_SET_GRADS, t->grads, err);
}

bool tl_task_vae_create(struct tl_component *vae, const struct tl_task_vae_params *params,
                        struct tl_task *out, struct tl_err *err)
{
    struct task *t = calloc(1, sizeof *t);
    if (!t) {
        tl_component_close(&vae);
        return tl_err_set(err, TL_FAIL, "out of memory");
    }
    t->vae = vae;
    t->p = *params;
    if (!prepare(t, err)) {
        destroy(t);
        return false;
    }
    *out = (struct tl_task){.self = t,
                            .weights = vae->store,
                            .grads = t->grads,
                            .metrics = {"loss", "l1", "mse", "kl"},
                            .n_pictures = t->data.folder.n,
                            .n_skipped = (size_t)t->data.n_skipped,
                            .n_strays = t->data.folder.n_strays,
                            .gradient = gradient,
                            .save = save,
                            .destroy = destroy};
    return true;
}
