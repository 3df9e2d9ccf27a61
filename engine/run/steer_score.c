/* Samples on their way, or at their end, to rewards. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/steer_parts.h"

enum { NAME = 80 };

size_t tl_steer_network_evaluations(const struct tl_steer *s)
{
    return (size_t)s->p->sample.steps + 3 * s->n_guided;
}

bool tl_steer_has_rewards(const struct tl_steer *s, size_t step)
{
    return s->guided[step] && s->by_lens && s->p->draws == 1;
}

size_t tl_steer_reward_evaluations(const struct tl_steer *s)
{
    size_t n = 1 + 3 * s->n_guided, draws = (size_t)s->p->draws;
    for (size_t i = 0; i < (size_t)s->p->sample.steps; i++)
        if (s->scored[i] && !tl_steer_has_rewards(s, i)) n += draws;
    return n;
}

static bool is_final(const struct tl_steer *s, const struct tl_steer_look *look)
{
    return look->step >= (size_t)s->p->sample.steps;
}

/* "particle 2 of prompt 5 at step 8" */
static void name(const struct tl_steer *s, const struct tl_steer_look *look, size_t i, char out[NAME])
{
    size_t at = look->first + i;
    int n = snprintf(out, NAME, "particle %zu of prompt %zu", at % s->k, at / s->k);
    if (!is_final(s, look) && n > 0) snprintf(out + n, NAME - (size_t)n, " at step %zu", look->step);
}

/* Scores of n latents as 8-bit pictures, as `tiller score` would see them. */
static bool score_pictures(struct tl_steer *s, const struct tl_steer_look *look, const float *latents,
                           uint8_t *rgb, double *total, double *parts, struct tl_err *err)
{
    const struct tl_sample_model *m = &s->model;
    struct tl_reward_item *items = calloc(look->n, sizeof *items);
    char(*names)[NAME] = malloc(look->n * sizeof *names);
    bool ok = (items && names) || tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && tl_latent_codec_decode(m->codec, latents, look->n, m->h, m->w, NULL, rgb, err);
    for (size_t i = 0; ok && i < look->n; i++) {
        name(s, look, i, names[i]);
        items[i] = (struct tl_reward_item){.name = names[i],
                                           .prompt = s->inputs.prompts[(look->first + i) / s->k].text,
                                           .rgb = rgb + i * m->bytes,
                                           .width = m->width,
                                           .height = m->height};
    }
    ok = ok && tl_reward_set_score(s->reward, items, look->n, total, parts, err);
    free(names);
    free(items);
    return ok;
}

/* The same on the device; nothing becomes a byte. */
static bool score_on_device(struct tl_steer *s, const struct tl_steer_look *look, const float *latents,
                            double *total, double *parts, struct tl_err *err)
{
    const char **prompts = tl_steer_prompts(s, look->first, look->n);
    bool ok = prompts || tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && (tl_reward_lens_score(s->lens, latents, prompts, look->n, total, parts, err) ||
                tl_err_add(err, "step %zu, counted from particle %zu of prompt %zu", look->step,
                           look->first % s->k, look->first / s->k));
    free((void *)prompts);
    return ok;
}

/* rgb NULL: no pictures are wanted. */
static bool score_latents(struct tl_steer *s, const struct tl_steer_look *look, const float *latents,
                          uint8_t *rgb, double *total, double *parts, struct tl_err *err)
{
    return rgb ? score_pictures(s, look, latents, rgb, total, parts, err)
               : score_on_device(s, look, latents, total, parts, err);
}

/* Draw d around the predictions: unit-variance latents have a posterior of variance 1 - alpha_bar. */
static void draw(const struct tl_steer *s, const struct tl_steer_look *look, size_t d, float *out)
{
    size_t dim = s->model.dim;
    float spread = (float)sqrt(1 - s->model.steps[look->step].alpha_t);
    for (size_t i = 0; i < look->n; i++) {
        float *x = out + i * dim;
        const float *x0 = look->x0 + i * dim;
        tl_rng_normal((struct tl_rng_key){s->job->seed, TL_RNG_DRAWS, look->numbers[i], (uint32_t)look->step},
                      (uint32_t)(d * dim), dim, x);
        for (size_t e = 0; e < dim; e++) x[e] = x0[e] + spread * x[e];
    }
}

struct draws {
    size_t n;       /* of each sample */
    float *latents; /* of one draw */
    double *total;  /* [n of the look][n] */
    double *row;    /* [n of the look], then its parts */
};

static bool score_draws(struct tl_steer *s, const struct tl_steer_look *look, struct draws *d, uint8_t *rgb,
                        double *total, double *parts, struct tl_err *err)
{
    size_t n_parts = tl_reward_set_count(s->reward);
    double *row_parts = d->row + look->n;
    for (size_t i = 0; parts && i < look->n * n_parts; i++) parts[i] = 0;
    for (size_t k = 0; k < d->n; k++) {
        draw(s, look, k, d->latents);
        if (!score_latents(s, look, d->latents, rgb, d->row, row_parts, err))
            return tl_err_add(err, "draw %zu", k);
        for (size_t i = 0; i < look->n; i++) d->total[i * d->n + k] = d->row[i];
        for (size_t i = 0; parts && i < look->n * n_parts; i++) parts[i] += row_parts[i] / (double)d->n;
    }
    for (size_t i = 0; i < look->n; i++)
        total[i] = tl_potential_value(s->p->lambda, d->total + i * d->n, d->n);
    return true;
}

static bool score(struct tl_steer *s, const struct tl_steer_look *look, uint8_t *rgb, double *total,
                  double *parts, struct tl_err *err)
{
    size_t n = look->n, dim = s->model.dim;
    if (is_final(s, look) || s->p->draws == 1)
        return score_latents(s, look, look->x0, rgb, total, parts, err);
    struct draws d = {.n = (size_t)s->p->draws};
    d.latents = malloc(n * dim * sizeof *d.latents);
    d.total = malloc(n * d.n * sizeof *d.total);
    d.row = malloc(n * (1 + tl_reward_set_count(s->reward)) * sizeof *d.row);
    bool ok = (d.latents && d.total && d.row) || tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && score_draws(s, look, &d, rgb, total, parts, err);
    free(d.latents);
    free(d.total);
    free(d.row);
    return ok;
}

bool tl_steer_score(struct tl_steer *s, const struct tl_steer_look *look, double *out_total,
                    double *out_parts, uint8_t *out_rgb, struct tl_err *err)
{
    enum tl_steer_work before = s->work;
    tl_steer_begin_work(s, TL_STEER_REWARDS);
    bool pictures = out_rgb || !s->by_lens || is_final(s, look);
    uint8_t *rgb = out_rgb || !pictures ? out_rgb : malloc(look->n * s->model.bytes);
    bool ok = rgb || !pictures || tl_err_set(err, TL_FAIL, "out of memory for %zu pictures", look->n);
    ok = ok && score(s, look, rgb, out_total, out_parts, err);
    if (!out_rgb) free(rgb);
    tl_steer_begin_work(s, before);
    return ok;
}
