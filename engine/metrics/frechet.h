/* Frechet distance between Gaussians: FID, FAD, and their like.
 *
 *     d^2 = |mu_a - mu_b|^2 + tr A + tr B - 2 tr (A B)^(1/2)
 *
 * No root of the sum, no scale. tr (A B)^(1/2) is computed as the nuclear norm of R_a R_b^T, where
 * R^T R is the covariance: R is the Cholesky factor of a given covariance (with pivoting where it is
 * singular), or, where a set has no more rows than dimensions, its n - 1 Helmert contrasts over
 * sqrt(n - 1), which is the Gram form and never makes a dim x dim matrix. Singular values are taken as roots
 * of eigenvalues of the smaller Gram matrix where that is accurate, and from a bidiagonalisation where it is
 * not. So nothing is ever complex, and a set against itself gives 0 to about 1e-12 of its trace.
 *
 * Against the reference tools: pytorch-fid, clean-fid and frechet-audio-distance take scipy's general root of
 * A B, fadtk its general eigenvalues. With n > dim all agree to about 1e-8 of tr A + tr B. With singular
 * covariances theirs carry noise of the root of machine precision, 1e-7 relative in the spec's vectors, and
 * where their root is not finite they add 1e-6 to both diagonals, which is not done here.
 * Sources: shared specs dragon-and-audio-metrics.md 2.1, prdp-and-rewards.md 4.9, fad-encoders.md 5; Dowson
 * and Landau 1982; Heusel et al. 2017; Kilgour et al. 2019. */
#ifndef TL_METRICS_FRECHET_H
#define TL_METRICS_FRECHET_H

#include "metrics/moments.h"

struct tl_frechet {
    double value;                   /* >= 0: a negative one within rounding is 0 here */
    double raw;                     /* before that */
    double mean_term;               /* |mu_a - mu_b|^2 */
    double trace_a, trace_b, cross; /* tr A, tr B, tr (A B)^(1/2) */
    size_t n_a, n_b, dim;           /* n 0: not known */
    size_t rank_a, rank_b;          /* of the covariances as computed */
    bool singular;                  /* rank_a < dim or rank_b < dim; always so where n <= dim: the value
                                       depends strongly on n, say so */
    bool gram;                      /* a set came in as its rows, not as its covariance */
};

enum tl_frechet_form {
    TL_FRECHET_AUTO = 0,   /* rows for sets with n <= dim, covariances else */
    TL_FRECHET_COVARIANCE, /* covariances always */
    TL_FRECHET_GRAM,       /* rows always; dear for n > dim */
};

/* False: dims that differ (TL_BAD_INPUT), a result below -1e-6 (tr A + tr B) (TL_NUMERIC), no memory. */
bool tl_frechet_gaussians(const struct tl_gaussian *a, const struct tl_gaussian *b, struct tl_pool *pool,
                          struct tl_frechet *out, struct tl_err *err);

/* A side is rows or a Gaussian: exactly one is not NULL. */
struct tl_frechet_side {
    const struct tl_features *rows;
    const struct tl_gaussian *gaussian;
};

/* Two rows or more each. As above; also values that are not finite. */
bool tl_frechet_sides(struct tl_frechet_side a, struct tl_frechet_side b, enum tl_frechet_form form,
                      struct tl_pool *pool, struct tl_frechet *out, struct tl_err *err);

bool tl_frechet_features(const struct tl_features *a, const struct tl_features *b, struct tl_pool *pool,
                         struct tl_frechet *out, struct tl_err *err);

/* One item's rows against a reference (per-song FAD; fadtk's --indiv). */
struct tl_frechet_item {
    double value;      /* NaN where there is an error */
    size_t n_rows;     /* values of items with unequal numbers of rows do not compare: bias falls with n */
    const char *error; /* static text, or NULL */
};

/* out [x->n_items]. An item with fewer than two rows or values that are not finite has its own error and the
 * others go on. False: nothing can be said (dims, memory). */
bool tl_frechet_per_item(const struct tl_features *x, struct tl_frechet_side reference, struct tl_pool *pool,
                         struct tl_frechet_item *out, struct tl_err *err);

#endif
