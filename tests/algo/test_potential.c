/* Potentials by hand, and the product rule. */
#include "support/check.h"

#include "algo/potential.h"
#include "base/rng.h"

static void check_course(const char *name, const double want[4])
{
    const struct tl_potential *p = tl_potential_find(name);
    const double r[3] = {-1, 2, 0.5}, lambda = 2;
    struct tl_lineage l = {0};
    for (int i = 0; i < 3; i++) check_near(tl_potential_step(p, lambda, r[i], &l), want[i], 1e-14);
    check_near(l.log_g, want[0] + want[1] + want[2], 1e-14);
    check_near(tl_potential_end(lambda, 1.5, &l), want[3], 1e-14);
    check_near(l.log_g, 3, 1e-14);
    assert_int_equal(l.n_scored, 4);
}

/* Rewards -1, 2, 0.5, then 1.5 at the end; lambda 2. A first reward below 0 is not floored to 0. */
static void test_equations(void **state)
{
    (void)state;
    check_course("diff", (double[]){-2, 6, -3, 2});
    check_course("max", (double[]){-2, 4, 4, -3});
    check_course("sum", (double[]){-2, 2, 3, 0});
    check_course("immediate", (double[]){-2, 4, 1, 0});
    check_course("none", (double[]){0, 0, 0, 3});
}

static void test_product_rule(void **state)
{
    (void)state;
    for (const struct tl_potential *p = tl_potentials; p->name; p++)
        for (uint32_t n = 0; n < 60; n++) {
            struct tl_rng_key key = {.seed = n, .stream = TL_RNG_TEST};
            struct tl_lineage l = {0};
            float r[64];
            double sum = 0, lambda = 10.0 * (n % 7);
            tl_rng_normal(key, 0, 64, r);
            for (uint32_t i = 0; i < n; i++) sum += tl_potential_step(p, lambda, 100 * (double)r[i], &l);
            sum += tl_potential_end(lambda, (double)r[63], &l);
            check_near(sum, lambda * (double)r[63], 1e-7);
            if (lambda == 0) assert_true(sum == 0);
        }
}

/* What a broken reward gives is seen by whoever weighs, and an impossible particle stays impossible. */
static void test_not_finite(void **state)
{
    (void)state;
    for (const struct tl_potential *p = tl_potentials; p->name; p++) {
        if (!tl_potential_looks(p)) continue;
        struct tl_lineage l = {0};
        tl_potential_step(p, 1, 3, &l);
        assert_true(isnan(tl_potential_step(p, 1, NAN, &l)));
        l = (struct tl_lineage){0};
        assert_true(tl_potential_step(p, 1, -INFINITY, &l) == -INFINITY);
        assert_true(tl_potential_step(p, 1, 3, &l) == -INFINITY);
        assert_true(tl_potential_end(1, 3, &l) == -INFINITY);
    }
}

static void test_value(void **state)
{
    (void)state;
    const double r[4] = {1, 2, 3, 6};
    check_near(tl_potential_value(0, r, 4), 3, 1e-15);
    check_near(tl_potential_value(1, r, 4), log((exp(1) + exp(2) + exp(3) + exp(6)) / 4), 1e-14);
    check_near(tl_potential_value(-1, r, 4), -log((exp(-1) + exp(-2) + exp(-3) + exp(-6)) / 4), 1e-14);
    check_near(tl_potential_value(1e5, r, 4), 6, 2e-5);  /* the best of them */
    check_near(tl_potential_value(1e-9, r, 4), 3, 1e-8); /* their mean, without cancellation */
    check_near(tl_potential_value(1e-15, r, 4), 3, 1e-14);
    check_near(tl_potential_value(3, (double[]){1e300, -1e300}, 2), 1e300, 1e285);
    for (int i = 0; i < 4; i++) assert_true(tl_potential_value(10, r + i, 1) == r[i]);
    check_near(tl_potential_value(2, (double[]){-INFINITY, 1}, 2), 1 - log(2) / 2, 1e-14);
    assert_true(tl_potential_value(2, (double[]){-INFINITY, -INFINITY}, 2) == -INFINITY);
    assert_true(isnan(tl_potential_value(2, (double[]){1, NAN}, 2)));
}

static void test_table(void **state)
{
    (void)state;
    assert_string_equal(tl_potentials[0].name, "diff"); /* the default stands first */
    for (const struct tl_potential *p = tl_potentials; p->name; p++) {
        assert_ptr_equal(tl_potential_find(p->name), p);
        assert_true(p->help && *p->help);
        assert_true(tl_potential_looks(p) == (strcmp(p->name, "none") != 0));
    }
    assert_null(tl_potential_find("difference"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equations),  cmocka_unit_test(test_product_rule),
        cmocka_unit_test(test_not_finite), cmocka_unit_test(test_value),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
