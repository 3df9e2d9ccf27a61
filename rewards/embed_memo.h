/* The last embeddings of an encoder, by the pictures or sounds they are of: a batch that a reward has just
 * scored costs nothing when another reward, the held-out one or a measure of diversity asks for it again.
 *
 * What is kept is a whole run of the encoder, found again only by the same items in the same order, so
 * that an answer from here has the same bits as a run would give. A zeroed struct is a valid empty one. */
#ifndef TL_REWARDS_EMBED_MEMO_H
#define TL_REWARDS_EMBED_MEMO_H

#include <tiller/reward.h>

enum { TL_EMBED_MEMO_BATCHES = 64 };

struct tl_embed_memo {
    struct tl_embed_memo_batch {
        char key[65];
        float *embeds; /* owns */
    } batch[TL_EMBED_MEMO_BATCHES];
    size_t next; /* the oldest */
};

/* SHA-256 of the files' hashes where they are known, else of sizes and pixels, or rates and samples. */
void tl_embed_memo_key(const struct tl_reward_item *items, size_t n, char out[65]);
/* Borrowed until the next keep; NULL: not there. */
const float *tl_embed_memo_find(const struct tl_embed_memo *memo, const char *key);
/* Copies; takes the oldest batch's place. Without memory nothing is kept. */
void tl_embed_memo_keep(struct tl_embed_memo *memo, const char *key, const float *embeds, size_t n);
void tl_embed_memo_finish(struct tl_embed_memo *memo);

#endif
