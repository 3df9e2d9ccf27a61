/* AutoencoderKL: pictures to latents and back. Source: diffusers models/autoencoders/autoencoder_kl.py,
 * vae.py. */
#ifndef TL_MODELS_VAE_H
#define TL_MODELS_VAE_H

#include <cjson/cJSON.h>

#include "nn/nn.h"

enum { TL_VAE_MAX_BLOCKS = 8 };

struct tl_vae_config {
    int in_channels, out_channels, latent_channels;
    int n_blocks, channels[TL_VAE_MAX_BLOCKS];
    int layers, groups;
    int sample_size[2];
    float scaling_factor, shift_factor; /* z = (posterior sample - shift) * scaling */
    bool quant_conv, post_quant_conv, mid_attention;
    char act[32];
};

bool tl_vae_config_parse(const cJSON *json, struct tl_vae_config *out, struct tl_err *err);

/* Pictures are this many times larger than latents along each side. */
static inline int tl_vae_factor(const struct tl_vae_config *c)
{
    return 1 << (c->n_blocks - 1);
}

/* sample[N,H,W,in] in [-1,1] -> moments[N,h,w,2*latent]: mean beside unclamped logvar */
tl_val tl_vae_encode(struct tl_nn *nn, const struct tl_vae_config *config, tl_val sample);
/* moments -> the mean, and the log-variance clamped to [-30, 20] */
void tl_vae_moments(struct tl_nn *nn, tl_val moments, tl_val *out_mean, tl_val *out_logvar);
/* z[N,h,w,latent] (unscaled) -> sample[N,H,W,out] */
tl_val tl_vae_decode(struct tl_nn *nn, const struct tl_vae_config *config, tl_val z);

#endif
