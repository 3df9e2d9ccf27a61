/* Groups of particles that walk the sampler together: predict, score, weigh, resample, step. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/interrupt.h>

#include "metrics/stats.h"
#include "run/run_folder_inner.h"
#include "run/steer_parts.h"
#include "sample/walk.h"

struct group {
    struct tl_smc smc;
    cJSON *events; /* owns */
};

struct crowd {
    struct tl_steer *s;
    size_t first, n_groups, n; /* first group; groups; samples */
    struct tl_sample_batch batch;
    struct tl_walk walk;
    struct group *groups;              /* [n_groups] */
    struct tl_lineage *lineages, *old; /* [n] each */
    size_t *ancestors;                 /* [n] of the walk */
    double *rewards, *log_g, *parts;   /* [n], [n], [n][parts] */
    uint8_t *rgb;                      /* [n][height][width][3] */
};

static bool allocate(struct crowd *c, struct tl_err *err)
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
    return true;
}

/* A group's draws are keyed by its first picture's number, so that it is the same in a run of its own. */
static bool begin(struct crowd *c, struct tl_err *err)
{
    struct tl_steer *s = c->s;
    if (!allocate(c, err) ||
        !tl_sample_batch_begin(&c->batch, &s->model, s->job->seed, c->first * s->k, c->n, err))
        return false;
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

static void finish(struct crowd *c)
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
}

/* ---- a scored step ---- */

static cJSON *numbers(const double *x, size_t n)
{
    return cJSON_CreateDoubleArray(x, (int)n);
}

static cJSON *counts(const size_t *x, size_t offset, size_t n)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < n; i++) {
        cJSON *item = cJSON_CreateNumber((double)(x[i] - offset));
        if (item && list && cJSON_AddItemToArray(list, item)) continue;
        cJSON_Delete(item);
        cJSON_Delete(list);
        return NULL;
    }
    return list;
}

struct event {
    const double *rewards, *log_weights; /* [k] */
    const size_t *ancestors;             /* [k], of the walk */
    double ess;
    bool resampled;
};

static bool note_event(struct crowd *c, size_t g, const struct event *e, struct tl_err *err)
{
    size_t k = c->s->k;
    cJSON *o = cJSON_CreateObject();
    bool ok = o && tl_run_json_add(o, "step", cJSON_CreateNumber((double)c->walk.k)) &&
              tl_run_json_add(o, "t", cJSON_CreateNumber((double)c->walk.run->steps[c->walk.k].t)) &&
              tl_run_json_add(o, "rewards", numbers(e->rewards, k)) &&
              tl_run_json_add(o, "log_weights", numbers(e->log_weights, k)) &&
              tl_run_json_add(o, "ess", cJSON_CreateNumber(e->ess)) &&
              tl_run_json_add(o, "resampled", cJSON_CreateBool(e->resampled)) &&
              tl_run_json_add(o, "ancestors", counts(e->ancestors, g * k, k)) &&
              tl_run_json_add(o, "unique", cJSON_CreateNumber((double)tl_smc_unique(e->ancestors, k)));
    if (ok && cJSON_AddItemToArray(c->groups[g].events, o)) return true;
    cJSON_Delete(o);
    return tl_err_set(err, TL_FAIL, "out of memory");
}

/* Adds what a reward, in c->rewards, gives the group's weights. */
static bool weigh(struct crowd *c, size_t g, bool final, struct tl_err *err)
{
    const struct tl_steer *s = c->s;
    double lambda = s->p->lambda;
    for (size_t i = g * s->k; i < (g + 1) * s->k; i++)
        c->log_g[i] = final ? tl_potential_end(lambda, c->rewards[i], &c->lineages[i])
                            : tl_potential_step(s->potential, lambda, c->rewards[i], &c->lineages[i]);
    return tl_smc_weigh(&c->groups[g].smc, c->log_g + g * s->k, err) ||
           tl_err_add(err, "prompt %zu", c->first + g);
}

/* Weighs group g and lets it resample; c->ancestors has its part. */
static bool resample(struct crowd *c, size_t g, bool *any, double *out_ess, struct tl_err *err)
{
    struct tl_smc *smc = &c->groups[g].smc;
    size_t k = c->s->k, at = g * k;
    if (!weigh(c, g, false, err)) return false;
    double *log_weights = malloc(k * sizeof *log_weights);
    if (!log_weights) return tl_err_set(err, TL_FAIL, "out of memory");
    memcpy(log_weights, smc->log_weight, k * sizeof *log_weights);
    struct event e = {.rewards = c->rewards + at, .log_weights = log_weights, .ancestors = c->ancestors + at};
    e.ess = *out_ess = tl_smc_ess(smc);
    e.resampled = tl_smc_resample(smc, (uint32_t)c->walk.k);
    *any |= e.resampled;
    for (size_t i = 0; i < k; i++) c->ancestors[at + i] = at + (e.resampled ? smc->ancestors[i] : i);
    bool ok = note_event(c, g, &e, err);
    free(log_weights);
    return ok;
}

static bool score_step(struct crowd *c, struct tl_err *err)
{
    struct tl_steer *s = c->s;
    size_t dim = s->model.dim;
    const struct tl_steer_look look = {.x0 = c->walk.x0,
                                       .first = c->first * s->k,
                                       .n = c->n,
                                       .step = c->walk.k,
                                       .numbers = c->batch.numbers};
    double ess = 0, sum = 0;
    bool any = false;
    if (!tl_steer_score(s, &look, c->rewards, NULL, NULL, err)) return false;
    for (size_t g = 0; g < c->n_groups; g++) {
        if (!tl_steer_keep_step(s, c->first + g, c->walk.k, c->walk.x0 + g * s->k * dim, err) ||
            !resample(c, g, &any, &ess, err))
            return false;
        sum += ess;
    }
    s->last_reward = tl_stats_mean(c->rewards, c->n);
    s->last_ess = sum / (double)c->n_groups;
    s->has_last = true;
    if (!any) return true;
    tl_walk_gather(&c->walk, c->ancestors);
    memcpy(c->old, c->lineages, c->n * sizeof *c->old);
    for (size_t i = 0; i < c->n; i++) c->lineages[i] = c->old[c->ancestors[i]];
    return true;
}

/* ---- the way, and its end ---- */

static void tell(struct crowd *c)
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

static bool walk(struct crowd *c, struct tl_err *err)
{
    struct tl_steer *s = c->s;
    while (c->walk.k < c->walk.run->n_steps) {
        tl_steer_begin_work(s, TL_STEER_NETWORK);
        if (!tl_interrupt_check("steering", err) || !tl_walk_predict(&c->walk, err)) return false;
        tl_steer_begin_work(s, TL_STEER_PARTICLES);
        if (s->scored[c->walk.k] && !score_step(c, err)) return false;
        tl_steer_begin_work(s, TL_STEER_SAMPLER);
        if (!tl_walk_advance(&c->walk, NULL, NULL, NULL, err)) return false;
        tl_steer_begin_work(s, TL_STEER_PARTICLES);
        tell(c);
    }
    return true;
}

static cJSON *parts_of(const struct crowd *c, size_t g)
{
    size_t k = c->s->k, n = tl_reward_set_count(c->s->reward);
    cJSON *list = cJSON_CreateArray();
    for (size_t i = g * k; i < (g + 1) * k; i++) {
        cJSON *row = numbers(c->parts + i * n, n);
        if (row && list && cJSON_AddItemToArray(list, row)) continue;
        cJSON_Delete(row);
        cJSON_Delete(list);
        return NULL;
    }
    return list;
}

static cJSON *lineages_of(const struct crowd *c, size_t g)
{
    size_t k = c->s->k;
    cJSON *list = cJSON_CreateArray();
    for (size_t i = g * k; i < (g + 1) * k; i++) {
        cJSON *item = cJSON_CreateNumber(c->lineages[i].log_g);
        if (item && list && cJSON_AddItemToArray(list, item)) continue;
        cJSON_Delete(item);
        cJSON_Delete(list);
        return NULL;
    }
    return list;
}

static size_t best_of(const double *rewards, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (rewards[i] > rewards[best]) best = i;
    return best;
}

/* The group's line of steer.jsonl; weights as they stand at the end. */
static cJSON *line_of(struct crowd *c, size_t g, struct tl_err *err)
{
    struct tl_steer *s = c->s;
    struct group *group = &c->groups[g];
    size_t k = s->k;
    const double *rewards = c->rewards + g * k;
    cJSON *o = cJSON_CreateObject(), *events = group->events;
    group->events = NULL;
    bool ok =
        o && tl_run_json_add(o, "group", cJSON_CreateNumber((double)(c->first + g))) &&
        tl_run_json_add_text(o, "prompt", s->inputs.prompts[c->first + g].text) &&
        tl_run_json_add(o, "rewards", numbers(rewards, k)) && tl_run_json_add(o, "parts", parts_of(c, g)) &&
        tl_run_json_add(o, "log_weights", numbers(group->smc.log_weight, k)) &&
        tl_run_json_add(o, "weights", numbers(tl_smc_weights(&group->smc), k)) &&
        tl_run_json_add(o, "best", cJSON_CreateNumber((double)best_of(rewards, k))) &&
        tl_run_json_add(o, "log_z", cJSON_CreateNumber(tl_smc_log_z(&group->smc))) &&
        tl_run_json_add(o, "network_evaluations", cJSON_CreateNumber((double)(k * c->walk.run->n_steps))) &&
        tl_run_json_add(o, "reward_evaluations",
                        cJSON_CreateNumber((double)(k * tl_steer_reward_evaluations(s)))) &&
        tl_run_json_add(o, "lineage_log_g", lineages_of(c, g));
    if (ok && tl_run_json_add(o, "events", events)) return o;
    if (!ok) cJSON_Delete(events);
    cJSON_Delete(o);
    tl_err_set(err, TL_FAIL, "out of memory");
    return NULL;
}

static bool end(struct crowd *c, struct tl_err *err)
{
    struct tl_steer *s = c->s;
    const struct tl_steer_look look = {
        .x0 = c->walk.x, .first = c->first * s->k, .n = c->n, .step = c->walk.k, .numbers = c->batch.numbers};
    if (!tl_steer_score(s, &look, c->rewards, c->parts, c->rgb, err)) return false;
    for (size_t g = 0; g < c->n_groups; g++) {
        if (s->lines[c->first + g]) continue;
        cJSON *line = weigh(c, g, true, err) ? line_of(c, g, err) : NULL;
        if (!line || !tl_steer_keep(s, c->first + g, line, c->rgb + g * s->k * s->model.bytes, err))
            return false;
    }
    return true;
}

bool tl_steer_walk(struct tl_steer *s, size_t first, size_t n, struct tl_err *err)
{
    struct crowd c = {.s = s, .first = first, .n_groups = n, .n = n * s->k};
    tl_steer_begin_work(s, TL_STEER_SAMPLER);
    bool ok = begin(&c, err) && walk(&c, err) && end(&c, err);
    tl_steer_begin_work(s, TL_STEER_PARTICLES);
    if (ok) s->n_drawn += c.n;
    finish(&c);
    return ok;
}
