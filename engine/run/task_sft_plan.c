/* Plans of the UNet's loss, one a latent size. */
#include "run/task_sft_parts.h"

enum { ROOM = 1 << 30 };

/* rows[B]: the mean square error of each sample. The gradient is that of mean(rows * weight). */
static tl_val build_rows(struct tl_sft *s, struct tl_nn *nn, int height, int width, tl_val *out_context)
{
    struct tl_graph *g = nn->g;
    int64_t b = s->p.batch;
    struct tl_shape latent = tl_shape4(b, height, width, s->set.channels);
    struct tl_unet_inputs in = {.context_mask = TL_NONE,
                                .class_labels = TL_NONE,
                                .text_embeds = TL_NONE,
                                .time_ids = TL_NONE,
                                .timestep_cond = TL_NONE};
    in.sample = tl_input(g, "sample", TL_F32, latent);
    in.timestep = tl_input(g, "timestep", TL_F32, tl_shape1(b));
    in.context = *out_context =
        tl_input(g, "context", TL_F32, tl_shape3(b, s->pipeline->tokens, s->pipeline->width));
    tl_val m = tl_unet_build(nn, &s->pipeline->unet->config.unet, &in),
           target = tl_input(g, "target", TL_F32, latent);
    if (m < 0) return TL_NONE;
    tl_val square = tl_unary(g, TL_UNARY_SQUARE, tl_sub(g, m, target), 0, 0);
    return tl_scale(g, tl_reduce_sum(g, square, tl_shape4(b, 1, 1, 1)),
                    1.0f / (float)(height * width * s->set.channels));
}

static struct tl_exec *plan(struct tl_sft *s, int height, int width, bool gradient, struct tl_err *err)
{
    struct tl_graph *g = tl_graph_create();
    if (!g) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    struct tl_nn nn = {.g = g,
                       .set = TL_SET_BASE,
                       .lora = s->spec[TL_SFT_UNET],
                       .lora_scale = TL_NONE,
                       .dtype = s->pipeline->unet->dtype};
    tl_val context, rows = build_rows(s, &nn, height, width, &context);
    if (rows >= 0) tl_output(g, rows, "rows");
    if (gradient && rows >= 0) {
        tl_val weight = tl_input(g, "weight", TL_F32, tl_shape4(s->p.batch, 1, 1, 1)), d_context;
        tl_val loss = tl_mean_all(g, tl_mul(g, rows, weight)), one = tl_fill(g, tl_shape1(1), 1);
        struct tl_backward_params bp = {.outputs = &loss,
                                        .cotangents = &one,
                                        .n_outputs = 1,
                                        .wrt = &context,
                                        .out_wrt = &d_context,
                                        .n_wrt = s->p.train_text ? 1 : 0,
                                        .param_sets = 1u << (s->full ? TL_SET_BASE : TL_SET_LORA)};
        if (tl_graph_backward(g, &bp) && s->p.train_text) tl_output(g, d_context, "d_context");
    }
    struct tl_exec *e = tl_exec_create(s->pipeline->device, &g, err);
    if (e && !tl_sft_bind(s, e, TL_SFT_UNET, NULL, gradient, err)) tl_exec_destroy(&e);
    if (!e) tl_err_add(err, "planning for latents of %dx%d", width, height);
    return e;
}

static void drop_oldest(struct tl_sft_plans *p)
{
    int oldest = 0;
    for (int i = 1; i < p->n; i++)
        if (p->list[i].used < p->list[oldest].used) oldest = i;
    p->bytes -= tl_exec_bytes(p->list[oldest].exec);
    tl_exec_destroy(&p->list[oldest].exec);
    p->list[oldest] = p->list[--p->n];
}

struct tl_exec *tl_sft_plan_get(struct tl_sft *s, int height, int width, bool gradient, struct tl_err *err)
{
    struct tl_sft_plans *p = &s->plans;
    p->clock++;
    for (int i = 0; i < p->n; i++) {
        struct tl_sft_plan *q = &p->list[i];
        if (q->height != height || q->width != width || q->gradient != gradient) continue;
        q->used = p->clock;
        return q->exec;
    }
    /* a new one is taken to be as large as the largest so far */
    size_t room = 2 * p->largest > ROOM ? 2 * p->largest : ROOM;
    while (p->n > 0 && (p->n == TL_SFT_MOST_PLANS || p->bytes + p->largest > room)) drop_oldest(p);
    struct tl_exec *e = plan(s, height, width, gradient, err);
    if (!e) return NULL;
    p->list[p->n++] = (struct tl_sft_plan){height, width, gradient, e, p->clock};
    p->bytes += tl_exec_bytes(e);
    if (tl_exec_bytes(e) > p->largest) p->largest = tl_exec_bytes(e);
    return e;
}

void tl_sft_plans_finish(struct tl_sft_plans *p)
{
    while (p->n > 0) drop_oldest(p);
}
