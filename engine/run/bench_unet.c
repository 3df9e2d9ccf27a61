/* The bench UNet: a forward pass and a whole training step. The same network, batch and loss as
 * tests/reference/bench_pytorch.py. */
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "models/component.h"
#include "nn/optimizer.h"
#include "run/bench_rows.h"

enum { BATCH = 16, SIDE = 16, TOKENS = 16, CONTEXT = 128 };

static const char config_text[] =
    "{\"_class_name\": \"UNet2DConditionModel\", \"sample_size\": 16, \"in_channels\": 4, \"out_channels\": "
    "4,"
    " \"block_out_channels\": [64, 128, 192], \"layers_per_block\": 2,"
    " \"down_block_types\": [\"DownBlock2D\", \"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\"],"
    " \"up_block_types\": [\"CrossAttnUpBlock2D\", \"CrossAttnUpBlock2D\", \"UpBlock2D\"],"
    " \"cross_attention_dim\": 128, \"attention_head_dim\": 4, \"norm_num_groups\": 32}";

struct unet {
    struct tl_component *component;
    struct tl_exec *exec;
    struct tl_store *grads; /* training only, as what follows */
    struct tl_optimizer *optimizer;
};

static void destroy(void *self)
{
    struct unet *u = self;
    tl_optimizer_destroy(&u->optimizer);
    tl_exec_destroy(&u->exec);
    tl_store_destroy(&u->grads);
    tl_component_close(&u->component);
    free(u);
}

static bool run_forward(void *self, struct tl_err *err)
{
    struct unet *u = self;
    return tl_exec_run(u->exec, err) && tl_bench_wait(u->exec, err);
}

static bool run_train(void *self, struct tl_err *err)
{
    struct unet *u = self;
    const struct tl_adamw_params adamw = {
        .lr = 1e-5, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01};
    double norm;
    bool skipped;
    return tl_exec_run(u->exec, err) &&
           tl_optimizer_step(u->optimizer, &adamw, u->component->store, u->grads, 1, &norm, &skipped, err) &&
           tl_bench_wait(u->exec, err);
}

/* y, or y with the mean square's gradient by every weight. */
static struct tl_graph *build(const struct tl_component *c, bool train)
{
    struct tl_graph *g = tl_graph_create();
    if (!g) return NULL;
    struct tl_nn nn = {.g = g, .set = TL_SET_BASE, .lora_scale = TL_NONE};
    struct tl_unet_inputs in = {.sample = tl_input(g, "sample", TL_F32, tl_shape4(BATCH, SIDE, SIDE, 4)),
                                .timestep = tl_input(g, "timestep", TL_F32, tl_shape1(BATCH)),
                                .context = tl_input(g, "context", TL_F32, tl_shape3(BATCH, TOKENS, CONTEXT)),
                                .context_mask = TL_NONE,
                                .class_labels = TL_NONE,
                                .text_embeds = TL_NONE,
                                .time_ids = TL_NONE,
                                .timestep_cond = TL_NONE};
    tl_val y = tl_unet_build(&nn, &c->config.unet, &in);
    if (train && y >= 0) {
        tl_output(g, tl_mean_all(g, tl_mul(g, y, y)), "loss");
        tl_val dy = tl_scale(g, y, 2.0f / (float)(BATCH * SIDE * SIDE * 4));
        struct tl_backward_params p = {
            .outputs = &y, .cotangents = &dy, .n_outputs = 1, .param_sets = 1u << TL_SET_BASE};
        tl_graph_backward(g, &p);
    } else {
        tl_output(g, y, "y");
    }
    tl_bench_mark(g);
    return g;
}

static bool fill(struct unet *u, struct tl_err *err)
{
    float t[BATCH];
    for (int i = 0; i < BATCH; i++) t[i] = 500;
    return tl_bench_fill(u->exec, err) && tl_exec_write(u->exec, "timestep", t, err);
}

static bool open_unet(struct unet *u, struct tl_device *device, bool train, struct tl_err *err)
{
    cJSON *json = tl_json_parse(config_text, strlen(config_text), "the bench UNet's config", err);
    u->component = json ? tl_component_create(device, json, 0, err) : NULL;
    cJSON_Delete(json);
    struct tl_graph *g = u->component ? build(u->component, train) : NULL;
    u->exec = g ? tl_exec_create(device, &g, err) : NULL;
    if (!u->exec || !tl_exec_bind(u->exec, TL_SET_BASE, u->component->store, err))
        return tl_err_set(err, TL_FAIL, "out of memory");
    if (!train) return fill(u, err);
    u->grads = tl_store_create(device, u->component->layout, err);
    u->optimizer = u->grads ? tl_optimizer_create(device, u->component->layout, err) : NULL;
    return u->optimizer && tl_exec_bind(u->exec, TL_SET_BASE + TL_SET_GRADS, u->grads, err) && fill(u, err);
}

static bool open_as(struct tl_device *device, bool train, struct tl_bench_unit *out, struct tl_err *err)
{
    struct unet *u = calloc(1, sizeof *u);
    if (!u) return tl_err_set(err, TL_FAIL, "out of memory");
    *out = (struct tl_bench_unit){.self = u, .run = train ? run_train : run_forward, .destroy = destroy};
    if (!open_unet(u, device, train, err)) return false;
    tl_bench_work(tl_exec_graph(u->exec), &out->flops, &out->bytes);
    if (!train) return true;
    /* the usual count, and the reference script's: a step is three forward passes, however it is computed */
    struct tl_graph *g = build(u->component, false);
    double bytes;
    if (!g || !tl_graph_ok(g, err)) {
        tl_graph_destroy(&g);
        return tl_err_set(err, TL_FAIL, "out of memory");
    }
    tl_bench_work(g, &out->flops, &bytes);
    tl_graph_destroy(&g);
    out->flops *= 3;
    return true;
}

bool tl_bench_unet_forward(struct tl_device *device, struct tl_bench_unit *out, struct tl_err *err)
{
    return open_as(device, false, out, err);
}

bool tl_bench_unet_train(struct tl_device *device, struct tl_bench_unit *out, struct tl_err *err)
{
    return open_as(device, true, out, err);
}
