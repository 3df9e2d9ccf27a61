/* Readings of fixed prompts with fixed noise, before and after training. */
#include "run/prdp_run.h"

#include <stdlib.h>
#include <string.h>

#include <tiller/interrupt.h>
#include <tiller/log.h>

struct eval_user {
    const struct tl_prdp_run *r;
    const struct tl_prdp_eval *e;
    size_t first; /* sample of the piece that is being read */
};

static size_t prompt_index(const struct tl_prdp_run *r, size_t sample)
{
    return sample / (size_t)r->p->eval_samples;
}

static const float *eval_context(void *user, size_t sample, bool negative)
{
    const struct eval_user *u = user;
    const struct tl_encoding *e = negative ? &u->r->negative : &u->e->encoding;
    return e->context +
           (negative ? 0 : prompt_index(u->r, u->first + sample)) * (size_t)e->tokens * (size_t)e->width;
}

static const char *eval_prompt(void *user, size_t sample)
{
    const struct eval_user *u = user;
    return u->e->prompts[prompt_index(u->r, u->first + sample)];
}

bool tl_prdp_eval_init(struct tl_prdp_run *r, struct tl_prdp_eval *e, const char *name,
                       const struct tl_prompts *prompts, uint32_t first, struct tl_err *err)
{
    *e = (struct tl_prdp_eval){
        .name = name, .first = first, .n_prompts = prompts->n, .n_rewards = r->held_out ? 2 : 1};
    if (e->n_prompts > TL_PRDP_EVAL_PROMPTS &&
        e->n_prompts > TL_PRDP_EVAL_MOST / (size_t)r->p->eval_samples) {
        e->n_prompts = TL_PRDP_EVAL_PROMPTS;
        tl_log(TL_LOG_INFO, "%s prompts: the first %d of %zu are read before and after", name,
               TL_PRDP_EVAL_PROMPTS, prompts->n);
    }
    e->n = e->n_prompts * (size_t)r->p->eval_samples;
    size_t shown_prompts = e->n_prompts < TL_PRDP_SHOWN_PROMPTS ? e->n_prompts : TL_PRDP_SHOWN_PROMPTS;
    size_t each = r->p->eval_samples < TL_PRDP_SHOWN ? (size_t)r->p->eval_samples : TL_PRDP_SHOWN;
    e->n_shown = shown_prompts * each;
    e->prompts = malloc((e->n_prompts + 1) * sizeof *e->prompts);
    e->before = calloc((size_t)e->n_rewards * e->n + 1, sizeof *e->before);
    e->after = calloc((size_t)e->n_rewards * e->n + 1, sizeof *e->after);
    e->shown_before = calloc(e->n_shown + 1, r->bytes);
    e->shown_after = calloc(e->n_shown + 1, r->bytes);
    if (!e->prompts || !e->before || !e->after || !e->shown_before || !e->shown_after)
        return tl_err_set(err, TL_FAIL, "out of memory");
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

/* Of samples [first, first + n): the first few pictures of the first few prompts. */
static void keep_shown(const struct tl_prdp_run *r, struct tl_prdp_eval *e, const uint8_t *rgb, size_t first,
                       size_t n, bool after)
{
    size_t samples = (size_t)r->p->eval_samples, each = samples < TL_PRDP_SHOWN ? samples : TL_PRDP_SHOWN;
    for (size_t k = 0; k < e->n_shown; k++) {
        size_t sample = k / each * samples + k % each;
        if (sample < first || sample >= first + n) continue;
        memcpy((after ? e->shown_after : e->shown_before) + k * r->bytes, rgb + (sample - first) * r->bytes,
               r->bytes);
    }
}

/* Samples [first, first + n) of the reading. */
static bool read_piece(struct tl_prdp_run *r, struct tl_prdp_eval *e, size_t first, size_t n, bool after,
                       float *latents, uint8_t *rgb, struct tl_err *err)
{
    struct eval_user user = {r, e, first};
    struct tl_prdp_conditions c = {.context = eval_context, .user = &user};
    double *out = (after ? e->after : e->before) + first;
    if (!tl_prdp_trainer_sample(r->trainer, &c, n, r->job->seed + 1, e->first + (uint32_t)first, false,
                                latents, err) ||
        !tl_prdp_decode(r, latents, n, rgb, err))
        return false;
    user.first = 0; /* scores number samples from the beginning */
    if (!tl_prdp_score(r, r->reward, rgb, first, n, eval_prompt, &user, out, NULL, err)) return false;
    if (r->held_out &&
        !tl_prdp_score(r, r->held_out, rgb, first, n, eval_prompt, &user, out + e->n, NULL, err))
        return false;
    keep_shown(r, e, rgb, first, n, after);
    return true;
}

bool tl_prdp_eval_read(struct tl_prdp_run *r, struct tl_prdp_eval *e, bool after, struct tl_err *err)
{
    size_t most = (size_t)r->trainer->p.batch;
    float *latents = malloc(most * r->trainer->dim * sizeof *latents);
    uint8_t *rgb = malloc(most * r->bytes);
    bool ok = (latents && rgb) || tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t i = 0; ok && i < e->n; i += most) {
        size_t n = e->n - i < most ? e->n - i : most;
        ok = (after || tl_interrupt_check("reading the untouched model", err)) &&
             read_piece(r, e, i, n, after, latents, rgb, err);
    }
    if (!ok) tl_err_add(err, "%s prompts", e->name);
    free(latents);
    free(rgb);
    return ok;
}
