#include "rewards/text_match.h"

#include <math.h>

#include "base/arena.h"
#include "rewards/rewards.h"

bool tl_text_match_embed(const struct tl_reward_item *items, size_t n, size_t dim, tl_text_match_fn *embed,
                         void *user, float *out, struct tl_err *err)
{
    struct tl_arena arena = {0};
    struct tl_err whole = {0};
    const char **prompts = tl_arena_alloc(&arena, n, sizeof *prompts);
    bool ok = prompts || tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t i = 0; ok && i < n; i++) {
        prompts[i] = items[i].prompt;
        ok = prompts[i] || tl_err_set(err, TL_BAD_INPUT, "there is no prompt to compare with");
        if (!ok) tl_reward_item_err(items, i, err);
    }
    ok = ok && (embed(user, prompts, n, out, &whole) || whole.code == TL_BAD_INPUT ||
                tl_err_set(err, whole.code, "%s", whole.text));
    if (ok && whole.code)
        for (size_t i = 0; ok && i < n; i++)
            ok = embed(user, &prompts[i], 1, out + i * dim, err) || tl_reward_item_err(items, i, err);
    tl_arena_finish(&arena);
    return ok;
}

double tl_text_match_cosine(const float *sample, const float *text, size_t dim)
{
    double dot = 0, norm = 0;
    for (size_t i = 0; i < dim; i++) {
        dot += (double)sample[i] * (double)text[i];
        norm += (double)sample[i] * (double)sample[i];
    }
    return dot / sqrt(norm);
}
