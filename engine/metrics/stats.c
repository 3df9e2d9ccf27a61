#include "metrics/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/rng.h"

double tl_stats_mean(const double *x, size_t n)
{
    if (n == 0) return NAN;
    double sum = 0, rest = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    double mean = sum / (double)n;
    if (isinf(sum)) { /* finite values may be too large to be summed */
        mean = 0;
        for (size_t i = 0; i < n; i++) mean += x[i] / (double)n;
        return mean;
    }
    for (size_t i = 0; i < n; i++) rest += x[i] - mean; /* what rounding left over */
    return mean + rest / (double)n;
}

double tl_stats_sd(const double *x, size_t n)
{
    if (n < 2) return NAN;
    double mean = tl_stats_mean(x, n), squares = 0;
    for (size_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
    return sqrt(squares / (double)(n - 1));
}

double tl_stats_se(const double *x, size_t n)
{
    return tl_stats_sd(x, n) / sqrt((double)n);
}

/* Values ordered by cluster: cluster g holds order[start[g]] .. order[start[g + 1] - 1]. */
struct clusters {
    size_t n;      /* clusters */
    size_t *order; /* [values], owned */
    size_t *start; /* [n + 1], owned */
};

struct member {
    uint32_t cluster;
    size_t index;
};

static int by_cluster(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    if (x->cluster != y->cluster) return x->cluster < y->cluster ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static void clusters_finish(struct clusters *c)
{
    free(c->order);
    free(c->start);
    *c = (struct clusters){0};
}

/* cluster NULL: every value its own. */
static bool clusters_init(struct clusters *c, const uint32_t *cluster, size_t n, struct tl_err *err)
{
    *c = (struct clusters){0};
    size_t bytes;
    struct member *members = NULL;
    if (tl_checked_mul(n, sizeof *members, &bytes) && bytes < SIZE_MAX - 64) {
        members = malloc(bytes ? bytes : 1);
        c->order = malloc(n * sizeof *c->order + 1);
        c->start = malloc((n + 1) * sizeof *c->start);
    }
    if (!members || !c->order || !c->start) {
        free(members);
        clusters_finish(c);
        return tl_err_set(err, TL_FAIL, "no memory for %zu values", n);
    }
    for (size_t i = 0; i < n; i++) members[i] = (struct member){cluster ? cluster[i] : 0, i};
    if (cluster) qsort(members, n, sizeof *members, by_cluster);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || !cluster || members[i].cluster != members[i - 1].cluster) c->start[c->n++] = i;
        c->order[i] = members[i].index;
    }
    c->start[c->n] = n;
    free(members);
    return true;
}

bool tl_stats_clustered_se(const double *x, const uint32_t *cluster, size_t n, double *out_se,
                           struct tl_err *err)
{
    struct clusters c;
    if (!clusters_init(&c, cluster, n, err)) return false;
    size_t n_clusters = c.n;
    double mean = tl_stats_mean(x, n), squares = 0;
    for (size_t g = 0; g < c.n; g++) {
        double sum = 0;
        for (size_t i = c.start[g]; i < c.start[g + 1]; i++) sum += x[c.order[i]] - mean;
        squares += sum * sum;
    }
    clusters_finish(&c);
    if (n_clusters < 2)
        return tl_err_set(err, TL_USAGE, "a standard error needs two clusters or more, there are %zu",
                          n_clusters);
    double groups = (double)n_clusters;
    *out_se = sqrt(groups / (groups - 1) * squares) / (double)n;
    return true;
}

static size_t count_clusters(const uint32_t *cluster, size_t n, struct tl_err *err)
{
    struct clusters c;
    if (!clusters_init(&c, cluster, n, err)) return 0;
    size_t found = c.n;
    clusters_finish(&c);
    return found;
}

bool tl_stats_paired_difference(const double *after, const double *before, const uint32_t *cluster, size_t n,
                                struct tl_stats_paired *out, struct tl_err *err)
{
    if (n < 2)
        return tl_err_set(err, TL_USAGE, "a paired difference needs two pairs or more, there are %zu", n);
    double *d = calloc(n, sizeof *d);
    if (!d) return tl_err_set(err, TL_FAIL, "no memory for %zu pairs", n);
    struct tl_stats_paired s = {.n = n, .n_clusters = n};
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        d[i] = after[i] - before[i];
        if (!isfinite(d[i]))
            ok = tl_err_set(err, TL_NUMERIC, "pair %zu is %g after and %g before", i, after[i], before[i]);
    }
    if (ok) {
        s.mean = tl_stats_mean(d, n);
        s.sd = tl_stats_sd(d, n);
        s.se = s.clustered_se = s.sd / sqrt((double)n);
        if (cluster) {
            s.n_clusters = count_clusters(cluster, n, err);
            ok = s.n_clusters > 0 && tl_stats_clustered_se(d, cluster, n, &s.clustered_se, err);
        }
    }
    free(d);
    if (!ok) return false;
    s.z = s.mean == 0 ? 0 : s.mean / s.clustered_se;
    *out = s;
    return true;
}

double tl_stats_quantile(const double *sorted, size_t n, double q)
{
    if (n == 0) return NAN;
    double at = q * (double)(n - 1), below = floor(at);
    size_t i = below <= 0 ? 0 : below >= (double)(n - 1) ? n - 1 : (size_t)below;
    if (i + 1 >= n) return sorted[n - 1];
    return sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One resample: as many clusters as there are, with replacement; gathers their values. Returns how many. */
static size_t resample(const double *x, const struct clusters *c, struct tl_rng_key key, double *out)
{
    size_t n = 0;
    for (size_t k = 0; k < c->n; k++) {
        size_t g = tl_rng_below(key, (uint32_t)k, (uint32_t)c->n);
        for (size_t i = c->start[g]; i < c->start[g + 1]; i++) out[n++] = x[c->order[i]];
    }
    return n;
}

static size_t largest_cluster(const struct clusters *c)
{
    size_t most = 0;
    for (size_t g = 0; g < c->n; g++) {
        size_t size = c->start[g + 1] - c->start[g];
        most = size > most ? size : most;
    }
    return most;
}

bool tl_stats_bootstrap(const double *x, size_t n, const struct tl_stats_bootstrap_params *p, double *out_low,
                        double *out_high, struct tl_err *err)
{
    uint32_t replicates = p->n_replicates ? p->n_replicates : 2000;
    double level = p->level != 0 ? p->level : 0.95;
    if (n < 2 || n > UINT32_MAX)
        return tl_err_set(err, TL_USAGE, "a bootstrap of %zu values is not possible", n);
    if (!(level > 0 && level < 1))
        return tl_err_set(err, TL_USAGE, "level is %g, expected between 0 and 1", level);
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return tl_err_set(err, TL_NUMERIC, "value %zu is %g", i, x[i]);
    struct clusters c;
    if (!clusters_init(&c, p->cluster, n, err)) return false;
    if (c.n < 2) {
        clusters_finish(&c);
        return tl_err_set(err, TL_USAGE, "a bootstrap needs two clusters or more, there is one");
    }
    size_t most = 0;
    double *values = NULL, *drawn = calloc(replicates, sizeof *drawn);
    if (tl_checked_mul(largest_cluster(&c), c.n, &most)) values = calloc(most, sizeof *values);
    bool ok = values && drawn;
    if (!ok) tl_err_set(err, TL_FAIL, "no memory for a bootstrap of %zu values", n);
    for (uint32_t r = 0; ok && r < replicates; r++) {
        struct tl_rng_key key = {.seed = p->seed, .stream = TL_RNG_BOOTSTRAP, .sample = r};
        size_t got = resample(x, &c, key, values);
        drawn[r] = p->statistic ? p->statistic(p->user, values, got) : tl_stats_mean(values, got);
    }
    if (ok) {
        qsort(drawn, replicates, sizeof *drawn, by_value);
        *out_low = tl_stats_quantile(drawn, replicates, (1 - level) / 2);
        *out_high = tl_stats_quantile(drawn, replicates, (1 + level) / 2);
    }
    free(values);
    free(drawn);
    clusters_finish(&c);
    return ok;
}

double tl_stats_pearson(const double *x, const double *y, size_t n)
{
    if (n < 2) return NAN;
    double mx = tl_stats_mean(x, n), my = tl_stats_mean(y, n), xx = 0, yy = 0, xy = 0;
    for (size_t i = 0; i < n; i++) {
        xx += (x[i] - mx) * (x[i] - mx);
        yy += (y[i] - my) * (y[i] - my);
        xy += (x[i] - mx) * (y[i] - my);
    }
    if (!(xx > 0 && yy > 0)) return NAN;
    return fmax(-1, fmin(1, xy / (sqrt(xx) * sqrt(yy))));
}
