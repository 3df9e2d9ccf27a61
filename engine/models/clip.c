#include "models/clip.h"

#include <math.h>
#include <stdio.h>

#include "io/json.h"
#include "models/config.h"

static bool tower(const cJSON *json, int width, int mlp, int layers, int heads, struct tl_clip_tower *t,
                  struct tl_err *err)
{
    double eps, dropout;
    if (!tl_config_int(json, "hidden_size", width, 1, 1 << 16, &t->width, err) ||
        !tl_config_int(json, "intermediate_size", mlp, 1, 1 << 18, &t->mlp, err) ||
        !tl_config_int(json, "num_hidden_layers", layers, 1, 256, &t->layers, err) ||
        !tl_config_int(json, "num_attention_heads", heads, 1, 1024, &t->heads, err) ||
        !tl_json_double(json, "layer_norm_eps", 1e-5, &eps, err) ||
        !tl_json_double(json, "attention_dropout", 0, &dropout, err) ||
        !tl_config_activation(json, "hidden_act", "quick_gelu", t->act, err))
        return false;
    t->eps = (float)eps;
    if (dropout != 0)
        return tl_err_set(err, TL_BAD_INPUT, "attention_dropout %g is not supported: it must be 0", dropout);
    if (t->width % t->heads)
        return tl_err_set(err, TL_BAD_INPUT, "hidden_size %d does not divide into %d heads", t->width,
                          t->heads);
    return true;
}

bool tl_clip_text_config_parse(const cJSON *json, struct tl_clip_text_config *c, struct tl_err *err)
{
    *c = (struct tl_clip_text_config){0};
    return tower(json, 512, 2048, 12, 8, &c->tower, err) &&
           tl_config_int(json, "vocab_size", 49408, 1, 1 << 24, &c->vocab, err) &&
           tl_config_int(json, "max_position_embeddings", 77, 1, 1 << 20, &c->positions, err) &&
           tl_config_int(json, "projection_dim", 512, 0, 1 << 16, &c->projection, err) &&
           tl_config_int(json, "bos_token_id", 49406, 0, 1 << 24, &c->bos_id, err) &&
           tl_config_int(json, "eos_token_id", 49407, 0, 1 << 24, &c->eos_id, err) &&
           tl_config_int(json, "pad_token_id", 1, 0, 1 << 24, &c->pad_id, err);
}

bool tl_clip_vision_config_parse(const cJSON *json, struct tl_clip_vision_config *c, struct tl_err *err)
{
    *c = (struct tl_clip_vision_config){0};
    if (!tower(json, 768, 3072, 12, 12, &c->tower, err) ||
        !tl_config_int(json, "image_size", 224, 1, 1 << 14, &c->image_size, err) ||
        !tl_config_int(json, "patch_size", 32, 1, 1 << 12, &c->patch, err) ||
        !tl_config_int(json, "num_channels", 3, 1, 64, &c->channels, err) ||
        !tl_config_int(json, "projection_dim", 512, 0, 1 << 16, &c->projection, err))
        return false;
    return c->patch <= c->image_size ||
           tl_err_set(err, TL_BAD_INPUT, "patch_size %d is larger than image_size %d", c->patch,
                      c->image_size);
}

bool tl_clip_config_parse(const cJSON *json, struct tl_clip_config *c, struct tl_err *err)
{
    *c = (struct tl_clip_config){0};
    const cJSON *text = tl_json_get(json, "text_config"), *vision = tl_json_get(json, "vision_config");
    cJSON *none = cJSON_CreateObject();
    bool ok = tl_clip_text_config_parse(text ? text : none, &c->text, err) || tl_err_add(err, "text_config");
    ok = ok && (tl_clip_vision_config_parse(vision ? vision : none, &c->vision, err) ||
                tl_err_add(err, "vision_config"));
    cJSON_Delete(none);
    if (!ok || !tl_config_int(json, "projection_dim", 512, 1, 1 << 16, &c->projection, err)) return false;
    c->text.projection = c->vision.projection = c->projection;
    return true;
}

void tl_clip_eos_rows(const struct tl_clip_text_config *c, const int32_t *ids, int64_t n, int64_t t,
                      int32_t *out_rows)
{
    for (int64_t i = 0; i < n; i++) {
        const int32_t *row = ids + i * t;
        int64_t at = 0;
        for (int64_t j = 1; j < t; j++) {
            if (c->eos_id == 2 ? row[j] > row[at] : row[at] != c->eos_id && row[j] == c->eos_id) at = j;
        }
        out_rows[i] = (int32_t)(i * t + at);
    }
}

/* Pre-norm layer: attention, then MLP, each with the residual in its last product. */
static tl_val layer(struct tl_nn *nn, tl_val x, const struct tl_clip_tower *c, tl_val mask, bool causal,
                    const char *name)
{
    if (x < 0) return TL_NONE;
    tl_nn_block_begin(nn);
    tl_val h = tl_nn_layer_norm(nn, x, c->eps, "%s.layer_norm1", name);
    tl_val q = tl_nn_linear(nn, h, c->width, true, "%s.self_attn.q_proj", name);
    tl_val k = tl_nn_linear(nn, h, c->width, true, "%s.self_attn.k_proj", name);
    tl_val v = tl_nn_linear(nn, h, c->width, true, "%s.self_attn.v_proj", name);
    tl_val o =
        tl_attention(nn->g, q, k, v, mask, c->heads, 1.0f / sqrtf((float)(c->width / c->heads)), causal);
    x = tl_nn_linear_add(nn, o, c->width, true, x, "%s.self_attn.out_proj", name);
    h = tl_nn_layer_norm(nn, x, c->eps, "%s.layer_norm2", name);
    h = tl_nn_activation(nn, tl_nn_linear(nn, h, c->mlp, true, "%s.mlp.fc1", name), c->act);
    tl_val y = tl_nn_linear_add(nn, h, c->width, true, x, "%s.mlp.fc2", name);
    tl_nn_block_end(nn);
    return y;
}

static tl_val layers(struct tl_nn *nn, tl_val x, const struct tl_clip_tower *c, tl_val mask, bool causal,
                     const char *part, int n, tl_val *out_before_last)
{
    char name[80];
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%s.encoder.layers.%d", part, i);
        if (i == n - 1 && out_before_last) *out_before_last = x;
        x = layer(nn, x, c, mask, causal, name);
    }
    return x;
}

/* Adds the first T rows of a position table [P,D] to x[N,T,D]. */
static tl_val add_positions(struct tl_nn *nn, tl_val x, int positions, const char *name)
{
    struct tl_graph *g = nn->g;
    if (x < 0) return TL_NONE;
    int64_t t = tl_shape_of(g, x)->dim[1], d = tl_shape_of(g, x)->dim[2];
    if (t > positions) {
        tl_graph_fail(g, "%lld tokens, the text model has %d positions", (long long)t, positions);
        return TL_NONE;
    }
    tl_val table = tl_nn_weight(nn, tl_shape2(positions, d), "%s", name);
    return tl_add(g, x, tl_reshape(g, tl_slice(g, table, 0, 0, t), tl_shape3(1, t, d)));
}

void tl_clip_text_build(struct tl_nn *nn, const struct tl_clip_text_config *c, tl_val ids, tl_val mask,
                        tl_val eos_rows, bool project, int skip, struct tl_clip_text_out *out)
{
    struct tl_graph *g = nn->g;
    *out = (struct tl_clip_text_out){TL_NONE, TL_NONE, TL_NONE, TL_NONE};
    int n = c->tower.layers - (skip > 0 ? skip : 0);
    if (n < 1) n = 1;
    tl_val table =
        tl_nn_weight(nn, tl_shape2(c->vocab, c->tower.width), "text_model.embeddings.token_embedding.weight");
    tl_val x = add_positions(nn, tl_embedding(g, ids, table), c->positions,
                             "text_model.embeddings.position_embedding.weight");
    x = layers(nn, x, &c->tower, mask, true, "text_model", n, &out->penultimate);
    out->hidden = tl_nn_layer_norm(nn, x, c->tower.eps, "text_model.final_layer_norm");
    if (out->hidden < 0 || eos_rows < 0) return;
    struct tl_shape s = *tl_shape_of(g, out->hidden);
    out->pooled =
        tl_embedding(g, eos_rows, tl_reshape(g, out->hidden, tl_shape2(s.dim[0] * s.dim[1], s.dim[2])));
    if (project) out->embeds = tl_nn_linear(nn, out->pooled, c->projection, false, "text_projection");
}

void tl_clip_vision_build(struct tl_nn *nn, const struct tl_clip_vision_config *c, tl_val pixels,
                          bool project, struct tl_clip_vision_out *out)
{
    struct tl_graph *g = nn->g;
    *out = (struct tl_clip_vision_out){TL_NONE, TL_NONE, TL_NONE};
    if (pixels < 0) return;
    const struct tl_shape *s = tl_shape_of(g, pixels);
    if (s->dim[1] != c->image_size || s->dim[2] != c->image_size) {
        tl_graph_fail(g, "pictures of %lldx%lld, this encoder takes %dx%d", (long long)s->dim[2],
                      (long long)s->dim[1], c->image_size, c->image_size);
        return;
    }
    int64_t n = s->dim[0], side = c->image_size / c->patch, d = c->tower.width;
    struct tl_nn_conv conv = {.kernel = c->patch, .stride = c->patch, .no_bias = true};
    tl_val x = tl_nn_conv2d(nn, pixels, d, conv, "vision_model.embeddings.patch_embedding");
    x = tl_reshape(g, x, tl_shape3(n, side * side, d));
    tl_val class = tl_nn_weight(nn, tl_shape1(d), "vision_model.embeddings.class_embedding");
    class = tl_broadcast(g, tl_reshape(g, class, tl_shape3(1, 1, d)), tl_shape3(n, 1, d));
    x = tl_concat(g, class, x, 1);
    x = add_positions(nn, x, (int)(side * side + 1), "vision_model.embeddings.position_embedding.weight");
    x = tl_nn_layer_norm(nn, x, c->tower.eps, "vision_model.pre_layrnorm");
    out->hidden = layers(nn, x, &c->tower, TL_NONE, false, "vision_model", c->tower.layers, NULL);
    if (out->hidden < 0) return;
    tl_val first = tl_reshape(g, tl_slice(g, out->hidden, 1, 0, 1), tl_shape2(n, d));
    out->pooled = tl_nn_layer_norm(nn, first, c->tower.eps, "vision_model.post_layernorm");
    if (project) out->embeds = tl_nn_linear(nn, out->pooled, c->projection, false, "visual_projection");
}

tl_val tl_clip_logits(struct tl_nn *nn, tl_val image, tl_val text)
{
    struct tl_graph *g = nn->g;
    tl_val scale = tl_unary(
        g, TL_UNARY_EXP, tl_reshape(g, tl_nn_weight(nn, tl_shape1(1), "logit_scale"), tl_shape2(1, 1)), 0, 0);
    return tl_mul(g, tl_gemm(g, image, text, TL_NONE, TL_NONE, false, true), scale);
}
