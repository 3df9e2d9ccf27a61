/* What rewards of one process open once, however many want it: a folder (by its real path) with one choice of
 * settings, on one device in one dtype, with one place to keep embeddings; say the reward, the held-out one,
 * a head over its encoder.
 *
 * Opening and closing are thread-safe; use is not, and all who share a thing share its device's thread. A
 * folder that changes on disk is read anew only after the last user has closed it. */
#ifndef TL_REWARDS_SHARED_H
#define TL_REWARDS_SHARED_H

#include "rewards/rewards.h"

struct tl_shared_class;

/* What is shared begins with this; filled in by tl_shared_open. */
struct tl_shared {
    const struct tl_shared_class *cls;
    struct tl_shared *next;
    size_t n_users;
    struct tl_reward_env env; /* the device is borrowed until the last close */
    char *key;                /* owns */
};

struct tl_shared_class {
    /* The folder as its first user named it. */
    struct tl_shared *(*open)(const struct tl_reward_env *env, const char *folder, const char *settings,
                              struct tl_err *err);
    void (*close)(struct tl_shared *shared);
};

/* settings: what else tells two things of one folder apart; "" where nothing does. */
struct tl_shared *tl_shared_open(const struct tl_shared_class *cls, const struct tl_reward_env *env,
                                 const char *folder, const char *settings, struct tl_err *err);
/* shared may be NULL. */
void tl_shared_close(struct tl_shared *shared);

#endif
