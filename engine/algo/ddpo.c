#include "algo/ddpo.h"

#include <math.h>
#include <stdlib.h>

/* Shared frame: checks, stats, the scratch for sums over steps. */
static double *begin(const struct tl_policy_params *p, const double *ratio, const double *old_ratio,
                     const double *advantages, size_t *out_n, struct tl_policy_stats *stats,
                     struct tl_err *err)
{
    if (!tl_policy_loss_check(p, "DDPO", "advantage", ratio, old_ratio, advantages, out_n, err)) return NULL;
    double *s = malloc(*out_n * sizeof *s);
    if (!s) {
        tl_err_set(err, TL_FAIL, "no memory for the losses of %zu samples", *out_n);
        return NULL;
    }
    tl_policy_loss_observe(p, *out_n, ratio, old_ratio, s, stats);
    stats->correlation = tl_policy_loss_correlation(p, s, advantages);
    return s;
}

bool tl_ddpo_loss(const struct tl_policy_params *p, const double *ratio, const double *old_ratio,
                  const double *advantages, double *out_d_ratio, struct tl_policy_stats *out_stats,
                  struct tl_err *err)
{
    size_t n = 0, n_outside = 0;
    struct tl_policy_stats stats = {0};
    double *s = begin(p, ratio, old_ratio, advantages, &n, &stats, err);
    if (!s) return false;
    free(s);
    double cells = tl_policy_loss_cells(p, n);
    for (size_t k = 0; k < n * p->n_steps; k++) {
        double a = advantages[k / p->n_steps], rho = exp(ratio[k] - old_ratio[k]);
        if (!isfinite(a * rho))
            return tl_err_set(
                err, TL_NUMERIC,
                "the ratio of sample %zu at step %zu to its snapshot is exp(%g): the policy moved "
                "too far in one epoch; try a lower --lr or fewer --passes",
                k / p->n_steps, k % p->n_steps, ratio[k] - old_ratio[k]);
        double kept = fmin(fmax(rho, 1 - p->clip), 1 + p->clip);
        stats.loss += fmax(-a * rho, -a * kept) / cells;
        n_outside += kept != rho;
    }
    if (out_d_ratio)
        for (size_t k = 0; k < n * p->n_steps; k++) {
            double a = advantages[k / p->n_steps], rho = exp(ratio[k] - old_ratio[k]);
            bool blocked = a > 0 ? rho > 1 + p->clip : rho < 1 - p->clip;
            out_d_ratio[k] = blocked ? 0 : -a * rho / cells;
        }
    stats.clip_fraction = (double)n_outside / cells;
    if (out_stats) *out_stats = stats;
    return true;
}

bool tl_ddpo_plain_loss(const struct tl_policy_params *p, const double *ratio, const double *old_ratio,
                        const double *advantages, double *out_d_ratio, struct tl_policy_stats *out_stats,
                        struct tl_err *err)
{
    size_t n = 0;
    struct tl_policy_stats stats = {0};
    double *s = begin(p, ratio, old_ratio, advantages, &n, &stats, err);
    if (!s) return false;
    free(s);
    double cells = tl_policy_loss_cells(p, n);
    for (size_t k = 0; k < n * p->n_steps; k++) stats.loss -= advantages[k / p->n_steps] * ratio[k] / cells;
    if (out_d_ratio)
        for (size_t k = 0; k < n * p->n_steps; k++) out_d_ratio[k] = -advantages[k / p->n_steps] / cells;
    if (out_stats) *out_stats = stats;
    return true;
}
