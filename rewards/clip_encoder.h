/* A CLIP folder as rewards use it: 8-bit pictures and prompts to embeddings of unit length, and the same as a
 * piece of a graph.
 *
 * One folder (by its real path) on one device in one dtype is loaded once in a process, however many rewards
 * open it: the reward, the held-out one, a head over it. Opening and closing are thread-safe; use is not, and
 * all who share an encoder share its device's thread. A folder that changes on disk is read anew only after
 * the last one has closed it. */
#ifndef TL_REWARDS_CLIP_ENCODER_H
#define TL_REWARDS_CLIP_ENCODER_H

#include "rewards/rewards.h"

struct tl_clip_encoder;

/* What env names is borrowed until the last close. torchvision_crop: as struct tl_clip_pixels. */
struct tl_clip_encoder *tl_clip_encoder_open(const struct tl_reward_env *env, const char *folder,
                                             bool torchvision_crop, struct tl_err *err);
void tl_clip_encoder_close(struct tl_clip_encoder **encoder);

size_t tl_clip_encoder_dim(const struct tl_clip_encoder *encoder);
/* exp(logit_scale); prompts must have been asked for. */
double tl_clip_encoder_scale(const struct tl_clip_encoder *encoder);
struct tl_store *tl_clip_encoder_store(const struct tl_clip_encoder *encoder);
/* How pictures become its input, in words. */
const char *tl_clip_encoder_settings(const struct tl_clip_encoder *encoder);
/* Of the weights' files; reads them where embeddings are not kept. */
bool tl_clip_encoder_hash(const struct tl_clip_encoder *encoder, char out[65], struct tl_err *err);

/* out [n][dim], of unit length. Items whose rows are kept (embed_keep.h) cost no run, and the bits are a
 * run's. Errors name the item; TL_NUMERIC for an embedding that is zero or not finite. */
bool tl_clip_encoder_images(struct tl_clip_encoder *encoder, const struct tl_reward_item *items, size_t n,
                            float *out, struct tl_err *err);
/* Whether the item's row is kept. Thread-safe. */
bool tl_clip_encoder_knows(const struct tl_clip_encoder *encoder, const struct tl_reward_item *item);
/* The tokenizer and the text tower, which a vision model alone does not have: TL_BAD_INPUT. Once before
 * prompts. */
bool tl_clip_encoder_want_texts(struct tl_clip_encoder *encoder, struct tl_err *err);
bool tl_clip_encoder_texts(struct tl_clip_encoder *encoder, const char *const *prompts, size_t n, float *out,
                           struct tl_err *err);

/* The fragment's pictures to [N,dim] of unit length; feed after planning. */
tl_val tl_clip_encoder_build(const struct tl_clip_encoder *encoder, struct tl_graph *g,
                             const struct tl_reward_fragment *fragment);
bool tl_clip_encoder_feed(const struct tl_clip_encoder *encoder, struct tl_exec *exec,
                          const struct tl_reward_fragment *fragment, struct tl_err *err);

#endif
