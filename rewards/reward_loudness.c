/* Reward `loudness`: the loudness of a sound in LUFS (ITU-R BS.1770-4), or minus its distance from a target:
 * `loudness:-23`. A silent sound has none (minus infinity), which no reward can be: it counts as -70 LUFS,
 * the standard's own gate and so the least that any sound has. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audio/loudness.h"
#include "rewards/rewards.h"
#include "rewards/spec.h"

#define FLOOR (-70.0)

struct loudness {
    struct tl_reward base;
    bool has_target;
    double target;
    enum tl_loudness_flavour flavour;
    char variant[64];
};

static bool find_flavour(const char *name, enum tl_loudness_flavour *out, struct tl_err *err)
{
    static const enum tl_loudness_flavour known[] = {TL_LOUDNESS_BS1770, TL_LOUDNESS_PYLOUDNORM};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        *out = known[i];
        if (!name || strcmp(name, tl_loudness_flavour_name(known[i])) == 0) return true;
    }
    return tl_err_set(err, TL_USAGE, "there is no flavour '%s'; there are bs1770, pyloudnorm", name);
}

/* [TARGET][,flavour=NAME] */
static bool parse(struct loudness *l, const char *arg, struct tl_err *err)
{
    struct tl_spec_setting flavour = {0};
    if (arg && !tl_spec_setting(arg, "flavour", &flavour, err)) return false;
    if (!find_flavour(flavour.value, &l->flavour, err)) return false;
    const char *name = tl_loudness_flavour_name(l->flavour);
    snprintf(l->variant, sizeof l->variant, "%s", name);
    if (!flavour.n_before) return true;
    if (!tl_spec_number(arg, flavour.n_before, &l->target) || !(l->target >= FLOOR && l->target <= 0))
        return tl_err_set(err, TL_USAGE,
                          "'%.*s' is no target; write loudness:-23, a number of LUFS from -70 to 0, or "
                          "loudness alone",
                          (int)flavour.n_before, arg);
    l->has_target = true;
    snprintf(l->variant, sizeof l->variant, "%s, target %g LUFS", name, l->target);
    return true;
}

static struct tl_reward *loudness_open(const struct tl_reward_env *env, const char *arg, struct tl_err *err)
{
    (void)env;
    struct loudness *l = calloc(1, sizeof *l);
    if (!l) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    l->base.cls = &tl_reward_loudness;
    if (parse(l, arg, err)) return &l->base;
    free(l);
    return NULL;
}

static void loudness_close(struct tl_reward *reward)
{
    free(reward);
}

static bool loudness_score(struct tl_reward *reward, const struct tl_reward_item *items, size_t n,
                           double *out, struct tl_err *err)
{
    const struct loudness *l = (const struct loudness *)reward;
    for (size_t i = 0; i < n; i++) {
        const struct tl_sound sound = tl_reward_item_sound(&items[i]);
        double lufs;
        if (!tl_loudness(&sound, l->flavour, &lufs, err)) return tl_reward_item_err(items, i, err);
        if (lufs < FLOOR) lufs = FLOOR;
        out[i] = l->has_target ? -fabs(lufs - l->target) : lufs;
    }
    return true;
}

static bool loudness_about(const struct tl_reward *reward, struct tl_reward_about *out, struct tl_err *err)
{
    const struct loudness *l = (const struct loudness *)reward;
    (void)err;
    out->variant = l->variant;
    if (!l->has_target) return true;
    out->low = -INFINITY;
    out->high = 0;
    return true;
}

const struct tl_reward_class tl_reward_loudness = {
    .info = {.name = "loudness",
             .help = "loudness in LUFS (ITU-R BS.1770-4); with a target: minus the distance from it",
             .argument = "[TARGET][,flavour=NAME]",
             .modality = "audio",
             .kind = TL_REWARD_PER_ITEM,
             .has_flavours = true,
             .deterministic = true,
             .low = FLOOR,
             .high = INFINITY},
    .open = loudness_open,
    .close = loudness_close,
    .score = loudness_score,
    .about = loudness_about,
};
