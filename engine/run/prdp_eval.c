#include "run/prdp_run.h"

#include <stdlib.h>
#include <string.h>

#include <tiller/interrupt.h>

bool tl_prdp_decode(struct tl_prdp_run *r, const float *latents, size_t n, uint8_t *rgb, struct tl_err *err)
{
    return tl_latent_codec_decode(r->codec, latents, n, r->latent_h, r->latent_w, NULL, rgb, err);
}

bool tl_prdp_score(struct tl_prdp_run *r, struct tl_reward_set *set, const uint8_t *rgb, size_t n, const char *(*prompt_of)(void *user, size_t i), void *user,
                   double *out, struct tl_err *err)
{
    struct tl_reward_item *items = calloc(n, sizeof *items);
    if (!items) return tl_err_set(err, TL_FAIL, "out of memory");
    size_t bytes = (size_t)r->width * (size_t)r->height * 3;
    for (size_t i = 0; i < n; i++) items[i] = (struct tl_reward_item){.prompt = prompt_of(user, i), .rgb = rgb + i * bytes, .width = r->width, .height = r->height};
    bool ok = tl_reward_set_score(set, items, n, out, NULL, err);
    free(items);
    return ok;
}

struct eval_user {
    const struct tl_prdp_run *r;
    const struct tl_prdp_eval *e;
};

static size_t prompt_index(const struct tl_prdp_run *r, size_t sample)
{
    return sample / (size_t)r->p->eval_samples;
}

static const float *eval_context(void *user, size_t sample, bool negative)
{
    const struct eval_user *u = user;
    const struct tl_encoding *e = negative ? &u->r->negative : &u->e->encoding;
    return e->context + (negative ? 0 : prompt_index(u->r, sample)) * (size_t)e->tokens * (size_t)e->width;
}

static const float *eval_pooled(void *user, size_t sample, bool negative)
{
    const struct eval_user *u = user;
    const struct tl_encoding *e = negative ? &u->r->negative : &u->e->encoding;
    return e->pooled ? e->pooled + (negative ? 0 : prompt_index(u->r, sample)) * (size_t)e->pooled_width : NULL;
}

static const char *eval_prompt(void *user, size_t sample)
{
    const struct eval_user *u = user;
    return u->e->prompts[prompt_index(u->r, sample)];
}

bool tl_prdp_eval_init(struct tl_prdp_run *r, struct tl_prdp_eval *e, const char *name, const struct tl_prompts *prompts, uint32_t first, struct tl_err *err)
{
    size_t bytes = (size_t)r->width * (size_t)r->height * 3;
    *e = (struct tl_prdp_eval){.name = name, .first = first, .n_prompts = prompts->n, .n_rewards = r->held_out ? 2 : 1};
    if (e->n_prompts > TL_PRDP_EVAL_PROMPTS && r->p->eval_samples * (int)e->n_prompts > 4096) e->n_prompts = TL_PRDP_EVAL_PROMPTS;
    e->n = e->n_prompts * (size_t)r->p->eval_samples;
    size_t shown_prompts = e->n_prompts < TL_PRDP_SHOWN_PROMPTS ? e->n_prompts : TL_PRDP_SHOWN_PROMPTS;
    size_t each = r->p->eval_samples < TL_PRDP_SHOWN ? (size_t)r->p->eval_samples : TL_PRDP_SHOWN;
    e->n_shown = shown_prompts * each;
    e->prompts = malloc((e->n_prompts + 1) * sizeof *e->prompts);
    e->before = calloc((size_t)e->n_rewards * e->n + 1, sizeof *e->before);
    e->after = calloc((size_t)e->n_rewards * e->n + 1, sizeof *e->after);
    e->shown_before = calloc(e->n_shown + 1, bytes);
    e->shown_after = calloc(e->n_shown + 1, bytes);
    if (!e->prompts || !e->before || !e->after || !e->shown_before || !e->shown_after) return tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t i = 0; i < e->n_prompts; i++) e->prompts[i] = prompts->items[i].text;
    return tl_pipeline_encode(r->pipeline, e->prompts, e->n_prompts, &e->encoding, err);
}

void tl_prdp_eval_finish(struct tl_prdp_eval *e)
{
    tl_encoding_finish(&e->encoding);
    free(e->prompts);
    free(e->before);
    free(e->after);
    free(e->shown_before);
    free(e->shown_after);
    *e = (struct tl_prdp_eval){0};
}

/* The first few pictures of the first few prompts. */
static void keep_shown(struct tl_prdp_run *r, struct tl_prdp_eval *e, const uint8_t *rgb, bool after)
{
    size_t bytes = (size_t)r->width * (size_t)r->height * 3, samples = (size_t)r->p->eval_samples;
    size_t each = samples < TL_PRDP_SHOWN ? samples : TL_PRDP_SHOWN;
    for (size_t k = 0; k < e->n_shown; k++)
        memcpy((after ? e->shown_after : e->shown_before) + k * bytes, rgb + (k / each * samples + k % each) * bytes, bytes);
}

bool tl_prdp_eval_read(struct tl_prdp_run *r, struct tl_prdp_eval *e, bool after, struct tl_err *err)
{
    if (e->n == 0) return true;
    struct eval_user user = {r, e};
    struct tl_prdp_conditions c = {.context = eval_context, .text_embeds = r->pipeline->xl ? eval_pooled : NULL, .user = &user};
    size_t bytes = (size_t)r->width * (size_t)r->height * 3;
    float *latents = malloc(e->n * r->trainer->dim * sizeof *latents);
    uint8_t *rgb = malloc(e->n * bytes);
    double *out = after ? e->after : e->before;
    bool ok = (latents && rgb) || tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && tl_prdp_trainer_sample(r->trainer, &c, e->n, r->job->seed + 1, e->first, false, latents, err) && tl_prdp_decode(r, latents, e->n, rgb, err) &&
         tl_prdp_score(r, r->reward, rgb, e->n, eval_prompt, &user, out, err);
    if (ok && r->held_out) ok = tl_prdp_score(r, r->held_out, rgb, e->n, eval_prompt, &user, out + e->n, err);
    if (ok) keep_shown(r, e, rgb, after);
    free(latents);
    free(rgb);
    return ok;
}
