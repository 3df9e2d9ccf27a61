/* Small statistics of scores, in double: means with standard errors, paired differences, bootstrap intervals,
 * correlation.
 *
 * Standard deviations divide by n - 1. `cluster` arrays give each value's prompt (any numbers): samples of
 * one prompt are not independent, so an error that ignores them is too small. Values must be finite; NaN in
 * gives NaN out. */
#ifndef TL_METRICS_STATS_H
#define TL_METRICS_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

/* Two-pass sums in order, so the same data give the same bits. NaN for n = 0. */
double tl_stats_mean(const double *x, size_t n);

/* Sample standard deviation, and sd / sqrt(n). NaN for n < 2. */
double tl_stats_sd(const double *x, size_t n);
double tl_stats_se(const double *x, size_t n);

/* Cluster-robust standard error of the mean of x: sqrt(G/(G-1) sum_g (sum_{i in g} (x_i - mean))^2) / n over
 * the G clusters; with one value a cluster it is tl_stats_se. False: fewer than two clusters, or no memory.
 */
bool tl_stats_clustered_se(const double *x, const uint32_t *cluster, size_t n, double *out_se,
                           struct tl_err *err);

/* after[i] - before[i] of n pairs (same prompt, same seed). */
struct tl_stats_paired {
    size_t n, n_clusters; /* n_clusters = n without clusters */
    double mean, sd;      /* of the difference */
    double se;            /* plain */
    double clustered_se;  /* by prompt; equals se without clusters */
    double
        z; /* mean / clustered_se; +-infinity where the error is 0 and the mean is not; 0 for no difference */
};

/* cluster [n] or NULL. False: n < 2, one cluster only, a value that is not finite (TL_NUMERIC, names the
 * pair). */
bool tl_stats_paired_difference(const double *after, const double *before, const uint32_t *cluster, size_t n,
                                struct tl_stats_paired *out, struct tl_err *err);

/* A statistic of a resample, for the bootstrap; NULL means the mean. */
typedef double (*tl_stats_fn)(void *user, const double *x, size_t n);

struct tl_stats_bootstrap_params {
    uint64_t seed; /* stream TL_RNG_BOOTSTRAP, replicate = sample: any replicate can be redrawn alone */
    uint32_t n_replicates;   /* 0 means 2000 */
    double level;            /* 0 means 0.95 */
    const uint32_t *cluster; /* [n] or NULL: whole clusters are drawn, so a resample's size may vary */
    tl_stats_fn statistic;
    void *user;
};

/* Percentile interval: the (1 - level)/2 and (1 + level)/2 quantiles of the replicates. */
bool tl_stats_bootstrap(const double *x, size_t n, const struct tl_stats_bootstrap_params *p, double *out_low,
                        double *out_high, struct tl_err *err);

/* Quantile q in [0, 1] of sorted x, linear between order statistics (numpy's default). NaN for n = 0. */
double tl_stats_quantile(const double *sorted, size_t n, double q);

/* Pearson's correlation in [-1, 1]; NaN for n < 2 or where one of them does not vary. */
double tl_stats_pearson(const double *x, const double *y, size_t n);

#endif
