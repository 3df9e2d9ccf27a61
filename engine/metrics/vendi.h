/* Vendi score: the effective number of different items in a set, with no reference.
 *
 *     l = eigenvalues of K / n, k(x, x) = 1;   order 1: exp(-sum l log l);   order q: (sum l^q)^(1/(1-q));
 *     infinity: 1 / max l;   order 0: how many l are not 0
 *
 * Between 1 and n, unchanged where every item is doubled, growing with n: compare at equal n only.
 * Eigenvalues below 1e-12 count as 0; a sum off 1 by more than 1e-6 is an error (the kernel is not
 * normalised). Sources: Friedman and Dieng 2023 (arXiv 2210.02410), Pasarkar and Dieng 2023 for other orders;
 * specs dragon-and-audio-metrics.md 5.5. */
#ifndef TL_METRICS_VENDI_H
#define TL_METRICS_VENDI_H

#include "base/thread.h"
#include "metrics/features.h"

enum tl_vendi_form {
    TL_VENDI_AUTO = 0, /* the smaller matrix */
    TL_VENDI_PRIMAL,   /* K / n, n x n */
    TL_VENDI_DUAL,     /* X^T X / n, dim x dim */
};

struct tl_vendi_params {
    double q; /* >= 0, INFINITY allowed; note that 0 is order 0: TL_VENDI_DEFAULT has 1 */
    enum tl_vendi_form form;
};
#define TL_VENDI_DEFAULT ((struct tl_vendi_params){.q = 1})

/* Cosine kernel: rows are scaled to length 1 first. False: no rows, a zero row (TL_NUMERIC, names it), values
 * that are not finite. */
bool tl_vendi_features(const struct tl_features *x, const struct tl_vendi_params *p, struct tl_pool *pool,
                       double *out, struct tl_err *err);

/* Any kernel: k [n][n] symmetric with ones on the diagonal. */
bool tl_vendi_kernel(const double *k, size_t n, double q, double *out, struct tl_err *err);

#endif
