#include "sample/denoiser.h"

#include <stdlib.h>
#include <string.h>

#include "tensor/device_planning.h"

struct tl_denoiser {
    struct tl_denoiser_params p;
    int64_t rows;
    size_t n_in, n_out; /* floats of one sample */
    struct tl_exec *forward, *backward, *pullback;
    struct tl_store_layout *lora_layout;
    float *x, *t, *m; /* [rows]: staging */
};

enum kind { RUN, BACKWARD, PULLBACK };

static tl_val build(const struct tl_denoiser *d, struct tl_nn *nn)
{
    const struct tl_denoiser_params *p = &d->p;
    const struct tl_unet_config *c = &p->unet->config.unet;
    struct tl_unet_inputs in = {.context_mask = TL_NONE,
                                .class_labels = TL_NONE,
                                .text_embeds = TL_NONE,
                                .time_ids = TL_NONE,
                                .timestep_cond = TL_NONE};
    in.sample = tl_input(nn->g, "sample", TL_F32, tl_shape4(d->rows, p->height, p->width, c->in_channels));
    in.timestep = tl_input(nn->g, "timestep", TL_F32, tl_shape1(d->rows));
    int64_t width = c->encoder_hid_dim ? c->encoder_hid_dim : c->cross_dim[0];
    in.context =
        p->tokens > 0 ? tl_input(nn->g, "context", TL_F32, tl_shape3(d->rows, p->tokens, width)) : TL_NONE;
    if (c->text_time) {
        in.text_embeds = tl_input(nn->g, "text_embeds", TL_F32,
                                  tl_shape2(d->rows, c->addition_input_dim - 6 * c->addition_time_dim));
        in.time_ids = tl_input(nn->g, "time_ids", TL_F32, tl_shape2(d->rows, 6));
    }
    return tl_unet_build(nn, c, &in);
}

static struct tl_graph *graph(struct tl_denoiser *d, enum kind kind)
{
    struct tl_graph *g = tl_graph_create();
    if (!g) return NULL;
    struct tl_nn nn = {.g = g,
                       .set = TL_SET_BASE,
                       .lora = d->p.lora,
                       .lora_scale = TL_NONE,
                       .checkpoint = kind != RUN && d->p.checkpoint,
                       .dtype = d->p.unet->dtype};
    tl_val m = build(d, &nn);
    if (kind == RUN) {
        tl_output(g, m, "m");
        return g;
    }
    if (m < 0) return g;
    tl_val cot = tl_input(g, "cot", TL_F32, *tl_shape_of(g, m)), x = tl_graph_find_input(g, "sample"), d_x;
    struct tl_backward_params p = {.outputs = &m, .cotangents = &cot, .n_outputs = 1};
    if (kind == BACKWARD) {
        p.param_sets = d->p.lora ? 1u << TL_SET_LORA : 1u << TL_SET_BASE;
    } else {
        p.wrt = &x;
        p.out_wrt = &d_x;
        p.n_wrt = 1;
    }
    if (tl_graph_backward(g, &p) && kind == PULLBACK) tl_output(g, d_x, "d_x");
    return g;
}

/* `part`: what it belongs to where it is only planned. */
static struct tl_exec *plan(struct tl_device *device, struct tl_graph **g, const char *part,
                            struct tl_err *err)
{
    const char *before = tl_device_planning_part(device, part);
    struct tl_exec *exec = tl_exec_create(device, g, err);
    tl_device_planning_part(device, before);
    return exec;
}

struct tl_denoiser *tl_denoiser_create(const struct tl_denoiser_params *params, struct tl_err *err)
{
    const struct tl_unet_config *c = &params->unet->config.unet;
    struct tl_device *device = params->unet->store->device;
    struct tl_denoiser *d = calloc(1, sizeof *d);
    struct tl_graph *g = NULL;
    if (!d) goto no_memory;
    d->p = *params;
    d->rows = params->guided ? 2 * params->batch : params->batch;
    d->n_in = (size_t)(params->height * params->width * c->in_channels);
    d->n_out = (size_t)(params->height * params->width * c->out_channels);
    d->x = malloc((size_t)d->rows * d->n_in * sizeof *d->x);
    d->t = malloc((size_t)d->rows * sizeof *d->t);
    d->m = malloc((size_t)d->rows * d->n_out * sizeof *d->m);
    if (!d->x || !d->t || !d->m) goto no_memory;
    g = graph(d, RUN);
    if (!tl_graph_ok(g, err)) goto fail;
    if (params->lora) {
        const struct tl_graph *const graphs[1] = {g};
        d->lora_layout = tl_store_layout_create(graphs, 1, TL_SET_LORA, NULL, NULL, err);
        if (!d->lora_layout) goto fail;
        if (d->lora_layout->n_entries == 0) {
            tl_err_set(err, TL_USAGE, "no layer of the UNet ends in one of the LoRA's targets (%s%s)",
                       params->lora->n_targets ? params->lora->targets[0] : "",
                       params->lora->n_targets > 1 ? ", ..." : "");
            goto fail;
        }
    }
    d->forward = plan(device, &g, "UNet, activations of a run", err);
    if (!d->forward) goto fail;
    if (params->gradient) {
        g = graph(d, BACKWARD);
        d->backward = plan(device, &g, "UNet, activations of a gradient", err);
        if (!d->backward) goto fail;
    }
    if (params->input_gradient) {
        g = graph(d, PULLBACK);
        d->pullback = plan(device, &g, "UNet, activations of a gradient by its input", err);
        if (!d->pullback) goto fail;
    }
    d->p.lora = NULL; /* borrowed only until here */
    return d;
no_memory:
    tl_err_set(err, TL_DEVICE, "out of memory for a denoiser of %lld samples", (long long)params->batch);
fail:
    tl_graph_destroy(&g);
    tl_denoiser_destroy(&d);
    return NULL;
}

void tl_denoiser_destroy(struct tl_denoiser **d_ptr)
{
    struct tl_denoiser *d = *d_ptr;
    if (!d) return;
    tl_exec_destroy(&d->forward);
    tl_exec_destroy(&d->backward);
    tl_exec_destroy(&d->pullback);
    tl_store_layout_destroy(&d->lora_layout);
    free(d->x);
    free(d->t);
    free(d->m);
    free(d);
    *d_ptr = NULL;
}

const struct tl_store_layout *tl_denoiser_lora_layout(const struct tl_denoiser *d)
{
    return d->lora_layout;
}

size_t tl_denoiser_bytes(const struct tl_denoiser *d)
{
    return tl_exec_bytes(d->forward) + (d->backward ? tl_exec_bytes(d->backward) : 0) +
           (d->pullback ? tl_exec_bytes(d->pullback) : 0);
}

/* Rows are the samples once, or twice. */
static bool feed(struct tl_denoiser *d, struct tl_exec *e, const struct tl_denoiser_weights *w,
                 const float *x, const float *t, const struct tl_condition *c, struct tl_err *err)
{
    size_t n = (size_t)d->p.batch;
    memcpy(d->x, x, n * d->n_in * sizeof *x);
    memcpy(d->t, t, n * sizeof *t);
    if (d->p.guided) {
        memcpy(d->x + n * d->n_in, x, n * d->n_in * sizeof *x);
        memcpy(d->t + n, t, n * sizeof *t);
    }
    if (!tl_exec_bind(e, TL_SET_BASE, w->base ? w->base : d->p.unet->store, err)) return false;
    if (d->lora_layout) {
        float scale = (float)w->lora_scale;
        if (!w->lora || !tl_exec_bind(e, TL_SET_LORA, w->lora, err) ||
            !tl_exec_write(e, "lora_scale", &scale, err))
            return tl_err_set(err, TL_FAIL, "no LoRA weights are given");
    }
    if (!tl_exec_write(e, "sample", d->x, err) || !tl_exec_write(e, "timestep", d->t, err)) return false;
    if (d->p.tokens > 0 && !tl_exec_write(e, "context", c->context, err)) return false;
    if (!d->p.unet->config.unet.text_time) return true;
    return tl_exec_write(e, "text_embeds", c->text_embeds, err) &&
           tl_exec_write(e, "time_ids", c->time_ids, err);
}

bool tl_denoiser_run(struct tl_denoiser *d, const struct tl_denoiser_weights *w, const float *x,
                     const float *t, const struct tl_condition *c, double guidance, float *out,
                     struct tl_err *err)
{
    size_t n = (size_t)d->p.batch * d->n_out;
    if (!feed(d, d->forward, w, x, t, c, err) || !tl_exec_run(d->forward, err)) return false;
    if (!d->p.guided) return tl_exec_read(d->forward, "m", out, err);
    if (!tl_exec_read(d->forward, "m", d->m, err)) return false;
    float g = (float)guidance;
    for (size_t i = 0; i < n; i++) out[i] = d->m[i] + g * (d->m[n + i] - d->m[i]);
    return true;
}

/* Both branches' shares of d_m. */
static bool feed_cotangent(struct tl_denoiser *d, struct tl_exec *e, double guidance, const float *d_m,
                           struct tl_err *err)
{
    size_t n = (size_t)d->p.batch * d->n_out;
    if (!d->p.guided) return tl_exec_write(e, "cot", d_m, err);
    float g = (float)guidance;
    for (size_t i = 0; i < n; i++) {
        d->m[i] = (1 - g) * d_m[i];
        d->m[n + i] = g * d_m[i];
    }
    return tl_exec_write(e, "cot", d->m, err);
}

bool tl_denoiser_backward(struct tl_denoiser *d, const struct tl_denoiser_weights *w, const float *x,
                          const float *t, const struct tl_condition *c, double guidance, const float *d_m,
                          struct tl_err *err)
{
    if (!d->backward) return tl_err_set(err, TL_FAIL, "this denoiser was planned without gradients");
    int set = (d->lora_layout ? TL_SET_LORA : TL_SET_BASE) + TL_SET_GRADS;
    return feed(d, d->backward, w, x, t, c, err) && tl_exec_bind(d->backward, set, w->grads, err) &&
           feed_cotangent(d, d->backward, guidance, d_m, err) && tl_exec_run(d->backward, err);
}

bool tl_denoiser_pullback(struct tl_denoiser *d, const struct tl_denoiser_weights *w, const float *x,
                          const float *t, const struct tl_condition *c, double guidance, const float *d_m,
                          float *out_d_x, struct tl_err *err)
{
    size_t n = (size_t)d->p.batch * d->n_in;
    if (!d->pullback)
        return tl_err_set(err, TL_FAIL, "this denoiser was planned without the gradient by its input");
    if (!feed(d, d->pullback, w, x, t, c, err) || !feed_cotangent(d, d->pullback, guidance, d_m, err) ||
        !tl_exec_run(d->pullback, err) || !tl_exec_read(d->pullback, "d_x", d->x, err))
        return false;
    for (size_t i = 0; i < n; i++) out_d_x[i] = d->p.guided ? d->x[i] + d->x[n + i] : d->x[i];
    return true;
}
