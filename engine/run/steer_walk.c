/* Groups of particles that walk the sampler together: predict, score, weigh, resample, step. */
#include <stdio.h>
#include <stdlib.h>

#include <tiller/interrupt.h>

#include "run/steer_crowd.h"
#include "run/steer_guide.h"

static bool allocate(struct tl_steer_crowd *c, struct tl_err *err)
{
    struct tl_steer *s = c->s;
    c->groups = calloc(c->n_groups, sizeof *c->groups);
    c->lineages = calloc(c->n, sizeof *c->lineages);
    c->old = calloc(c->n, sizeof *c->old);
    c->ancestors = calloc(c->n, sizeof *c->ancestors);
    c->rewards = calloc(c->n, sizeof *c->rewards);
    c->log_g = calloc(c->n, sizeof *c->log_g);
    c->parts = calloc(c->n * tl_reward_set_count(s->reward), sizeof *c->parts);
    c->rgb = malloc(c->n * s->model.bytes);
    if (!c->groups || !c->lineages || !c->old || !c->ancestors || !c->rewards || !c->log_g || !c->parts ||
        !c->rgb)
        return tl_err_set(err, TL_FAIL, "out of memory for %zu particles", c->n);
    if (!s->n_guided) return true;
    c->prompts = calloc(c->n, sizeof *c->prompts);
    c->shift = calloc(c->n, s->model.dim * sizeof *c->shift);
    c->ratios = calloc(c->n, sizeof *c->ratios);
    return (c->prompts && c->shift && c->ratios) ||
           tl_err_set(err, TL_FAIL, "out of memory for %zu gradients", c->n);
}

/* A group's draws are keyed by its first picture's number, so that it is the same in a run of its own. */
static bool begin(struct tl_steer_crowd *c, struct tl_err *err)
{
    struct tl_steer *s = c->s;
    if (!allocate(c, err) ||
        !tl_sample_batch_begin(&c->batch, &s->model, s->job->seed, c->first * s->k, c->n, err))
        return false;
    for (size_t i = 0; c->prompts && i < c->n; i++)
        c->prompts[i] = s->inputs.prompts[c->first + i / s->k].text;
    for (size_t g = 0; g < c->n_groups; g++) {
        const struct tl_smc_params p = {.n = s->k,
                                        .resampler = s->resampler,
                                        .ess_threshold = s->p->ess,
                                        .seed = s->job->seed,
                                        .group = c->batch.numbers[g * s->k]};
        c->groups[g].events = cJSON_CreateArray();
        if (!c->groups[g].events) return tl_err_set(err, TL_FAIL, "out of memory");
        if (!tl_smc_init(&c->groups[g].smc, &p, err)) return false;
    }
    return tl_walk_begin(&c->walk, &c->batch.run, 0, c->n, err);
}

static void finish(struct tl_steer_crowd *c)
{
    for (size_t g = 0; c->groups && g < c->n_groups; g++) {
        tl_smc_finish(&c->groups[g].smc);
        cJSON_Delete(c->groups[g].events);
    }
    tl_walk_finish(&c->walk);
    tl_sample_batch_finish(&c->batch);
    free(c->groups);
    free(c->lineages);
    free(c->old);
    free(c->ancestors);
    free(c->rewards);
    free(c->log_g);
    free(c->parts);
    free(c->rgb);
    free((void *)c->prompts);
    free(c->shift);
    free(c->ratios);
}

static void tell(struct tl_steer_crowd *c)
{
    struct tl_steer *s = c->s;
    char health[96] = "";
    size_t steps = (size_t)s->p->sample.steps;
    if (s->has_last)
        snprintf(health, sizeof health, "reward %.3f, ESS %.1f of %zu, %zu of %zu prompts", s->last_reward,
                 s->last_ess, s->k, s->n_finished, s->n_groups);
    else
        snprintf(health, sizeof health, "%zu of %zu prompts", s->n_finished, s->n_groups);
    tl_progress_advance(&s->meter, (int64_t)(c->first * s->k * steps + c->n * c->walk.k), health);
}

/* Where the particles would rather be; the rewards of their predictions come with it. */
static bool look_ahead(struct tl_steer_crowd *c, struct tl_err *err)
{
    tl_steer_begin_work(c->s, TL_STEER_REWARDS);
    return tl_steer_guide_gradient(&c->walk, c->s->lens, c->prompts, c->rewards, c->shift, err) ||
           tl_err_add(err, "step %zu", c->walk.k);
}

static bool step(struct tl_steer_crowd *c, bool guided, struct tl_err *err)
{
    struct tl_steer *s = c->s;
    const struct tl_step *step = &c->walk.run->steps[c->walk.k];
    size_t n = c->n * c->walk.dim;
    if (!guided) return tl_walk_advance(&c->walk, NULL, NULL, NULL, err);
    return tl_steer_guide_shift(step, s->p->guide, s->p->lambda, n, c->shift, err) &&
           tl_walk_advance(&c->walk, c->shift, NULL, c->log_g, err) &&
           tl_steer_weigh_ratios(c, c->log_g, err);
}

static bool walk(struct tl_steer_crowd *c, struct tl_err *err)
{
    struct tl_steer *s = c->s;
    while (c->walk.k < c->walk.run->n_steps) {
        bool guided = s->guided[c->walk.k], scored = s->scored[c->walk.k];
        tl_steer_begin_work(s, TL_STEER_NETWORK);
        if (!tl_interrupt_check("steering", err) || !tl_walk_predict(&c->walk, err)) return false;
        if (guided && !look_ahead(c, err)) return false;
        tl_steer_begin_work(s, TL_STEER_PARTICLES);
        if (scored && !tl_steer_score_step(c, tl_steer_has_rewards(s, c->walk.k), err)) return false;
        tl_steer_begin_work(s, TL_STEER_SAMPLER);
        if (!step(c, guided, err)) return false;
        tl_steer_begin_work(s, TL_STEER_PARTICLES);
        tell(c);
    }
    return true;
}

static bool end(struct tl_steer_crowd *c, struct tl_err *err)
{
    struct tl_steer *s = c->s;
    const struct tl_steer_look look = {
        .x0 = c->walk.x, .first = c->first * s->k, .n = c->n, .step = c->walk.k, .numbers = c->batch.numbers};
    if (!tl_steer_score(s, &look, c->rewards, c->parts, c->rgb, err)) return false;
    for (size_t g = 0; g < c->n_groups; g++) {
        if (s->lines[c->first + g]) continue;
        cJSON *line = tl_steer_weigh_end(c, g, err) ? tl_steer_line(c, g, err) : NULL;
        if (!line || !tl_steer_keep(s, c->first + g, line, c->rgb + g * s->k * s->model.bytes, err))
            return false;
    }
    return true;
}

bool tl_steer_walk(struct tl_steer *s, size_t first, size_t n, struct tl_err *err)
{
    struct tl_steer_crowd c = {.s = s, .first = first, .n_groups = n, .n = n * s->k};
    tl_steer_begin_work(s, TL_STEER_SAMPLER);
    bool ok = begin(&c, err) && walk(&c, err) && end(&c, err);
    tl_steer_begin_work(s, TL_STEER_PARTICLES);
    if (ok) s->n_drawn += c.n;
    finish(&c);
    return ok;
}
