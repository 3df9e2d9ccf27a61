/* FAD-infinity: Frechet distances of samples of growing size, extrapolated to infinitely many rows.
 *
 * A Frechet distance of n rows is biased upward by about c / n. Sizes n_k, equally spaced from n_min to N,
 * are drawn from the evaluated set; d^2(n) = a + b / n is fitted by least squares; a is the result. Drawn
 * without replacement, a has lost the bias of the evaluated set (that of the reference stays). fadtk and
 * kadtk draw with replacement, which measures the bias toward this very set and leaves its own bias in
 * (spec 2.6: .2247 left of .2268, against -.009): `replace` reproduces them.
 * Sources: Chong and Forsyth 2020 (FID-infinity); Gui et al. 2023, arXiv 2311.01616; specs
 * dragon-and-audio-metrics.md 2.6. */
#ifndef TL_METRICS_FAD_INF_H
#define TL_METRICS_FAD_INF_H

#include <stdint.h>

#include "metrics/frechet.h"

struct tl_fad_inf_params {
    size_t n_sizes; /* 0 means 25 */
    size_t
        n_min; /* 0 means 500; N below 500 or n_min is refused (TL_BAD_INPUT): the line does not fit there */
    bool replace;         /* fadtk's way */
    bool allow_small;     /* take N below 500 all the same, down to n_min (at least 2) */
    uint64_t seed;        /* stream TL_RNG_SUBSET, sample = number of the size */
    const uint32_t *rows; /* drawn rows of all sizes one after the other (tl_fad_inf_size each), or NULL */
};

struct tl_fad_inf {
    double value;     /* a; may be negative */
    double slope, r2; /* b; R^2 of the fit (NaN where the values do not vary) */
    double se;        /* of a, from the residuals of the fit alone: no measure of the sampling error */
    size_t n_min, n_max, n_sizes;
};

/* Size k of n_sizes from n_min to n: numpy's linspace, cut to an integer as fadtk does. */
size_t tl_fad_inf_size(size_t n_min, size_t n, size_t n_sizes, size_t k);

/* out_sizes, out_values [n_sizes] or NULL. False: too few rows, drawn rows out of range, what
 * tl_frechet_sides refuses. */
bool tl_fad_inf(struct tl_frechet_side reference, const struct tl_features *evaluated,
                const struct tl_fad_inf_params *p, struct tl_pool *pool, struct tl_fad_inf *out,
                size_t *out_sizes, double *out_values, struct tl_err *err);

/* The samples themselves: sizes [n_sizes], and the rows of all one after the other. Owns its arrays. */
struct tl_fad_inf_plan {
    size_t n_sizes, *sizes;
    uint32_t *rows;
};

bool tl_fad_inf_plan_init(struct tl_fad_inf_plan *plan, size_t n, const struct tl_fad_inf_params *p,
                          struct tl_err *err);
void tl_fad_inf_plan_finish(struct tl_fad_inf_plan *plan);

/* As tl_fad_inf, on these samples. */
bool tl_fad_inf_of_plan(struct tl_frechet_side reference, const struct tl_features *evaluated,
                        const struct tl_fad_inf_plan *plan, struct tl_pool *pool, struct tl_fad_inf *out,
                        double *out_values, struct tl_err *err);

/* Least squares of value = a + b / size. */
bool tl_fad_inf_fit(const size_t *sizes, const double *values, size_t n_sizes, struct tl_fad_inf *out,
                    struct tl_err *err);

#endif
