/* Reward `scene`: reads a picture of coloured shapes back and compares it with its caption (scene_facts.h).
 */
#include <stdlib.h>
#include <string.h>

#include "rewards/rewards.h"
#include "rewards/scene_facts.h"

struct scene {
    struct tl_reward base;
    bool exact;
};

static struct tl_reward *scene_open(const struct tl_reward_env *env, const char *arg, struct tl_err *err)
{
    (void)env;
    bool exact = arg && strcmp(arg, "exact") == 0;
    if (arg && *arg && !exact) {
        tl_err_set(err, TL_USAGE, "'%s' is no variant; there are scene (share of facts) and scene:exact",
                   arg);
        return NULL;
    }
    struct scene *s = calloc(1, sizeof *s);
    if (!s) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    *s = (struct scene){{&tl_reward_scene}, exact};
    return &s->base;
}

static void scene_close(struct tl_reward *reward)
{
    free(reward);
}

static bool score_one(const struct scene *s, const struct tl_reward_item *item, double *out,
                      struct tl_err *err)
{
    struct tl_scene_spec spec;
    struct tl_scene_reading reading;
    struct tl_scene_facts facts;
    if (!item->prompt) return tl_err_set(err, TL_BAD_INPUT, "there is no prompt to compare with");
    if (!tl_scene_parse(item->prompt, &spec, err) ||
        !tl_scene_read(item->rgb, item->width, item->height, &reading, err))
        return false;
    tl_scene_check(&spec, &reading, &facts);
    *out = s->exact ? (facts.n_true == facts.n) : (double)tl_scene_score(&facts);
    return true;
}

static bool scene_score(struct tl_reward *reward, const struct tl_reward_item *items, size_t n, double *out,
                        struct tl_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!score_one((const struct scene *)reward, &items[i], &out[i], err))
            return tl_reward_item_err(items, i, err);
    return true;
}

static bool scene_about(const struct tl_reward *reward, struct tl_reward_about *out, struct tl_err *err)
{
    (void)err;
    out->variant = ((const struct scene *)reward)->exact ? "exact" : "share";
    return true;
}

const struct tl_reward_class tl_reward_scene = {
    .info = {.name = "scene",
             .help = "share of the prompt's facts that hold in a picture of coloured shapes; scene:exact: 1 "
                     "if all do",
             .argument = "exact",
             .modality = "image",
             .kind = TL_REWARD_PER_ITEM,
             .needs_prompt = true,
             .deterministic = true,
             .low = 0,
             .high = 1},
    .open = scene_open,
    .close = scene_close,
    .score = scene_score,
    .about = scene_about,
};
