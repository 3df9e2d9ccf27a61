/* UNet2DConditionModel: the denoiser of Stable Diffusion 1.x, 2.x, XL and of AudioLDM.
 * Source: diffusers models/unets/unet_2d_condition.py, unet_2d_blocks.py; names and shapes in MODELS.md
 * (README.md here). */
#ifndef TL_MODELS_UNET_H
#define TL_MODELS_UNET_H

#include <cjson/cJSON.h>

#include "nn/nn.h"

enum { TL_UNET_MAX_BLOCKS = 8 };

enum tl_class_embed {
    TL_CLASS_NONE,
    TL_CLASS_TABLE,
    TL_CLASS_TIMESTEP,
    TL_CLASS_IDENTITY,
    TL_CLASS_PROJECTION,
    TL_CLASS_SIMPLE_PROJECTION
};

struct tl_unet_config {
    int sample_size[2]; /* latent height, width; 0 where the config has none */
    int in_channels, out_channels;
    bool center_input_sample, flip_sin_to_cos;
    float freq_shift;
    int n_blocks;
    bool down_cross[TL_UNET_MAX_BLOCKS], up_cross[TL_UNET_MAX_BLOCKS];
    bool mid; /* UNetMidBlock2DCrossAttn, else none */
    int channels[TL_UNET_MAX_BLOCKS], layers[TL_UNET_MAX_BLOCKS], heads[TL_UNET_MAX_BLOCKS];
    int cross_dim[TL_UNET_MAX_BLOCKS],
        transformer_layers[TL_UNET_MAX_BLOCKS]; /* per down block; up blocks read them reversed */
    bool linear_projection, scale_shift;
    int groups;           /* 0: no final norm */
    float eps, mid_scale; /* resnet_out_scale_factor has no effect on these block types in diffusers */
    int downsample_padding, conv_in_kernel, conv_out_kernel;
    int time_dim;
    char act[32], time_act[32], post_act[32]; /* "" none */
    int time_cond_dim;
    enum tl_class_embed class_embed;
    int n_class, class_input_dim;
    bool class_concat;
    bool text_time;
    int addition_time_dim, addition_input_dim;
    int encoder_hid_dim; /* > 0: encoder_hid_proj on the context */
};

/* Unsupported values are refused by name (TL_BAD_INPUT). */
bool tl_unet_config_parse(const cJSON *json, struct tl_unet_config *out, struct tl_err *err);

/* What a call gives; TL_NONE where the configuration or the caller has none. Kernel order. */
struct tl_unet_inputs {
    tl_val sample;        /* [N,H,W,in_channels] */
    tl_val timestep;      /* [N] */
    tl_val context;       /* encoder_hidden_states [N,T,D]; may be absent where cross_attention_dim equals the
                             channels */
    tl_val context_mask;  /* additive [N,T] */
    tl_val class_labels;  /* [N] I32 (table), [N] F32 (timestep) or [N,D] */
    tl_val text_embeds;   /* [N,P] */
    tl_val time_ids;      /* [N,K] */
    tl_val timestep_cond; /* [N,time_cond_dim] */
};

/* -> [N,H,W,out_channels] */
tl_val tl_unet_build(struct tl_nn *nn, const struct tl_unet_config *config,
                     const struct tl_unet_inputs *inputs);

#endif
