/* An epoch's samples: which prompts, their trajectories, pictures and rewards. */
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "run/prdp_run.h"

bool tl_prdp_draws(const struct tl_prdp_run *r, int epoch)
{
    return epoch == 0 || (r->p->resample_every > 0 && epoch % r->p->resample_every == 0);
}

/* All prompts in order where they are exactly as many as an epoch takes; else a draw without repetition. */
bool tl_prdp_draw_prompts(struct tl_prdp_run *r, int epoch, struct tl_err *err)
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

static size_t prompt_of_sample(const struct tl_prdp_run *r, size_t sample)
{
    return r->drawn[sample / (size_t)r->p->samples_per_prompt];
}

static const float *context(void *user, size_t sample, bool negative)
{
    const struct tl_prdp_run *r = user;
    const struct tl_encoding *e = negative ? &r->negative : &r->encoding;
    return e->context + (negative ? 0 : prompt_of_sample(r, sample)) * (size_t)e->tokens * (size_t)e->width;
}

struct tl_prdp_conditions tl_prdp_conditions(struct tl_prdp_run *r)
{
    return (struct tl_prdp_conditions){.context = context, .user = r};
}

const char *tl_prdp_prompt(void *run, size_t sample)
{
    const struct tl_prdp_run *r = run;
    return r->prompts.items[prompt_of_sample(r, sample)].text;
}

bool tl_prdp_decode(struct tl_prdp_run *r, const float *latents, size_t n, uint8_t *rgb, struct tl_err *err)
{
    return tl_latent_codec_decode(r->codec, latents, n, r->latent_h, r->latent_w, NULL, rgb, err);
}

bool tl_prdp_score(struct tl_prdp_run *r, struct tl_reward_set *set, const uint8_t *rgb, size_t first,
                   size_t n, const char *(*prompt_of)(void *user, size_t i), void *user, double *out_total,
                   double *out_parts, struct tl_err *err)
{
    enum { NAME = 160 };
    struct tl_reward_item *items = calloc(n, sizeof *items);
    char *names = malloc(n * NAME);
    bool ok = (items && names) || tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t i = 0; ok && i < n; i++) {
        const char *prompt = prompt_of(user, first + i);
        snprintf(names + i * NAME, NAME, "sample %zu (%.120s)", first + i, prompt);
        items[i] = (struct tl_reward_item){.name = names + i * NAME,
                                           .prompt = prompt,
                                           .rgb = rgb + i * r->bytes,
                                           .width = r->width,
                                           .height = r->height};
    }
    ok = ok && tl_reward_set_score(set, items, n, out_total, out_parts, err);
    free(items);
    free(names);
    return ok;
}

bool tl_prdp_draw(struct tl_prdp_run *r, struct tl_err *err)
{
    struct tl_prdp_trainer *t = r->trainer;
    struct tl_prdp_conditions c = tl_prdp_conditions(r);
    return tl_prdp_draw_prompts(r, r->epoch, err) &&
           tl_prdp_trainer_draw(t, &c, (uint32_t)r->epoch * (uint32_t)t->n, err) &&
           tl_prdp_decode(r, tl_trajectory_slot(&t->paths, t->p.loss.n_steps), t->n, r->rgb, err) &&
           tl_prdp_score(r, r->reward, r->rgb, 0, t->n, tl_prdp_prompt, r, r->rewards, NULL, err);
}
