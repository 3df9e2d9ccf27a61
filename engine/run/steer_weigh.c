/* Weights: what scored steps and guided ones add to them, and who takes whose place. */
#include <stdlib.h>
#include <string.h>

#include "metrics/stats.h"
#include "run/steer_crowd.h"

/* Adds what a reward, in c->rewards, gives the group's weights. */
static bool weigh(struct tl_steer_crowd *c, size_t g, bool final, struct tl_err *err)
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
static bool resample(struct tl_steer_crowd *c, size_t g, bool *any, double *out_ess, struct tl_err *err)
{
    struct tl_smc *smc = &c->groups[g].smc;
    size_t k = c->s->k, at = g * k;
    if (!weigh(c, g, false, err)) return false;
    double *log_weights = malloc(k * sizeof *log_weights);
    if (!log_weights) return tl_err_set(err, TL_FAIL, "out of memory");
    memcpy(log_weights, smc->log_weight, k * sizeof *log_weights);
    struct tl_steer_event e = {.rewards = c->rewards + at, .log_weights = log_weights};
    e.ess = *out_ess = tl_smc_ess(smc);
    e.resampled = tl_smc_resample(smc, (uint32_t)c->walk.k);
    *any |= e.resampled;
    for (size_t i = 0; i < k; i++) c->ancestors[at + i] = at + (e.resampled ? smc->ancestors[i] : i);
    bool ok = tl_steer_note_event(c, g, &e, err);
    free(log_weights);
    return ok;
}

/* Everything that belongs to a particle goes with it. */
static void gather(struct tl_steer_crowd *c)
{
    tl_walk_gather(&c->walk, c->ancestors);
    memcpy(c->old, c->lineages, c->n * sizeof *c->old);
    for (size_t i = 0; i < c->n; i++) c->lineages[i] = c->old[c->ancestors[i]];
    if (c->shift) tl_walk_gather_rows(&c->walk, c->shift, c->ancestors);
}

bool tl_steer_score_step(struct tl_steer_crowd *c, bool has_rewards, struct tl_err *err)
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
    if (!has_rewards && !tl_steer_score(s, &look, c->rewards, NULL, NULL, err)) return false;
    for (size_t g = 0; g < c->n_groups; g++) {
        if (!tl_steer_keep_step(s, c->first + g, c->walk.k, c->walk.x0 + g * s->k * dim, err) ||
            !resample(c, g, &any, &ess, err))
            return false;
        sum += ess;
    }
    s->last_reward = tl_stats_mean(c->rewards, c->n);
    s->last_ess = sum / (double)c->n_groups;
    s->has_last = true;
    if (any) gather(c);
    return true;
}

bool tl_steer_weigh_end(struct tl_steer_crowd *c, size_t g, struct tl_err *err)
{
    return weigh(c, g, true, err);
}

bool tl_steer_weigh_ratios(struct tl_steer_crowd *c, const double *ratios, struct tl_err *err)
{
    for (size_t i = 0; i < c->n; i++) c->ratios[i] += ratios[i];
    for (size_t g = 0; g < c->n_groups; g++)
        if (!tl_smc_weigh(&c->groups[g].smc, ratios + g * c->s->k, err))
            return tl_err_add(err, "prompt %zu, guided step %zu", c->first + g, c->walk.k - 1);
    return true;
}
