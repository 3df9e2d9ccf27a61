/* Kernel distances: KID, KAD, CMMD, all of them the squared maximum mean discrepancy under some kernel.
 *
 *     unbiased: sum_{i != j} k(x_i, x_j) / (m (m - 1)) + the same of y - 2 mean k(x_i, y_j)   (may be
 * negative) biased:   mean k(x_i, x_j) + mean k(y_i, y_j) - 2 mean k(x_i, y_j), the diagonals taken along
 *
 * All in double, by tiles of TL_MMD_TILE x TL_MMD_TILE that threads share; sums are per tile and row in fixed
 * order, so results do not depend on threads; memory is a copy of the rows and some vectors, never m x n.
 * Time is dim (m^2 + n^2 + 2 m n) flops. */
#ifndef TL_METRICS_MMD_H
#define TL_METRICS_MMD_H

#include <stdint.h>

#include "base/thread.h"
#include "metrics/features.h"

enum { TL_MMD_TILE = 256 };

enum tl_kernel_kind {
    TL_KERNEL_POLYNOMIAL,          /* (gamma x.y + coef)^degree */
    TL_KERNEL_GAUSSIAN,            /* exp(-gamma |x - y|^2) */
    TL_KERNEL_INVERSE_QUADRATIC,   /* 1 / (1 + gamma |x - y|^2) */
    TL_KERNEL_INVERSE_MULTIQUADRIC /* 1 / sqrt(1 + gamma |x - y|^2) */
};

struct tl_kernel {
    enum tl_kernel_kind kind;
    double gamma, coef;
    unsigned degree;
};

/* Leave-one-item-out values come from the same pass as the value: give arrays [x->n_items], [y->n_items] or
 * NULL. A leave-out of which too little is left is NaN. */
struct tl_mmd {
    double value;
    double *without_x, *without_y;
};

/* value and the leave-outs are multiplied by scale. False: dims that differ or too few rows for the estimator
 * (two each where unbiased, one where biased): TL_BAD_INPUT; values that are not finite: TL_NUMERIC. */
bool tl_mmd(const struct tl_features *x, const struct tl_features *y, const struct tl_kernel *kernel,
            bool unbiased, double scale, struct tl_pool *pool, struct tl_mmd *out, struct tl_err *err);

/* ---- KID (Binkowski et al. 2018) -------------------------------------------------------------------------
 * Polynomial kernel, by default (x.y / dim + 1)^3. Means over subsets are clean-fid's and torchmetrics' way;
 * n_subsets 0 is the unbiased value on all rows, which has no drawing noise and is what the subsets
 * estimate. clean-fid's result is `mean` with n_subsets 100, subset_size 1000, `shrink` (subsets no
 * larger than the smaller set); torchmetrics gives mean and deviation
 * (divisor n) over its subsets, and refuses subsets larger than a set (no `shrink`). */
struct tl_kid_params {
    unsigned degree; /* 0 means 3 */
    double gamma;    /* 0 means 1 / dim */
    double coef;     /* NaN means 1; beware that 0 is 0 */
    size_t n_subsets, subset_size;
    bool shrink;   /* subset_size becomes min(subset_size, n_x, n_y); else too large is TL_USAGE */
    uint64_t seed; /* stream TL_RNG_SUBSET, sample = subset, step 0 for x and 1 for y; without replacement */
    const uint32_t *subset_x, *subset_y; /* [n_subsets][size after shrinking] rows, or NULL: drawn */
};
#define TL_KID_DEFAULT ((struct tl_kid_params){.degree = 3, .coef = 1})
#define TL_KID_CLEAN_FID                                                                                     \
    ((struct tl_kid_params){.degree = 3, .coef = 1, .n_subsets = 100, .subset_size = 1000, .shrink = true})
#define TL_KID_TORCHMETRICS                                                                                  \
    ((struct tl_kid_params){.degree = 3, .coef = 1, .n_subsets = 100, .subset_size = 1000})

struct tl_kid {
    double mean; /* over the subsets; or the one value */
    double sd_n; /* standard deviation over subsets, divisor n_subsets (torchmetrics); NaN without subsets */
    size_t subset_size;
};

bool tl_kid(const struct tl_features *x, const struct tl_features *y, const struct tl_kid_params *p,
            struct tl_pool *pool, struct tl_kid *out, struct tl_err *err);

/* The kernel of p for rows of this width, for tl_mmd and intervals. */
struct tl_kernel tl_kid_kernel(const struct tl_kid_params *p, size_t dim);

/* ---- KAD (Chung et al. 2025, arXiv 2502.15602) -----------------------------------------------------------
 * 100 x unbiased, gamma = 1 / (2 bandwidth^2 + 1e-8). */
enum tl_kad_bandwidth {
    TL_KAD_REFERENCE = 0, /* lower median distance between rows of the reference: comparable across systems */
    TL_KAD_EVALUATED,     /* of the evaluated set: kadtk 1.1.0, against its paper (its issue 9) */
    TL_KAD_GIVEN
};

struct tl_kad_params {
    enum tl_kernel_kind kind; /* any but the polynomial one; 0 (polynomial) means gaussian */
    enum tl_kad_bandwidth from;
    double bandwidth; /* with TL_KAD_GIVEN: > 0 */
};

/* The kernel with its bandwidth found; *out_bandwidth may be NULL. */
bool tl_kad_kernel(const struct tl_features *reference, const struct tl_features *evaluated,
                   const struct tl_kad_params *p, struct tl_pool *pool, struct tl_kernel *out,
                   double *out_bandwidth, struct tl_err *err);

bool tl_kad(const struct tl_features *reference, const struct tl_features *evaluated,
            const struct tl_kad_params *p, struct tl_pool *pool, double *out_value, double *out_bandwidth,
            struct tl_err *err);

/* Lower median (torch.median's: element (N - 1) / 2 of N sorted) of the distances of all pairs of rows. Exact
 * for any n: found by counting over the bits of the squared distances, then among the few that are left; two
 * to three passes over the pairs. False: fewer than two rows; not finite. */
bool tl_median_distance(const struct tl_features *x, struct tl_pool *pool, double *out, struct tl_err *err);

/* ---- CMMD (Jayasumana et al. 2024, arXiv 2401.09603) -----------------------------------------------------
 * 1000 x biased, gaussian with sigma 10 on unit vectors: k - 1 = expm1(-|x - y|^2 / 200), which keeps the
 * digits that the kernel's values near 1 would lose. Rows are normalised by the caller's encoder, or here
 * with `normalise` (a zero row is TL_NUMERIC). */
#define TL_CMMD_KERNEL ((struct tl_kernel){.kind = TL_KERNEL_GAUSSIAN, .gamma = 1.0 / 200})
#define TL_CMMD_SCALE  1000.0
#define TL_KAD_SCALE   100.0
bool tl_cmmd(const struct tl_features *x, const struct tl_features *y, bool normalise, struct tl_pool *pool,
             struct tl_mmd *out, struct tl_err *err);

#endif
