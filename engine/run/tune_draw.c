/* An epoch's samples: which prompts, their trajectories, pictures and rewards. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "run/tune.h"

bool tl_tune_draws(const struct tl_tune *r, int epoch)
{
    return epoch == 0 || (r->p->resample_every > 0 && epoch % r->p->resample_every == 0);
}

/* All prompts in order where they are exactly as many as an epoch takes; else a draw without repetition. */
bool tl_tune_draw_prompts(struct tl_tune *r, int epoch, struct tl_err *err)
{
    uint32_t n = (uint32_t)r->prompts.n, take = (uint32_t)r->p->prompts_per_epoch,
             *order = malloc(((size_t)n + 1) * sizeof *order);
    if (!order) return tl_err_set(err, TL_FAIL, "out of memory");
    tl_rng_permute(
        (struct tl_rng_key){.seed = r->job->seed, .stream = TL_RNG_PROMPT, .step = (uint32_t)epoch}, n,
        order);
    for (uint32_t i = 0; i < take; i++) r->drawn[i] = take == n ? i : order[i];
    free(order);
    r->drawn_epoch = epoch;
    return true;
}

static const float *context_of(const struct tl_tune *r, size_t group, bool negative)
{
    const struct tl_encoding *e = negative ? &r->negative : &r->encoding;
    return e->context + (negative ? 0 : r->drawn[group]) * (size_t)e->tokens * (size_t)e->width;
}

static const float *kept_context(void *user, size_t sample, bool negative)
{
    const struct tl_tune *r = user;
    return context_of(r, sample / (size_t)r->trainer->p.group_size, negative);
}

static const float *drawn_context(void *user, size_t sample, bool negative)
{
    const struct tl_tune *r = user;
    return context_of(r, sample / (size_t)r->p->samples_per_prompt, negative);
}

struct tl_policy_conditions tl_tune_conditions(struct tl_tune *r)
{
    return (struct tl_policy_conditions){.context = kept_context, .user = r};
}

struct tl_policy_conditions tl_tune_draw_conditions(struct tl_tune *r)
{
    return (struct tl_policy_conditions){.context = drawn_context, .user = r};
}

const char *tl_tune_prompt(void *run, size_t sample)
{
    const struct tl_tune *r = run;
    return r->prompts.items[r->drawn[sample / (size_t)r->p->samples_per_prompt]].text;
}

bool tl_tune_decode(struct tl_tune *r, const float *latents, size_t n, uint8_t *rgb, struct tl_err *err)
{
    return tl_latent_codec_decode(r->codec, latents, n, r->latent_h, r->latent_w, NULL, rgb, err);
}

enum { NAME = 160 };

/* Samples as the rewards see them; names stand in *out_names. Both are freed by the caller. */
static struct tl_reward_item *items_of(const struct tl_tune *r, const struct tl_tune_pictures *p,
                                       char **out_names, struct tl_err *err)
{
    struct tl_reward_item *items = calloc(p->n + 1, sizeof *items);
    char *names = malloc(p->n * NAME + 1);
    if (!items || !names) {
        tl_err_set(err, TL_FAIL, "out of memory");
        free(items);
        free(names);
        return NULL;
    }
    for (size_t i = 0; i < p->n; i++) {
        const char *prompt = p->prompt_of(p->user, p->first + i);
        snprintf(names + i * NAME, NAME, "sample %zu (%.120s)", p->first + i, prompt);
        items[i] = (struct tl_reward_item){.name = names + i * NAME,
                                           .prompt = prompt,
                                           .rgb = p->rgb + i * r->bytes,
                                           .width = r->width,
                                           .height = r->height};
    }
    *out_names = names;
    return items;
}

bool tl_tune_score(struct tl_tune *r, struct tl_reward_set *set, const struct tl_tune_pictures *pictures,
                   double *out_total, double *out_parts, struct tl_err *err)
{
    char *names = NULL;
    struct tl_reward_item *items = items_of(r, pictures, &names, err);
    bool ok = items && tl_reward_set_score(set, items, pictures->n, out_total, out_parts, err);
    if (items) free(names);
    free(items);
    return ok;
}

bool tl_tune_embed(struct tl_tune *r, struct tl_reward_set *set, const struct tl_tune_pictures *pictures,
                   float *out, struct tl_err *err)
{
    char *names = NULL;
    struct tl_reward_item *items = items_of(r, pictures, &names, err);
    bool ok = items && tl_reward_set_embed(set, items, pictures->n, out, err);
    if (items) free(names);
    free(items);
    return ok;
}

static bool keep(struct tl_tune *r, struct tl_err *err)
{
    struct tl_policy_conditions c = tl_tune_conditions(r);
    if (r->n_drawn == r->trainer->n) return tl_policy_trainer_keep(r->trainer, &c, NULL, err);
    size_t *which = malloc(r->trainer->n * sizeof *which);
    if (!which) return tl_err_set(err, TL_FAIL, "out of memory");
    tl_tune_select(r, which);
    bool ok = tl_policy_trainer_keep(r->trainer, &c, which, err);
    free(which);
    return ok;
}

/* The signal takes the rewards into the history; where the draw then ends in an interrupt it is made again,
 * and must find the history as it was. */
static bool signal_and_keep(struct tl_tune *r, struct tl_err *err)
{
    const struct tl_advantage_history *h = &r->history;
    size_t n_values = h->n_prompts * TL_ADVANTAGE_BUFFER;
    double *values = malloc((n_values + 1) * sizeof *values);
    uint64_t *counts = malloc((h->n_prompts + 1) * sizeof *counts);
    bool ok = (values && counts) || tl_err_set(err, TL_FAIL, "out of memory");
    if (ok && h->n_prompts) {
        memcpy(values, h->values, n_values * sizeof *values);
        memcpy(counts, h->counts, h->n_prompts * sizeof *counts);
    }
    if (ok) tl_tune_signal(r);
    bool kept = ok && keep(r, err);
    if (ok && !kept && h->n_prompts) {
        memcpy(h->values, values, n_values * sizeof *values);
        memcpy(h->counts, counts, h->n_prompts * sizeof *counts);
    }
    free(values);
    free(counts);
    return kept;
}

bool tl_tune_draw(struct tl_tune *r, struct tl_err *err)
{
    struct tl_policy_trainer *t = r->trainer;
    struct tl_policy_conditions c = tl_tune_draw_conditions(r);
    if (!tl_tune_draw_prompts(r, r->epoch, err) ||
        !tl_policy_trainer_draw(t, &c, (uint32_t)r->epoch * (uint32_t)r->n_drawn, err) ||
        !tl_tune_decode(r, tl_policy_trainer_results(t), r->n_drawn, r->rgb, err))
        return false;
    struct tl_tune_pictures drawn = {r->rgb, 0, r->n_drawn, tl_tune_prompt, r};
    if (!tl_tune_score(r, r->reward, &drawn, r->rewards, NULL, err)) return false;
    return signal_and_keep(r, err);
}
