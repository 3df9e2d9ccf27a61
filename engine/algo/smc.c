#include "algo/smc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

static bool check_params(const struct tl_smc_params *p, struct tl_err *err)
{
    if (p->n < 1) return tl_err_set(err, TL_USAGE, "there are 0 particles; give 1 or more");
    if (!p->resampler) return tl_err_set(err, TL_USAGE, "there is no resampler");
    if (!(p->ess_threshold >= 0 && p->ess_threshold <= 1))
        return tl_err_set(err, TL_USAGE,
                          "the threshold of the effective sample size is %g; give a share of the particles, "
                          "0 (never resample) to 1 (always)",
                          p->ess_threshold);
    return true;
}

bool tl_smc_init(struct tl_smc *smc, const struct tl_smc_params *params, struct tl_err *err)
{
    size_t n = params->n, bytes;
    *smc = (struct tl_smc){.p = *params};
    if (!check_params(params, err)) return false;
    if (!tl_checked_mul(n, sizeof(double) + sizeof(size_t), &bytes))
        return tl_err_set(err, TL_USAGE, "%zu particles are too many", n);
    smc->log_weight = calloc(n, sizeof *smc->log_weight);
    smc->weight = calloc(n, sizeof *smc->weight);
    smc->ancestors = calloc(n, sizeof *smc->ancestors);
    smc->scratch = calloc(n, sizeof *smc->scratch);
    if (!smc->log_weight || !smc->weight || !smc->ancestors || !smc->scratch) {
        tl_smc_finish(smc);
        return tl_err_set(err, TL_FAIL, "out of memory for %zu particles", n);
    }
    for (size_t i = 0; i < n; i++) smc->ancestors[i] = i;
    return true;
}

void tl_smc_finish(struct tl_smc *smc)
{
    free(smc->log_weight);
    free(smc->weight);
    free(smc->ancestors);
    free(smc->scratch);
    *smc = (struct tl_smc){0};
}

bool tl_smc_weigh(struct tl_smc *smc, const double *log_g, struct tl_err *err)
{
    bool possible = false;
    for (size_t i = 0; i < smc->p.n; i++) {
        double w = smc->log_weight[i] + log_g[i];
        if (isnan(w) || w == INFINITY)
            return tl_err_set(err, TL_NUMERIC,
                              "particle %zu of group %u: log-weight %g plus %g is not a number; is a reward "
                              "infinite, or lambda too large?",
                              i, (unsigned)smc->p.group, smc->log_weight[i], log_g[i]);
        possible |= w > -INFINITY;
    }
    if (!possible)
        return tl_err_set(err, TL_NUMERIC, "group %u: all %zu particles have weight 0",
                          (unsigned)smc->p.group, smc->p.n);
    for (size_t i = 0; i < smc->p.n; i++) smc->log_weight[i] += log_g[i];
    return true;
}

static double largest(const struct tl_smc *smc)
{
    double top = smc->log_weight[0];
    for (size_t i = 1; i < smc->p.n; i++) top = fmax(top, smc->log_weight[i]);
    return top;
}

/* logsumexp(logw) - log k; with all weights equal exactly that weight. */
static double log_mean_weight(const struct tl_smc *smc)
{
    double top = largest(smc), sum = 0;
    for (size_t i = 0; i < smc->p.n; i++) sum += exp(smc->log_weight[i] - top);
    return top + log(sum / (double)smc->p.n);
}

const double *tl_smc_weights(struct tl_smc *smc)
{
    double top = largest(smc), sum = 0;
    for (size_t i = 0; i < smc->p.n; i++) sum += smc->weight[i] = exp(smc->log_weight[i] - top);
    for (size_t i = 0; i < smc->p.n; i++) smc->weight[i] /= sum;
    return smc->weight;
}

double tl_smc_ess(struct tl_smc *smc)
{
    double top = largest(smc), sum = 0, squares = 0;
    for (size_t i = 0; i < smc->p.n; i++) {
        double w = exp(smc->log_weight[i] - top);
        sum += w;
        squares += w * w;
    }
    return sum * sum / squares; /* unnormalised: exactly n for equal weights */
}

static bool all_equal(const struct tl_smc *smc)
{
    for (size_t i = 1; i < smc->p.n; i++)
        if (smc->log_weight[i] != smc->log_weight[0]) return false;
    return true;
}

bool tl_smc_resample(struct tl_smc *smc, uint32_t event)
{
    const struct tl_smc_params *p = &smc->p;
    if (all_equal(smc)) return false;
    /* at 1 nothing is asked of the ESS: weights may differ by so little that it rounds to n */
    if (p->ess_threshold < 1 && tl_smc_ess(smc) >= p->ess_threshold * (double)p->n) return false;
    struct tl_rng_key key = {.seed = p->seed, .stream = TL_RNG_RESAMPLE, .sample = p->group, .step = event};
    smc->log_z += log_mean_weight(smc);
    p->resampler->draw(tl_smc_weights(smc), p->n, key, smc->ancestors);
    tl_resample_settle(smc->ancestors, p->n, smc->scratch);
    memset(smc->log_weight, 0, p->n * sizeof *smc->log_weight);
    smc->n_resampled++;
    return true;
}

double tl_smc_log_z(struct tl_smc *smc)
{
    return smc->log_z + log_mean_weight(smc);
}

/* Quadratic, without memory of its own: groups are small. */
size_t tl_smc_unique(const size_t *ancestors, size_t n)
{
    size_t unique = 0;
    for (size_t i = 0; i < n; i++) {
        size_t j = 0;
        while (ancestors[j] != ancestors[i]) j++;
        unique += j == i;
    }
    return unique;
}
