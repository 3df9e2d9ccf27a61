/* Means, errors, bootstrap and correlation: hand values, identities, and coverage on simulated data. */
#include "support/check.h"

#include "base/rng.h"
#include "metrics/stats.h"

static void normals(uint32_t sample, size_t n, double *out)
{
    float f[1024];
    assert_true(n <= 1024);
    tl_rng_normal((struct tl_rng_key){.seed = 12, .stream = TL_RNG_TEST, .sample = sample}, 0, n, f);
    for (size_t i = 0; i < n; i++) out[i] = (double)f[i];
}

static void test_hand_values(void **state)
{
    (void)state;
    const double x[] = {2, 4, 4, 4, 5, 5, 7, 9}, y[] = {1, 2, 3, 4, 5, 6, 7, 8};
    check_near(tl_stats_mean(x, 8), 5, 0);
    check_near(tl_stats_sd(x, 8), sqrt(32.0 / 7), 1e-15);
    check_near(tl_stats_se(x, 8), sqrt(32.0 / 7 / 8), 1e-15);
    check_near(tl_stats_pearson(x, y, 8), 34 / sqrt(32.0 * 42), 1e-14);
    assert_true(isnan(tl_stats_mean(x, 0)) && isnan(tl_stats_sd(x, 1)) && isnan(tl_stats_pearson(x, x, 1)));
    const double big[] = {1e15 + 1, 1e15 + 2, 1e15 + 3}; /* squares of raw values would lose everything */
    check_near(tl_stats_sd(big, 3), 1, 0);
    const double flat[] = {0.1, 0.1, 0.1}, line[] = {-3, -5, -7};
    assert_true(isnan(tl_stats_pearson(flat, line, 3)));
    check_near(tl_stats_pearson(y, line, 3), -1, 1e-15);
    check_near(tl_stats_quantile(y, 8, 0), 1, 0);
    check_near(tl_stats_quantile(y, 8, 1), 8, 0);
    check_near(tl_stats_quantile(y, 8, 0.25), 2.75, 1e-15);
    check_near(tl_stats_quantile(y, 1, 0.7), 1, 0);
}

static void test_paired(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_stats_paired p;
    const double before[] = {1, 2, 3, 4}, after[] = {2, 2, 5, 5};
    check_ok(tl_stats_paired_difference(after, before, NULL, 4, &p, &err), &err);
    check_near(p.mean, 1, 0);
    check_near(p.sd, sqrt(2.0 / 3), 1e-15);
    check_near(p.se, sqrt(1.0 / 6), 1e-15);
    check_near(p.clustered_se, p.se, 0);
    check_near(p.z, sqrt(6), 1e-14);
    assert_int_equal(p.n_clusters, 4);
    /* Clusters {0, 2}, {1, 3}: residuals (0, 1), (-1, 0): sums 1, -1: se = sqrt(2/1 * 2) / 4 = 0.5. */
    const uint32_t cluster[] = {9, 3, 9, 3};
    check_ok(tl_stats_paired_difference(after, before, cluster, 4, &p, &err), &err);
    check_near(p.clustered_se, 0.5, 1e-15);
    assert_int_equal(p.n_clusters, 2);
    const uint32_t own[] = {7, 1, 4, 2}; /* one value a cluster is the plain error */
    check_ok(tl_stats_paired_difference(after, before, own, 4, &p, &err), &err);
    check_near(p.clustered_se, p.se, 1e-15);
    check_ok(tl_stats_paired_difference(before, before, NULL, 4, &p, &err), &err);
    assert_true(p.mean == 0 && p.z == 0);
    const uint32_t one[] = {5, 5, 5, 5};
    assert_false(tl_stats_paired_difference(after, before, one, 4, &p, &err));
    assert_non_null(strstr(err.text, "two clusters"));
    tl_err_clear(&err);
    assert_false(tl_stats_paired_difference(after, before, NULL, 1, &p, &err));
    tl_err_clear(&err);
    const double broken[] = {1, 2, NAN, 4};
    assert_false(tl_stats_paired_difference(broken, before, NULL, 4, &p, &err));
    assert_non_null(strstr(err.text, "pair 2"));
    assert_int_equal(err.code, TL_NUMERIC);
}

/* Copying every value m times must not shrink the clustered error: it stays that of the originals, up to
 * G/(G-1). */
static void test_clusters_undo_copies(void **state)
{
    (void)state;
    enum { G = 40, M = 6 };
    double x[G], copies[G * M], se, all;
    uint32_t cluster[G * M];
    struct tl_err err = {0};
    normals(1, G, x);
    for (int i = 0; i < G * M; i++) {
        copies[i] = x[i % G];
        cluster[i] = (uint32_t)(i % G) * 1000;
    }
    check_ok(tl_stats_clustered_se(copies, cluster, G * M, &se, &err), &err);
    check_near(se, tl_stats_se(x, G), 1e-14);
    check_ok(tl_stats_clustered_se(copies, NULL, G * M, &all, &err), &err);
    check_near(all, tl_stats_se(copies, G * M), 1e-14);
    assert_true(se > 2 * all);
}

static double median(void *user, const double *x, size_t n)
{
    ++*(int *)user;
    double v[1024];
    assert_true(n <= 1024);
    memcpy(v, x, n * sizeof *v);
    for (size_t i = 1; i < n; i++)
        for (size_t j = i; j > 0 && v[j] < v[j - 1]; j--) {
            double t = v[j];
            v[j] = v[j - 1];
            v[j - 1] = t;
        }
    return tl_stats_quantile(v, n, 0.5);
}

static void test_bootstrap(void **state)
{
    (void)state;
    enum { N = 200 };
    double x[N], low, high, low2, high2;
    struct tl_err err = {0};
    normals(2, N, x);
    struct tl_stats_bootstrap_params p = {.seed = 5};
    check_ok(tl_stats_bootstrap(x, N, &p, &low, &high, &err), &err);
    double mean = tl_stats_mean(x, N), se = tl_stats_se(x, N);
    check_near(low, mean - 1.96 * se,
               0.15 * se); /* percentile interval of a mean is normal's, to its own noise */
    check_near(high, mean + 1.96 * se, 0.15 * se);
    check_ok(tl_stats_bootstrap(x, N, &p, &low2, &high2, &err), &err);
    assert_true(low == low2 && high == high2);
    p.seed = 6;
    check_ok(tl_stats_bootstrap(x, N, &p, &low2, &high2, &err), &err);
    assert_true(low != low2);
    p.level = 0.5;
    check_ok(tl_stats_bootstrap(x, N, &p, &low, &high, &err), &err);
    check_near(high - low, 2 * 0.6745 * se, 0.1 * se);
    int calls = 0;
    struct tl_stats_bootstrap_params q = {.n_replicates = 50, .statistic = median, .user = &calls};
    check_ok(tl_stats_bootstrap(x, N, &q, &low, &high, &err), &err);
    assert_true(calls == 50 && low < median(&calls, x, N) && high > median(&calls, x, N));
    const double same[] = {3, 3, 3};
    check_ok(tl_stats_bootstrap(same, 3, &p, &low, &high, &err), &err);
    assert_true(low == 3 && high == 3);
}

/* Clustered bootstrap width follows the clusters, not the copies. */
static void test_clustered_bootstrap(void **state)
{
    (void)state;
    enum { G = 60, M = 4 };
    double x[G], copies[G * M], low, high, plain_low, plain_high;
    uint32_t cluster[G * M];
    struct tl_err err = {0};
    normals(3, G, x);
    for (int i = 0; i < G * M; i++) {
        copies[i] = x[i / M];
        cluster[i] = (uint32_t)(i / M);
    }
    struct tl_stats_bootstrap_params p = {.seed = 1, .cluster = cluster}, q = {.seed = 1};
    check_ok(tl_stats_bootstrap(copies, G * M, &p, &low, &high, &err), &err);
    check_ok(tl_stats_bootstrap(copies, G * M, &q, &plain_low, &plain_high, &err), &err);
    check_near((high - low) / (plain_high - plain_low), 2, 0.2);
    memset(cluster, 0, sizeof cluster);
    assert_false(tl_stats_bootstrap(copies, G * M, &p, &low, &high, &err));
    tl_err_clear(&err);
    copies[7] = INFINITY;
    assert_false(tl_stats_bootstrap(copies, G * M, &q, &low, &high, &err));
    assert_non_null(strstr(err.text, "value 7"));
    tl_err_clear(&err);
    q.level = 1;
    copies[7] = 0;
    assert_false(tl_stats_bootstrap(copies, G * M, &q, &low, &high, &err));
    tl_err_clear(&err);
    q.level = 0;
    assert_false(tl_stats_bootstrap(copies, 1, &q, &low, &high, &err));
}

/* 95 % intervals hold the truth in about 95 % of 300 data sets (binomial error 1.3 %; small samples run a
 * little low). */
static void test_coverage(void **state)
{
    (void)state;
    enum { SETS = 300, N = 60 };
    int held = 0;
    for (uint32_t s = 0; s < SETS; s++) {
        double x[N], low, high;
        struct tl_err err = {0};
        normals(100 + s, N, x);
        struct tl_stats_bootstrap_params p = {.seed = s, .n_replicates = 400};
        check_ok(tl_stats_bootstrap(x, N, &p, &low, &high, &err), &err);
        held += low <= 0 && high >= 0;
    }
    assert_in_range(held, 270, 297);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hand_values),          cmocka_unit_test(test_paired),
        cmocka_unit_test(test_clusters_undo_copies), cmocka_unit_test(test_bootstrap),
        cmocka_unit_test(test_clustered_bootstrap),  cmocka_unit_test(test_coverage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
