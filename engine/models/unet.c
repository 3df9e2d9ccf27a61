#include "models/unet.h"

#include <stdio.h>

#include "models/unet_blocks.h"

enum { MAX_SKIPS = 256 };

struct build {
    struct tl_nn *nn;
    const struct tl_unet_config *c;
    struct tl_resnet resnet; /* but for its width */
    tl_val context, mask;
    tl_val skips[MAX_SKIPS];
    int n_skips;
};

static void push(struct build *b, tl_val h)
{
    if (b->n_skips < MAX_SKIPS)
        b->skips[b->n_skips++] = h;
    else
        tl_graph_fail(b->nn->g, "UNet with more than %d skip connections", MAX_SKIPS);
}

/* diffusers' TimestepEmbedding: NAME.linear_1, act, NAME.linear_2 */
static tl_val embedding_mlp(struct build *b, tl_val x, tl_val condition, int dim, const char *name)
{
    struct tl_nn *nn = b->nn;
    if (condition >= 0)
        x = tl_nn_linear_add(nn, condition, b->c->channels[0], false, x, "%s.cond_proj", name);
    x = tl_nn_linear(nn, x, dim, true, "%s.linear_1", name);
    x = tl_nn_activation(nn, x, b->c->act);
    return tl_nn_linear(nn, x, dim, true, "%s.linear_2", name);
}

static tl_val class_embedding(struct build *b, tl_val labels)
{
    struct tl_nn *nn = b->nn;
    const struct tl_unet_config *c = b->c;
    switch (c->class_embed) {
    case TL_CLASS_TABLE:
        return tl_embedding(nn->g, labels,
                            tl_nn_weight(nn, tl_shape2(c->n_class, c->time_dim), "class_embedding.weight"));
    case TL_CLASS_TIMESTEP:
        labels = tl_sinusoid(nn->g, labels, c->channels[0], c->flip_sin_to_cos, c->freq_shift, 10000);
        return embedding_mlp(b, labels, TL_NONE, c->time_dim, "class_embedding");
    case TL_CLASS_PROJECTION:
        return embedding_mlp(b, labels, TL_NONE, c->time_dim, "class_embedding");
    case TL_CLASS_SIMPLE_PROJECTION:
        return tl_nn_linear(nn, labels, c->time_dim, true, "class_embedding");
    case TL_CLASS_IDENTITY:
    case TL_CLASS_NONE:
        break;
    }
    return labels;
}

/* SDXL: pooled text beside the sinusoids of (original size, crop, target size) */
static tl_val text_time_embedding(struct build *b, const struct tl_unet_inputs *in)
{
    struct tl_graph *g = b->nn->g;
    const struct tl_unet_config *c = b->c;
    if (in->text_embeds < 0 || in->time_ids < 0) {
        tl_graph_fail(g, "this UNet needs text_embeds and time_ids");
        return TL_NONE;
    }
    int64_t n = tl_shape_of(g, in->time_ids)->dim[0], k = tl_shape_of(g, in->time_ids)->dim[1];
    tl_val ids = tl_sinusoid(g, tl_reshape(g, in->time_ids, tl_shape1(n * k)), c->addition_time_dim,
                             c->flip_sin_to_cos, c->freq_shift, 10000);
    tl_val both =
        tl_concat(g, in->text_embeds, tl_reshape(g, ids, tl_shape2(n, k * c->addition_time_dim)), 1);
    if (both >= 0 && tl_shape_last(tl_shape_of(g, both)) != c->addition_input_dim) {
        tl_graph_fail(
            g, "text_embeds and time_ids make %lld values, projection_class_embeddings_input_dim is %d",
            (long long)tl_shape_last(tl_shape_of(g, both)), c->addition_input_dim);
        return TL_NONE;
    }
    return embedding_mlp(b, both, TL_NONE, c->time_dim, "add_embedding");
}

/* -> act(temb) [N, D]: what every resnet projects */
static tl_val time_embedding(struct build *b, const struct tl_unet_inputs *in)
{
    struct tl_nn *nn = b->nn;
    const struct tl_unet_config *c = b->c;
    tl_val t = tl_sinusoid(nn->g, in->timestep, c->channels[0], c->flip_sin_to_cos, c->freq_shift, 10000);
    tl_val temb =
        embedding_mlp(b, t, c->time_cond_dim ? in->timestep_cond : TL_NONE, c->time_dim, "time_embedding");
    if (*c->post_act) temb = tl_nn_activation(nn, temb, c->post_act);
    if (c->class_embed != TL_CLASS_NONE) {
        if (in->class_labels < 0) {
            tl_graph_fail(nn->g, "this UNet needs class_labels");
            return TL_NONE;
        }
        tl_val class = class_embedding(b, in->class_labels);
        temb = c->class_concat ? tl_concat(nn->g, temb, class, 1) : tl_add(nn->g, temb, class);
    }
    if (c->text_time) temb = tl_add(nn->g, temb, text_time_embedding(b, in));
    if (*c->time_act) temb = tl_nn_activation(nn, temb, c->time_act);
    return tl_nn_activation(nn, temb, c->act);
}

static tl_val resnet(struct build *b, tl_val h, int64_t out, const char *name, int j)
{
    char at[96];
    snprintf(at, sizeof at, "%s.resnets.%d", name, j);
    struct tl_resnet r = b->resnet;
    r.out = out;
    return tl_block_resnet(b->nn, h, &r, at);
}

/* i: the number of the down block whose heads and depth count */
static tl_val transformer(struct build *b, tl_val h, int i, const char *name, int j)
{
    char at[96];
    snprintf(at, sizeof at, "%s.attentions.%d", name, j);
    struct tl_transformer t = {b->c->transformer_layers[i], b->c->heads[i], b->c->groups,
                               b->c->linear_projection,     b->context,     b->mask};
    return tl_block_transformer(b->nn, h, &t, at);
}

static tl_val down_block(struct build *b, tl_val h, int i)
{
    char name[48], sampler[64];
    const struct tl_unet_config *c = b->c;
    snprintf(name, sizeof name, "down_blocks.%d", i);
    for (int j = 0; j < c->layers[i]; j++) {
        h = resnet(b, h, c->channels[i], name, j);
        if (c->down_cross[i]) h = transformer(b, h, i, name, j);
        push(b, h);
    }
    if (i == c->n_blocks - 1) return h;
    snprintf(sampler, sizeof sampler, "%s.downsamplers.0", name);
    h = tl_block_downsample(b->nn, h, c->downsample_padding, sampler);
    push(b, h);
    return h;
}

static tl_val mid_block(struct build *b, tl_val h)
{
    int last = b->c->n_blocks - 1;
    struct tl_resnet kept = b->resnet;
    b->resnet.out_scale = b->c->mid_scale;
    h = resnet(b, h, b->c->channels[last], "mid_block", 0);
    h = transformer(b, h, last, "mid_block", 0);
    h = resnet(b, h, b->c->channels[last], "mid_block", 1);
    b->resnet = kept;
    return h;
}

static tl_val up_block(struct build *b, tl_val h, int i)
{
    char name[48], sampler[64];
    const struct tl_unet_config *c = b->c;
    int down = c->n_blocks - 1 - i; /* its mirror image */
    snprintf(name, sizeof name, "up_blocks.%d", i);
    for (int j = 0; j < c->layers[down] + 1 && b->n_skips > 0; j++) {
        h = tl_concat(b->nn->g, h, b->skips[--b->n_skips], 3);
        h = resnet(b, h, c->channels[down], name, j);
        if (c->up_cross[i]) h = transformer(b, h, down, name, j);
    }
    if (i == c->n_blocks - 1 || h < 0 || b->n_skips == 0) return h;
    const struct tl_shape *to = tl_shape_of(b->nn->g, b->skips[b->n_skips - 1]);
    snprintf(sampler, sizeof sampler, "%s.upsamplers.0", name);
    return tl_block_upsample(b->nn, h, to->dim[1], to->dim[2], sampler);
}

tl_val tl_unet_build(struct tl_nn *nn, const struct tl_unet_config *c, const struct tl_unet_inputs *in)
{
    struct build b = {.nn = nn, .c = c, .context = in->context, .mask = in->context_mask};
    if (in->sample < 0 || in->timestep < 0) {
        tl_graph_fail(nn->g, "a UNet needs sample and timestep");
        return TL_NONE;
    }
    b.resnet = (struct tl_resnet){
        .groups = c->groups, .eps = c->eps, .act = c->act, .scale_shift = c->scale_shift, .out_scale = 1};
    b.resnet.act_temb = time_embedding(&b, in);
    if (c->encoder_hid_dim && b.context >= 0)
        b.context = tl_nn_linear(nn, b.context, c->cross_dim[0], true, "encoder_hid_proj");
    tl_val h = c->center_input_sample ? tl_unary(nn->g, TL_UNARY_AFFINE, in->sample, 2, -1) : in->sample;
    int pi = (c->conv_in_kernel - 1) / 2, po = (c->conv_out_kernel - 1) / 2;
    h = tl_nn_conv2d(nn, h, c->channels[0],
                     (struct tl_nn_conv){.kernel = c->conv_in_kernel, .stride = 1, .pad = {pi, pi, pi, pi}},
                     "conv_in");
    push(&b, h);
    for (int i = 0; i < c->n_blocks; i++) h = down_block(&b, h, i);
    if (c->mid) h = mid_block(&b, h);
    for (int i = 0; i < c->n_blocks; i++) h = up_block(&b, h, i);
    bool silu = tl_unary_find(c->act) == TL_UNARY_SILU;
    h = tl_nn_group_norm(nn, h, c->groups, c->eps, silu, "conv_norm_out");
    if (!silu) h = tl_nn_activation(nn, h, c->act);
    return tl_nn_conv2d(
        nn, h, c->out_channels,
        (struct tl_nn_conv){.kernel = c->conv_out_kernel, .stride = 1, .pad = {po, po, po, po}}, "conv_out");
}
