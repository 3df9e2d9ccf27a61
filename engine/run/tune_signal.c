/* What the loss learns from: the rewards, their control, or their advantages. */
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "run/tune.h"

/* The negative control: each prompt's rewards go to other samples of the same prompt, so that their
 * distribution is the same and nothing can be learnt. */
static void shuffle(const struct tl_tune *r, double *signal)
{
    uint32_t each = (uint32_t)r->p->samples_per_prompt;
    for (uint32_t g = 0; g < (uint32_t)r->p->prompts_per_epoch; g++) {
        double *s = signal + (size_t)g * each;
        for (uint32_t i = each; i > 1; i--) {
            struct tl_rng_key key = {.seed = r->job->seed,
                                     .stream = TL_RNG_SHUFFLE,
                                     .sample = g,
                                     .step = (uint32_t)r->drawn_epoch};
            uint32_t j = tl_rng_below(key, i, i);
            double kept = s[i - 1];
            s[i - 1] = s[j];
            s[j] = kept;
        }
    }
}

void tl_tune_select(struct tl_tune *r, size_t *out_which)
{
    size_t groups = (size_t)r->p->prompts_per_epoch, each = (size_t)r->p->samples_per_prompt,
           take = (size_t)r->trainer->p.group_size;
    for (size_t g = 0; g < groups; g++) {
        const double *s = r->signal + g * each;
        size_t *which = out_which + g * take, n = 0;
        for (size_t i = 0; i < each; i++) {
            size_t lower = 0; /* its rank; of equal ones the first comes first */
            for (size_t j = 0; j < each; j++) lower += s[j] < s[i] || (s[j] == s[i] && j < i);
            if (lower < take / 2 || lower >= each - (take - take / 2)) which[n++] = g * each + i;
        }
    }
    for (size_t i = 0; i < groups * take; i++) r->signal[i] = r->signal[out_which[i]]; /* which[i] >= i */
}

void tl_tune_signal(struct tl_tune *r)
{
    size_t groups = (size_t)r->p->prompts_per_epoch, each = (size_t)r->p->samples_per_prompt;
    memcpy(r->signal, r->rewards, groups * each * sizeof *r->signal);
    if (r->p->shuffle_rewards) shuffle(r, r->signal);
    if (r->method->advantages)
        tl_advantage_compute((enum tl_advantage_over)r->p->advantages, &r->history, r->drawn, groups, each,
                             r->signal, r->signal);
}
