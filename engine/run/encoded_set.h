/* A captioned data set as a latent diffusion model sees it: posterior moments of every picture and the
 * encoding of every distinct caption, computed once. */
#ifndef TL_RUN_ENCODED_SET_H
#define TL_RUN_ENCODED_SET_H

#include "run/dataset.h"
#include "sample/pipeline.h"

struct tl_encoded_set {
    int n, height, width, channels; /* of the latents */
    float *moments;                 /* [n][h][w][2 * channels]: mean beside clamped logvar; owns */
    int n_captions, tokens, dim;
    float *contexts; /* [n_captions][tokens][dim]; 0 is the empty caption; owns */
    int *caption;    /* picture i -> its caption; owns */
};

/* By VAE, text encoder and tokenizer of a pipeline that has one of each. */
bool tl_encoded_set_make(const struct tl_dataset *data, struct tl_pipeline *pipeline,
                         struct tl_encoded_set *out, struct tl_err *err);
void tl_encoded_set_finish(struct tl_encoded_set *set);

/* z = (mean + std * noise - shift) * scaling of picture i; noise and out [h][w][channels]. */
void tl_encoded_set_latent(const struct tl_encoded_set *set, const struct tl_vae_config *vae, int i,
                           const float *noise, float *out);

#endif
