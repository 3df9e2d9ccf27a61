/* What all groups of a steered run come to, from their lines. */
#include <math.h>
#include <stdlib.h>

#include "run/steer_parts.h"

static double number(const cJSON *object, const char *key)
{
    const cJSON *x = tl_json_get(object, key);
    return cJSON_IsNumber(x) ? x->valuedouble : 0;
}

static double at(const cJSON *list, size_t i)
{
    const cJSON *x = cJSON_GetArrayItem(list, (int)i);
    return cJSON_IsNumber(x) ? x->valuedouble : 0;
}

/* Different starts among those that the particles at the end come from. roots, next [k]: scratch. */
static size_t survivors(const cJSON *events, size_t k, size_t *roots, size_t *next)
{
    const cJSON *event;
    for (size_t j = 0; j < k; j++) roots[j] = j;
    cJSON_ArrayForEach(event, events)
    {
        const cJSON *ancestors = tl_json_get(event, "ancestors");
        if (!cJSON_IsTrue(tl_json_get(event, "resampled"))) continue;
        for (size_t j = 0; j < k; j++) {
            double from = at(ancestors, j);
            next[j] = roots[from >= 0 && from < (double)k ? (size_t)from : j];
        }
        for (size_t j = 0; j < k; j++) roots[j] = next[j];
    }
    return tl_smc_unique(roots, k);
}

static void add_events(const cJSON *events, struct tl_steer_totals *t)
{
    const cJSON *event;
    cJSON_ArrayForEach(event, events)
    {
        t->events++;
        t->ess += number(event, "ess");
        if (!cJSON_IsTrue(tl_json_get(event, "resampled"))) continue;
        t->resampled++;
        t->unique += number(event, "unique");
    }
}

static void add_group(const cJSON *line, size_t k, struct tl_steer_totals *t)
{
    const cJSON *rewards = tl_json_get(line, "rewards"), *weights = tl_json_get(line, "weights");
    double sum = 0;
    for (size_t j = 0; j < k; j++) {
        sum += at(rewards, j);
        t->reward_weighted += at(weights, j) * at(rewards, j);
    }
    t->reward_mean += sum / (double)k;
    t->reward_best += at(rewards, (size_t)number(line, "best"));
    t->log_z += number(line, "log_z");
    t->network_evaluations += number(line, "network_evaluations");
    t->reward_evaluations += number(line, "reward_evaluations");
    add_events(tl_json_get(line, "events"), t);
}

void tl_steer_sum_up(const struct tl_steer *s, struct tl_steer_totals *t)
{
    size_t *scratch = calloc(2 * s->k, sizeof *scratch);
    *t = (struct tl_steer_totals){0};
    for (size_t g = 0; g < s->n_groups; g++) {
        if (!s->lines[g]) continue;
        t->prompts++;
        t->pictures += s->k;
        add_group(s->lines[g], s->k, t);
        if (scratch)
            t->survivors +=
                (double)survivors(tl_json_get(s->lines[g], "events"), s->k, scratch, scratch + s->k);
    }
    double n = t->prompts ? (double)t->prompts : 1;
    t->reward_mean /= n;
    t->reward_weighted /= n;
    t->reward_best /= n;
    t->log_z /= n;
    t->survivors /= n;
    t->ess = t->events ? t->ess / (double)t->events : NAN;
    t->unique = t->resampled ? t->unique / (double)t->resampled : NAN;
    free(scratch);
}
