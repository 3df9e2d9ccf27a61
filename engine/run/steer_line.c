/* What is told of a group: an event a scored step, and its line of steer.jsonl. */
#include <string.h>

#include "run/run_folder_inner.h"
#include "run/steer_compare.h"
#include "run/steer_crowd.h"

static cJSON *numbers(const double *x, size_t n)
{
    return cJSON_CreateDoubleArray(x, (int)n);
}

/* [item(c, 0), ... item(c, n - 1)] with `first` added to the places; NULL: out of memory. */
static cJSON *list_of(const struct tl_steer_crowd *c, size_t first, size_t n,
                      cJSON *(*item)(const struct tl_steer_crowd *c, size_t i))
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = first; list && i < first + n; i++) {
        cJSON *one = item(c, i);
        if (one && cJSON_AddItemToArray(list, one)) continue;
        cJSON_Delete(one);
        cJSON_Delete(list);
        return NULL;
    }
    return list;
}

/* By the particle's place in its group. */
static cJSON *ancestor_of(const struct tl_steer_crowd *c, size_t i)
{
    return cJSON_CreateNumber((double)(c->ancestors[i] % c->s->k));
}

static cJSON *parts_of(const struct tl_steer_crowd *c, size_t i)
{
    size_t n = tl_reward_set_count(c->s->reward);
    return numbers(c->parts + i * n, n);
}

static cJSON *lineage_of(const struct tl_steer_crowd *c, size_t i)
{
    return cJSON_CreateNumber(c->lineages[i].log_g);
}

/* What guided steps gave the weights since they were last told, which they are now. */
static bool tell_ratios(struct tl_steer_crowd *c, size_t g, cJSON *o)
{
    size_t k = c->s->k;
    if (!c->ratios) return true;
    if (!tl_run_json_add(o, "log_ratios", numbers(c->ratios + g * k, k))) return false;
    memset(c->ratios + g * k, 0, k * sizeof *c->ratios);
    return true;
}

bool tl_steer_note_event(struct tl_steer_crowd *c, size_t g, const struct tl_steer_event *e,
                         struct tl_err *err)
{
    size_t k = c->s->k;
    cJSON *o = cJSON_CreateObject();
    bool ok =
        o && tl_run_json_add(o, "step", cJSON_CreateNumber((double)c->walk.k)) &&
        tl_run_json_add(o, "t", cJSON_CreateNumber((double)c->walk.run->steps[c->walk.k].t)) &&
        tl_run_json_add(o, "rewards", numbers(e->rewards, k)) && tell_ratios(c, g, o) &&
        tl_run_json_add(o, "log_weights", numbers(e->log_weights, k)) &&
        tl_run_json_add(o, "ess", cJSON_CreateNumber(e->ess)) &&
        tl_run_json_add(o, "resampled", cJSON_CreateBool(e->resampled)) &&
        tl_run_json_add(o, "ancestors", list_of(c, g * k, k, ancestor_of)) &&
        tl_run_json_add(o, "unique", cJSON_CreateNumber((double)tl_smc_unique(c->ancestors + g * k, k)));
    if (ok && cJSON_AddItemToArray(c->groups[g].events, o)) return true;
    cJSON_Delete(o);
    return tl_err_set(err, TL_FAIL, "out of memory");
}

static size_t best_of(double lambda, const double *rewards, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (tl_steer_is_better(lambda, rewards[i], rewards[best])) best = i;
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
              tl_run_json_add(o, "parts", list_of(c, g * k, k, parts_of)) &&
              tl_run_json_add(o, "log_weights", numbers(group->smc.log_weight, k)) &&
              tl_run_json_add(o, "weights", numbers(tl_smc_weights(&group->smc), k)) &&
              tl_run_json_add(o, "best", cJSON_CreateNumber((double)best_of(s->p->lambda, rewards, k))) &&
              tl_run_json_add(o, "log_z", cJSON_CreateNumber(tl_smc_log_z(&group->smc))) &&
              tl_run_json_add(o, "network_evaluations",
                              cJSON_CreateNumber((double)(k * tl_steer_network_evaluations(s)))) &&
              tl_run_json_add(o, "reward_evaluations",
                              cJSON_CreateNumber((double)(k * tl_steer_reward_evaluations(s)))) &&
              tl_run_json_add(o, "lineage_log_g", list_of(c, g * k, k, lineage_of)) && tell_ratios(c, g, o);
    if (ok && tl_run_json_add(o, "events", events)) return o;
    if (!ok) cJSON_Delete(events);
    cJSON_Delete(o);
    tl_err_set(err, TL_FAIL, "out of memory");
    return NULL;
}
