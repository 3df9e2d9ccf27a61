/* Sequential Monte Carlo over k particles of one group: log-weights, effective sample size, resampling, the
 * estimate of the normaliser. It holds no samples and knows nothing of what they are: whoever does gathers
 * every piece of their state by the ancestors that it gives.
 *
 *     logw_i += log G_i + log p - log tau                     tl_smc_weigh
 *     where ESS < threshold k:  logZ += logsumexp(logw) - log k; ancestors; logw = 0        tl_smc_resample
 *     at the end                logZ + logsumexp(logw) - log k                              tl_smc_log_z
 *
 * E[exp(logZ)] = Z for every k, scheme and threshold. Weights that are not resampled are carried on. All in
 * double, in logarithms: no reward is too large. Random numbers are keyed by (seed, group, event), so a
 * group's course does not depend on the others'. Not thread-safe.
 * Source: Del Moral, Doucet & Jasra 2006; Singhal et al. 2025, algorithm 1. */
#ifndef TL_ALGO_SMC_H
#define TL_ALGO_SMC_H

#include <tiller/err.h>

#include "algo/resample.h"

struct tl_smc_params {
    size_t n;                             /* k: particles; at least 1 */
    const struct tl_resampler *resampler; /* static */
    double ess_threshold; /* share of k, 0 .. 1, below which is resampled; 1: wherever weights differ; 0:
                             never */
    uint64_t seed;
    uint32_t group; /* keys the draws */
};

struct tl_smc {
    struct tl_smc_params p;
    double *log_weight; /* [n] since the last resampling; owned */
    size_t *ancestors;  /* [n] of the last resampling; owned */
    double log_z;       /* of the resamplings so far */
    size_t n_resampled;
    double *weight;  /* [n] scratch, then the normalised weights of the last look; owned */
    size_t *scratch; /* [n]; owned */
};

/* TL_USAGE on a bad parameter. A zeroed struct may be finished. */
bool tl_smc_init(struct tl_smc *smc, const struct tl_smc_params *params, struct tl_err *err);
void tl_smc_finish(struct tl_smc *smc);

/* Adds [n] to the log-weights. TL_NUMERIC where one is NaN or +infinity, or where all become -infinity; a
 * single -infinity is a particle that is impossible. */
bool tl_smc_weigh(struct tl_smc *smc, const double *log_g, struct tl_err *err);

/* Effective sample size 1 / sum w^2 of the normalised weights, 1 .. n. */
double tl_smc_ess(struct tl_smc *smc);

/* Normalised weights, [n], borrowed until the next call. */
const double *tl_smc_weights(struct tl_smc *smc);

/* Resamples where the threshold asks for it, never where all log-weights are equal. True: smc->ancestors is
 * what to gather by, weights are equal again. event: the step, which keys the draw. */
bool tl_smc_resample(struct tl_smc *smc, uint32_t event);

/* Estimate of log Z with the weights as they stand. */
double tl_smc_log_z(struct tl_smc *smc);

/* Different numbers among ancestors [n]: how many lineages are left after a resampling. */
size_t tl_smc_unique(const size_t *ancestors, size_t n);

#endif
