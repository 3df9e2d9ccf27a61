#include "run/task_sft.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "run/encoded_set.h"
#include "tensor/exec.h"

struct task {
    struct tl_task_sft_params p;
    struct tl_pipeline *pipeline;
    struct tl_dataset data;
    struct tl_encoded_set set;
    struct tl_task_order order;
    struct tl_store *grads;
    struct tl_exec *exec;
    size_t n_latent; /* floats of one sample */
    float *x, *target, *t, *weight, *context, *noise;
};

static bool open_model(struct task *t, struct tl_device *d, struct tl_err *err)
{
    t->pipeline = tl_pipeline_start(d, t->p.model, t->p.seed, err);
    if (!t->pipeline) return false;
    return !t->pipeline->xl ||
           tl_err_set(err, TL_BAD_INPUT,
                      "%s: sft trains UNets that are conditioned on text alone; this is an XL pipeline",
                      t->p.model);
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
    struct tl_unet_inputs in = {.context_mask = TL_NONE,
                                .class_labels = TL_NONE,
                                .text_embeds = TL_NONE,
                                .time_ids = TL_NONE,
                                .timestep_cond = TL_NONE};
    in.sample = tl_input(g, "sample", TL_F32, latent);
    in.timestep = tl_input(g, "timestep", TL_F32, tl_shape1(t->p.batch));
    in.context = tl_input(g, "context", TL_F32, tl_shape3(t->p.batch, t->set.tokens, t->set.dim));
    tl_val m = tl_unet_build(&nn, &t->pipeline->unet->config.unet, &in),
           target = tl_input(g, "target", TL_F32, latent);
    tl_val square = tl_unary(g, TL_UNARY_SQUARE, tl_sub(g, m, target), 0, 0);
    tl_val plain = tl_mean_all(g, square),
           weight = tl_input(g, "weight", TL_F32, tl_shape4(t->p.batch, 1, 1, 1));
    tl_val loss = tl_mean_all(g, tl_mul(g, square, weight)), one = tl_fill(g, tl_shape1(1), 1);
    tl_output(g, loss, "loss");
    tl_output(g, plain, "mse");
    tl_graph_backward(
        g, &(struct tl_backward_params){
               .outputs = &loss, .cotangents = &one, .n_outputs = 1, .param_sets = 1u << TL_SET_BASE});
    return tl_exec_create(t->pipeline->unet->store->device, &g, err);
}

/* Min-SNR: min(SNR, gamma) / SNR of the epsilon loss; the v loss is (SNR + 1) times as steep. */
static double snr_weight(const struct task *t, size_t step)
{
    if (t->p.snr_gamma <= 0) return 1;
    double snr = tl_noise_snr(&t->pipeline->scheduler.noise, step),
           least = snr < t->p.snr_gamma ? snr : t->p.snr_gamma;
    if (t->pipeline->scheduler.config.prediction == TL_PREDICT_V) return least / (snr + 1);
    return t->pipeline->scheduler.config.prediction == TL_PREDICT_EPSILON ? least / snr : least;
}

static void fill_sample(struct task *t, uint64_t step, int j)
{
    struct tl_rng_key key = {.seed = t->p.seed, .sample = (uint32_t)j, .step = (uint32_t)step};
    int item = (int)tl_task_order_item(&t->order, step * (uint64_t)t->p.batch + (uint64_t)j);
    size_t n = t->n_latent, row = (size_t)t->set.tokens * (size_t)t->set.dim;
    float *x = t->x + (size_t)j * n, *target = t->target + (size_t)j * n;
    key.stream = TL_RNG_POSTERIOR;
    tl_rng_normal(key, 0, n, t->noise);
    tl_encoded_set_latent(&t->set, &t->pipeline->vae->config.vae, item, t->noise, x);
    key.stream = TL_RNG_TRAIN_NOISE;
    tl_rng_normal(key, 0, n, t->noise);
    key.stream = TL_RNG_TRAIN_TIME;
    size_t time = tl_rng_below(key, 0, (uint32_t)t->pipeline->scheduler.noise.n);
    tl_noise_target(&t->pipeline->scheduler.noise, t->pipeline->scheduler.config.prediction, time, x,
                    t->noise, n, target);
    tl_noise_add(&t->pipeline->scheduler.noise, time, x, t->noise, n, x);
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
    if (!tl_exec_write(t->exec, "sample", t->x, err) || !tl_exec_write(t->exec, "timestep", t->t, err) ||
        !tl_exec_write(t->exec, "context", t->context, err) ||
        !tl_exec_write(t->exec, "target", t->target, err) ||
        !tl_exec_write(t->exec, "weight", t->weight, err) || !tl_exec_run(t->exec, err) ||
        !tl_exec_read(t->exec, "loss", &loss, err) || !tl_exec_read(t->exec, "mse", &mse, err))
        return false;
    out[0] = loss;
    out[1] = mse;
    return true;
}

static bool save(void *self, struct tl_store *weights, const char *folder, struct tl_err *err)
{
    struct task *t = self;
    return tl_pipeline_save(t->pipeline, folder,
                            &(struct tl_pipeline_save_params){.dtype = TL_ST_F32, .unet = weights}, err);
}

static void destroy(void *self)
{
    struct task *t = self;
    tl_exec_destroy(&t->exec);
    tl_store_destroy(&t->grads);
    tl_pipeline_close(&t->pipeline);
    tl_dataset_finish(&t->data);
    tl_encoded_set_finish(&t->set);
    tl_task_order_finish(&t->order);
    float *const all[] = {t->x, t->target, t->t, t->weight, t->context, t->noise};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(t);
}

static bool prepare(struct task *t, struct tl_device *d, struct tl_err *err)
{
    if (!open_model(t, d, err) ||
        !tl_dataset_load(t->p.data, t->p.size, t->p.size, true, t->p.strict, &t->data, err))
        return false;
    if (!tl_encoded_set_make(&t->data, t->pipeline, &t->set, err)) return false;
    size_t b = (size_t)t->p.batch;
    t->n_latent = (size_t)t->set.height * (size_t)t->set.width * (size_t)t->set.channels;
    t->x = malloc(b * t->n_latent * sizeof(float));
    t->target = malloc(b * t->n_latent * sizeof(float));
    t->noise = malloc(t->n_latent * sizeof(float));
    t->t = malloc(b * sizeof(float));
    t->weight = malloc(b * sizeof(float));
    t->context = malloc(b * (size_t)t->set.tokens * (size_t)t->set.dim * sizeof(float));
    if (!t->x || !t->target || !t->noise || !t->t || !t->weight || !t->context)
        return tl_err_set(err, TL_FAIL, "out of memory");
    if (!tl_task_order_init(&t->order, t->p.seed, (uint32_t)t->data.n, err)) return false;
    t->grads = tl_store_create(d, t->pipeline->unet->layout, err);
    t->exec = t->grads ? plan(t, err) : NULL;
    return t->exec && tl_exec_bind(t->exec, TL_SET_BASE, t->pipeline->unet->store, err) &&
           tl_exec_bind(t->exec, TL_SET_BASE + TL_SET_GRADS, t->grads, err);
}

bool tl_task_sft_create(struct tl_device *device, const struct tl_task_sft_params *params,
                        struct tl_task *out, struct tl_err *err)
{
    struct task *t = calloc(1, sizeof *t);
    if (!t) return tl_err_set(err, TL_FAIL, "out of memory");
    t->p = *params;
    if (!prepare(t, device, err)) {
        destroy(t);
        return false;
    }
    *out = (struct tl_task){.self = t,
                            .weights = t->pipeline->unet->store,
                            .grads = t->grads,
                            .metrics = {"loss", "mse"},
                            .items_per_step = (uint64_t)params->batch,
                            .gradient = gradient,
                            .save = save,
                            .destroy = destroy};
    return true;
}
