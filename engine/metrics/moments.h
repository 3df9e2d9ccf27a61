/* Mean and covariance of embeddings, in double: streamed, mergeable, and the Gaussian that a Frechet distance
 * compares.
 *
 * Rows are gathered to blocks of TL_MOMENTS_BLOCK; a block is centred on its own mean and merged into the
 * whole by Chan's update, so that a large mean costs no digits and results equal two passes to 1e-10. The
 * result depends on the order of the rows, not on how calls cut them nor on the number of threads.
 * Covariances have the divisor n - 1.
 * Source: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances"
 * (1979): S_ab = S_a + S_b + (m_a - m_b)(m_a - m_b)^T n_a n_b / (n_a + n_b). */
#ifndef TL_METRICS_MOMENTS_H
#define TL_METRICS_MOMENTS_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

#include "base/thread.h"
#include "metrics/features.h"

enum { TL_MOMENTS_BLOCK = 256 };

/* N(mu, sigma) estimated from n rows, or given. Owns its arrays; zero is empty. */
struct tl_gaussian {
    size_t dim;
    size_t n;      /* rows behind it; 0: not known (statistics from a file) */
    double *mu;    /* [dim] */
    double *sigma; /* [dim][dim], symmetric */
};

void tl_gaussian_finish(struct tl_gaussian *g); /* frees, and leaves it empty */

/* Copies of mu [dim] and sigma [dim][dim]. False: dim 0, a value that is not finite, a sigma that is not
 * symmetric (to 1e-6 of its trace; the mean of both halves is taken) or has a negative diagonal:
 * TL_BAD_INPUT. */
bool tl_gaussian_init(struct tl_gaussian *g, size_t dim, size_t n, const double *mu, const double *sigma,
                      struct tl_err *err);

/* Of all rows of x. False: fewer than two rows (TL_BAD_INPUT), a value that is not finite (names row and
 * item). pool may be NULL everywhere in this folder: the caller's thread works alone. */
bool tl_gaussian_from_features(struct tl_gaussian *g, const struct tl_features *x, struct tl_pool *pool,
                               struct tl_err *err);

/* The running state. Owns its arrays; zero is empty. */
struct tl_moments {
    size_t dim;
    size_t n;        /* rows merged so far, without those that wait */
    double *mean;    /* [dim] */
    double *scatter; /* [dim][dim], lower triangle: sum of (x - mean)(x - mean)^T */
    float *waiting;  /* [TL_MOMENTS_BLOCK][dim] */
    size_t n_waiting;
};

bool tl_moments_init(struct tl_moments *m, size_t dim, struct tl_err *err);
void tl_moments_finish(struct tl_moments *m);

/* n more rows [n][dim]. False: a value that is not finite (names the row, counted from the first one of all
 * calls). */
bool tl_moments_add(struct tl_moments *m, const float *x, size_t n, struct tl_pool *pool, struct tl_err *err);

/* Rows of `from` after those of m; their waiting rows are merged first, so that this equals one pass up to
 * rounding. */
bool tl_moments_merge(struct tl_moments *m, struct tl_moments *from, struct tl_pool *pool,
                      struct tl_err *err);

/* Takes the rows of `part` away again: `part` must have been among those of m, and be at most half of them,
 * or cancellation costs digits. For jackknives. */
bool tl_moments_remove(struct tl_moments *m, struct tl_moments *part, struct tl_pool *pool,
                       struct tl_err *err);

/* A copy of the state as a Gaussian. False: fewer than two rows. */
bool tl_moments_gaussian(struct tl_moments *m, struct tl_pool *pool, struct tl_gaussian *out,
                         struct tl_err *err);

#endif
