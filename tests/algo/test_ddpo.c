/* DDPO's losses and advantages: hand values, PPO's truth table, finite differences, the released trainer's
 * running statistics. */
#include "support/check.h"

#include "algo/advantage.h"
#include "algo/ddpo.h"
#include "algo/prdp.h"
#include "base/rng.h"

static struct tl_policy_params params(size_t n_groups, size_t group_size, size_t n_steps, double clip)
{
    return (struct tl_policy_params){.n_groups = n_groups,
                                     .group_size = group_size,
                                     .n_steps = n_steps,
                                     .dim = 1,
                                     .beta = 1,
                                     .clip = clip};
}

static double loss_of(tl_policy_loss *f, struct tl_policy_params p, const double *ratio, const double *old,
                      const double *a, double *d)
{
    struct tl_err err = {0};
    struct tl_policy_stats stats;
    check_ok(f(&p, ratio, old, a, d, &stats, &err), &err);
    return stats.loss;
}

/* Sign of A x side of the band: where the gradient is, and where the clip takes it. */
static void test_truth_table(void **state)
{
    (void)state;
    const double clip = 0.2, inside = log(1.1), above = log(1.5), below = log(0.5);
    const struct {
        double a, r;
        bool passes;
    } rows[] = {{1, inside, true},  {1, above, false}, {1, below, true},
                {-1, inside, true}, {-1, above, true}, {-1, below, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double old = 0.7, ratio = old + rows[i].r, rho = exp(rows[i].r), d = 9;
        double kept = fmin(fmax(rho, 1 - clip), 1 + clip);
        double loss = loss_of(tl_ddpo_loss, params(1, 1, 1, clip), &ratio, &old, &rows[i].a, &d);
        check_near(loss, fmax(-rows[i].a * rho, -rows[i].a * kept), 1e-15);
        check_near(d, rows[i].passes ? -rows[i].a * rho : 0, 1e-15);
    }
}

static void test_differences(void **state)
{
    (void)state;
    enum { N = 6, T = 3 };
    double ratio[N * T], old[N * T], a[N], d[N * T];
    float z[2 * N * T + N];
    tl_rng_normal((struct tl_rng_key){.seed = 5, .stream = TL_RNG_TEST}, 0, 2 * N * T + N, z);
    for (int i = 0; i < N * T; i++) {
        old[i] = 0.3 * (double)z[i];
        ratio[i] = old[i] + 0.2 * (double)z[N * T + i];
    }
    for (int i = 0; i < N; i++) a[i] = (double)z[2 * N * T + i];
    tl_policy_loss *const losses[] = {tl_ddpo_loss, tl_ddpo_plain_loss};
    for (int k = 0; k < 2; k++) {
        struct tl_policy_params p = params(2, 3, T, 0.15);
        loss_of(losses[k], p, ratio, old, a, d);
        for (int i = 0; i < N * T; i++) {
            double h = 1e-6, keep = ratio[i], up, down;
            ratio[i] = keep + h;
            up = loss_of(losses[k], p, ratio, old, a, NULL);
            ratio[i] = keep - h;
            down = loss_of(losses[k], p, ratio, old, a, NULL);
            ratio[i] = keep;
            check_near((up - down) / (2 * h), d[i], 1e-8);
        }
    }
}

/* On policy all three are one direction: PRDP's first gradient is the group-baselined policy gradient, and so
 * is DDPO's with advantages centred in the group. */
static void test_first_gradients_agree(void **state)
{
    (void)state;
    enum { N = 4, T = 2 };
    const double zero[N * T] = {0}, rewards[N] = {0.3, -0.1, 0.9, 0.5}, mean = 0.4;
    double centred[N], d_is[N * T], d_plain[N * T], d_prdp[N * T];
    for (int i = 0; i < N; i++) centred[i] = rewards[i] - mean;
    struct tl_policy_params p = params(1, N, T, 0.2);
    loss_of(tl_ddpo_loss, p, zero, zero, centred, d_is);
    loss_of(tl_ddpo_plain_loss, p, zero, zero, centred, d_plain);
    loss_of(tl_prdp_loss, p, zero, zero, rewards, d_prdp);
    for (int i = 0; i < N * T; i++) {
        check_near(d_is[i], d_plain[i], 1e-15);
        check_near(d_prdp[i] / d_prdp[0], d_plain[i] / d_plain[0], 1e-12);
        check_near(d_prdp[i], -4.0 / (N - 1) * centred[i / T], 1e-12);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_policy_params p = params(1, 2, 1, 0.2);
    const double ratio[2] = {0, 0}, bad[2] = {0, NAN}, far[2] = {0, 1000}, a[2] = {1, -1};
    assert_false(tl_ddpo_loss(&p, ratio, ratio, bad, NULL, NULL, &err));
    assert_int_equal(err.code, TL_NUMERIC);
    assert_non_null(strstr(err.text, "sample 1"));
    tl_err_clear(&err);
    assert_false(tl_ddpo_plain_loss(&p, bad, ratio, a, NULL, NULL, &err));
    assert_int_equal(err.code, TL_NUMERIC);
    tl_err_clear(&err);
    assert_false(tl_ddpo_loss(&p, far, ratio, a, NULL, NULL, &err));
    assert_int_equal(err.code, TL_NUMERIC);
    assert_non_null(strstr(err.text, "--lr"));
    tl_err_clear(&err);
    p.clip = -1;
    assert_false(tl_ddpo_loss(&p, ratio, ratio, a, NULL, NULL, &err));
    assert_int_equal(err.code, TL_USAGE);
}

static void test_advantages(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_advantage_history h;
    check_ok(tl_advantage_history_init(&h, 3, &err), &err);
    enum { SIZE = 4 };
    const uint32_t prompts[2] = {2, 0};
    const double r[2 * SIZE] = {1, 2, 3, 4, 10, 10, 10, 10};
    double out[2 * SIZE], group[2 * SIZE];
    /* 4 rewards are under 16: the epoch's mean 6.25, population deviation */
    tl_advantage_compute(TL_ADVANTAGE_PROMPT, &h, prompts, 2, SIZE, r, out);
    double square = 0;
    for (int i = 0; i < 2 * SIZE; i++) square += (r[i] - 6.25) * (r[i] - 6.25) / 8;
    for (int i = 0; i < 2 * SIZE; i++) check_near(out[i], (r[i] - 6.25) / (sqrt(square) + 1e-6), 1e-12);
    assert_true(h.counts[2] == 4 && h.counts[0] == 4 && h.counts[1] == 0);
    /* by group: 1.25 is the population variance of 1 2 3 4; equal rewards give 0 */
    tl_advantage_compute(TL_ADVANTAGE_GROUP, NULL, prompts, 2, SIZE, r, group);
    check_near(group[0], -1.5 / (sqrt(1.25) + 1e-6), 1e-12);
    for (int i = SIZE; i < 2 * SIZE; i++) assert_true(group[i] == 0);
    /* the fourth time prompt 2 has 16 rewards: its own statistics; a far outlier is cut at 5 */
    for (int i = 0; i < 2; i++) tl_advantage_compute(TL_ADVANTAGE_PROMPT, &h, prompts, 1, SIZE, r, out);
    const double spike[SIZE] = {1, 2, 3, 1e6};
    tl_advantage_compute(TL_ADVANTAGE_PROMPT, &h, prompts, 1, SIZE, spike, out);
    assert_true(h.counts[2] == 16);
    double mean = (3 * 10 + 6 + 1e6) / 16;
    assert_true(out[0] < 0 && out[3] > 3.5 && out[3] < 5 && mean > 0);
    for (int i = 0; i < 20; i++) tl_advantage_compute(TL_ADVANTAGE_PROMPT, &h, prompts, 1, SIZE, r, out);
    tl_advantage_compute(TL_ADVANTAGE_PROMPT, &h, prompts, 1, SIZE, spike, out);
    assert_true(out[3] == 5); /* one of 32 */
    tl_advantage_history_finish(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_truth_table), cmocka_unit_test(test_differences),
                                       cmocka_unit_test(test_first_gradients_agree),
                                       cmocka_unit_test(test_refusals), cmocka_unit_test(test_advantages)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
