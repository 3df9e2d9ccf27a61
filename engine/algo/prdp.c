#include "algo/prdp.h"

#include <math.h>
#include <stdlib.h>

double tl_prdp_beta_nats(const struct tl_policy_params *p)
{
    double beta = p->beta;
    if (p->reduce_dims == TL_LOG_RATIO_MEAN) beta /= (double)p->dim;
    if (p->reduce_steps == TL_LOG_RATIO_MEAN) beta /= (double)p->n_steps;
    return beta;
}

static bool check_params(const struct tl_policy_params *p, struct tl_err *err)
{
    if (p->group_size < 2)
        return tl_err_set(err, TL_USAGE,
                          "PRDP compares samples of one prompt: %zu a prompt is too few, take 2 or more",
                          p->group_size);
    return (p->beta > 0 && isfinite(p->beta)) ||
           tl_err_set(err, TL_USAGE, "beta is %g, expected > 0", p->beta);
}

static double clamp_step(double r, double old, double clip)
{
    double low = old - clip, high = old + clip;
    return r < low ? low : r > high ? high : r;
}

/* Each sample's sum over steps of the clipped ratios. */
static void clipped_sums(const struct tl_policy_params *p, size_t n, const double *ratio,
                         const double *old_ratio, double *out_c, struct tl_policy_stats *stats)
{
    double weight = p->reduce_steps == TL_LOG_RATIO_MEAN ? 1 / (double)p->n_steps : 1;
    size_t n_outside = 0;
    for (size_t i = 0; i < n; i++) {
        double c = 0;
        for (size_t t = 0; t < p->n_steps; t++) {
            double r = ratio[i * p->n_steps + t], old = old_ratio[i * p->n_steps + t];
            double kept = clamp_step(r, old, p->clip);
            n_outside += kept != r;
            c += kept;
        }
        out_c[i] = c * weight;
    }
    stats->clip_fraction = (double)n_outside / tl_policy_loss_cells(p, n);
}

struct pair_counts {
    size_t pairs, clipped, ties;
};

/* Sum of one group's pair losses. Adds its derivatives by s_i and c_i, times scale, to d_s and d_c. */
static double group_pairs(const struct tl_policy_params *p, const double *s, const double *c,
                          const double *rewards, double scale, double *d_s, double *d_c,
                          struct pair_counts *counts)
{
    double sum = 0;
    for (size_t i = 0; i < p->group_size; i++) {
        for (size_t j = i + 1; j < p->group_size; j++) {
            bool tied = rewards[i] == rewards[j];
            counts->ties += tied;
            if (tied && p->ties == TL_POLICY_TIES_DROP) continue;
            double target = (rewards[i] - rewards[j]) / p->beta;
            double plain = s[i] - s[j] - target, held = c[i] - c[j] - target;
            bool clipped = held * held > plain * plain;
            double error = clipped ? held : plain, *d = clipped ? d_c : d_s;
            sum += error * error;
            d[i] += 2 * scale * error;
            d[j] -= 2 * scale * error;
            counts->pairs++;
            counts->clipped += clipped;
        }
    }
    return sum;
}

static size_t untied_pairs(const struct tl_policy_params *p, const double *rewards)
{
    size_t n = 0;
    for (size_t i = 0; i < p->group_size; i++)
        for (size_t j = i + 1; j < p->group_size; j++) n += rewards[i] != rewards[j];
    return n;
}

/* d r = d_s everywhere + d_c where the step is inside its band (its clip passes the derivative through). */
static void spread_steps(const struct tl_policy_params *p, size_t n, const double *ratio,
                         const double *old_ratio, const double *d_s, const double *d_c, double *out_d_ratio)
{
    double weight = p->reduce_steps == TL_LOG_RATIO_MEAN ? 1 / (double)p->n_steps : 1;
    for (size_t i = 0; i < n; i++) {
        for (size_t t = 0; t < p->n_steps; t++) {
            size_t at = i * p->n_steps + t;
            bool inside = clamp_step(ratio[at], old_ratio[at], p->clip) == ratio[at];
            out_d_ratio[at] = weight * (d_s[i] + (inside ? d_c[i] : 0));
        }
    }
}

bool tl_prdp_loss(const struct tl_policy_params *p, const double *ratio, const double *old_ratio,
                  const double *rewards, double *out_d_ratio, struct tl_policy_stats *out_stats,
                  struct tl_err *err)
{
    size_t n = 0;
    if (!check_params(p, err) ||
        !tl_policy_loss_check(p, "PRDP", "reward", ratio, old_ratio, rewards, &n, err))
        return false;
    double *work = calloc(n, 4 * sizeof *work);
    if (!work) return tl_err_set(err, TL_FAIL, "no memory for the losses of %zu samples", n);
    double *s = work, *c = s + n, *d_s = c + n, *d_c = d_s + n;
    struct tl_policy_stats stats = {0};
    struct pair_counts counts = {0};
    tl_policy_loss_observe(p, n, ratio, old_ratio, s, &stats);
    clipped_sums(p, n, ratio, old_ratio, c, &stats);
    for (size_t g = 0; g < p->n_groups; g++) {
        size_t at = g * p->group_size, pairs = p->group_size * (p->group_size - 1) / 2;
        if (p->ties == TL_POLICY_TIES_DROP) pairs = untied_pairs(p, rewards + at);
        double scale = pairs ? 1 / ((double)p->n_groups * (double)pairs) : 0;
        stats.loss +=
            scale * group_pairs(p, s + at, c + at, rewards + at, scale, d_s + at, d_c + at, &counts);
    }
    if (!isfinite(stats.loss)) {
        free(work);
        return tl_err_set(err, TL_NUMERIC, "PRDP's loss is %g: beta %g is too small for these rewards",
                          stats.loss, p->beta);
    }
    stats.n_pairs = counts.pairs;
    stats.n_ties = counts.ties;
    stats.clipped_pairs = counts.pairs ? (double)counts.clipped / (double)counts.pairs : 0;
    stats.correlation = tl_policy_loss_correlation(p, s, rewards);
    if (out_d_ratio) spread_steps(p, n, ratio, old_ratio, d_s, d_c, out_d_ratio);
    if (out_stats) *out_stats = stats;
    free(work);
    return true;
}
