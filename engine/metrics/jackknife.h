/* Values of set metrics without one group of items each: what the intervals are made of. Items are dealt to
 * n_groups >= 2 groups of nearly equal numbers by a permutation of `seed`. out [n_groups]. A leave-out that
 * is too small for the metric is NaN; any other failure is one. */
#ifndef TL_METRICS_JACKKNIFE_H
#define TL_METRICS_JACKKNIFE_H

#include "metrics/fad_inf.h"
#include "metrics/vendi.h"

/* Where a set has more rows than dimensions, its scatter less that of the group: n dim^2 flops for all groups
 * together, and the distance for each. */
bool tl_jackknife_frechet(const struct tl_features *x, struct tl_frechet_side other, size_t n_groups,
                          uint64_t seed, struct tl_pool *pool, double *out, struct tl_err *err);

bool tl_jackknife_vendi(const struct tl_features *x, const struct tl_vendi_params *v, size_t n_groups,
                        uint64_t seed, struct tl_pool *pool, double *out, struct tl_err *err);

/* The samples stay what they were, less the rows of the group: drawn anew, their noise would count
 * n_groups-fold. */
bool tl_jackknife_fad_inf(struct tl_frechet_side reference, const struct tl_features *x,
                          const struct tl_fad_inf_params *f, size_t n_groups, uint64_t seed,
                          struct tl_pool *pool, double *out, struct tl_err *err);

#endif
