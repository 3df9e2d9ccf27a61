/* Reward `silence`: minus the share of a sound's time that is silent: stretches of 20 ms whose mean square,
 * over all channels, lies below -60 dB of full scale, or below another level: `silence:-40`. What generators
 * do to please other rewards shows here. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rewards/rewards.h"
#include "rewards/spec.h"

enum { PER_SECOND = 50 };

struct silence {
    struct tl_reward base;
    double below; /* mean square */
};

static struct tl_reward *silence_open(const struct tl_reward_env *env, const char *arg, struct tl_err *err)
{
    double level = -60;
    (void)env;
    if (arg && *arg && (!tl_spec_number(arg, strlen(arg), &level) || !(level >= -120 && level <= 0))) {
        tl_err_set(err, TL_USAGE, "'%s' is no level; write silence:-60, a number of dB from -120 to 0", arg);
        return NULL;
    }
    struct silence *s = calloc(1, sizeof *s);
    if (!s) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    *s = (struct silence){{&tl_reward_silence}, pow(10, level / 10)};
    return &s->base;
}

static void silence_close(struct tl_reward *reward)
{
    free(reward);
}

static double silent_share(const struct tl_reward_item *item, double below)
{
    size_t channels = (size_t)item->channels, window = (size_t)item->rate / PER_SECOND, n_silent = 0;
    for (size_t at = 0; at < item->frames; at += window) {
        size_t n = item->frames - at < window ? item->frames - at : window;
        const float *x = item->samples + at * channels;
        double sum = 0;
        for (size_t i = 0; i < n * channels; i++) sum += (double)x[i] * (double)x[i];
        if (sum / (double)(n * channels) < below) n_silent += n;
    }
    return (double)n_silent / (double)item->frames;
}

static bool silence_score(struct tl_reward *reward, const struct tl_reward_item *items, size_t n, double *out,
                          struct tl_err *err)
{
    (void)err;
    for (size_t i = 0; i < n; i++) out[i] = 0 - silent_share(&items[i], ((struct silence *)reward)->below);
    return true;
}

const struct tl_reward_class tl_reward_silence = {
    .info = {.name = "silence",
             .help = "minus the share of time below -60 dB of full scale, or below another level",
             .argument = "[LEVEL]",
             .modality = "audio",
             .kind = TL_REWARD_PER_ITEM,
             .deterministic = true,
             .low = -1,
             .high = 0},
    .open = silence_open,
    .close = silence_close,
    .score = silence_score,
};
