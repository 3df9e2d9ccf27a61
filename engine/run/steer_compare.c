#include "run/steer_compare.h"

#include <math.h>
#include <stdlib.h>

#include "metrics/stats.h"

bool tl_steer_is_better(double lambda, double reward, double than)
{
    return lambda < 0 ? reward < than : reward > than;
}

/* Mean and best of a list of numbers; weights NULL: equal ones. False: it is no such list. */
static bool read_list(const cJSON *list, const cJSON *weights, double lambda, double *out_mean,
                      double *out_best)
{
    const cJSON *x, *w = weights ? weights->child : NULL;
    double sum = 0, n = 0, best = NAN;
    cJSON_ArrayForEach(x, list)
    {
        if (!cJSON_IsNumber(x) || (weights && !cJSON_IsNumber(w))) return false;
        double weight = weights ? w->valuedouble : 1;
        sum += weight * x->valuedouble;
        n += weight;
        if (isnan(best) || tl_steer_is_better(lambda, x->valuedouble, best)) best = x->valuedouble;
        if (weights) w = w->next;
    }
    *out_mean = sum / n;
    *out_best = best;
    return n > 0;
}

bool tl_steer_pair_of(const cJSON *line, const cJSON *plain, double lambda, struct tl_steer_pair *out)
{
    const cJSON *weights = tl_json_get(line, "weights");
    return line && plain && weights &&
           read_list(tl_json_get(line, "rewards"), weights, lambda, &out->weighted, &out->best) &&
           read_list(tl_json_get(plain, "rewards"), NULL, lambda, &out->base, &out->best_of);
}

static struct tl_steer_mean mean_of(const double *x, size_t n)
{
    return (struct tl_steer_mean){tl_stats_mean(x, n), tl_stats_se(x, n)};
}

bool tl_steer_compare(const struct tl_steer_pair *p, size_t n, struct tl_steer_comparison *out,
                      struct tl_err *err)
{
    double *rows[8], *all = calloc(n, 8 * sizeof *all);
    if (!all) return tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t r = 0; r < 8; r++) rows[r] = all + r * n;
    for (size_t i = 0; i < n; i++) {
        const double values[] = {p[i].base,
                                 p[i].best_of,
                                 p[i].weighted,
                                 p[i].best,
                                 p[i].best_of - p[i].base,
                                 p[i].weighted - p[i].base,
                                 p[i].best - p[i].base,
                                 p[i].best - p[i].best_of};
        for (size_t r = 0; r < 8; r++) rows[r][i] = values[r];
    }
    *out = (struct tl_steer_comparison){.n = n,
                                        .base = mean_of(rows[0], n),
                                        .best_of = mean_of(rows[1], n),
                                        .weighted = mean_of(rows[2], n),
                                        .best = mean_of(rows[3], n),
                                        .best_of_base = mean_of(rows[4], n),
                                        .weighted_base = mean_of(rows[5], n),
                                        .best_base = mean_of(rows[6], n),
                                        .best_best_of = mean_of(rows[7], n)};
    free(all);
    return true;
}
