/* CLIP's two towers: CLIPTextModel(WithProjection), CLIPVisionModel(WithProjection), CLIPModel.
 * Source: transformers models/clip/modeling_clip.py. Weight names are those of the older files, with the
 * prefixes "text_model." and "vision_model."; models/weights.h reads the newer, prefix-less ones too. */
#ifndef TL_MODELS_CLIP_H
#define TL_MODELS_CLIP_H

#include <cjson/cJSON.h>

#include "nn/nn.h"

struct tl_clip_tower {
    int width, mlp, layers, heads;
    float eps;
    char act[32];
};

struct tl_clip_text_config {
    struct tl_clip_tower tower;
    int vocab, positions, projection;
    int bos_id, eos_id, pad_id; /* eos 2: the older rule, the largest id's place is pooled */
};

struct tl_clip_vision_config {
    struct tl_clip_tower tower;
    int image_size, patch, channels, projection;
};

struct tl_clip_config {
    struct tl_clip_text_config text;
    struct tl_clip_vision_config vision;
    int projection;
};

bool tl_clip_text_config_parse(const cJSON *json, struct tl_clip_text_config *out, struct tl_err *err);
bool tl_clip_vision_config_parse(const cJSON *json, struct tl_clip_vision_config *out, struct tl_err *err);
bool tl_clip_config_parse(const cJSON *json, struct tl_clip_config *out, struct tl_err *err);

/* Row of the flattened [N*T] tokens that is pooled, per text: the first end token, or the largest id's place
 * (older rule). */
void tl_clip_eos_rows(const struct tl_clip_text_config *config, const int32_t *ids, int64_t n, int64_t t,
                      int32_t *out_rows);

struct tl_clip_text_out {
    tl_val hidden;      /* [N,T,D] after the final norm */
    tl_val penultimate; /* [N,T,D]: the input of the last layer, without the final norm (SDXL's context) */
    tl_val pooled;      /* [N,D] at the end token, after the final norm */
    tl_val embeds;      /* [N,P], projected, where projection > 0 */
};

/* ids[N,T] I32; mask additive [N,T] or TL_NONE; eos_rows[N] I32. `project`: the weights have text_projection.
 * skip: layers left out at the end (clip_skip), with the final norm applied. */
void tl_clip_text_build(struct tl_nn *nn, const struct tl_clip_text_config *config, tl_val ids, tl_val mask,
                        tl_val eos_rows, bool project, int skip, struct tl_clip_text_out *out);

struct tl_clip_vision_out {
    tl_val hidden; /* [N,T,D], class token first, without the final norm */
    tl_val pooled; /* [N,D] after post_layernorm */
    tl_val embeds; /* [N,P] */
};

/* pixels[N,H,W,3], normalised, of exactly image_size. */
void tl_clip_vision_build(struct tl_nn *nn, const struct tl_clip_vision_config *config, tl_val pixels,
                          bool project, struct tl_clip_vision_out *out);

/* exp(logit_scale) * I T^T of normalised embeddings [N,P], [M,P] -> [N,M] */
tl_val tl_clip_logits(struct tl_nn *nn, tl_val image, tl_val text);

#endif
