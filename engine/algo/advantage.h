/* Advantages of rewards, as DDPO's trainer takes them (kvablack/ddpo-pytorch, ddpo_pytorch/stat_tracking.py):
 *
 *     A = clamp((R - mean) / (std + 1e-6), -5, 5)
 *
 * mean and std (population) over the last `buffer` rewards that the sample's prompt ever got, those of this
 * epoch included, where there are at least `least` of them; else over the whole epoch. Or over the epoch's
 * own samples of that prompt; or over the whole epoch. Not thread-safe. */
#ifndef TL_ALGO_ADVANTAGE_H
#define TL_ALGO_ADVANTAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

enum tl_advantage_over { TL_ADVANTAGE_PROMPT, TL_ADVANTAGE_GROUP, TL_ADVANTAGE_EPOCH };
enum { TL_ADVANTAGE_BUFFER = 32, TL_ADVANTAGE_LEAST = 16 };

/* The last rewards of every prompt. State: `values` and `counts` are all that a checkpoint has to keep. */
struct tl_advantage_history {
    size_t n_prompts;
    double *values;   /* [n_prompts][TL_ADVANTAGE_BUFFER], a ring each; owns */
    uint64_t *counts; /* [n_prompts]: rewards ever seen; owns */
};
bool tl_advantage_history_init(struct tl_advantage_history *h, size_t n_prompts, struct tl_err *err);
void tl_advantage_history_finish(struct tl_advantage_history *h);

/* prompts [n_groups]: distinct, < h->n_prompts. rewards, out [n_groups * group_size], group by group; out may
 * be rewards. h may be NULL unless `over` is PROMPT; it takes the rewards in. */
void tl_advantage_compute(enum tl_advantage_over over, struct tl_advantage_history *h,
                          const uint32_t *prompts, size_t n_groups, size_t group_size, const double *rewards,
                          double *out);

#endif
