/* Reward `clipping`: minus the share of samples that are clipped: at or above the largest positive value of
 * 16 bits, 32767/32768 of full scale, on either side. */
#include <math.h>
#include <stdlib.h>

#include "rewards/rewards.h"

#define FULL (32767.0f / 32768.0f)

static struct tl_reward *clipping_open(const struct tl_reward_env *env, const char *arg, struct tl_err *err)
{
    (void)env;
    if (arg && *arg) {
        tl_err_set(err, TL_USAGE, "clipping takes no argument, not '%s'", arg);
        return NULL;
    }
    struct tl_reward *r = calloc(1, sizeof *r);
    if (!r) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    r->cls = &tl_reward_clipping;
    return r;
}

static void clipping_close(struct tl_reward *reward)
{
    free(reward);
}

static bool clipping_score(struct tl_reward *reward, const struct tl_reward_item *items, size_t n,
                           double *out, struct tl_err *err)
{
    (void)reward, (void)err;
    for (size_t i = 0; i < n; i++) {
        size_t n_samples = items[i].frames * (size_t)items[i].channels, n_clipped = 0;
        for (size_t k = 0; k < n_samples; k++) n_clipped += fabsf(items[i].samples[k]) >= FULL;
        out[i] = 0 - (double)n_clipped / (double)n_samples;
    }
    return true;
}

const struct tl_reward_class tl_reward_clipping = {
    .info = {.name = "clipping",
             .help = "minus the share of samples at or above full scale",
             .argument = "",
             .modality = "audio",
             .kind = TL_REWARD_PER_ITEM,
             .deterministic = true,
             .low = -1,
             .high = 0},
    .open = clipping_open,
    .close = clipping_close,
    .score = clipping_score,
};
