/* Latents: the noise a picture starts from and the noise of its steps, keyed so that a picture is the same in
 * any batch; and the VAE between latents and pictures.
 *
 * Latents are [h, w, c] on the host and as the network reads them; element e of a random tensor is the e-th
 * in that order. The noise of picture i is that of key {seed, stream, sample i, step}: x_T has stream
 * TL_RNG_INIT_LATENT and step 0, step k's fresh noise stream TL_RNG_SAMPLER and step k. */
#ifndef TL_SAMPLE_LATENTS_H
#define TL_SAMPLE_LATENTS_H

#include "base/rng.h"
#include "models/component.h"

/* Unit normal x_T of picture `sample`; n = h * w * c. */
static inline void tl_latents_initial(uint64_t seed, uint32_t sample, size_t n, float *out)
{
    tl_rng_normal((struct tl_rng_key){seed, TL_RNG_INIT_LATENT, sample, 0}, 0, n, out);
}

/* Unit normal noise that step `step` of picture `sample` adds. */
static inline void tl_latents_step_noise(uint64_t seed, uint32_t sample, uint32_t step, size_t n, float *out)
{
    tl_rng_normal((struct tl_rng_key){seed, TL_RNG_SAMPLER, sample, step}, 0, n, out);
}

/* [n, c, h, w] (files) to [n, h, w, c] and back. */
void tl_latents_from_nchw(const float *in, size_t n, int h, int w, int c, float *out);
void tl_latents_to_nchw(const float *in, size_t n, int h, int w, int c, float *out);

/* The VAE, planned for a shape when it is first used with it. Not thread-safe. */
struct tl_latent_codec;

/* The component is borrowed. NULL: out of memory. */
struct tl_latent_codec *tl_latent_codec_create(struct tl_component *vae, struct tl_err *err);
void tl_latent_codec_destroy(struct tl_latent_codec **codec);
/* Other weights of the same layout (an EMA copy); NULL: the component's own. Borrowed. */
void tl_latent_codec_use(struct tl_latent_codec *codec, struct tl_store *store);

/* Plans decoding of latents h x w, and has them decoded in batches of that one size from now on: at most
 * `most` pictures, fewer where they are large. *out_batch (may be NULL): how many. */
bool tl_latent_codec_prepare(struct tl_latent_codec *codec, size_t most, int h, int w, int *out_batch,
                             struct tl_err *err);

/* Plans encoding of at most `most` pictures at a time, as encode would. */
bool tl_latent_codec_prepare_encode(struct tl_latent_codec *codec, size_t most, int height, int width,
                                    struct tl_err *err);

/* Latents as samplers give them [n,h,w,c] (scaled and shifted) to pictures [n,H,W,out_channels], H = factor
 * h. Either output may be NULL: floats are in [0, 1], bytes those times 255, rounded to nearest even. */
bool tl_latent_codec_decode(struct tl_latent_codec *codec, const float *latents, size_t n, int h, int w,
                            float *out, uint8_t *out_u8, struct tl_err *err);

/* Pictures [n,H,W,in_channels] in [-1, 1] to the posterior's moments [n,h,w,c] each (unscaled; logvar
 * clamped). H and W must be multiples of the factor. */
bool tl_latent_codec_encode(struct tl_latent_codec *codec, const float *pictures, size_t n, int height,
                            int width, float *out_mean, float *out_logvar, struct tl_err *err);

/* z = (mean + exp(logvar / 2) noise - shift) * scaling; noise NULL: the mean alone. n elements. */
void tl_latents_from_moments(const struct tl_vae_config *vae, const float *mean, const float *logvar,
                             const float *noise, size_t n, float *out);

#endif
