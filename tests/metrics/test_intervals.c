/* Intervals: Student's quantile, identities, coverage on simulated data, too few items. */
#include "metrics/support_metrics.h"

#include <tiller/interrupt.h>

#include "metrics/intervals.h"
#include "metrics/stats.h"

static void test_student(void **state)
{
    (void)state;
    check_near(tl_student_quantile(0.95, 1), 12.706204736, 1e-8);
    check_near(tl_student_quantile(0.95, 9), 2.262157163, 1e-8);
    check_near(tl_student_quantile(0.95, 19.5), 2.089383, 2e-5);
    check_near(tl_student_quantile(0.99, 4), 4.604094871, 1e-8);
    check_near(tl_student_quantile(0.95, 1e7), 1.959964, 1e-6);
    assert_true(isnan(tl_student_quantile(0.95, 0)) && isnan(tl_student_quantile(1, 3)));
}

static void test_means(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_interval t;
    const double x[] = {1, 2, 3, 4, 5, 6}, bad[] = {1, NAN};
    check_ok(tl_interval_mean(x, 6, NULL, &t, &err), &err);
    assert_true(t.low > 1.5 && t.low < 3.5 && t.high > 3.5 && t.high < 5.5);
    check_near(t.se, tl_stats_se(x, 6), 1e-15);
    for (size_t n = 0; n < 2; n++) {
        check_ok(tl_interval_mean(x, n, NULL, &t, &err), &err);
        assert_true(isnan(t.low) && isnan(t.high) && strcmp(t.method, "none") == 0);
    }
    assert_false(tl_interval_mean(bad, 2, NULL, &t, &err));
    assert_true(err.code == TL_NUMERIC);
    err = (struct tl_err){0};
    const double large[] = {1e308, 1e308, 1e308, 1e308}, apart[] = {1e308, -1e308, 1e308};
    assert_true(tl_stats_mean(large, 4) == 1e308);
    check_ok(tl_interval_mean(large, 4, NULL, &t, &err), &err);
    assert_true(t.low == 1e308 && t.high == 1e308);
    assert_false(tl_interval_mean(apart, 3, NULL, &t, &err));
    assert_true(err.code == TL_NUMERIC);
    err = (struct tl_err){0};
    assert_false(tl_interval_mean(x, 6, &(struct tl_interval_params){.level = 95}, &t, &err));
    assert_true(err.code == TL_USAGE);
}

/* Linear kernel of one dimension: biased MMD is (mean x - mean y)^2, whose jackknife is known to first order:
 * 2 |dx| sqrt(var x / m + var y / n). */
static void test_delta_method(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_features x = normal_rows(1, 400, 1), y = normal_rows(2, 300, 1);
    double vx[400], vy[300];
    for (size_t i = 0; i < 400; i++) vx[i] = (double)(((float *)x.x)[i] += 2);
    for (size_t i = 0; i < 300; i++) vy[i] = (double)y.x[i];
    double dx = tl_stats_mean(vx, 400) - tl_stats_mean(vy, 300);
    double se = 2 * dx * hypot(tl_stats_se(vx, 400), tl_stats_se(vy, 300));
    struct tl_kernel linear = {.kind = TL_KERNEL_POLYNOMIAL, .gamma = 1, .degree = 1};
    struct tl_interval t;
    check_ok(tl_interval_mmd(&x, &y, &linear, false, 1, dx * dx, NULL, NULL, &t, &err), &err);
    check_near(t.se, se, 0.01 * se);
    check_near(t.high - t.low, 2 * 1.963 * se, 0.02 * se * 4);
    assert_true(t.n_groups == 700 && strcmp(t.method, "jackknife over items") == 0);
    rows_free(&x), rows_free(&y);
}

/* Items of 4 dependent rows. In 60 repeats the 95 % intervals must hold the mean of all values 50 times or
 * more (about 1 in 1e4 that honest ones do not), and errors match the spread within a factor. */
static void test_coverage(void **state)
{
    (void)state;
    enum { ITEMS = 40, ROWS = 4, DIM = 6, REPEATS = 60 };
    struct tl_err err = {0};
    size_t first[ITEMS + 1];
    for (size_t i = 0; i <= ITEMS; i++) first[i] = i * ROWS;
    double value[3][REPEATS], se[3] = {0};
    struct tl_interval t[3][REPEATS];
    for (uint32_t r = 0; r < REPEATS; r++) {
        struct tl_features x = normal_rows(100 + r, ITEMS * ROWS, DIM),
                           y = normal_rows(300 + r, ITEMS * ROWS, DIM);
        x.first = y.first = first;
        x.n_items = y.n_items = ITEMS;
        for (size_t i = 0; i < ITEMS * ROWS * DIM; i++) { /* a row is mostly its item's first row */
            size_t head = i / (ROWS * DIM) * ROWS * DIM + i % DIM;
            if (i != head) ((float *)x.x)[i] = 0.6f * ((float *)x.x)[i] + 0.8f * x.x[head];
            if (i != head) ((float *)y.x)[i] = 0.6f * ((float *)y.x)[i] + 0.8f * y.x[head];
            ((float *)y.x)[i] *= 1.5f;
        }
        struct tl_frechet f;
        struct tl_kernel k = {.kind = TL_KERNEL_GAUSSIAN, .gamma = 0.1};
        struct tl_mmd m = {0};
        check_ok(tl_frechet_features(&x, &y, NULL, &f, &err) &&
                     tl_mmd(&x, &y, &k, true, 100, NULL, &m, &err) &&
                     tl_vendi_features(&x, &TL_VENDI_DEFAULT, NULL, &value[2][r], &err),
                 &err);
        value[0][r] = f.value;
        value[1][r] = m.value;
        check_ok(tl_interval_frechet((struct tl_frechet_side){.rows = &x},
                                     (struct tl_frechet_side){.rows = &y}, value[0][r], NULL, NULL, &t[0][r],
                                     &err) &&
                     tl_interval_mmd(&x, &y, &k, true, 100, value[1][r], NULL, NULL, &t[1][r], &err) &&
                     tl_interval_vendi(&x, &TL_VENDI_DEFAULT, value[2][r], NULL, NULL, &t[2][r], &err),
                 &err);
        for (int m3 = 0; m3 < 3; m3++) se[m3] += t[m3][r].se / REPEATS;
        rows_free(&x), rows_free(&y);
    }
    for (int m = 0; m < 3; m++) {
        int inside = 0;
        double mean = tl_stats_mean(value[m], REPEATS), sd = tl_stats_sd(value[m], REPEATS);
        for (int r = 0; r < REPEATS; r++) inside += t[m][r].low <= mean && mean <= t[m][r].high;
        assert_true(inside >= 50);
        assert_true(se[m] > 0.75 * sd && se[m] < 2 * sd);
    }
}

static void test_few_items_and_threads(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_pool *pool = tl_pool_create(2, &err);
    struct tl_features x = normal_rows(1, 300, 5), y = normal_rows(2, 40, 5), one = normal_rows(3, 30, 5);
    const size_t first[] = {0, 30};
    one.first = first;
    one.n_items = 1;
    struct tl_frechet_side sx = {.rows = &x}, sy = {.rows = &y}, s1 = {.rows = &one};
    struct tl_interval t, other;
    check_ok(tl_interval_frechet(sx, sy, 1, NULL, NULL, &t, &err), &err);
    check_ok(tl_interval_frechet(sx, sy, 1, NULL, pool, &other, &err), &err);
    assert_true(t.n_groups == 40 && t.low == other.low && t.high == other.high && t.se > 0);
    assert_string_equal(t.method, "delete-a-group jackknife over items");
    check_ok(tl_interval_frechet(sx, s1, 1, NULL, NULL, &t, &err), &err);
    assert_true(isnan(t.low) && strcmp(t.method, "none") == 0);
    check_ok(tl_interval_vendi(&one, &TL_VENDI_DEFAULT, 4, NULL, NULL, &t, &err), &err);
    assert_true(isnan(t.high));
    struct tl_gaussian g; /* a reference without items counts as exact */
    check_ok(tl_gaussian_from_features(&g, &x, NULL, &err), &err);
    check_ok(tl_interval_frechet((struct tl_frechet_side){.gaussian = &g}, sy, 1, NULL, NULL, &t, &err),
             &err);
    assert_true(t.n_groups == 20 && t.low < 1 && t.high > 1);
    struct tl_fad_inf fit;
    struct tl_fad_inf_params p = {.n_min = 20, .n_sizes = 5, .allow_small = true};
    check_ok(tl_fad_inf(sy, &x, &p, NULL, &fit, NULL, NULL, &err), &err);
    check_ok(tl_interval_fad_inf(sy, &x, &p, fit.value, NULL, NULL, &t, &err), &err);
    assert_true(t.n_groups == 10 && t.low < fit.value && t.high > fit.value);
    tl_gaussian_finish(&g);
    rows_free(&x), rows_free(&y), rows_free(&one);
    tl_pool_destroy(&pool);
}

/* A long item beside short ones: what is left without it is too small, which costs the interval and not the
 * value. Groups of unequal length otherwise go by rows or by moments as each allows. */
static void test_unequal_items(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_features x = normal_rows(1, 601, 4), y = normal_rows(2, 300, 4);
    const size_t two[] = {0, 600, 601}, three[] = {0, 597, 599, 601},
                 many[] = {0, 500, 520, 540, 560, 580, 601};
    struct tl_interval t;
    struct tl_frechet_side sx = {.rows = &x}, sy = {.rows = &y};
    struct tl_fad_inf_params p = {.n_min = 20, .n_sizes = 5, .allow_small = true};
    x.first = two, x.n_items = 2;
    check_ok(tl_interval_frechet(sx, sy, 1, NULL, NULL, &t, &err), &err);
    assert_true(isnan(t.low) && isnan(t.high) && strcmp(t.method, "none") == 0);
    check_ok(tl_interval_fad_inf(sy, &x, &p, 1, NULL, NULL, &t, &err), &err);
    assert_true(isnan(t.low));
    x.first = three, x.n_items = 3; /* 4 rows of 4 dimensions are left: a distance, if a poor one */
    check_ok(tl_interval_frechet(sx, sy, 1, NULL, NULL, &t, &err), &err);
    assert_true(t.low >= 0 && t.high > 1);
    check_ok(tl_interval_fad_inf(sy, &x, &p, 1, NULL, NULL, &t, &err),
             &err); /* samples of 1 row, or of none */
    assert_true(isnan(t.low));
    x.first = many, x.n_items = 6;
    check_ok(tl_interval_frechet(sx, sy, 1, NULL, NULL, &t, &err), &err);
    assert_true(t.low >= 0 && t.high > 1);
    rows_free(&x), rows_free(&y);
}

/* Means of few files: 400 repeats at each size must hold the true mean 0.95 +- 0.033 (three deviations), of a
 * normal law; percentiles of two files would hold it half the time. */
static void test_coverage_of_means(void **state)
{
    (void)state;
    enum { REPEATS = 400 };
    static const size_t sizes[] = {2, 3, 5, 10, 19, 40};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        size_t n = sizes[k];
        int inside = 0;
        struct tl_features x = normal_rows(7 + (uint32_t)k, REPEATS * n, 1);
        for (size_t r = 0; r < REPEATS; r++) {
            struct tl_err err = {0};
            struct tl_interval t;
            double v[40];
            for (size_t i = 0; i < n; i++) v[i] = (double)x.x[r * n + i];
            check_ok(tl_interval_mean(v, n, NULL, &t, &err), &err);
            inside += t.low <= 0 && 0 <= t.high;
            assert_string_equal(t.method, n < 20 ? "Student's t over files" : "bootstrap over files");
        }
        assert_true(inside >= 366 && (n >= 20 || inside <= 394));
        rows_free(&x);
    }
}

static void test_unwanted_and_interrupted(void **state)
{
    (void)state;
    struct tl_features x = normal_rows(1, 60, 4), y = normal_rows(2, 50, 4);
    struct tl_frechet_side sx = {.rows = &x}, sy = {.rows = &y};
    struct tl_kernel k = {.kind = TL_KERNEL_GAUSSIAN, .gamma = 0.1};
    struct tl_interval_params no = {.none = true};
    struct tl_fad_inf_params f = {.n_min = 20, .n_sizes = 5, .allow_small = true};
    struct tl_kid_params subsets = {.degree = 3, .coef = 1, .n_subsets = 5, .subset_size = 20};
    struct tl_interval t;
    struct tl_fad_inf fit;
    struct tl_kid kid;
    struct tl_err err = {0};
    tl_interrupt_request();
    check_ok(tl_interval_frechet(sx, sy, 1, &no, NULL, &t, &err) && isnan(t.low), &err);
    check_ok(tl_interval_vendi(&x, &TL_VENDI_DEFAULT, 1, &no, NULL, &t, &err) && isnan(t.low), &err);
    check_ok(tl_interval_fad_inf(sx, &y, &f, 1, &no, NULL, &t, &err) && isnan(t.low), &err);
    check_ok(tl_interval_mmd(&x, &y, &k, true, 1, 1, &no, NULL, &t, &err) && isnan(t.low), &err);
    for (int i = 0; i < 5; i++) {
        err = (struct tl_err){0};
        assert_false(i == 0   ? tl_interval_frechet(sx, sy, 1, NULL, NULL, &t, &err)
                     : i == 1 ? tl_interval_vendi(&x, &TL_VENDI_DEFAULT, 1, NULL, NULL, &t, &err)
                     : i == 2 ? tl_interval_mmd(&x, &y, &k, true, 1, 1, NULL, NULL, &t, &err)
                     : i == 3 ? tl_fad_inf(sx, &y, &f, NULL, &fit, NULL, NULL, &err)
                              : tl_kid(&x, &y, &subsets, NULL, &kid, &err));
        assert_int_equal(err.code, TL_INTERRUPTED);
    }
    tl_interrupt_clear();
    rows_free(&x), rows_free(&y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_student),
        cmocka_unit_test(test_means),
        cmocka_unit_test(test_delta_method),
        cmocka_unit_test(test_coverage),
        cmocka_unit_test(test_few_items_and_threads),
        cmocka_unit_test(test_unequal_items),
        cmocka_unit_test(test_coverage_of_means),
        cmocka_unit_test(test_unwanted_and_interrupted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
