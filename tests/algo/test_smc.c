/* The particle system's numbers, by hand. */
#include "support/check.h"

#include "algo/smc.h"

static struct tl_smc_params params(size_t n, double threshold)
{
    return (struct tl_smc_params){
        .n = n, .resampler = tl_resampler_find("systematic"), .ess_threshold = threshold, .seed = 9};
}

static void init(struct tl_smc *smc, size_t n, double threshold)
{
    struct tl_err err = {0};
    struct tl_smc_params p = params(n, threshold);
    check_ok(tl_smc_init(smc, &p, &err), &err);
}

static void weigh(struct tl_smc *smc, const double *log_g)
{
    struct tl_err err = {0};
    check_ok(tl_smc_weigh(smc, log_g, &err), &err);
}

static void check_refused(size_t n, const struct tl_resampler *r, double threshold, const char *says)
{
    struct tl_err err = {0};
    struct tl_smc smc;
    struct tl_smc_params p = {.n = n, .resampler = r, .ess_threshold = threshold};
    assert_false(tl_smc_init(&smc, &p, &err));
    assert_int_equal(err.code, TL_USAGE);
    if (!strstr(err.text, says)) fail_msg("'%s' lacks '%s'", err.text, says);
    tl_smc_finish(&smc);
}

static void test_params(void **state)
{
    (void)state;
    const struct tl_resampler *r = tl_resamplers;
    check_refused(0, r, 0.5, "particles");
    check_refused(4, NULL, 0.5, "resampler");
    check_refused(4, r, -0.1, "threshold");
    check_refused(4, r, 1.5, "threshold");
    check_refused(4, r, NAN, "threshold");
    check_refused(SIZE_MAX / 4, r, 0.5, "too many");
    struct tl_smc zero = {0};
    tl_smc_finish(&zero);
}

static void test_numbers(void **state)
{
    (void)state;
    struct tl_smc smc;
    init(&smc, 4, 0);
    check_near(tl_smc_log_z(&smc), 0, 0);
    assert_true(tl_smc_ess(&smc) == 4);
    weigh(&smc, (double[]){log(1), log(2), log(3), log(2)});
    check_near(tl_smc_log_z(&smc), log(2), 1e-15);
    check_near(tl_smc_ess(&smc), 64.0 / 18, 1e-14);
    check_near(tl_smc_weights(&smc)[2], 3.0 / 8, 1e-15);
    assert_false(tl_smc_resample(&smc, 0));                  /* never at 0 */
    weigh(&smc, (double[]){log(3), -INFINITY, 0, log(1.5)}); /* carried on: 3 0 3 3 */
    check_near(tl_smc_ess(&smc), 3, 1e-14);
    check_near(tl_smc_log_z(&smc), log(9.0 / 4), 1e-15);
    assert_true(tl_smc_weights(&smc)[1] == 0);
    tl_smc_finish(&smc);
}

static void test_resampling(void **state)
{
    (void)state;
    struct tl_smc smc;
    init(&smc, 4, 0.5);
    for (size_t i = 0; i < 4; i++) assert_int_equal(smc.ancestors[i], i);
    weigh(&smc, (double[]){log(1), log(1), log(1), log(3)});
    assert_false(tl_smc_resample(&smc, 0)); /* ESS 3 */
    assert_int_equal(smc.n_resampled, 0);
    weigh(&smc, (double[]){-INFINITY, -INFINITY, 0, log(5)}); /* 0 0 1 15: ESS 256/226 */
    double before = tl_smc_log_z(&smc);
    check_near(before, log(4), 1e-15);
    assert_true(tl_smc_resample(&smc, 1));
    assert_int_equal(smc.n_resampled, 1);
    for (size_t i = 0; i < 4; i++) assert_true(smc.ancestors[i] >= 2 && smc.log_weight[i] == 0);
    assert_int_equal(smc.ancestors[3], 3);
    check_near(tl_smc_log_z(&smc), before, 1e-15); /* resampling does not change the estimate */
    check_near(smc.log_z, before, 1e-15);
    weigh(&smc, (double[]){log(2), log(2), log(2), log(2)});
    assert_false(tl_smc_resample(&smc, 2)); /* equal */
    check_near(tl_smc_log_z(&smc), log(8), 1e-15);
    tl_smc_finish(&smc);
}

static void test_threshold_one(void **state)
{
    (void)state;
    struct tl_smc smc;
    init(&smc, 3, 1);
    weigh(&smc, (double[]){2, 2, 2});
    assert_false(tl_smc_resample(&smc, 0));
    weigh(&smc, (double[]){0, 0, 1e-12}); /* too little for the ESS to tell */
    assert_true(tl_smc_ess(&smc) == 3);
    assert_true(tl_smc_resample(&smc, 1));
    tl_smc_finish(&smc);
}

static void test_one_particle(void **state)
{
    (void)state;
    struct tl_smc smc;
    init(&smc, 1, 1);
    weigh(&smc, (double[]){-3.5});
    assert_false(tl_smc_resample(&smc, 0));
    assert_true(tl_smc_log_z(&smc) == -3.5 && tl_smc_ess(&smc) == 1 && tl_smc_weights(&smc)[0] == 1);
    tl_smc_finish(&smc);
}

/* No reward is too large; and a group of far less weight than another is as good. */
static void test_large(void **state)
{
    (void)state;
    struct tl_smc smc;
    init(&smc, 3, 0.5);
    weigh(&smc, (double[]){1e300, -1e300, 1e300});
    check_near(tl_smc_ess(&smc), 2, 1e-15);
    assert_true(isfinite(tl_smc_log_z(&smc)));
    assert_false(tl_smc_resample(&smc, 0));
    tl_smc_finish(&smc);
    init(&smc, 3, 1);
    weigh(&smc, (double[]){-5000, -5000 + log(2), -5001});
    check_near(tl_smc_log_z(&smc), -5000 + log((3 + exp(-1)) / 3), 1e-11);
    assert_true(tl_smc_resample(&smc, 0));
    tl_smc_finish(&smc);
}

static void check_bad(const double *log_g, const char *says)
{
    struct tl_smc smc;
    struct tl_err err = {0};
    init(&smc, 3, 0.5);
    smc.p.group = 12;
    weigh(&smc, (double[]){1, 2, 3});
    assert_false(tl_smc_weigh(&smc, log_g, &err));
    assert_int_equal(err.code, TL_NUMERIC);
    if (!strstr(err.text, says) || !strstr(err.text, "group 12")) fail_msg("'%s'", err.text);
    for (int i = 0; i < 3; i++) assert_true(smc.log_weight[i] == i + 1); /* as it was */
    tl_smc_finish(&smc);
}

static void test_bad_weights(void **state)
{
    (void)state;
    check_bad((double[]){0, NAN, 0}, "particle 1");
    check_bad((double[]){0, 0, INFINITY}, "particle 2");
    check_bad((double[]){-INFINITY, -INFINITY, -INFINITY}, "all 3 particles");
}

/* Draws depend on seed, group and event, on nothing that went before. */
static void test_keys(void **state)
{
    (void)state;
    enum { N = 32 };
    double log_g[N];
    size_t first[N];
    int differ[3] = {0};
    for (int i = 0; i < N; i++) log_g[i] = sin(i);
    for (uint32_t event = 0; event < 10; event++)
        for (int what = -2; what < 3; what++) {
            struct tl_smc smc;
            init(&smc, N, 1);
            if (what == -1) { /* an earlier resampling is nothing to this one */
                weigh(&smc, log_g);
                assert_true(tl_smc_resample(&smc, event + 100));
            }
            if (what == 0) smc.p.seed = 10;
            if (what == 1) smc.p.group = 1;
            weigh(&smc, log_g);
            assert_true(tl_smc_resample(&smc, what == 2 ? event + 100 : event));
            if (what == -2) memcpy(first, smc.ancestors, sizeof first);
            bool same = memcmp(first, smc.ancestors, sizeof first) == 0;
            if (what < 0) assert_true(same);
            if (what >= 0) differ[what] += !same;
            tl_smc_finish(&smc);
        }
    for (int i = 0; i < 3; i++) assert_true(differ[i] >= 8);
}

static void test_unique(void **state)
{
    (void)state;
    assert_int_equal(tl_smc_unique((size_t[]){0, 1, 2}, 3), 3);
    assert_int_equal(tl_smc_unique((size_t[]){5, 1, 1, 5, 1}, 5), 2);
    assert_int_equal(tl_smc_unique((size_t[]){2, 2, 2}, 3), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_params),       cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_resampling),   cmocka_unit_test(test_threshold_one),
        cmocka_unit_test(test_one_particle), cmocka_unit_test(test_large),
        cmocka_unit_test(test_bad_weights),  cmocka_unit_test(test_keys),
        cmocka_unit_test(test_unique),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
