/* What is told of a group: an event a scored step, and its line of steer.jsonl. */
#include <stdlib.h>

#include "run/run_folder_inner.h"
#include "run/steer_crowd.h"

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

bool tl_steer_note_event(struct tl_steer_crowd *c, size_t g, const struct tl_steer_event *e,
                         struct tl_err *err)
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

static cJSON *parts_of(const struct tl_steer_crowd *c, size_t g)
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

static cJSON *lineages_of(const struct tl_steer_crowd *c, size_t g)
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
cJSON *tl_steer_line(struct tl_steer_crowd *c, size_t g, struct tl_err *err)
{
    struct tl_steer *s = c->s;
    struct tl_steer_group *group = &c->groups[g];
    size_t k = s->k;
    const double *rewards = c->rewards + g * k;
    cJSON *o = cJSON_CreateObject(), *events = group->events;
    group->events = NULL;
    bool ok = o && tl_run_json_add(o, "group", cJSON_CreateNumber((double)(c->first + g))) &&
              tl_run_json_add_text(o, "prompt", s->inputs.prompts[c->first + g].text) &&
              tl_run_json_add(o, "rewards", numbers(rewards, k)) &&
              tl_run_json_add(o, "parts", parts_of(c, g)) &&
              tl_run_json_add(o, "log_weights", numbers(group->smc.log_weight, k)) &&
              tl_run_json_add(o, "weights", numbers(tl_smc_weights(&group->smc), k)) &&
              tl_run_json_add(o, "best", cJSON_CreateNumber((double)best_of(rewards, k))) &&
              tl_run_json_add(o, "log_z", cJSON_CreateNumber(tl_smc_log_z(&group->smc))) &&
              tl_run_json_add(o, "network_evaluations",
                              cJSON_CreateNumber((double)(k * tl_steer_network_evaluations(s)))) &&
              tl_run_json_add(o, "reward_evaluations",
                              cJSON_CreateNumber((double)(k * tl_steer_reward_evaluations(s)))) &&
              tl_run_json_add(o, "lineage_log_g", lineages_of(c, g));
    if (ok && tl_run_json_add(o, "events", events)) return o;
    if (!ok) cJSON_Delete(events);
    cJSON_Delete(o);
    tl_err_set(err, TL_FAIL, "out of memory");
    return NULL;
}
