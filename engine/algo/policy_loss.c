#include "algo/policy_loss.h"

#include <math.h>

#include "base/checked.h"

static bool check_sizes(const struct tl_policy_params *p, const char *what, size_t *out_n, struct tl_err *err)
{
    size_t cells;
    if (p->n_groups < 1 || p->group_size < 1 || p->n_steps < 1 || p->dim < 1)
        return tl_err_set(err, TL_USAGE, "%s of %zu prompts, %zu steps, %zu values: nothing to learn from",
                          what, p->n_groups, p->n_steps, p->dim);
    if (!(p->clip >= 0))
        return tl_err_set(err, TL_USAGE, "clip is %g, expected >= 0 (or infinity for none)", p->clip);
    if (!tl_checked_mul(p->n_groups, p->group_size, out_n) || !tl_checked_mul(*out_n, p->n_steps, &cells) ||
        !tl_checked_mul(cells, sizeof(double), &cells))
        return tl_err_set(err, TL_USAGE, "%s of %zu prompts of %zu samples is too large", what, p->n_groups,
                          p->group_size);
    return true;
}

bool tl_policy_loss_check(const struct tl_policy_params *p, const char *what, const char *signal_name,
                          const double *ratio, const double *old_ratio, const double *signal, size_t *out_n,
                          struct tl_err *err)
{
    if (!check_sizes(p, what, out_n, err)) return false;
    for (size_t i = 0; i < *out_n; i++) {
        if (!isfinite(signal[i]))
            return tl_err_set(err, TL_NUMERIC, "%s of sample %zu is %g", signal_name, i, signal[i]);
        for (size_t t = 0; t < p->n_steps; t++) {
            double r = ratio[i * p->n_steps + t], old = old_ratio[i * p->n_steps + t];
            if (!isfinite(r) || !isfinite(old))
                return tl_err_set(err, TL_NUMERIC,
                                  "log-ratio of sample %zu at step %zu is %g (snapshot's %g)", i, t, r, old);
        }
    }
    return true;
}

void tl_policy_loss_observe(const struct tl_policy_params *p, size_t n, const double *ratio,
                            const double *old_ratio, double *out_s, struct tl_policy_stats *stats)
{
    double weight = p->reduce_steps == TL_LOG_RATIO_MEAN ? 1 / (double)p->n_steps : 1, total = 0;
    for (size_t i = 0; i < n; i++) {
        double s = 0;
        for (size_t t = 0; t < p->n_steps; t++) {
            double r = ratio[i * p->n_steps + t], old = old_ratio[i * p->n_steps + t];
            s += r;
            stats->ratio_max = fmax(stats->ratio_max, fabs(r));
            stats->drift_max = fmax(stats->drift_max, fabs(r - old));
        }
        total += s;
        out_s[i] = s * weight;
    }
    stats->ratio_mean = total / tl_policy_loss_cells(p, n);
    stats->kl_nats = total / (double)n * (p->reduce_dims == TL_LOG_RATIO_MEAN ? (double)p->dim : 1);
}

double tl_policy_loss_cells(const struct tl_policy_params *p, size_t n)
{
    return (double)n * (double)(p->n_live ? p->n_live : p->n_steps);
}

double tl_policy_loss_correlation(const struct tl_policy_params *p, const double *s, const double *signal)
{
    double ss = 0, rr = 0, sr = 0;
    for (size_t g = 0; g < p->n_groups; g++) {
        const double *gs = s + g * p->group_size, *gr = signal + g * p->group_size;
        double ms = 0, mr = 0;
        for (size_t i = 0; i < p->group_size; i++) {
            ms += gs[i];
            mr += gr[i];
        }
        ms /= (double)p->group_size;
        mr /= (double)p->group_size;
        for (size_t i = 0; i < p->group_size; i++) {
            ss += (gs[i] - ms) * (gs[i] - ms);
            rr += (gr[i] - mr) * (gr[i] - mr);
            sr += (gs[i] - ms) * (gr[i] - mr);
        }
    }
    return ss > 0 && rr > 0 ? sr / sqrt(ss * rr) : 0;
}
