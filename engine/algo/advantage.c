#include "algo/advantage.h"

#include <math.h>
#include <stdlib.h>

#include "base/checked.h"

enum { LARGEST = 5 };

struct moments {
    double mean, deviation;
};

static struct moments moments_of(const double *v, size_t n)
{
    double mean = 0, square = 0;
    for (size_t i = 0; i < n; i++) mean += v[i] / (double)n;
    for (size_t i = 0; i < n; i++) square += (v[i] - mean) * (v[i] - mean) / (double)n;
    return (struct moments){mean, sqrt(square)};
}

bool tl_advantage_history_init(struct tl_advantage_history *h, size_t n_prompts, struct tl_err *err)
{
    size_t n;
    *h = (struct tl_advantage_history){.n_prompts = n_prompts};
    if (!tl_checked_mul(n_prompts, TL_ADVANTAGE_BUFFER, &n))
        return tl_err_set(err, TL_FAIL, "out of memory for the rewards of %zu prompts", n_prompts);
    h->values = calloc(n + 1, sizeof *h->values);
    h->counts = calloc(n_prompts + 1, sizeof *h->counts);
    if (h->values && h->counts) return true;
    tl_advantage_history_finish(h);
    return tl_err_set(err, TL_FAIL, "out of memory for the rewards of %zu prompts", n_prompts);
}

void tl_advantage_history_finish(struct tl_advantage_history *h)
{
    free(h->values);
    free(h->counts);
    *h = (struct tl_advantage_history){0};
}

static void remember(struct tl_advantage_history *h, uint32_t prompt, const double *rewards, size_t n)
{
    double *ring = h->values + (size_t)prompt * TL_ADVANTAGE_BUFFER;
    for (size_t i = 0; i < n; i++) ring[h->counts[prompt]++ % TL_ADVANTAGE_BUFFER] = rewards[i];
}

/* Of the prompt's history, or `otherwise` where it is too short. */
static struct moments recall(const struct tl_advantage_history *h, uint32_t prompt, struct moments otherwise)
{
    uint64_t n = h->counts[prompt] < TL_ADVANTAGE_BUFFER ? h->counts[prompt] : TL_ADVANTAGE_BUFFER;
    if (n < TL_ADVANTAGE_LEAST) return otherwise;
    return moments_of(h->values + (size_t)prompt * TL_ADVANTAGE_BUFFER, (size_t)n);
}

void tl_advantage_compute(enum tl_advantage_over over, struct tl_advantage_history *h,
                          const uint32_t *prompts, size_t n_groups, size_t group_size, const double *rewards,
                          double *out)
{
    struct moments all = moments_of(rewards, n_groups * group_size);
    for (size_t g = 0; g < n_groups; g++) {
        const double *r = rewards + g * group_size;
        struct moments m = all;
        if (over == TL_ADVANTAGE_PROMPT) {
            remember(h, prompts[g], r, group_size);
            m = recall(h, prompts[g], all);
        } else if (over == TL_ADVANTAGE_GROUP) {
            m = moments_of(r, group_size);
        }
        for (size_t i = 0; i < group_size; i++)
            out[g * group_size + i] = fmin(fmax((r[i] - m.mean) / (m.deviation + 1e-6), -LARGEST), LARGEST);
    }
}
