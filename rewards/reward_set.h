/* The inside of a set of rewards, for reward_set.c, reward_batch.c and reward_standard.c only. */
#ifndef TL_REWARDS_REWARD_SET_H
#define TL_REWARDS_REWARD_SET_H

#include "rewards/reward_ensemble.h"
#include "rewards/rewards.h"

/* What is scored: a reward, or a member of an ensemble. */
struct tl_reward_part {
    char *text;               /* NAME[:ARG]; owns */
    struct tl_reward *reward; /* owns */
    size_t term;
};

/* What is summed, as it was named. */
struct tl_reward_term {
    struct tl_reward_spec spec;
    char *text; /* NAME[:ARG]; owns */
    const struct tl_reward_class *cls;
    size_t first, n;               /* its parts: one, but for an ensemble */
    struct tl_combination combine; /* empty without members */
};

struct tl_reward_set {
    struct tl_reward_part *parts; /* [n] */
    struct tl_reward_term *terms; /* [n_terms] */
    size_t n, n_terms;
    bool raw, is_standard;
    struct tl_reward_standard *standard; /* [n] */
    struct tl_device *device;            /* what the rewards use; may be NULL */
    struct tl_device *own;               /* the same where the set opened it */
    enum tl_dtype dtype;                 /* of encoders' weights */
    const struct tl_embed_keep *keep;    /* may be NULL */
};

#endif
