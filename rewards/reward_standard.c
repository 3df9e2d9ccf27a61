/* Standardised scores and their weighted sum. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/stats.h"
#include "rewards/reward_set.h"

bool tl_reward_set_needs_standard(const struct tl_reward_set *set)
{
    return set->n > 1 && !set->raw && !set->is_standard;
}

const struct tl_reward_standard *tl_reward_set_standards(const struct tl_reward_set *set)
{
    return set->is_standard ? set->standard : NULL;
}

/* Of part k: standardised = (score - mean) / deviation. */
static struct tl_reward_standard standard_of(const struct tl_reward_set *s, size_t k)
{
    return s->raw || s->n == 1 || !s->is_standard ? (struct tl_reward_standard){0, 1} : s->standard[k];
}

/* The term's parts, standardised; out has room for TL_COMBINE_MOST. */
static void standardised(const struct tl_reward_set *s, const struct tl_reward_term *t, const double *parts,
                         double *out)
{
    for (size_t i = 0; i < t->n; i++) {
        struct tl_reward_standard how = standard_of(s, t->first + i);
        out[i] = (parts[t->first + i] - how.mean) / how.deviation;
    }
}

double tl_reward_set_total(const struct tl_reward_set *s, const double *parts)
{
    double total = 0, x[TL_COMBINE_MOST];
    for (size_t k = 0; k < s->n_terms; k++) {
        const struct tl_reward_term *t = &s->terms[k];
        standardised(s, t, parts, x);
        total += t->spec.weight * (t->cls->members ? tl_combination_of(&t->combine, x, t->n) : x[0]);
    }
    return total;
}

void tl_reward_set_slopes(const struct tl_reward_set *s, const double *parts, double *out)
{
    double x[TL_COMBINE_MOST], slope[TL_COMBINE_MOST] = {1};
    for (size_t k = 0; k < s->n_terms; k++) {
        const struct tl_reward_term *t = &s->terms[k];
        standardised(s, t, parts, x);
        if (t->cls->members)
            tl_combination_slopes(&t->combine, x, t->n, slope);
        else
            slope[0] = 1;
        for (size_t i = 0; i < t->n; i++)
            out[t->first + i] = t->spec.weight * slope[i] / standard_of(s, t->first + i).deviation;
    }
}

bool tl_reward_set_standardise(struct tl_reward_set *set, const struct tl_reward_standard *standards,
                               struct tl_err *err)
{
    for (size_t k = 0; k < set->n; k++) {
        double mean = standards[k].mean, deviation = standards[k].deviation;
        if (isfinite(mean) && isfinite(deviation) && deviation > 0) continue;
        return tl_err_set(err, TL_NUMERIC,
                          "reward %s has mean %g and deviation %g on the samples of the untouched model: it "
                          "cannot be standardised; leave it out, or sum the rewards as they are (raw)",
                          set->parts[k].text, mean, deviation);
    }
    memcpy(set->standard, standards, set->n * sizeof *standards);
    set->is_standard = true;
    return true;
}

bool tl_reward_set_measure(struct tl_reward_set *set, const double *parts, size_t n, struct tl_err *err)
{
    if (n < 2) return tl_err_set(err, TL_USAGE, "standardising rewards takes two samples at least");
    double *x = calloc(n, sizeof *x);
    struct tl_reward_standard *found = calloc(set->n, sizeof *found);
    bool ok = (x && found) || tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t k = 0; ok && k < set->n; k++) {
        for (size_t i = 0; i < n; i++) x[i] = parts[i * set->n + k];
        found[k] = (struct tl_reward_standard){tl_stats_mean(x, n), tl_stats_sd(x, n)};
        /* Rounding alone makes equal numbers vary by this much. */
        if (found[k].deviation <= 1e-12 * fabs(found[k].mean)) found[k].deviation = 0;
    }
    ok = ok && tl_reward_set_standardise(set, found, err);
    free(x);
    free(found);
    return ok;
}
