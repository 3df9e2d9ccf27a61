/* A CLAP folder as rewards use it: sounds and prompts to embeddings of unit length. Shared by all its users
 * in a process (shared.h). */
#ifndef TL_REWARDS_CLAP_ENCODER_H
#define TL_REWARDS_CLAP_ENCODER_H

#include "encoders/encoder.h"
#include "rewards/rewards.h"

struct tl_clap_encoder;

/* settings: as behind the folder in an encoder's spec: ",crop=centre"; "" for none. TL_BAD_INPUT where the
 * folder has no text tower. */
struct tl_clap_encoder *tl_clap_encoder_open(const struct tl_reward_env *env, const char *folder,
                                             const char *settings, struct tl_err *err);
void tl_clap_encoder_close(struct tl_clap_encoder **encoder);

const struct tl_encoder_about *tl_clap_encoder_about(const struct tl_clap_encoder *encoder);
/* exp(logit_scale_a) */
double tl_clap_encoder_scale(const struct tl_clap_encoder *encoder);

/* out [n][dim]: the mean over a sound's windows, at unit length again. Windows of several sounds share runs
 * of the tower, and those that are kept (embed_keep.h) cost none, which changes no bit. Errors name the item.
 */
bool tl_clap_encoder_sounds(struct tl_clap_encoder *encoder, const struct tl_reward_item *items, size_t n,
                            float *out, struct tl_err *err);
/* Whether the item's rows are kept. Thread-safe. */
bool tl_clap_encoder_knows(const struct tl_clap_encoder *encoder, const struct tl_reward_item *item);
/* out [n][dim] of unit length. */
bool tl_clap_encoder_texts(struct tl_clap_encoder *encoder, const char *const *prompts, size_t n, float *out,
                           struct tl_err *err);

#endif
