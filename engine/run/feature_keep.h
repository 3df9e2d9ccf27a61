/* The cache of embeddings (feature_cache.h) as rewards see it (rewards/embed_keep.h): the same packs as those
 * of metrics over sets, for the rows are the same. */
#ifndef TL_RUN_FEATURE_KEEP_H
#define TL_RUN_FEATURE_KEEP_H

#include "base/str.h"
#include "rewards/embed_keep.h"

struct tl_feature_keep {
    struct tl_embed_keep keep;
    struct tl_str folder;
};

/* folder NULL: the user's. NULL where there is none; else borrowed from *k, which stays where it is until it
 * is finished. */
const struct tl_embed_keep *tl_feature_keep_init(struct tl_feature_keep *k, const char *folder);
void tl_feature_keep_finish(struct tl_feature_keep *k);

#endif
