/* What the files of CLAP share. Not for others. */
#ifndef TL_MODELS_CLAP_INNER_H
#define TL_MODELS_CLAP_INNER_H

#include "models/clap.h"

/* ---- clap.c ---- */
/* linear1, activation, linear2 of [N,D]. */
tl_val tl_clap_project(struct tl_nn *nn, tl_val x, int projection, const char *act, const char *name);

/* ---- clap_window.c: attention inside windows of a picture ---- */
struct tl_clap_windows {
    int heads, window, shift; /* the picture is rolled by -shift first */
    bool has_bias;            /* of query, key and value */
};
/* x [N,H,W,C] to the same shape, the output layer not included. NAME.query, .key, .value,
 * .relative_position_bias_table. */
tl_val tl_clap_window_attention(struct tl_nn *nn, tl_val x, const struct tl_clap_windows *how,
                                const char *name);

/* ---- clap_patches.c: clips to tokens ---- */
/* features [N,T,F,C] to [N,S,S,D], S the patches along a side. */
tl_val tl_clap_patches(struct tl_nn *nn, const struct tl_clap_audio_config *config, tl_val features,
                       tl_val is_longer, tl_val time_weights);

#endif
