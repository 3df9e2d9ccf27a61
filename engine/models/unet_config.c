#include <stdio.h>
#include <string.h>

#include "io/json.h"
#include "models/config.h"
#include "models/unet.h"

static bool block_types(const cJSON *json, const char *key, const char *cross, const char *plain,
                        const bool *fallback, bool *out, int *n, struct tl_err *err)
{
    const cJSON *list = tl_json_get(json, key);
    if (!list) {
        *n = 4;
        memcpy(out, fallback, 4 * sizeof *out);
        return true;
    }
    if (!cJSON_IsArray(list)) return tl_err_set(err, TL_BAD_INPUT, "%s must be a list", key);
    *n = cJSON_GetArraySize(list);
    if (*n < 1 || *n > TL_UNET_MAX_BLOCKS)
        return tl_err_set(err, TL_BAD_INPUT, "%s: %d blocks, 1 to %d are possible", key, *n,
                          TL_UNET_MAX_BLOCKS);
    for (int i = 0; i < *n; i++) {
        const cJSON *item = cJSON_GetArrayItem(list, i);
        const char *name = cJSON_IsString(item) ? item->valuestring : "";
        out[i] = strcmp(name, cross) == 0;
        if (!out[i] && strcmp(name, plain) != 0)
            return tl_err_set(err, TL_BAD_INPUT, "%s: block '%s' is not supported; there are %s and %s", key,
                              name, cross, plain);
    }
    return true;
}

/* Values that would change the network in a way that we do not have. */
static bool refuse_unsupported(const cJSON *json, struct tl_err *err)
{
    static const char *const falses[] = {"dual_cross_attention", "only_cross_attention",
                                         "resnet_skip_time_act", "mid_block_only_cross_attention"};
    for (size_t i = 0; i < sizeof falses / sizeof *falses; i++) {
        const cJSON *v = tl_json_get(json, falses[i]);
        bool set = cJSON_IsTrue(v);
        for (const cJSON *item = cJSON_IsArray(v) ? v->child : NULL; item; item = item->next)
            set |= cJSON_IsTrue(item);
        if (set) return tl_err_set(err, TL_BAD_INPUT, "%s: true is not supported", falses[i]);
    }
    static const char *const nulls[] = {"num_attention_heads", "cross_attention_norm",
                                        "reverse_transformer_layers_per_block"};
    for (size_t i = 0; i < sizeof nulls / sizeof *nulls; i++)
        if (tl_json_get(json, nulls[i]))
            return tl_err_set(err, TL_BAD_INPUT, "%s is not supported: it must be null", nulls[i]);
    double dropout = 0;
    if (!tl_json_double(json, "dropout", 0, &dropout, err)) return false;
    if (dropout != 0)
        return tl_err_set(err, TL_BAD_INPUT, "dropout %g is not supported: it must be 0", dropout);
    return tl_config_expect(json, "attention_type", "default", err) &&
           tl_config_expect(json, "time_embedding_type", "positional", err);
}

static bool class_embedding(const cJSON *json, struct tl_unet_config *c, struct tl_err *err)
{
    static const struct {
        const char *name;
        enum tl_class_embed kind;
    } kinds[] = {{"timestep", TL_CLASS_TIMESTEP},
                 {"identity", TL_CLASS_IDENTITY},
                 {"projection", TL_CLASS_PROJECTION},
                 {"simple_projection", TL_CLASS_SIMPLE_PROJECTION}};
    const char *type;
    if (!tl_json_string(json, "class_embed_type", NULL, &type, err)) return false;
    if (!tl_config_int(json, "num_class_embeds", 0, 0, 1 << 24, &c->n_class, err)) return false;
    if (!tl_config_int(json, "projection_class_embeddings_input_dim", 0, 0, 1 << 20, &c->class_input_dim,
                       err))
        return false;
    if (!tl_json_bool(json, "class_embeddings_concat", false, &c->class_concat, err)) return false;
    c->addition_input_dim = c->class_input_dim;
    if (!type) {
        c->class_embed = c->n_class ? TL_CLASS_TABLE : TL_CLASS_NONE;
        return true;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(type, kinds[i].name) == 0) c->class_embed = kinds[i].kind;
    if (c->class_embed == TL_CLASS_NONE)
        return tl_err_set(err, TL_BAD_INPUT, "class_embed_type '%s' is not supported", type);
    bool projects = c->class_embed == TL_CLASS_PROJECTION || c->class_embed == TL_CLASS_SIMPLE_PROJECTION;
    if (projects && !c->class_input_dim)
        return tl_err_set(err, TL_BAD_INPUT,
                          "class_embed_type '%s' needs projection_class_embeddings_input_dim", type);
    return true;
}

static bool additions(const cJSON *json, struct tl_unet_config *c, struct tl_err *err)
{
    const char *type, *hid;
    int64_t hid_dim;
    if (!tl_json_string(json, "addition_embed_type", NULL, &type, err) ||
        !tl_json_string(json, "encoder_hid_dim_type", NULL, &hid, err))
        return false;
    if (!tl_json_int(json, "encoder_hid_dim", 0, &hid_dim, err)) return false;
    if (!tl_config_int(json, "addition_time_embed_dim", 0, 0, 1 << 20, &c->addition_time_dim, err))
        return false;
    if (type && strcmp(type, "text_time") != 0)
        return tl_err_set(err, TL_BAD_INPUT, "addition_embed_type '%s' is not supported; there is text_time",
                          type);
    c->text_time = type != NULL;
    if (c->text_time && (!c->addition_time_dim || !c->addition_input_dim))
        return tl_err_set(err, TL_BAD_INPUT,
                          "addition_embed_type text_time needs addition_time_embed_dim and "
                          "projection_class_embeddings_input_dim");
    if (hid && strcmp(hid, "text_proj") != 0)
        return tl_err_set(err, TL_BAD_INPUT, "encoder_hid_dim_type '%s' is not supported; there is text_proj",
                          hid);
    if (hid_dim > 0) c->encoder_hid_dim = (int)hid_dim;
    return true;
}

static bool activations(const cJSON *json, struct tl_unet_config *c, struct tl_err *err)
{
    return tl_config_activation(json, "act_fn", "silu", c->act, err) &&
           tl_config_activation(json, "time_embedding_act_fn", "", c->time_act, err) &&
           tl_config_activation(json, "timestep_post_act", "", c->post_act, err);
}

static bool lists(const cJSON *json, struct tl_unet_config *c, struct tl_err *err)
{
    static const int channels[4] = {320, 640, 1280, 1280};
    int n = c->n_blocks;
    return tl_config_ints(json, "block_out_channels", channels, 4, n, false, c->channels, err) &&
           tl_config_layers(json, "layers_per_block", (const int[]){2}, 1, n, true, c->layers, err) &&
           tl_config_ints(json, "attention_head_dim", (const int[]){8}, 1, n, true, c->heads, err) &&
           tl_config_ints(json, "cross_attention_dim", (const int[]){1280}, 1, n, true, c->cross_dim, err) &&
           tl_config_layers(json, "transformer_layers_per_block", (const int[]){1}, 1, n, true,
                            c->transformer_layers, err);
}

static bool scalars(const cJSON *json, struct tl_unet_config *c, struct tl_err *err)
{
    double eps, shift, mid_scale;
    if (!tl_config_int(json, "in_channels", 4, 1, 1 << 16, &c->in_channels, err) ||
        !tl_config_int(json, "out_channels", 4, 1, 1 << 16, &c->out_channels, err) ||
        !tl_json_bool(json, "center_input_sample", false, &c->center_input_sample, err) ||
        !tl_json_bool(json, "flip_sin_to_cos", true, &c->flip_sin_to_cos, err) ||
        !tl_json_double(json, "freq_shift", 0, &shift, err) ||
        !tl_json_double(json, "norm_eps", 1e-5, &eps, err) ||
        !tl_json_double(json, "mid_block_scale_factor", 1, &mid_scale, err) ||
        !tl_json_bool(json, "use_linear_projection", false, &c->linear_projection, err) ||
        !tl_config_int(json, "downsample_padding", 1, 0, 1, &c->downsample_padding, err) ||
        !tl_config_int(json, "conv_in_kernel", 3, 1, 15, &c->conv_in_kernel, err) ||
        !tl_config_int(json, "conv_out_kernel", 3, 1, 15, &c->conv_out_kernel, err) ||
        !tl_config_int(json, "time_cond_proj_dim", 0, 0, 1 << 20, &c->time_cond_dim, err) ||
        !tl_config_int(json, "time_embedding_dim", 0, 0, 1 << 20, &c->time_dim, err))
        return false;
    c->groups = 32;
    const cJSON *groups = cJSON_GetObjectItemCaseSensitive(json, "norm_num_groups");
    if (groups && cJSON_IsNull(groups))
        c->groups = 0;
    else if (!tl_config_int(json, "norm_num_groups", 32, 1, 1 << 16, &c->groups, err))
        return false;
    c->freq_shift = (float)shift;
    c->eps = (float)eps;
    c->mid_scale = (float)mid_scale;
    const char *shift_kind;
    if (!tl_json_string(json, "resnet_time_scale_shift", "default", &shift_kind, err)) return false;
    c->scale_shift = strcmp(shift_kind, "scale_shift") == 0;
    if (!c->scale_shift && strcmp(shift_kind, "default") != 0)
        return tl_err_set(err, TL_BAD_INPUT, "resnet_time_scale_shift '%s' is not supported", shift_kind);
    return tl_config_size(json, "sample_size", c->sample_size, err);
}

bool tl_unet_config_parse(const cJSON *json, struct tl_unet_config *c, struct tl_err *err)
{
    static const bool down[4] = {true, true, true, false}, up[4] = {false, true, true, true};
    *c = (struct tl_unet_config){0};
    int n_up;
    if (!refuse_unsupported(json, err) ||
        !block_types(json, "down_block_types", "CrossAttnDownBlock2D", "DownBlock2D", down, c->down_cross,
                     &c->n_blocks, err) ||
        !block_types(json, "up_block_types", "CrossAttnUpBlock2D", "UpBlock2D", up, c->up_cross, &n_up, err))
        return false;
    if (n_up != c->n_blocks)
        return tl_err_set(err, TL_BAD_INPUT, "%d down blocks but %d up blocks", c->n_blocks, n_up);
    const cJSON *mid = cJSON_GetObjectItemCaseSensitive(json, "mid_block_type");
    c->mid = !(mid && cJSON_IsNull(mid));
    if (c->mid && !tl_config_expect(json, "mid_block_type", "UNetMidBlock2DCrossAttn", err)) return false;
    if (!lists(json, c, err) || !scalars(json, c, err) || !activations(json, c, err) ||
        !class_embedding(json, c, err) || !additions(json, c, err))
        return false;
    if (!c->groups) return tl_err_set(err, TL_BAD_INPUT, "norm_num_groups null is not supported");
    for (int i = 0; i < c->n_blocks; i++) {
        bool attends =
            c->down_cross[i] || c->up_cross[c->n_blocks - 1 - i] || (c->mid && i == c->n_blocks - 1);
        if (c->channels[i] % c->groups || (attends && c->channels[i] % c->heads[i]))
            return tl_err_set(err, TL_BAD_INPUT,
                              "block_out_channels: %d does not divide into %d norm groups and %d heads",
                              c->channels[i], c->groups, c->heads[i]);
    }
    if (!c->time_dim) c->time_dim = 4 * c->channels[0];
    return true;
}
