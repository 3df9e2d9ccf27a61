/* A data set as a latent diffusion model sees it: posterior moments of every picture and, where wanted, the
 * encoding of every distinct caption, computed once.
 *
 * Pictures are decoded and encoded bucket by bucket; their pixels are not kept, and the decoders end. With a
 * cache (latent_cache.h) moments come from disk where a picture's bytes, the VAE and the size are what they
 * were. */
#ifndef TL_RUN_ENCODED_SET_H
#define TL_RUN_ENCODED_SET_H

#include <tiller/job.h>

#include "run/dataset.h"
#include "sample/pipeline.h"

struct tl_latent_cache;

struct tl_encoded_params {
    const char *cache;        /* folder of latent caches, made if absent; or NULL */
    bool flips;               /* also the mirrored pictures */
    bool no_captions;         /* leave the texts to the caller: contexts is NULL, n_captions 0 */
    const struct tl_job *job; /* told the progress; or NULL */
};

struct tl_moments {
    int height, width;   /* of the latents */
    const void *data;    /* floats [h][w][2 * channels], NOT aligned: mean beside clamped logvar */
    const void *flipped; /* of the mirrored picture, or NULL */
};

struct tl_encoded_set {
    int n, channels;
    int height, width;          /* of the latents where all are alike (TL_FIT_CROP), else 0 */
    struct tl_moments *moments; /* [n]; owns, as all below */
    float *made;                /* moments that were encoded now and are not in a cache, or NULL */
    struct tl_latent_cache *cache;
    int n_read; /* pictures whose latents came from the cache */
    int n_captions, tokens, dim;
    float *contexts; /* [n_captions][tokens][dim]; 0 is the empty caption; or NULL */
    int *caption;    /* picture i -> its caption; or NULL */
};

/* By VAE, text encoder and tokenizer of a pipeline that has one of each. Interrupted (TL_INTERRUPTED), what
 * was encoded so far is in the cache. */
bool tl_encoded_set_open(struct tl_dataset *data, struct tl_pipeline *pipeline,
                         const struct tl_encoded_params *params, struct tl_encoded_set *out,
                         struct tl_err *err);
void tl_encoded_set_finish(struct tl_encoded_set *set);

/* z = (mean + std * noise - shift) * scaling of picture i; noise and out [h][w][channels]. */
void tl_encoded_set_latent(const struct tl_encoded_set *set, const struct tl_vae_config *vae, int i,
                           const float *noise, float *out);
/* The same of the mirrored picture where `flip`; the set must have been opened with flips. */
void tl_encoded_set_latent_of(const struct tl_encoded_set *set, const struct tl_vae_config *vae, int i,
                              bool flip, const float *noise, float *out);

#endif
