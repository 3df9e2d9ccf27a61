#include <math.h>
#include <stdio.h>
#include <string.h>

#include "io/json.h"
#include "models/clap.h"
#include "models/config.h"

bool tl_clap_text_config_parse(const cJSON *json, struct tl_clap_text_config *c, struct tl_err *err)
{
    double eps;
    *c = (struct tl_clap_text_config){0};
    if (!tl_config_int(json, "vocab_size", 50265, 1, 1 << 24, &c->vocab, err) ||
        !tl_config_int(json, "hidden_size", 768, 1, 1 << 16, &c->width, err) ||
        !tl_config_int(json, "intermediate_size", 3072, 1, 1 << 18, &c->mlp, err) ||
        !tl_config_int(json, "num_hidden_layers", 12, 1, 256, &c->layers, err) ||
        !tl_config_int(json, "num_attention_heads", 12, 1, 1024, &c->heads, err) ||
        !tl_config_int(json, "max_position_embeddings", 514, 1, 1 << 20, &c->positions, err) ||
        !tl_config_int(json, "type_vocab_size", 1, 1, 1 << 20, &c->types, err) ||
        !tl_config_int(json, "projection_dim", 512, 1, 1 << 16, &c->projection, err) ||
        !tl_config_int(json, "bos_token_id", 0, 0, 1 << 24, &c->bos_id, err) ||
        !tl_config_int(json, "eos_token_id", 2, 0, 1 << 24, &c->eos_id, err) ||
        !tl_config_int(json, "pad_token_id", 1, 0, 1 << 24, &c->pad_id, err) ||
        !tl_json_double(json, "layer_norm_eps", 1e-12, &eps, err) ||
        !tl_config_activation(json, "hidden_act", "gelu", c->act, err) ||
        !tl_config_activation(json, "projection_hidden_act", "relu", c->projection_act, err) ||
        !tl_config_expect(json, "position_embedding_type", "absolute", err))
        return false;
    c->eps = (float)eps;
    if (c->width % c->heads)
        return tl_err_set(err, TL_BAD_INPUT, "hidden_size %d does not divide into %d heads", c->width,
                          c->heads);
    return tl_clap_text_most(c) >= 2 ||
           tl_err_set(err, TL_BAD_INPUT, "max_position_embeddings %d leaves no places behind pad_token_id %d",
                      c->positions, c->pad_id);
}

/* ---- audio ---- */

/* A number, or a pair of equal ones. */
static bool square(const cJSON *json, const char *key, int fallback, int *out, struct tl_err *err)
{
    int v[2];
    if (!tl_config_ints(json, key, &fallback, 1, 2, true, v, err)) return false;
    *out = v[0];
    return v[0] == v[1] ||
           tl_err_set(err, TL_BAD_INPUT, "%s [%d, %d] is not supported: both must be equal", key, v[0], v[1]);
}

static bool read_stages(const cJSON *json, struct tl_clap_audio_config *c, struct tl_err *err)
{
    static const int depths[] = {2, 2, 6, 2}, heads[] = {4, 8, 16, 32};
    const cJSON *list = tl_json_get(json, "depths");
    c->n_stages = list ? cJSON_GetArraySize(list) : 4;
    if (c->n_stages < 1 || c->n_stages > TL_CLAP_STAGES)
        return tl_err_set(err, TL_BAD_INPUT, "depths has %d stages; 1 to %d are possible", c->n_stages,
                          TL_CLAP_STAGES);
    return tl_config_layers(json, "depths", depths, 4, c->n_stages, false, c->depths, err) &&
           tl_config_ints(json, "num_attention_heads", heads, 4, c->n_stages, false, c->heads, err);
}

static bool read_numbers(const cJSON *json, struct tl_clap_audio_config *c, struct tl_err *err)
{
    double eps;
    if (!tl_config_int(json, "num_mel_bins", 64, 1, 1 << 12, &c->bands, err) ||
        !tl_config_int(json, "spec_size", 256, 1, 1 << 12, &c->side, err) ||
        !square(json, "patch_size", 4, &c->patch, err) || !square(json, "patch_stride", 4, &c->stride, err) ||
        !tl_config_int(json, "patch_embed_input_channels", 1, 1, 64, &c->channels, err) ||
        !tl_config_int(json, "patch_embeds_hidden_size", 96, 1, 1 << 12, &c->width, err) ||
        !tl_config_int(json, "window_size", 8, 1, 1 << 8, &c->window, err) ||
        !tl_config_int(json, "aff_block_r", 4, 1, 1 << 12, &c->aff_r, err) ||
        !tl_config_int(json, "projection_dim", 512, 1, 1 << 16, &c->projection, err) ||
        !tl_json_double(json, "mlp_ratio", 4, &c->mlp_ratio, err) ||
        !tl_json_double(json, "layer_norm_eps", 1e-5, &eps, err) ||
        !tl_config_activation(json, "hidden_act", "gelu", c->act, err) ||
        !tl_config_activation(json, "projection_hidden_act", "relu", c->projection_act, err) ||
        !tl_json_bool(json, "enable_fusion", false, &c->is_fused, err) ||
        !tl_json_bool(json, "qkv_bias", true, &c->has_qkv_bias, err) ||
        !tl_json_bool(json, "enable_patch_layer_norm", true, &c->has_patch_norm, err))
        return false;
    c->eps = (float)eps;
    return true;
}

/* What the network's own arithmetic asks for. */
static bool check_audio(const cJSON *json, const struct tl_clap_audio_config *c, struct tl_err *err)
{
    int grid = c->side / c->stride, last = c->width << (c->n_stages - 1), hidden;
    int fold = c->side / c->bands, padding = c->patch > c->stride ? (c->patch - c->stride) / 2 : 0;
    bool flat;
    const char *fusion;
    if (!tl_json_bool(json, "flatten_patch_embeds", true, &flat, err) ||
        !tl_json_string(json, "fusion_type", "", &fusion, err) ||
        !tl_config_int(json, "hidden_size", 768, 1, 1 << 20, &hidden, err))
        return false;
    if (!flat) return tl_err_set(err, TL_BAD_INPUT, "flatten_patch_embeds false is not supported");
    if (c->is_fused && strcmp(fusion, "channel_map") == 0)
        return tl_err_set(err, TL_BAD_INPUT, "fusion_type channel_map is not supported");
    if (c->is_fused && c->channels != 1)
        return tl_err_set(err, TL_BAD_INPUT, "patch_embed_input_channels %d: with enable_fusion it must be 1",
                          c->channels);
    if (c->is_fused && c->aff_r > c->width)
        return tl_err_set(err, TL_BAD_INPUT, "aff_block_r %d is larger than patch_embeds_hidden_size %d",
                          c->aff_r, c->width);
    if (hidden != last)
        return tl_err_set(err, TL_BAD_INPUT, "hidden_size %d is not the last stage's width, %d x 2^%d = %d",
                          hidden, c->width, c->n_stages - 1, last);
    if (fold < 1 || fold * c->bands != c->side)
        return tl_err_set(err, TL_BAD_INPUT, "spec_size %d is not a multiple of num_mel_bins %d", c->side,
                          c->bands);
    if (c->side % c->stride || c->patch < c->stride ||
        (c->side + 2 * padding - c->patch) / c->stride + 1 != grid)
        return tl_err_set(err, TL_BAD_INPUT, "spec_size %d does not divide into patches of %d every %d",
                          c->side, c->patch, c->stride);
    if (c->mlp_ratio * c->width < 1 || c->mlp_ratio > 64)
        return tl_err_set(err, TL_BAD_INPUT, "mlp_ratio %g is not possible", c->mlp_ratio);
    for (int i = 0; i < c->n_stages; i++, grid /= 2) {
        if (c->heads[i] > 0 && (c->width << i) % c->heads[i])
            return tl_err_set(err, TL_BAD_INPUT, "stage %d: width %d does not divide into %d heads", i,
                              c->width << i, c->heads[i]);
        if (grid < c->window || (i + 1 < c->n_stages && grid % 2))
            return tl_err_set(
                err, TL_BAD_INPUT, "stage %d has %d x %d places, which is %s; window_size is %d", i, grid,
                grid, grid < c->window ? "less than a window" : "odd and cannot be halved", c->window);
    }
    int rows = (c->side / c->stride) >> (c->n_stages - 1);
    return (rows >= fold && rows % (rows / fold) == 0) ||
           tl_err_set(err, TL_BAD_INPUT, "the last stage's %d rows do not divide into %d chunks of time",
                      rows, fold);
}

bool tl_clap_audio_config_parse(const cJSON *json, struct tl_clap_audio_config *c, struct tl_err *err)
{
    *c = (struct tl_clap_audio_config){0};
    return read_numbers(json, c, err) && read_stages(json, c, err) && check_audio(json, c, err);
}

bool tl_clap_config_parse(const cJSON *json, struct tl_clap_config *c, struct tl_err *err)
{
    *c = (struct tl_clap_config){0};
    const cJSON *text = tl_json_get(json, "text_config"), *audio = tl_json_get(json, "audio_config");
    char act[32];
    cJSON *none = cJSON_CreateObject();
    bool ok = tl_clap_text_config_parse(text ? text : none, &c->text, err) || tl_err_add(err, "text_config");
    ok = ok && (tl_clap_audio_config_parse(audio ? audio : none, &c->audio, err) ||
                tl_err_add(err, "audio_config"));
    cJSON_Delete(none);
    if (!ok || !tl_config_int(json, "projection_dim", 512, 1, 1 << 16, &c->projection, err) ||
        !tl_config_activation(json, "projection_hidden_act", "relu", act, err))
        return false;
    c->text.projection = c->audio.projection = c->projection;
    snprintf(c->text.projection_act, sizeof c->text.projection_act, "%s", act);
    snprintf(c->audio.projection_act, sizeof c->audio.projection_act, "%s", act);
    return true;
}
