/* PRDP's loss and its derivative in closed form, against hand vectors, identities and finite differences. */
#include "support/check.h"

#include "algo/prdp.h"
#include "base/rng.h"
#include "sample/scheduler.h"

static struct tl_policy_params params(size_t n_groups, size_t group_size, size_t n_steps, double beta,
                                      double clip)
{
    return (struct tl_policy_params){.n_groups = n_groups,
                                     .group_size = group_size,
                                     .n_steps = n_steps,
                                     .dim = 1,
                                     .beta = beta,
                                     .clip = clip};
}

static struct tl_policy_stats loss(struct tl_policy_params p, const double *ratio, const double *old,
                                   const double *rewards, double *d)
{
    struct tl_err err = {0};
    struct tl_policy_stats stats;
    check_ok(tl_prdp_loss(&p, ratio, old, rewards, d, &stats, &err), &err);
    return stats;
}

static void normals(uint32_t step, size_t n, double scale, double *out)
{
    float f[512];
    assert_true(n <= 512);
    tl_rng_normal((struct tl_rng_key){.seed = 9, .stream = TL_RNG_TEST, .step = step}, 0, n, f);
    for (size_t i = 0; i < n; i++) out[i] = scale * (double)f[i];
}

/* Hand vectors of the clip: T = 2, old 0, clip 1e-4, a = (2e-4, 5e-5), b = (0, 0). */
static void test_clip_vectors(void **state)
{
    (void)state;
    const double ratio[] = {2e-4, 5e-5, 0, 0}, old[4] = {0};
    double d[4];
    struct tl_policy_stats s = loss(params(1, 2, 2, 1, 1e-4), ratio, old, (double[]){1e-3, 0}, d);
    check_near(s.loss, 7.225e-7, 1e-18);
    assert_true(d[0] == 0 && d[1] != 0 && d[2] != 0 && d[3] == d[2]);
    check_near(d[1], 2 * (1.5e-4 - 1e-3), 1e-15);
    check_near(d[2], -d[1], 0);
    check_near(s.clip_fraction, 0.25, 0);
    check_near(s.clipped_pairs, 1, 0);
    s = loss(params(1, 2, 2, 1, 1e-4), ratio, old, (double[]){-1e-3, 0}, d);
    check_near(s.loss, 1.5625e-6, 1e-18);
    check_near(d[0], 2 * (2.5e-4 + 1e-3), 1e-15);
    assert_true(d[1] == d[0] && d[2] == -d[0] && d[3] == -d[0]);
    check_near(s.clipped_pairs, 0, 0);
}

/* The band blocks only what already went the loss's way: every step outside gives zero, or the full gradient.
 */
static void test_clip_blocks(void **state)
{
    (void)state;
    const double old[] = {0.3, -0.2, 0.1, 0.4},
                 ratio[] = {0.5, 0, -0.1, 0.2}; /* a is 0.2 above, b 0.2 below */
    double d[4], d_free[4];
    struct tl_policy_stats s = loss(params(1, 2, 2, 1, 0.01), ratio, old, (double[]){5, 0}, d);
    for (int i = 0; i < 4; i++) assert_true(d[i] == 0);
    check_near(s.clip_fraction, 1, 0);
    s = loss(params(1, 2, 2, 1, 0.01), ratio, old, (double[]){-5, 0}, d);
    loss(params(1, 2, 2, 1, INFINITY), ratio, old, (double[]){-5, 0}, d_free);
    for (int i = 0; i < 4; i++) assert_true(d[i] == d_free[i] && d[i] != 0);
    check_near(s.clipped_pairs, 0, 0);
    /* K M = 1: at the first gradient theta is the snapshot, and any clip is inert, bit for bit. */
    struct tl_policy_stats free_s = loss(params(1, 2, 2, 1, INFINITY), old, old, (double[]){5, 0}, d_free);
    s = loss(params(1, 2, 2, 1, 0), old, old, (double[]){5, 0}, d);
    assert_memory_equal(d, d_free, sizeof d);
    assert_true(s.loss == free_s.loss && s.clip_fraction == 0 && s.drift_max == 0);
}

/* Mean over pairs of (ds - dr/beta)^2 = 2/(B-1) sum_i [(s_i - s) - (r_i - r)/beta]^2. */
static double centred(const double *s, const double *r, size_t n, double beta)
{
    double ms = 0, mr = 0, sum = 0;
    for (size_t i = 0; i < n; i++) {
        ms += s[i] / (double)n;
        mr += r[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++) sum += pow(s[i] - ms - (r[i] - mr) / beta, 2);
    return 2 * sum / ((double)n - 1);
}

static void test_identities(void **state)
{
    (void)state;
    const double s[] = {.3, -.1, .2}, r[] = {1, 0, 2};
    check_near(loss(params(1, 3, 1, 10, INFINITY), s, s, r, NULL).loss, 0.0466667, 5e-8);
    check_near(centred(s, r, 3, 10), 0.0466667, 5e-8);
    enum { B = 8, T = 5 };
    double ratio[B * T], rewards[B], sums[B] = {0}, zero[B * T] = {0}, d[B * T], mean = 0;
    normals(1, B * T, 0.1, ratio);
    normals(2, B, 1, rewards);
    for (int i = 0; i < B; i++) {
        mean += rewards[i] / B;
        for (int t = 0; t < T; t++) sums[i] += ratio[i * T + t];
    }
    struct tl_policy_params p = params(1, B, T, 0.7, INFINITY);
    check_near(loss(p, ratio, zero, rewards, NULL).loss, centred(sums, rewards, B, 0.7), 1e-12);
    /* First gradient: REINFORCE with the group's mean as baseline. */
    loss(p, zero, zero, rewards, d);
    for (int i = 0; i < B * T; i++) check_near(d[i], -4 / (0.7 * (B - 1)) * (rewards[i / T] - mean), 1e-12);
}

static void test_invariances(void **state)
{
    (void)state;
    enum { G = 2, B = 4, T = 3, N = G * B * T };
    double ratio[N], old[N], rewards[G * B], moved[G * B], d[N], e[N];
    normals(3, N, 0.1, ratio);
    normals(4, N, 0.1, old);
    normals(5, G * B, 1, rewards);
    struct tl_policy_params p = params(G, B, T, 2, 0.05), q = p;
    double base = loss(p, ratio, old, rewards, d).loss;
    for (int i = 0; i < G * B; i++) moved[i] = rewards[i] + (i < B ? 3 : -50); /* a constant per prompt */
    check_near(loss(p, ratio, old, moved, e).loss, base, 1e-12 * base);
    for (int i = 0; i < N; i++) check_near(e[i], d[i], 1e-12);
    for (int i = 0; i < G * B; i++) moved[i] = rewards[i] * 8;
    q.beta = 16;
    assert_true(loss(q, ratio, old, moved, e).loss == base);
    assert_memory_equal(d, e, sizeof d);
    /* Swapping two samples of a prompt swaps their gradients. */
    for (int t = 0; t < T; t++) {
        double a = ratio[t], b = old[t];
        ratio[t] = ratio[T + t], old[t] = old[T + t];
        ratio[T + t] = a, old[T + t] = b;
    }
    double first = rewards[0];
    rewards[0] = rewards[1];
    rewards[1] = first;
    check_near(loss(p, ratio, old, rewards, e).loss, base, 1e-12 * base);
    for (int t = 0; t < T; t++) check_near(e[t], d[T + t], 1e-12);
}

/* d loss / d ratio against central differences, clip and conventions on, away from the kinks by construction
 * of h. */
static void test_gradient(void **state)
{
    (void)state;
    enum { G = 3, B = 4, T = 6, N = G * B * T };
    double ratio[N], old[N], rewards[G * B], d[N];
    for (int row = 0; row < 8; row++) {
        normals((uint32_t)(10 + row), N, 0.1, ratio);
        normals((uint32_t)(30 + row), N, 0.1, old);
        normals((uint32_t)(50 + row), G * B, 1, rewards);
        rewards[1] = rewards[0]; /* one tie */
        struct tl_policy_params p = params(G, B, T, 1.3, row & 1 ? 0.08 : INFINITY);
        p.reduce_steps = row & 2 ? TL_LOG_RATIO_MEAN : TL_LOG_RATIO_SUM;
        p.ties = row & 4 ? TL_POLICY_TIES_DROP : TL_POLICY_TIES_KEEP;
        struct tl_policy_stats s = loss(p, ratio, old, rewards, d);
        assert_int_equal(s.n_pairs, G * 6 - (p.ties == TL_POLICY_TIES_DROP));
        assert_int_equal(s.n_ties, 1);
        assert_true(row & 1 ? s.clipped_pairs > 0 && s.clipped_pairs < 1 : s.clip_fraction == 0);
        for (int i = 0; i < N; i++) {
            double h = 1e-7, kept = ratio[i];
            ratio[i] = kept + h;
            double up = loss(p, ratio, old, rewards, NULL).loss;
            ratio[i] = kept - h;
            double down = loss(p, ratio, old, rewards, NULL).loss;
            ratio[i] = kept;
            check_near(d[i], (up - down) / (2 * h), 1e-6);
        }
    }
}

static void test_ties_and_bad_numbers(void **state)
{
    (void)state;
    const double zero[4] = {0}, ratio[4] = {0.1, -0.2, 0.3, 0}, same[4] = {2, 2, 2, 2};
    double d[4];
    struct tl_policy_params p = params(1, 4, 1, 0.5, INFINITY);
    struct tl_policy_stats s = loss(p, zero, zero, same, d); /* keep, at the start */
    assert_true(s.loss == 0 && d[0] == 0 && d[3] == 0 && s.correlation == 0);
    s = loss(p, ratio, ratio, same, d); /* keep, later: ratios are pulled together */
    assert_true(s.loss > 0 && d[0] > 0 && d[1] < 0);
    p.ties = TL_POLICY_TIES_DROP;
    s = loss(p, ratio, ratio, same, d);
    for (int i = 0; i < 4; i++) assert_true(d[i] == 0);
    assert_true(s.loss == 0 && s.n_pairs == 0 && s.n_ties == 6 && s.clipped_pairs == 0);

    /* Rewards 1, 1, 0: pairs (0,2) and (1,2) count. Drop averages over the two, keep over all three. */
    const double some[3] = {1, 1, 0}, r3[3] = {0.1, 0.4, 0};
    struct tl_policy_params q = params(1, 3, 1, 1, INFINITY);
    check_near(loss(q, r3, r3, some, d).loss, (0.09 + 0.81 + 0.36) / 3, 1e-15);
    check_near(d[0], 2 * (-0.3 - 0.9) / 3, 1e-15);
    q.ties = TL_POLICY_TIES_DROP;
    check_near(loss(q, r3, r3, some, d).loss, (0.81 + 0.36) / 2, 1e-15);
    check_near(d[0], 2 * -0.9 / 2, 1e-15);

    struct tl_err err = {0};
    double rewards[4] = {1, 2, NAN, 3};
    assert_false(tl_prdp_loss(&p, zero, zero, rewards, d, NULL, &err));
    assert_non_null(strstr(err.text, "reward of sample 2 is "));
    assert_int_equal(err.code, TL_NUMERIC);
    tl_err_clear(&err);
    rewards[2] = INFINITY;
    assert_false(tl_prdp_loss(&p, zero, zero, rewards, d, NULL, &err));
    tl_err_clear(&err);
    const double broken[4] = {0, 0, 0, NAN};
    assert_false(tl_prdp_loss(&p, broken, zero, same, d, NULL, &err));
    assert_non_null(strstr(err.text, "log-ratio of sample 3 at step 0"));
    tl_err_clear(&err);
    p.beta = 1e-320;
    rewards[2] = 7;
    assert_false(tl_prdp_loss(&p, zero, zero, rewards, d, NULL, &err));
    assert_int_equal(err.code, TL_NUMERIC);
    struct tl_policy_params bad[] = {params(1, 1, 1, 1, 0),   params(0, 2, 1, 1, 0),
                                     params(1, 2, 0, 1, 0),   params(1, 2, 1, 0, 0),
                                     params(1, 2, 1, 1, -1),  params(1, 2, 1, NAN, 1),
                                     params(1, 2, 1, 1, NAN), params(SIZE_MAX / 4, 8, 1, 1, 1)};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tl_err_clear(&err);
        assert_false(tl_prdp_loss(&bad[i], zero, zero, same, d, NULL, &err));
        assert_int_equal(err.code, TL_USAGE);
    }
}

/* Mean/mean is the sum convention in other units: same beta in nats, same gradient direction. */
static void test_units(void **state)
{
    (void)state;
    struct tl_policy_params p = params(32, 16, 50, 3e-5, 1e-6);
    p.dim = 16384;
    p.reduce_dims = p.reduce_steps = TL_LOG_RATIO_MEAN;
    check_near(tl_prdp_beta_nats(&p), 3e-5 / 819200, 1e-22);
    enum { B = 4, T = 3, D = 10 };
    double sum[B * T], mean[B * T], rewards[B], d_sum[B * T], d_mean[B * T];
    normals(6, B * T, 1, sum);
    normals(7, B, 1, rewards);
    for (int i = 0; i < B * T; i++) mean[i] = sum[i] / D;
    struct tl_policy_params q = params(1, B, T, 5, INFINITY), nats;
    q.dim = D;
    q.reduce_dims = q.reduce_steps = TL_LOG_RATIO_MEAN;
    nats = params(1, B, T, tl_prdp_beta_nats(&q), INFINITY);
    nats.dim = D;
    struct tl_policy_stats a = loss(q, mean, mean, rewards, d_mean), b = loss(nats, sum, sum, rewards, d_sum);
    check_near(a.loss * (D * T) * (D * T), b.loss, 1e-10 * b.loss);
    check_near(a.kl_nats, b.kl_nats, 1e-12);
    check_near(a.correlation, b.correlation, 1e-12);
    for (int i = 0; i < B * T; i++) check_near(d_mean[i] * D * T * T, d_sum[i], 1e-10 * (1 + fabs(d_sum[i])));
}

/* Perfect regression: ratios equal to rewards / beta up to a constant have loss 0, correlation 1. */
static void test_stats(void **state)
{
    (void)state;
    double rewards[6] = {1, 4, 2, 10, 20, 0}, ratio[6], old[6] = {0}, d[6];
    for (int i = 0; i < 6; i++) ratio[i] = rewards[i] / 4 + (i < 3 ? 7 : -2);
    struct tl_policy_stats s = loss(params(2, 3, 1, 4, INFINITY), ratio, old, rewards, d);
    assert_true(s.loss == 0);
    check_near(s.correlation, 1, 1e-12);
    check_near(s.ratio_max, 8, 0);
    check_near(s.drift_max, 8, 0);
    check_near(s.ratio_mean, (37.0 / 4 + 3 * 7 - 3 * 2) / 6, 1e-12);
    for (int i = 0; i < 6; i++) assert_true(d[i] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clip_vectors), cmocka_unit_test(test_clip_blocks),
        cmocka_unit_test(test_identities),   cmocka_unit_test(test_invariances),
        cmocka_unit_test(test_gradient),     cmocka_unit_test(test_ties_and_bad_numbers),
        cmocka_unit_test(test_units),        cmocka_unit_test(test_stats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
