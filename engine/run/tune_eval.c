/* Readings of fixed prompts with fixed noise: of the untouched model, in between, at the end. */
#include <stdlib.h>
#include <string.h>

#include <tiller/interrupt.h>
#include <tiller/log.h>

#include "run/tune.h"

struct eval_user {
    const struct tl_tune *r;
    const struct tl_tune_eval *e;
    size_t first; /* sample of the piece that is being read */
};

static size_t prompt_index(const struct tl_tune *r, size_t sample)
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
    return u->e->prompts[prompt_index(u->r, sample)];
}

static bool reading_init(const struct tl_tune *r, const struct tl_tune_eval *e, struct tl_tune_reading *out)
{
    out->rewards = calloc((size_t)e->n_rewards * e->n + 1, sizeof *out->rewards);
    out->shown = calloc(e->n_shown + 1, r->bytes);
    return out->rewards && out->shown;
}

bool tl_tune_eval_init(struct tl_tune *r, struct tl_tune_eval *e, const char *name,
                       const struct tl_prompts *prompts, size_t most, uint32_t first, struct tl_err *err)
{
    *e = (struct tl_tune_eval){
        .name = name, .first = first, .n_prompts = prompts->n, .n_rewards = r->held_out ? 2 : 1};
    if (e->n_prompts > most) {
        e->n_prompts = most;
        tl_log(TL_LOG_INFO, "%s prompts: the first %zu of %zu are read before and after", name, most,
               prompts->n);
    }
    size_t samples = (size_t)r->p->eval_samples;
    e->n = e->n_prompts * samples;
    size_t shown_prompts = e->n_prompts < TL_TUNE_SHOWN_PROMPTS ? e->n_prompts : TL_TUNE_SHOWN_PROMPTS;
    e->n_shown = shown_prompts * tl_tune_shown_each(r);
    e->embedder = tl_reward_set_embed_dim(r->reward) > 0                    ? r->reward
                  : r->held_out && tl_reward_set_embed_dim(r->held_out) > 0 ? r->held_out
                                                                            : NULL;
    e->embed_dim = e->embedder ? tl_reward_set_embed_dim(e->embedder) : 0;
    e->prompts = malloc((e->n_prompts + 1) * sizeof *e->prompts);
    e->best.rgb = calloc(TL_TUNE_EXTREMES, r->bytes);
    e->worst.rgb = calloc(TL_TUNE_EXTREMES, r->bytes);
    e->embeddings = e->embed_dim ? calloc(e->n * e->embed_dim, sizeof *e->embeddings) : NULL;
    if (!e->prompts || !e->best.rgb || !e->worst.rgb || (e->embed_dim && !e->embeddings) ||
        !reading_init(r, e, &e->start) || !reading_init(r, e, &e->now))
        return tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t i = 0; i < e->n_prompts; i++) e->prompts[i] = prompts->items[i].text;
    return tl_pipeline_encode(r->pipeline, e->prompts, e->n_prompts, &e->encoding, err);
}

void tl_tune_eval_finish(struct tl_tune_eval *e)
{
    tl_encoding_finish(&e->encoding);
    free(e->prompts);
    free(e->start.rewards);
    free(e->start.shown);
    free(e->now.rewards);
    free(e->now.shown);
    free(e->best.rgb);
    free(e->worst.rgb);
    free(e->embeddings);
    *e = (struct tl_tune_eval){0};
}

size_t tl_tune_shown_each(const struct tl_tune *r)
{
    return r->p->eval_samples < TL_TUNE_SHOWN ? (size_t)r->p->eval_samples : TL_TUNE_SHOWN;
}

size_t tl_tune_shown_sample(const struct tl_tune *r, size_t k)
{
    size_t each = tl_tune_shown_each(r);
    return k / each * (size_t)r->p->eval_samples + k % each;
}

/* Of samples [first, first + n): the first few pictures of the first few prompts. */
static void keep_shown(const struct tl_tune *r, const struct tl_tune_eval *e, const uint8_t *rgb,
                       size_t first, size_t n, struct tl_tune_reading *out)
{
    for (size_t k = 0; k < e->n_shown; k++) {
        size_t sample = tl_tune_shown_sample(r, k);
        if (sample < first || sample >= first + n) continue;
        memcpy(out->shown + k * r->bytes, rgb + (sample - first) * r->bytes, r->bytes);
    }
}

/* Takes a picture in if it is among the best; sign -1: among the worst. Equal ones stay in order. */
static void keep_extreme(struct tl_tune_extremes *x, const double *rewards, double sign, size_t sample,
                         const uint8_t *rgb, size_t bytes)
{
    size_t at = x->n;
    while (at > 0 && sign * rewards[sample] > sign * rewards[x->sample[at - 1]]) at--;
    if (at >= TL_TUNE_EXTREMES) return;
    size_t moved = (x->n < TL_TUNE_EXTREMES ? x->n : TL_TUNE_EXTREMES - 1) - at;
    memmove(x->sample + at + 1, x->sample + at, moved * sizeof *x->sample);
    memmove(x->rgb + (at + 1) * bytes, x->rgb + at * bytes, moved * bytes);
    x->sample[at] = sample;
    memcpy(x->rgb + at * bytes, rgb, bytes);
    if (x->n < TL_TUNE_EXTREMES) x->n++;
}

/* Samples [first, first + n) of the reading. */
static bool read_piece(struct tl_tune *r, struct tl_tune_eval *e, size_t first, size_t n,
                       struct tl_tune_reading *out, float *latents, uint8_t *rgb, struct tl_err *err)
{
    struct eval_user user = {r, e, first};
    struct tl_policy_conditions c = {.context = eval_context, .user = &user};
    if (!tl_policy_trainer_sample(r->trainer, &c, n, r->job->seed + 1, e->first + (uint32_t)first, false,
                                  latents, err) ||
        !tl_tune_decode(r, latents, n, rgb, err))
        return false;
    const struct tl_tune_pictures pictures = {rgb, first, n, eval_prompt, &user};
    if (!tl_tune_score(r, r->reward, &pictures, out->rewards + first, NULL, err)) return false;
    if (r->held_out && !tl_tune_score(r, r->held_out, &pictures, out->rewards + e->n + first, NULL, err))
        return false;
    if (e->embed_dim && !tl_tune_embed(r, e->embedder, &pictures, e->embeddings + first * e->embed_dim, err))
        return false;
    keep_shown(r, e, rgb, first, n, out);
    for (size_t i = 0; i < n; i++) {
        keep_extreme(&e->best, out->rewards, 1, first + i, rgb + i * r->bytes, r->bytes);
        keep_extreme(&e->worst, out->rewards, -1, first + i, rgb + i * r->bytes, r->bytes);
    }
    return true;
}

/* Mean over prompts of the mean over pairs of 1 - cosine. */
static double diversity(const struct tl_tune *r, const struct tl_tune_eval *e)
{
    size_t samples = (size_t)r->p->eval_samples, dim = e->embed_dim;
    double sum = 0;
    for (size_t g = 0; g < e->n_prompts; g++)
        for (size_t i = 0; i < samples; i++)
            for (size_t j = i + 1; j < samples; j++) {
                const float *a = e->embeddings + (g * samples + i) * dim,
                            *b = e->embeddings + (g * samples + j) * dim;
                double dot = 0;
                for (size_t k = 0; k < dim; k++) dot += (double)a[k] * (double)b[k];
                sum += 1 - dot;
            }
    return sum / ((double)e->n_prompts * (double)(samples * (samples - 1) / 2));
}

bool tl_tune_eval_read(struct tl_tune *r, struct tl_tune_eval *e, bool start, struct tl_err *err)
{
    size_t most = (size_t)r->trainer->p.batch;
    struct tl_tune_reading *out = start ? &e->start : &e->now;
    float *latents = malloc(most * r->trainer->dim * sizeof *latents);
    uint8_t *rgb = malloc(most * r->bytes);
    bool ok = (latents && rgb) || tl_err_set(err, TL_FAIL, "out of memory");
    e->best.n = e->worst.n = 0;
    for (size_t i = 0; ok && i < e->n; i += most) {
        size_t n = e->n - i < most ? e->n - i : most;
        ok = tl_interrupt_check("training", err) && read_piece(r, e, i, n, out, latents, rgb, err);
    }
    if (ok && e->embed_dim) out->diversity = diversity(r, e);
    if (!ok) tl_err_add(err, "%s prompts", e->name);
    free(latents);
    free(rgb);
    return ok;
}
