/* Steering's core on problems whose answer is known: Zhat is unbiased, and the weighted samples follow
 * p(x) exp(lambda r(x)) / Z, for every resampler, potential and threshold. Mistakes that published code makes
 * fail the same acceptance, which says that it can tell.
 *
 * The line with r = x and lambda 1.5: log Z 2.3228, mean 2.4800 (-0.35 untilted). Potentials other than diff
 * have so heavy tails of Zhat there that no number of runs worth waiting for tells anything: they are read at
 * a smaller lambda. */
#include "support/check.h"

#include "algo/support_toy.h"

static double first(const double *x)
{
    return x[0];
}

static struct toy line(const char *potential, double lambda, double ess_threshold)
{
    struct toy t = toy_default();
    t.reward = first;
    t.potential = tl_potential_find(potential);
    t.lambda = lambda;
    t.ess_threshold = ess_threshold;
    return t;
}

static struct toy_reading read_line(const struct toy *t, int n_runs, const char *what)
{
    struct toy_reading r = toy_read(t, n_runs, toy_line_log_z(t->lambda), first);
    print_message(
        "%-12s %-10s ess %.1f lambda %.2f %s: Z %.4f (%.4f), mean %.4f, pooled %.4f (%.4f) of %.4f\n",
        t->resampler->name, t->potential->name, t->ess_threshold, t->lambda, what, r.z, r.z_error, r.mean,
        r.pooled, r.pooled_error, toy_line_mean(t->lambda));
    return r;
}

static void test_closed_forms(void **state)
{
    (void)state;
    check_near(toy_line_log_z(1.5), 2.3228, 5e-5);
    check_near(toy_line_mean(1.5), 2.4800, 5e-5);
    check_near(toy_line_mean(0), -0.350, 1e-12);
}

static void test_resamplers(void **state)
{
    (void)state;
    for (const struct tl_resampler *r = tl_resamplers; r->name; r++)
        for (int always = 0; always < 2; always++) {
            struct toy t = line("diff", 1.5, always ? 1 : 0.5);
            t.resampler = r;
            struct toy_reading got = read_line(&t, 400, "right");
            assert_true(toy_accepts(got, toy_line_mean(1.5)));
            check_near(got.mean, 2.4800, 0.02);
            check_near(got.z_error * sqrt(400), 0.32, 0.05); /* measured elsewhere: 0.32 */
        }
}

static const struct {
    const char *potential;
    double lambda;
} others[] = {{"max", 0.3}, {"immediate", 0.3}, {"sum", 0.15}, {"none", 1.5}};
enum { OTHERS = sizeof others / sizeof *others };

static void test_potentials(void **state)
{
    (void)state;
    for (int i = 0; i < OTHERS; i++)
        for (int always = 0; always < 2; always++) {
            struct toy t = line(others[i].potential, others[i].lambda, always ? 1 : 0.5);
            struct toy_reading got = read_line(&t, 400, "right");
            assert_true(toy_accepts(got, toy_line_mean(t.lambda)));
            assert_true(got.z_error < 0.025 && got.pooled_error < 0.05); /* so that it says something */
        }
}

static void check_refused(const char *potential, double lambda, double ess_threshold,
                          enum toy_mistake mistake, const char *what)
{
    struct toy t = line(potential, lambda, ess_threshold);
    t.mistake = mistake;
    assert_false(toy_accepts(read_line(&t, 300, what), toy_line_mean(lambda)));
}

static void test_mistakes(void **state)
{
    (void)state;
    check_refused("diff", 1.5, 0.5, TOY_DROPS_WEIGHTS, "drops weights");
    check_refused("diff", 1.5, 0.5, TOY_FORGETS_WEIGHTS, "forgets weights");
    check_refused("diff", 1.5, 1, TOY_FORGETS_WEIGHTS, "forgets weights");
    for (int i = 0; i < 3; i++) {
        check_refused(others[i].potential, others[i].lambda, 0.5, TOY_DROPS_WEIGHTS, "drops weights");
        check_refused(others[i].potential, others[i].lambda, 0.5, TOY_FORGETS_WEIGHTS, "forgets weights");
    }
    for (int always = 0; always < 2; always++) {
        check_refused("max", 0.3, always ? 1 : 0.5, TOY_TILTS_BY_HISTORY, "tilts by history");
        check_refused("sum", 0.15, always ? 1 : 0.5, TOY_TILTS_BY_HISTORY, "tilts by history");
    }
}

static double line_value(double lambda, const struct toy_posterior *now)
{
    double sum = 0;
    for (int i = 0; i < now->n; i++)
        sum += now->p[i] * exp(lambda * now->mean[i][0] + lambda * lambda * now->variance[i] / 2);
    return log(sum) / lambda;
}

/* r_t by the exact value, and by draws of x_0: both leave Z alone, the first makes it sharper. */
static void test_values(void **state)
{
    (void)state;
    struct toy exact = line("diff", 1.5, 0.5), drawn = exact;
    exact.value = line_value;
    drawn.n_draws = TOY_DRAWS;
    struct toy_reading a = read_line(&exact, 500, "exact value"), b = read_line(&drawn, 300, "draws");
    assert_true(toy_accepts(a, toy_line_mean(1.5)) && toy_accepts(b, toy_line_mean(1.5)));
    check_near(a.z_error * sqrt(500), 0.234, 0.03);
}

static double hill(const double *x)
{
    return -x[0] * x[0] / 100 - x[1] * x[1];
}

/* log E[exp(lambda hill)] of a mixture, an axis at a time: int N(x; m, v) e^{-c x^2} =
 * (1 + 2cv)^{-1/2} exp(-c m^2 / (1 + 2cv)). */
static double hill_value(double lambda, const struct toy_posterior *now)
{
    double sum = 0;
    for (int i = 0; i < now->n; i++) {
        double term = now->p[i];
        for (int d = 0; d < 2; d++) {
            double c = d ? lambda : lambda / 100, m = now->mean[i][d], wide = 1 + 2 * c * now->variance[i];
            term *= exp(-c * m * m / wide) / sqrt(wide);
        }
        sum += term;
    }
    return log(sum) / lambda;
}

static void test_grid(void **state)
{
    (void)state;
    struct toy_posterior all = {.n = 9};
    memcpy(all.p, toy_grid.weight, sizeof all.p);
    memcpy(all.mean, toy_grid.mean, sizeof all.mean);
    memcpy(all.variance, toy_grid.variance, sizeof all.variance);
    check_near(hill_value(1, &all), -1.43969, 5e-6);
    check_near((hill_value(1 + 1e-5, &all) * (1 + 1e-5) - hill_value(1 - 1e-5, &all) * (1 - 1e-5)) / 2e-5,
               -0.29072, 5e-6); /* E*[r] = d log Z / d lambda */
    for (int looks = 0; looks < 2; looks++) {
        struct toy t = line(looks ? "diff" : "none", 1, 0.5);
        t.data = &toy_grid;
        t.reward = hill;
        t.value = hill_value;
        struct toy_reading r = toy_read(&t, 500, -1.43969, hill);
        print_message("grid, %s: Z %.4f (%.4f), mean %.4f, pooled %.4f (%.4f)\n", t.potential->name, r.z,
                      r.z_error, r.mean, r.pooled, r.pooled_error);
        assert_true(toy_accepts(r, -0.29072));
        check_near(r.mean, -0.29072, 0.02);
    }
}

/* A guided proposal with its correction leaves all as it is, whatever the guide; with the wrong sign, or an
 * uphill one without, it does not. (A random guide without only widens the steps a little.) */
static void test_guide(void **state)
{
    (void)state;
    for (int guide = TOY_UPHILL; guide <= TOY_RANDOM; guide++)
        for (int correction = 1; correction >= -1; correction--) {
            if (guide == TOY_RANDOM && correction == 0) continue;
            struct toy t = line("diff", 1.5, 0.5);
            t.guide = (enum toy_guide)guide;
            t.correction = correction;
            struct toy_reading r = read_line(&t, 400, guide == TOY_UPHILL ? "uphill" : "random");
            assert_true(toy_accepts(r, toy_line_mean(1.5)) == (correction == 1));
            if (correction == 1) check_near(r.mean, 2.4800, 0.02);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed_forms), cmocka_unit_test(test_resamplers),
        cmocka_unit_test(test_potentials),   cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_values),       cmocka_unit_test(test_grid),
        cmocka_unit_test(test_guide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
