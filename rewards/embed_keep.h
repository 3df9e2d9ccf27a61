/* Embeddings that outlast the process. Encoders of samples ask for them by the hash of a sample's file before
 * they run, and hand over what they made. Where they are kept is not known here: who opens a set brings the
 * functions (tl_reward_set_params.keep). */
#ifndef TL_REWARDS_EMBED_KEEP_H
#define TL_REWARDS_EMBED_KEEP_H

#include <tiller/reward.h>

#include "encoders/encoder.h"

/* Rows are the encoder's own, tl_encoder_run's of a file's windows in order, with the bits that a run gives.
 */
struct tl_embed_keep {
    void *user;
    /* The place of one encoder's rows; NULL: none, which is no error. */
    void *(*open)(void *user, const struct tl_encoder_about *about, enum tl_dtype dtype, const char *device);
    void (*close)(void *place);
    /* *out_rows [n][dim], which the caller frees. Thread-safe. */
    bool (*find)(void *place, const char *sha256, float **out_rows, size_t *out_n);
    void (*add)(void *place, const char *sha256, const float *rows, size_t n);
};

/* One encoder's side of it. A zeroed struct keeps nothing. */
struct tl_embed_kept {
    const struct tl_embed_keep *keep;
    void *place;
};

/* keep may be NULL. */
void tl_embed_kept_open(struct tl_embed_kept *kept, const struct tl_embed_keep *keep,
                        const struct tl_encoder_about *about, enum tl_dtype dtype, const char *device);
void tl_embed_kept_close(struct tl_embed_kept *kept);
/* False for items without a hash. */
bool tl_embed_kept_find(const struct tl_embed_kept *kept, const struct tl_reward_item *item, float **out_rows,
                        size_t *out_n);
bool tl_embed_kept_has(const struct tl_embed_kept *kept, const struct tl_reward_item *item);
void tl_embed_kept_add(const struct tl_embed_kept *kept, const struct tl_reward_item *item, const float *rows,
                       size_t n);

/* For an item that has only a hash, whose rows were there when tl_reward_set_knows was asked. Always false.
 */
bool tl_embed_kept_lost(struct tl_err *err);

#endif
