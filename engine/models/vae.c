#include "models/vae.h"

#include <stdio.h>
#include <string.h>

#include "io/json.h"
#include "models/config.h"
#include "models/unet_blocks.h"

#define EPS 1e-6f

static bool blocks(const cJSON *json, const char *key, const char *type, int n, struct tl_err *err)
{
    const cJSON *list = tl_json_get(json, key), *item = NULL;
    if (!list) return n == 1 || tl_err_set(err, TL_BAD_INPUT, "%s is missing", key);
    if (cJSON_GetArraySize(list) != n)
        return tl_err_set(err, TL_BAD_INPUT, "%s has %d blocks, block_out_channels %d", key,
                          cJSON_GetArraySize(list), n);
    cJSON_ArrayForEach(item, list)
    {
        const char *name = cJSON_IsString(item) ? item->valuestring : "";
        if (strcmp(name, type) != 0)
            return tl_err_set(err, TL_BAD_INPUT, "%s: block '%s' is not supported; there is %s", key, name,
                              type);
    }
    return true;
}

bool tl_vae_config_parse(const cJSON *json, struct tl_vae_config *c, struct tl_err *err)
{
    *c = (struct tl_vae_config){0};
    const cJSON *channels = tl_json_get(json, "block_out_channels");
    c->n_blocks = channels ? cJSON_GetArraySize(channels) : 1;
    if (c->n_blocks < 1 || c->n_blocks > TL_VAE_MAX_BLOCKS)
        return tl_err_set(err, TL_BAD_INPUT, "block_out_channels: %d blocks, 1 to %d are possible",
                          c->n_blocks, TL_VAE_MAX_BLOCKS);
    double scaling, shift;
    if (!tl_config_ints(json, "block_out_channels", (const int[]){64}, 1, c->n_blocks, false, c->channels,
                        err) ||
        !blocks(json, "down_block_types", "DownEncoderBlock2D", c->n_blocks, err) ||
        !blocks(json, "up_block_types", "UpDecoderBlock2D", c->n_blocks, err) ||
        !tl_config_int(json, "in_channels", 3, 1, 4096, &c->in_channels, err) ||
        !tl_config_int(json, "out_channels", 3, 1, 4096, &c->out_channels, err) ||
        !tl_config_int(json, "latent_channels", 4, 1, 4096, &c->latent_channels, err) ||
        !tl_config_int(json, "layers_per_block", 1, 1, 64, &c->layers, err) ||
        !tl_config_int(json, "norm_num_groups", 32, 1, 4096, &c->groups, err) ||
        !tl_config_size(json, "sample_size", c->sample_size, err) ||
        !tl_json_double(json, "scaling_factor", 0.18215, &scaling, err) ||
        !tl_json_double(json, "shift_factor", 0, &shift, err) ||
        !tl_json_bool(json, "use_quant_conv", true, &c->quant_conv, err) ||
        !tl_json_bool(json, "use_post_quant_conv", true, &c->post_quant_conv, err) ||
        !tl_json_bool(json, "mid_block_add_attention", true, &c->mid_attention, err) ||
        !tl_config_activation(json, "act_fn", "silu", c->act, err))
        return false;
    c->scaling_factor = (float)scaling;
    c->shift_factor = (float)shift;
    if (!(scaling > 0)) return tl_err_set(err, TL_BAD_INPUT, "scaling_factor %g must be positive", scaling);
    for (int i = 0; i < c->n_blocks; i++)
        if (c->channels[i] % c->groups)
            return tl_err_set(err, TL_BAD_INPUT, "block_out_channels: %d does not divide into %d norm groups",
                              c->channels[i], c->groups);
    return true;
}

static tl_val resnet(struct tl_nn *nn, const struct tl_vae_config *c, tl_val h, int64_t out, const char *name,
                     int j)
{
    char at[96];
    snprintf(at, sizeof at, "%s.resnets.%d", name, j);
    struct tl_resnet r = {
        .out = out, .groups = c->groups, .eps = EPS, .act = c->act, .out_scale = 1, .act_temb = TL_NONE};
    return tl_block_resnet(nn, h, &r, at);
}

static tl_val mid_block(struct tl_nn *nn, const struct tl_vae_config *c, tl_val h, const char *part)
{
    char name[48], at[80];
    int64_t width = c->channels[c->n_blocks - 1];
    snprintf(name, sizeof name, "%s.mid_block", part);
    snprintf(at, sizeof at, "%s.attentions.0", name);
    h = resnet(nn, c, h, width, name, 0);
    if (c->mid_attention) h = tl_block_pixel_attention(nn, h, c->groups, EPS, 1, at);
    return resnet(nn, c, h, width, name, 1);
}

static tl_val norm_act_conv(struct tl_nn *nn, const struct tl_vae_config *c, tl_val h, int64_t out,
                            const char *part)
{
    bool silu = tl_unary_find(c->act) == TL_UNARY_SILU;
    h = tl_nn_group_norm(nn, h, c->groups, EPS, silu, "%s.conv_norm_out", part);
    if (!silu) h = tl_nn_activation(nn, h, c->act);
    return tl_nn_conv2d(nn, h, out, tl_nn_conv3x3(), "%s.conv_out", part);
}

tl_val tl_vae_encode(struct tl_nn *nn, const struct tl_vae_config *c, tl_val sample)
{
    char name[64], sampler[96];
    tl_val h = tl_nn_conv2d(nn, sample, c->channels[0], tl_nn_conv3x3(), "encoder.conv_in");
    for (int i = 0; i < c->n_blocks; i++) {
        snprintf(name, sizeof name, "encoder.down_blocks.%d", i);
        for (int j = 0; j < c->layers; j++) h = resnet(nn, c, h, c->channels[i], name, j);
        snprintf(sampler, sizeof sampler, "%s.downsamplers.0", name);
        if (i < c->n_blocks - 1) h = tl_block_downsample(nn, h, 0, sampler);
    }
    h = mid_block(nn, c, h, "encoder");
    h = norm_act_conv(nn, c, h, 2 * c->latent_channels, "encoder");
    return c->quant_conv ? tl_nn_conv1x1(nn, h, 2 * c->latent_channels, true, "quant_conv") : h;
}

void tl_vae_moments(struct tl_nn *nn, tl_val moments, tl_val *out_mean, tl_val *out_logvar)
{
    *out_mean = *out_logvar = TL_NONE;
    if (moments < 0) return;
    int64_t c = tl_shape_last(tl_shape_of(nn->g, moments)) / 2;
    *out_mean = tl_slice(nn->g, moments, 3, 0, c);
    *out_logvar = tl_unary(nn->g, TL_UNARY_CLAMP, tl_slice(nn->g, moments, 3, c, c), -30, 20);
}

tl_val tl_vae_decode(struct tl_nn *nn, const struct tl_vae_config *c, tl_val z)
{
    char name[64], sampler[96];
    tl_val h = c->post_quant_conv ? tl_nn_conv1x1(nn, z, c->latent_channels, true, "post_quant_conv") : z;
    h = tl_nn_conv2d(nn, h, c->channels[c->n_blocks - 1], tl_nn_conv3x3(), "decoder.conv_in");
    h = mid_block(nn, c, h, "decoder");
    for (int i = 0; i < c->n_blocks && h >= 0; i++) {
        snprintf(name, sizeof name, "decoder.up_blocks.%d", i);
        for (int j = 0; j < c->layers + 1; j++)
            h = resnet(nn, c, h, c->channels[c->n_blocks - 1 - i], name, j);
        if (i == c->n_blocks - 1 || h < 0) break;
        const struct tl_shape *s = tl_shape_of(nn->g, h);
        snprintf(sampler, sizeof sampler, "%s.upsamplers.0", name);
        h = tl_block_upsample(nn, h, 2 * s->dim[1], 2 * s->dim[2], sampler);
    }
    return norm_act_conv(nn, c, h, c->out_channels, "decoder");
}
