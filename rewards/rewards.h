/* A reward's inside: what its file defines, and the table of all.
 *
 * One `struct tl_reward_class` a file, one row in rewards.c. The instance that `open` gives begins with a
 * `struct tl_reward`. A class scores at once (`score`) or in two steps (`submit` and `collect`), never both.
 */
#ifndef TL_REWARDS_REWARDS_H
#define TL_REWARDS_REWARDS_H

#include <tiller/reward.h>

#include "io/sound.h"
#include "tensor/exec.h"

struct tl_reward {
    const struct tl_reward_class *cls;
};

/* A differentiable reward as a piece of somebody's graph. Its weights are params of `set`, to be bound to
 * tl_reward_class.store; its other needs are inputs under names that begin with `prefix`, filled by
 * tl_reward_class.feed. Serves gradients and looks on the way (run/reward_lens.h): what is said of a sample
 * comes from `score`. */
struct tl_reward_fragment {
    tl_val pictures; /* [N,H,W,3], 0 to 1 */
    int set;
    const char *prefix; /* "reward0" */
};

/* What a reward is opened with. */
struct tl_reward_env {
    struct tl_device *device;         /* NULL unless info.needs_encoder */
    enum tl_dtype dtype;              /* what encoders keep their weights in: F32, F16, BF16 */
    const struct tl_embed_keep *keep; /* NULL: none (embed_keep.h) */
    bool plans_only; /* memory is being planned (tensor/device_planning.h): whoever works elsewhere stays
                        away, and gives 0 for each sample */
};

struct tl_combination;

struct tl_reward_class {
    struct tl_reward_info info;
    /* Only for a reward made of others, which has no other function: what they are (reward_ensemble.h). */
    bool (*members)(const char *arg, const struct tl_reward_class *const *classes, struct tl_combination *out,
                    struct tl_err *err);

    /* arg: what stands behind NAME:, NULL where nothing does. */
    struct tl_reward *(*open)(const struct tl_reward_env *env, const char *arg, struct tl_err *err);
    void (*close)(struct tl_reward *reward);
    /* Optional: begins what makes close take time, for all rewards of a set before the first is closed. */
    void (*hang_up)(struct tl_reward *reward);

    /* out [n], or one number for TL_REWARD_OF_SET. Errors name the item (tl_reward_item_err). */
    bool (*score)(struct tl_reward *reward, const struct tl_reward_item *items, size_t n, double *out,
                  struct tl_err *err);
    /* submit gives a ticket; collect ends it, out NULL: without scores. */
    void *(*submit)(struct tl_reward *reward, const struct tl_reward_item *items, size_t n,
                    struct tl_err *err);
    bool (*collect)(struct tl_reward *reward, void *ticket, double *out, struct tl_err *err);

    /* Optional: the opened reward's own facts where `info` has them for no more than the class: modality,
     * needs_prompt, deterministic, low and high may differ. */
    const struct tl_reward_info *(*info_of)(const struct tl_reward *reward);
    /* Optional: variant, encoder, hash, range; the rest is filled in already. */
    bool (*about)(const struct tl_reward *reward, struct tl_reward_about *out, struct tl_err *err);

    /* Optional, both or none: embeddings of samples, out [n][embed_dim] of unit length. */
    size_t (*embed_dim)(const struct tl_reward *reward);
    bool (*embed)(struct tl_reward *reward, const struct tl_reward_item *items, size_t n, float *out,
                  struct tl_err *err);
    /* Optional: whether the item's hash and its prompt are enough for `score`. Thread-safe. */
    bool (*knows)(const struct tl_reward *reward, const struct tl_reward_item *item);

    /* Only with info.has_gradient. build gives scores [N] or TL_NONE with the graph marked; feed writes the
     * fragment's inputs into the planned graph, prompts [N]; store is the weights', NULL where it has none.
     */
    tl_val (*build)(struct tl_reward *reward, struct tl_graph *g, const struct tl_reward_fragment *fragment);
    bool (*feed)(struct tl_reward *reward, struct tl_exec *exec, const struct tl_reward_fragment *fragment,
                 const char *const *prompts, size_t n, struct tl_err *err);
    struct tl_store *(*store)(struct tl_reward *reward);
};

/* Ends at NULL. */
extern const struct tl_reward_class *const tl_reward_classes[];
extern const struct tl_reward_class tl_reward_aesthetic, tl_reward_clap, tl_reward_clip, tl_reward_clipping,
    tl_reward_colour, tl_reward_ensemble, tl_reward_exec, tl_reward_exec_set, tl_reward_jpeg,
    tl_reward_loudness, tl_reward_scene, tl_reward_silence;

/* NULL with TL_USAGE that names what there is. */
const struct tl_reward_class *tl_reward_class_find(const struct tl_reward_class *const *classes,
                                                   const char *name, struct tl_err *err);

/* NAME[:ARG][@WEIGHT], cut. Both strings are owned. */
struct tl_reward_spec {
    char *name, *arg; /* arg NULL where there is none */
    double weight;
};
bool tl_reward_spec_parse(const char *text, struct tl_reward_spec *out, struct tl_err *err);
void tl_reward_spec_finish(struct tl_reward_spec *spec);

/* tl_reward_set_open over another table. */
struct tl_reward_set *tl_reward_set_open_among(const struct tl_reward_class *const *classes,
                                               const struct tl_reward_set_params *params, struct tl_err *err);

/* Part k's NAME[:ARG], and its term's weight; tl_reward_set_about says more and may read the encoder's files.
 */
const char *tl_reward_set_spec(const struct tl_reward_set *set, size_t k, double *out_weight);
/* Part k itself, borrowed: for its gradient. */
struct tl_reward *tl_reward_set_part(struct tl_reward_set *set, size_t k);
/* The (standardised) weighted sum of one sample's scores, parts [count]. */
double tl_reward_set_total(const struct tl_reward_set *set, const double *parts);
/* out [count]: d total / d score of each part, at one sample's scores `parts`: its term's weight, over the
 * deviation where scores are standardised, times what the ensemble gives it. */
void tl_reward_set_slopes(const struct tl_reward_set *set, const double *parts, double *out);

/* The item's sound, borrowed and only to be read. */
struct tl_sound tl_reward_item_sound(const struct tl_reward_item *item);

/* What the opened reward says of itself, or else its class. */
const struct tl_reward_info *tl_reward_info_of(const struct tl_reward *reward);

/* Every item is what the reward scores, a picture or a sound; else TL_USAGE that names the first that is not.
 */
bool tl_reward_check_modality(const struct tl_reward *reward, const struct tl_reward_item *items, size_t n,
                              struct tl_err *err);

/* Puts the item's name in front of the error: "cat.png: ..." or "sample 12: ...". Always false. */
bool tl_reward_item_err(const struct tl_reward_item *items, size_t i, struct tl_err *err);

#endif
