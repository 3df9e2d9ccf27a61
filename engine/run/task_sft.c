#include "run/task_sft.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "io/file.h"
#include "io/json.h"
#include "run/encoded_set.h"
#include "sample/scheduler.h"
#include "sample/scheduler_config.h"
#include "tensor/exec.h"

struct task {
    struct tl_task_sft_params p;
    struct tl_component *unet, *vae, *text;
    struct tl_clip_bpe *tokenizer;
    struct tl_scheduler scheduler;
    struct tl_dataset data;
    struct tl_encoded_set set;
    struct tl_task_order order;
    struct tl_store *grads;
    struct tl_exec *exec;
    size_t n_latent; /* floats of one sample */
    float *x, *target, *t, *weight, *context, *noise;
};

static char *part(char path[4096], const char *folder, const char *name)
{
    snprintf(path, 4096, "%s/%s", folder, name);
    return path;
}

/* A component without weights starts from random ones. */
static struct tl_component *open_or_start(struct tl_device *d, const char *folder, uint64_t seed, struct tl_err *err)
{
    char path[4096];
    cJSON *json = tl_json_read(part(path, folder, "config.json"), err);
    if (!json) return NULL;
    const struct tl_component_class *cls = tl_component_class_of(json, err);
    struct tl_component *c = NULL;
    bool fresh = false;
    if (cls) {
        char weights[128], file[4300];
        snprintf(weights, sizeof weights, "%s.safetensors", cls->weights);
        fresh = !tl_file_exists(part(path, folder, weights));
        snprintf(file, sizeof file, "%s.index.json", path);
        fresh = fresh && !tl_file_exists(file);
        c = fresh ? tl_component_create(d, json, seed, err) : tl_component_open(d, folder, err);
    }
    cJSON_Delete(json);
    return c;
}

static bool expect(const struct tl_component *c, const char *class_name, const char *what, struct tl_err *err)
{
    return strcmp(c->cls->name, class_name) == 0 || tl_err_set(err, TL_BAD_INPUT, "%s is a %s; this method needs a %s", what, c->cls->name, class_name);
}

static bool open_model(struct task *t, struct tl_device *d, struct tl_err *err)
{
    char path[4096];
    t->unet = open_or_start(d, part(path, t->p.model, "unet"), t->p.seed, err);
    t->vae = t->unet ? tl_component_open(d, part(path, t->p.model, "vae"), err) : NULL;
    t->text = t->vae ? tl_component_open(d, part(path, t->p.model, "text_encoder"), err) : NULL;
    t->tokenizer = t->text ? tl_clip_bpe_open(part(path, t->p.model, "tokenizer"), err) : NULL;
    if (!t->tokenizer || !tl_scheduler_read(&t->scheduler, part(path, t->p.model, "scheduler/scheduler_config.json"), err)) return false;
    if (!expect(t->unet, "UNet2DConditionModel", "unet", err) || !expect(t->vae, "AutoencoderKL", "vae", err) || !expect(t->text, "CLIPTextModel", "text_encoder", err))
        return false;
    const struct tl_unet_config *c = &t->unet->config.unet;
    if (c->text_time || c->class_embed != TL_CLASS_NONE) return tl_err_set(err, TL_BAD_INPUT, "unet: sft trains UNets that are conditioned on text alone");
    if (c->in_channels != t->vae->config.vae.latent_channels)
        return tl_err_set(err, TL_BAD_INPUT, "unet takes %d channels, the VAE's latents have %d", c->in_channels, t->vae->config.vae.latent_channels);
    return true;
}

static struct tl_exec *plan(struct task *t, struct tl_err *err)
{
    struct tl_graph *g = tl_graph_create();
    if (!g) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    struct tl_nn nn = {.g = g, .set = TL_SET_BASE, .lora_scale = TL_NONE};
    struct tl_shape latent = tl_shape4(t->p.batch, t->set.height, t->set.width, t->set.channels);
    struct tl_unet_inputs in = {.context_mask = TL_NONE, .class_labels = TL_NONE, .text_embeds = TL_NONE, .time_ids = TL_NONE, .timestep_cond = TL_NONE};
    in.sample = tl_input(g, "sample", TL_F32, latent);
    in.timestep = tl_input(g, "timestep", TL_F32, tl_shape1(t->p.batch));
    in.context = tl_input(g, "context", TL_F32, tl_shape3(t->p.batch, t->set.tokens, t->set.dim));
    tl_val m = tl_unet_build(&nn, &t->unet->config.unet, &in), target = tl_input(g, "target", TL_F32, latent);
    tl_val square = tl_unary(g, TL_UNARY_SQUARE, tl_sub(g, m, target), 0, 0);
    tl_val plain = tl_mean_all(g, square), weight = tl_input(g, "weight", TL_F32, tl_shape4(t->p.batch, 1, 1, 1));
    tl_val loss = tl_mean_all(g, tl_mul(g, square, weight)), one = tl_fill(g, tl_shape1(1), 1);
    tl_output(g, loss, "loss");
    tl_output(g, plain, "mse");
    tl_graph_backward(g, &(struct tl_backward_params){.outputs = &loss, .cotangents = &one, .n_outputs = 1, .param_sets = 1u << TL_SET_BASE});
    return tl_exec_create(t->unet->store->device, &g, err);
}

/* Min-SNR: min(SNR, gamma) / SNR of the epsilon loss; the v loss is (SNR + 1) times as steep. */
static double snr_weight(const struct task *t, size_t step)
{
    if (t->p.snr_gamma <= 0) return 1;
    double snr = tl_noise_snr(&t->scheduler.noise, step), least = snr < t->p.snr_gamma ? snr : t->p.snr_gamma;
    if (t->scheduler.config.prediction == TL_PREDICT_V) return least / (snr + 1);
    return t->scheduler.config.prediction == TL_PREDICT_EPSILON ? least / snr : least;
}

static void fill_sample(struct task *t, uint64_t step, int j)
{
    struct tl_rng_key key = {.seed = t->p.seed, .sample = (uint32_t)j, .step = (uint32_t)step};
    int item = (int)tl_task_order_item(&t->order, step * (uint64_t)t->p.batch + (uint64_t)j);
    size_t n = t->n_latent, row = (size_t)t->set.tokens * (size_t)t->set.dim;
    float *x = t->x + (size_t)j * n, *target = t->target + (size_t)j * n;
    key.stream = TL_RNG_POSTERIOR;
    tl_rng_normal(key, 0, n, t->noise);
    tl_encoded_set_latent(&t->set, &t->vae->config.vae, item, t->noise, x);
    key.stream = TL_RNG_TRAIN_NOISE;
    tl_rng_normal(key, 0, n, t->noise);
    key.stream = TL_RNG_TRAIN_TIME;
    size_t time = tl_rng_below(key, 0, (uint32_t)t->scheduler.noise.n);
    tl_noise_target(&t->scheduler.noise, t->scheduler.config.prediction, time, x, t->noise, n, target);
    tl_noise_add(&t->scheduler.noise, time, x, t->noise, n, x);
    t->t[j] = (float)time;
    t->weight[j] = (float)snr_weight(t, time);
    key.stream = TL_RNG_DROPOUT;
    int caption = tl_rng_uniform(key, 0) < (float)t->p.caption_dropout ? 0 : t->set.caption[item];
    memcpy(t->context + (size_t)j * row, t->set.contexts + (size_t)caption * row, row * sizeof(float));
}

static bool gradient(void *self, uint64_t step, double out[TL_TASK_METRICS], struct tl_err *err)
{
    struct task *t = self;
    for (int j = 0; j < t->p.batch; j++) fill_sample(t, step, j);
    float loss, mse;
    if (!tl_exec_write(t->exec, "sample", t->x, err) || !tl_exec_write(t->exec, "timestep", t->t, err) || !tl_exec_write(t->exec, "context", t->context, err) ||
        !tl_exec_write(t->exec, "target", t->target, err) || !tl_exec_write(t->exec, "weight", t->weight, err) || !tl_exec_run(t->exec, err) ||
        !tl_exec_read(t->exec, "loss", &loss, err) || !tl_exec_read(t->exec, "mse", &mse, err))
        return false;
    out[0] = loss;
    out[1] = mse;
    return true;
}

static bool copy_json(const char *from, const char *to, const char *name, struct tl_err *err)
{
    char path[4096];
    cJSON *json = tl_json_read(part(path, from, name), err);
    bool ok = json && tl_json_write(part(path, to, name), json, err);
    cJSON_Delete(json);
    return ok;
}

static bool save(void *self, struct tl_store *weights, const char *folder, struct tl_err *err)
{
    struct task *t = self;
    char path[4096];
    return tl_component_save(t->unet, weights, part(path, folder, "unet"), TL_ST_F32, err) && tl_component_save(t->vae, NULL, part(path, folder, "vae"), TL_ST_F32, err) &&
           tl_component_save(t->text, NULL, part(path, folder, "text_encoder"), TL_ST_F32, err) && tl_clip_bpe_save(t->tokenizer, part(path, folder, "tokenizer"), err) &&
           tl_file_make_folder(part(path, folder, "scheduler"), err) && copy_json(t->p.model, folder, "scheduler/scheduler_config.json", err) &&
           copy_json(t->p.model, folder, "model_index.json", err);
}

static void destroy(void *self)
{
    struct task *t = self;
    tl_exec_destroy(&t->exec);
    tl_store_destroy(&t->grads);
    tl_component_close(&t->unet);
    tl_component_close(&t->vae);
    tl_component_close(&t->text);
    tl_clip_bpe_destroy(&t->tokenizer);
    tl_scheduler_finish(&t->scheduler);
    tl_dataset_finish(&t->data);
    tl_encoded_set_finish(&t->set);
    tl_task_order_finish(&t->order);
    float *const all[] = {t->x, t->target, t->t, t->weight, t->context, t->noise};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free((char *)(uintptr_t)t->p.model);
    free(t);
}

static bool prepare(struct task *t, struct tl_device *d, struct tl_err *err)
{
    if (!open_model(t, d, err) || !tl_dataset_load(t->p.data, t->p.size, t->p.size, true, t->p.strict, &t->data, err)) return false;
    if (!tl_encoded_set_make(&t->data, t->vae, t->text, t->tokenizer, &t->set, err)) return false;
    size_t b = (size_t)t->p.batch;
    t->n_latent = (size_t)(t->set.height * t->set.width * t->set.channels);
    t->x = malloc(b * t->n_latent * sizeof(float));
    t->target = malloc(b * t->n_latent * sizeof(float));
    t->noise = malloc(t->n_latent * sizeof(float));
    t->t = malloc(b * sizeof(float));
    t->weight = malloc(b * sizeof(float));
    t->context = malloc(b * (size_t)t->set.tokens * (size_t)t->set.dim * sizeof(float));
    if (!t->x || !t->target || !t->noise || !t->t || !t->weight || !t->context) return tl_err_set(err, TL_FAIL, "out of memory");
    if (!tl_task_order_init(&t->order, t->p.seed, (uint32_t)t->data.n, err)) return false;
    t->grads = tl_store_create(d, t->unet->layout, err);
    t->exec = t->grads ? plan(t, err) : NULL;
    return t->exec && tl_exec_bind(t->exec, TL_SET_BASE, t->unet->store, err) && tl_exec_bind(t->exec, TL_SET_BASE + TL_SET_GRADS, t->grads, err);
}

bool tl_task_sft_create(struct tl_device *device, const struct tl_task_sft_params *params, struct tl_task *out, struct tl_err *err)
{
    struct task *t = calloc(1, sizeof *t);
    if (!t) return tl_err_set(err, TL_FAIL, "out of memory");
    t->p = *params;
    t->p.model = strdup(params->model);
    if (!t->p.model || !prepare(t, device, err)) {
        destroy(t);
        return tl_err_set(err, TL_FAIL, "out of memory");
    }
    *out = (struct tl_task){.self = t, .weights = t->unet->store, .grads = t->grads, .metrics = {"loss", "mse"},
                            .items_per_step = (uint64_t)params->batch, .gradient = gradient, .save = save, .destroy = destroy};
    return true;
}
