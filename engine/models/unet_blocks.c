#include "models/unet_blocks.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* act(group_norm(x)); SiLU, the usual one, is part of the norm's kernel. */
static tl_val norm_act(struct tl_nn *nn, tl_val x, int groups, float eps, const char *act, const char *name,
                       const char *part)
{
    bool silu = strcmp(act, "silu") == 0 || strcmp(act, "swish") == 0;
    tl_val y = tl_nn_group_norm(nn, x, groups, eps, silu, "%s.%s", name, part);
    return silu ? y : tl_nn_activation(nn, y, act);
}

/* [N,D] -> [N,1,1,D] */
static tl_val over_pixels(struct tl_nn *nn, tl_val v)
{
    if (v < 0) return TL_NONE;
    const struct tl_shape *s = tl_shape_of(nn->g, v);
    return tl_reshape(nn->g, v, tl_shape4(s->dim[0], 1, 1, s->dim[1]));
}

tl_val tl_block_resnet(struct tl_nn *nn, tl_val x, const struct tl_resnet *r, const char *name)
{
    struct tl_graph *g = nn->g;
    if (g->err.code != TL_OK || x < 0) return TL_NONE;
    tl_nn_block_begin(nn);
    tl_val h = norm_act(nn, x, r->groups, r->eps, r->act, name, "norm1");
    h = tl_nn_conv2d(nn, h, r->out, tl_nn_conv3x3(), "%s.conv1", name);
    if (r->act_temb >= 0 && !r->scale_shift) {
        tl_val t = tl_nn_linear(nn, r->act_temb, r->out, true, "%s.time_emb_proj", name);
        h = tl_add(g, h, over_pixels(nn, t));
    }
    if (r->act_temb >= 0 && r->scale_shift) { /* h = norm(h) * (1 + scale) + shift */
        tl_val t = over_pixels(nn, tl_nn_linear(nn, r->act_temb, 2 * r->out, true, "%s.time_emb_proj", name));
        h = tl_nn_group_norm(nn, h, r->groups, r->eps, false, "%s.norm2", name);
        if (t >= 0) {
            tl_val scale = tl_unary(g, TL_UNARY_AFFINE, tl_slice(g, t, 3, 0, r->out), 1, 1);
            h = tl_add(g, tl_mul(g, h, scale), tl_slice(g, t, 3, r->out, r->out));
        }
        h = tl_nn_activation(nn, h, r->act);
    } else {
        h = norm_act(nn, h, r->groups, r->eps, r->act, name, "norm2");
    }
    h = tl_nn_conv2d(nn, h, r->out, tl_nn_conv3x3(), "%s.conv2", name);
    if (h >= 0 && tl_shape_last(tl_shape_of(g, x)) != r->out)
        x = tl_nn_conv1x1(nn, x, r->out, true, "%s.conv_shortcut", name);
    tl_val y = tl_add(g, x, h);
    if (r->out_scale != 1) y = tl_scale(g, y, 1.0f / r->out_scale);
    tl_nn_block_end(nn);
    return y;
}

/* x[N,T,C] (normed) attends to context[N,S,D]; -> x's shape, with `add` added. */
static tl_val attention(struct tl_nn *nn, tl_val x, tl_val context, tl_val mask, int heads, tl_val add,
                        const char *name)
{
    if (x < 0) return TL_NONE;
    int64_t c = tl_shape_last(tl_shape_of(nn->g, x));
    tl_val source = context >= 0 ? context : x;
    tl_val q = tl_nn_linear(nn, x, c, false, "%s.to_q", name);
    tl_val k = tl_nn_linear(nn, source, c, false, "%s.to_k", name);
    tl_val v = tl_nn_linear(nn, source, c, false, "%s.to_v", name);
    float scale = 1.0f / sqrtf((float)(c / heads));
    tl_val o = tl_attention(nn->g, q, k, v, context >= 0 ? mask : TL_NONE, heads, scale, false);
    return tl_nn_linear_add(nn, o, c, true, add, "%s.to_out.0", name);
}

static tl_val transformer_block(struct tl_nn *nn, tl_val x, const struct tl_transformer *t, const char *name,
                                int k)
{
    char at[300], ff[320];
    int64_t c = tl_shape_last(tl_shape_of(nn->g, x));
    snprintf(at, sizeof at, "%s.transformer_blocks.%d", name, k);
    snprintf(ff, sizeof ff, "%s.attn1", at);
    x = attention(nn, tl_nn_layer_norm(nn, x, 1e-5f, "%s.norm1", at), TL_NONE, TL_NONE, t->heads, x, ff);
    snprintf(ff, sizeof ff, "%s.attn2", at);
    x = attention(nn, tl_nn_layer_norm(nn, x, 1e-5f, "%s.norm2", at), t->context, t->context_mask, t->heads,
                  x, ff);
    tl_val h = tl_nn_layer_norm(nn, x, 1e-5f, "%s.norm3", at);
    h = tl_geglu(nn->g, tl_nn_linear(nn, h, 8 * c, true, "%s.ff.net.0.proj", at));
    return tl_nn_linear_add(nn, h, c, true, x, "%s.ff.net.2", at);
}

tl_val tl_block_transformer(struct tl_nn *nn, tl_val x, const struct tl_transformer *t, const char *name)
{
    struct tl_graph *g = nn->g;
    if (g->err.code != TL_OK || x < 0) return TL_NONE;
    tl_nn_block_begin(nn);
    struct tl_shape s = *tl_shape_of(g, x);
    int64_t n = s.dim[0], pixels = s.dim[1] * s.dim[2], c = s.dim[3];
    tl_val h = tl_reshape(g, tl_nn_group_norm(nn, x, t->groups, 1e-6f, false, "%s.norm", name),
                          tl_shape3(n, pixels, c));
    h = t->linear_projection ? tl_nn_linear(nn, h, c, true, "%s.proj_in", name)
                             : tl_nn_conv1x1(nn, h, c, true, "%s.proj_in", name);
    for (int k = 0; k < t->layers && h >= 0; k++) h = transformer_block(nn, h, t, name, k);
    h = t->linear_projection ? tl_nn_linear(nn, h, c, true, "%s.proj_out", name)
                             : tl_nn_conv1x1(nn, h, c, true, "%s.proj_out", name);
    tl_val y = tl_add(g, tl_reshape(g, h, s), x);
    tl_nn_block_end(nn);
    return y;
}

tl_val tl_block_upsample(struct tl_nn *nn, tl_val x, int64_t height, int64_t width, const char *name)
{
    if (x < 0) return TL_NONE;
    int64_t c = tl_shape_last(tl_shape_of(nn->g, x));
    return tl_nn_conv2d(nn, tl_upsample(nn->g, x, height, width), c, tl_nn_conv3x3(), "%s.conv", name);
}

tl_val tl_block_downsample(struct tl_nn *nn, tl_val x, int padding, const char *name)
{
    if (x < 0) return TL_NONE;
    struct tl_nn_conv conv = {.kernel = 3, .stride = 2, .pad = {padding, padding, 1, 1}};
    return tl_nn_conv2d(nn, x, tl_shape_last(tl_shape_of(nn->g, x)), conv, "%s.conv", name);
}

tl_val tl_block_pixel_attention(struct tl_nn *nn, tl_val x, int groups, float eps, int heads,
                                const char *name)
{
    struct tl_graph *g = nn->g;
    if (g->err.code != TL_OK || x < 0) return TL_NONE;
    tl_nn_block_begin(nn);
    struct tl_shape s = *tl_shape_of(g, x);
    int64_t c = s.dim[3];
    struct tl_shape tokens = tl_shape3(s.dim[0], s.dim[1] * s.dim[2], c);
    tl_val h = tl_reshape(g, tl_nn_group_norm(nn, x, groups, eps, false, "%s.group_norm", name), tokens);
    tl_val q = tl_nn_linear(nn, h, c, true, "%s.to_q", name);
    tl_val k = tl_nn_linear(nn, h, c, true, "%s.to_k", name);
    tl_val v = tl_nn_linear(nn, h, c, true, "%s.to_v", name);
    tl_val o = tl_attention(g, q, k, v, TL_NONE, heads, 1.0f / sqrtf((float)(c / heads)), false);
    tl_val y = tl_nn_linear_add(nn, o, c, true, tl_reshape(g, x, tokens), "%s.to_out.0", name);
    tl_nn_block_end(nn);
    return tl_reshape(g, y, s);
}
