#include "models/clap.h"

#include <math.h>
#include <stdio.h>

#include "models/clap_inner.h"

static const float norm_eps = 1e-5f; /* of the norms outside blocks */

tl_val tl_clap_project(struct tl_nn *nn, tl_val x, int projection, const char *act, const char *name)
{
    x = tl_nn_activation(nn, tl_nn_linear(nn, x, projection, true, "%s.linear1", name), act);
    return tl_nn_linear(nn, x, projection, true, "%s.linear2", name);
}

/* ---- audio ---- */

/* Pre-norm block of x [N,H,W,C]. */
static tl_val block(struct tl_nn *nn, const struct tl_clap_audio_config *c, tl_val x,
                    const struct tl_clap_windows *how, const char *name)
{
    char self[128];
    if (x < 0) return TL_NONE;
    int64_t width = tl_shape_last(tl_shape_of(nn->g, x));
    snprintf(self, sizeof self, "%s.attention.self", name);
    tl_nn_block_begin(nn);
    tl_val h = tl_nn_layer_norm(nn, x, c->eps, "%s.layernorm_before", name);
    h = tl_clap_window_attention(nn, h, how, self);
    x = tl_nn_linear_add(nn, h, width, true, x, "%s.attention.output.dense", name);
    h = tl_nn_layer_norm(nn, x, c->eps, "%s.layernorm_after", name);
    h = tl_nn_linear(nn, h, (int64_t)(c->mlp_ratio * (double)width), true, "%s.intermediate.dense", name);
    x = tl_nn_linear_add(nn, tl_nn_activation(nn, h, c->act), width, true, x, "%s.output.dense", name);
    tl_nn_block_end(nn);
    return x;
}

/* [N,H,W,C] to [N,H/2,W/2,2C]: the four places of a square side by side, columns outside rows. */
static tl_val merge(struct tl_nn *nn, tl_val x, const char *name)
{
    struct tl_graph *g = nn->g;
    if (x < 0) return TL_NONE;
    struct tl_shape s = *tl_shape_of(g, x);
    int64_t n = s.dim[0], h = s.dim[1] / 2, w = s.dim[2] / 2, c = s.dim[3];
    x = tl_reshape(g, x, (struct tl_shape){5, {n * h, 2, w, 2, c}});
    x = tl_permute(g, x, (const int32_t[]){0, 2, 3, 1, 4});
    x = tl_nn_layer_norm(nn, tl_reshape(g, x, tl_shape4(n, h, w, 4 * c)), norm_eps, "%s.norm", name);
    return tl_nn_linear(nn, x, 2 * c, false, "%s.reduction", name);
}

static tl_val stage(struct tl_nn *nn, const struct tl_clap_audio_config *c, tl_val x, int i)
{
    char name[96];
    int resolution = c->side / c->stride >> i;
    for (int j = 0; j < c->depths[i]; j++) {
        bool shifted = j % 2 && resolution > c->window;
        struct tl_clap_windows how = {c->heads[i], c->window, shifted ? c->window / 2 : 0, c->has_qkv_bias};
        snprintf(name, sizeof name, "audio_model.audio_encoder.layers.%d.blocks.%d", i, j);
        x = block(nn, c, x, &how, name);
    }
    snprintf(name, sizeof name, "audio_model.audio_encoder.layers.%d.downsample", i);
    return i + 1 < c->n_stages ? merge(nn, x, name) : x;
}

/* [N,S,S,D] to [N, f, groups*S, D]: the rows of each chunk of time side by side. */
static tl_val regroup(struct tl_graph *g, const struct tl_clap_audio_config *c, tl_val x)
{
    if (x < 0) return TL_NONE;
    struct tl_shape s = *tl_shape_of(g, x);
    int64_t n = s.dim[0], side = s.dim[1], d = s.dim[3], f = side / (c->side / c->bands), groups = side / f;
    x = tl_permute(g, tl_reshape(g, x, tl_shape4(n, groups, f, side * d)), (const int32_t[]){0, 2, 1, 3});
    return tl_reshape(g, x, tl_shape4(n, f, groups * side, d));
}

void tl_clap_audio_build(struct tl_nn *nn, const struct tl_clap_audio_config *c, tl_val features,
                         tl_val is_longer, tl_val time_weights, struct tl_clap_audio_out *out)
{
    struct tl_graph *g = nn->g;
    *out = (struct tl_clap_audio_out){TL_NONE, TL_NONE, TL_NONE};
    tl_val x = tl_clap_patches(nn, c, features, is_longer, time_weights);
    for (int i = 0; i < c->n_stages; i++) x = stage(nn, c, x, i);
    x = tl_nn_layer_norm(nn, x, norm_eps, "audio_model.audio_encoder.norm");
    out->hidden = regroup(g, c, x);
    if (x < 0) return;
    struct tl_shape s = *tl_shape_of(g, x);
    int64_t places = s.dim[1] * s.dim[2], d = s.dim[3];
    x = tl_reduce_sum(g, tl_reshape(g, x, tl_shape3(s.dim[0], places, d)), tl_shape3(s.dim[0], 1, d));
    out->pooled = tl_scale(g, tl_reshape(g, x, tl_shape2(s.dim[0], d)), (float)(1.0 / (double)places));
    out->embeds = tl_clap_project(nn, out->pooled, c->projection, c->projection_act, "audio_projection");
}

/* ---- text ---- */

int tl_clap_text_most(const struct tl_clap_text_config *c)
{
    return c->positions - c->pad_id - 1;
}

void tl_clap_positions(const struct tl_clap_text_config *c, const int32_t *ids, int64_t n, int64_t t,
                       int32_t *out)
{
    for (int64_t i = 0; i < n; i++) {
        int32_t count = 0;
        for (int64_t k = i * t; k < (i + 1) * t; k++)
            out[k] = c->pad_id + (ids[k] == c->pad_id ? 0 : ++count);
    }
}

/* Word, place and the first token type, normalised. */
static tl_val text_embeddings(struct tl_nn *nn, const struct tl_clap_text_config *c, tl_val ids,
                              tl_val positions)
{
    struct tl_graph *g = nn->g;
    static const char part[] = "text_model.embeddings";
    tl_val words = tl_nn_weight(nn, tl_shape2(c->vocab, c->width), "%s.word_embeddings.weight", part);
    tl_val places =
        tl_nn_weight(nn, tl_shape2(c->positions, c->width), "%s.position_embeddings.weight", part);
    tl_val types = tl_nn_weight(nn, tl_shape2(c->types, c->width), "%s.token_type_embeddings.weight", part);
    tl_val type = tl_reshape(g, tl_slice(g, types, 0, 0, 1), tl_shape3(1, 1, c->width));
    tl_val x = tl_add(g, tl_embedding(g, ids, words), type);
    x = tl_add(g, x, tl_embedding(g, positions, places));
    return tl_nn_layer_norm(nn, x, c->eps, "%s.LayerNorm", part);
}

/* Post-norm layer. */
static tl_val text_layer(struct tl_nn *nn, const struct tl_clap_text_config *c, tl_val x, tl_val mask, int i)
{
    char name[64];
    snprintf(name, sizeof name, "text_model.encoder.layer.%d", i);
    tl_nn_block_begin(nn);
    tl_val q = tl_nn_linear(nn, x, c->width, true, "%s.attention.self.query", name);
    tl_val k = tl_nn_linear(nn, x, c->width, true, "%s.attention.self.key", name);
    tl_val v = tl_nn_linear(nn, x, c->width, true, "%s.attention.self.value", name);
    tl_val o =
        tl_attention(nn->g, q, k, v, mask, c->heads, 1.0f / sqrtf((float)(c->width / c->heads)), false);
    x = tl_nn_linear_add(nn, o, c->width, true, x, "%s.attention.output.dense", name);
    x = tl_nn_layer_norm(nn, x, c->eps, "%s.attention.output.LayerNorm", name);
    tl_val h = tl_nn_linear(nn, x, c->mlp, true, "%s.intermediate.dense", name);
    x = tl_nn_linear_add(nn, tl_nn_activation(nn, h, c->act), c->width, true, x, "%s.output.dense", name);
    x = tl_nn_layer_norm(nn, x, c->eps, "%s.output.LayerNorm", name);
    tl_nn_block_end(nn);
    return x;
}

void tl_clap_text_build(struct tl_nn *nn, const struct tl_clap_text_config *c, tl_val ids, tl_val mask,
                        tl_val positions, struct tl_clap_text_out *out)
{
    struct tl_graph *g = nn->g;
    *out = (struct tl_clap_text_out){TL_NONE, TL_NONE, TL_NONE};
    tl_val x = text_embeddings(nn, c, ids, positions);
    for (int i = 0; i < c->layers; i++) x = text_layer(nn, c, x, mask, i);
    if (x < 0) return;
    out->hidden = x;
    int64_t n = tl_shape_of(g, x)->dim[0];
    tl_val first = tl_reshape(g, tl_slice(g, x, 1, 0, 1), tl_shape2(n, c->width));
    out->pooled =
        tl_unary(g, TL_UNARY_TANH, tl_nn_linear(nn, first, c->width, true, "text_model.pooler.dense"), 0, 0);
    out->embeds = tl_clap_project(nn, out->pooled, c->projection, c->projection_act, "text_projection");
}

/* ---- both ---- */

static tl_val scaled(struct tl_nn *nn, tl_val a, tl_val b, const char *name)
{
    struct tl_graph *g = nn->g;
    tl_val log_scale = tl_reshape(g, tl_nn_weight(nn, tl_shape1(1), "%s", name), tl_shape2(1, 1));
    tl_val scale = tl_unary(g, TL_UNARY_EXP, log_scale, 0, 0);
    return tl_mul(g, tl_gemm(g, a, b, TL_NONE, TL_NONE, false, true), scale);
}

void tl_clap_logits(struct tl_nn *nn, tl_val audio, tl_val text, tl_val *out_per_audio, tl_val *out_per_text)
{
    *out_per_audio = scaled(nn, audio, text, "logit_scale_a");
    *out_per_text = scaled(nn, text, audio, "logit_scale_t");
}
