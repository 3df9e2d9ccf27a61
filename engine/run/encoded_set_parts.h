/* The two halves of opening an encoded set. On failure the set is left for tl_encoded_set_finish. */
#ifndef TL_RUN_ENCODED_SET_PARTS_H
#define TL_RUN_ENCODED_SET_PARTS_H

#include "run/encoded_set.h"

enum { TL_ENCODE_BATCH = 16, TL_ENCODE_PIXELS = 1 << 18, TL_ENCODE_CHANNELS = 64 };

/* caption, n_captions, contexts, tokens, dim. */
bool tl_encoded_set_texts(const struct tl_dataset *d, struct tl_pipeline *pipeline, struct tl_encoded_set *s,
                          struct tl_err *err);
/* moments, from the cache or the VAE. */
bool tl_encoded_set_pictures(struct tl_dataset *d, struct tl_component *vae,
                             const struct tl_encoded_params *params, struct tl_encoded_set *s,
                             struct tl_err *err);

#endif
