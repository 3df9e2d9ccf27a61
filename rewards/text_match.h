/* What rewards that compare a sample with its prompt share. */
#ifndef TL_REWARDS_TEXT_MATCH_H
#define TL_REWARDS_TEXT_MATCH_H

#include <tiller/reward.h>

/* out [n][dim]: embeddings of the items' prompts by `embed`, asked for all at once: an encoder pads its runs,
 * so that one prompt costs as much as a run's worth. Where that fails, one by one, and the error names the
 * item. TL_BAD_INPUT for an item without a prompt. */
typedef bool tl_text_match_fn(void *user, const char *const *prompts, size_t n, float *out,
                              struct tl_err *err);
bool tl_text_match_embed(const struct tl_reward_item *items, size_t n, size_t dim, tl_text_match_fn *embed,
                         void *user, float *out, struct tl_err *err);

/* Of an embedding and one of unit length. In double: a float's cosine of near-equal vectors may pass 1. */
double tl_text_match_cosine(const float *sample, const float *text, size_t dim);

#endif
