/* 95 % intervals of metrics, over items (files), never over rows: windows of one sound are not independent.
 *
 * Means: Student's t below TL_INTERVAL_FEW files, where a bootstrap's percentiles are too narrow (of two
 * files they are the files themselves), else a bootstrap over files. Frechet distances, kernel distances and
 * Vendi: the jackknife, since a bootstrap's duplicates look like lost diversity and bias all three. Items are
 * dealt to groups; the value without group g is theta_g; var = (G - 1)/G sum (theta_g - mean theta)^2, for
 * two sets the sum of both; interval = value -+ t se, t of Student with G - 1 degrees (Welch-Satterthwaite
 * for two sets). Kernel distances take every item as a group, which costs nothing beside the value; Frechet
 * distances and Vendi take up to n_groups, each of which costs another distance.
 *
 * The interval says how far the value would move with other items drawn in the same number. It does not
 * hold the bias of a Frechet distance (upward, about c / n) nor Vendi's growth with n. A reference given as
 * statistics has no items and counts as exact. Sources: Efron and Stein 1981 (the jackknife's variance is not
 * too small on average); Kott 2001, "The delete-a-group jackknife"; Wolter, Introduction to Variance
 * Estimation, 2007, chapter 4. */
#ifndef TL_METRICS_INTERVALS_H
#define TL_METRICS_INTERVALS_H

#include "metrics/fad_inf.h"
#include "metrics/frechet.h"
#include "metrics/mmd.h"
#include "metrics/vendi.h"

struct tl_interval {
    double low, high; /* NaN where there are too few items (fewer than 2 in all, or in a set), or where what
                         is left without some item is too small for the metric (it has nearly all rows) */
    double se;
    size_t n_groups;    /* left out one at a time (both sets together), or files resampled */
    const char *method; /* static: "bootstrap over files", "jackknife over items", ...; "none" where NaN */
};

enum { TL_INTERVAL_FEW = 20 };

struct tl_interval_params {
    bool none;       /* not wanted: "none", at once */
    double level;    /* 0 means 0.95 */
    size_t n_groups; /* of each set; 0 means 20 for dim <= 512, 10 above */
    uint64_t seed;   /* of the bootstrap and of who is in which group */
};

/* p NULL: all defaults, here and below. Values must be finite, and their squares, too (TL_NUMERIC). */
bool tl_interval_mean(const double *x, size_t n, const struct tl_interval_params *p, struct tl_interval *out,
                      struct tl_err *err);

/* `value` is the value that the interval is put round (tl_frechet.value and so on). An interval's low end
 * below what the metric can be is kept: Frechet's at 0, Vendi's at 1. */
bool tl_interval_frechet(struct tl_frechet_side a, struct tl_frechet_side b, double value,
                         const struct tl_interval_params *p, struct tl_pool *pool, struct tl_interval *out,
                         struct tl_err *err);

/* Kernel distances: KID (kernel of tl_kid_kernel, unbiased, scale 1; also round the mean of subsets), KAD
 * (kernel of tl_kad_kernel, which stays fixed; unbiased, TL_KAD_SCALE), CMMD (TL_CMMD_KERNEL on unit rows,
 * biased, TL_CMMD_SCALE). */
bool tl_interval_mmd(const struct tl_features *x, const struct tl_features *y, const struct tl_kernel *kernel,
                     bool unbiased, double scale, double value, const struct tl_interval_params *p,
                     struct tl_pool *pool, struct tl_interval *out, struct tl_err *err);

bool tl_interval_vendi(const struct tl_features *x, const struct tl_vendi_params *v, double value,
                       const struct tl_interval_params *p, struct tl_pool *pool, struct tl_interval *out,
                       struct tl_err *err);

/* Jackknife of the evaluated set's items (and not of the reference): n_groups times n_sizes distances, dear.
 */
bool tl_interval_fad_inf(struct tl_frechet_side reference, const struct tl_features *evaluated,
                         const struct tl_fad_inf_params *f, double value, const struct tl_interval_params *p,
                         struct tl_pool *pool, struct tl_interval *out, struct tl_err *err);

/* Two-sided quantile: P(|T| < t) = level for Student's t with dof > 0 degrees (need not be whole). */
double tl_student_quantile(double level, double dof);

#endif
