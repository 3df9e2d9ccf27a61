/* Means and covariances: two passes, any cut, merges, removals, threads, refusals. */
#include "metrics/support_metrics.h"

#include "metrics/moments.h"

enum { N = 700, D = 37 };

/* Rows with large, differing means: what naive sums of squares lose. */
static struct tl_features offset_rows(void)
{
    struct tl_features f = normal_rows(1, N, D);
    float *x = (float *)f.x;
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < D; j++) x[i * D + j] = x[i * D + j] * (1 + (float)j) + 1000 * (float)j;
    return f;
}

static void two_passes(const struct tl_features *f, double *mu, double *sigma)
{
    for (size_t j = 0; j < f->dim; j++) {
        long double sum = 0;
        for (size_t i = 0; i < f->n; i++) sum += f->x[i * f->dim + j];
        mu[j] = (double)(sum / f->n);
    }
    for (size_t a = 0; a < f->dim; a++)
        for (size_t b = 0; b < f->dim; b++) {
            long double sum = 0;
            for (size_t i = 0; i < f->n; i++)
                sum +=
                    ((long double)f->x[i * f->dim + a] - mu[a]) * ((long double)f->x[i * f->dim + b] - mu[b]);
            sigma[a * f->dim + b] = (double)(sum / (f->n - 1));
        }
}

static void check_same(const struct tl_gaussian *g, const double *mu, const double *sigma, double tolerance)
{
    for (size_t j = 0; j < D; j++) check_near(g->mu[j], mu[j], tolerance * (1 + fabs(mu[j])));
    for (size_t i = 0; i < D * D; i++) {
        double scale = sqrt(sigma[i / D * (D + 1)] * sigma[i % D * (D + 1)]);
        check_near(g->sigma[i], sigma[i], tolerance * scale);
    }
}

static void test_two_passes(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_features f = offset_rows();
    double mu[D], sigma[D * D];
    two_passes(&f, mu, sigma);
    struct tl_gaussian g;
    check_ok(tl_gaussian_from_features(&g, &f, NULL, &err), &err);
    assert_true(g.n == N && g.dim == D);
    check_same(&g, mu, sigma, 1e-12);
    tl_gaussian_finish(&g);
    rows_free(&f);
}

static void test_cuts_and_threads(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_features f = offset_rows();
    struct tl_pool *pool = tl_pool_create(3, &err);
    struct tl_gaussian one, other;
    check_ok(tl_gaussian_from_features(&one, &f, NULL, &err), &err);
    struct tl_moments m;
    check_ok(tl_moments_init(&m, D, &err), &err);
    for (size_t i = 0; i < N; i += 11)
        check_ok(tl_moments_add(&m, f.x + i * D, N - i < 11 ? N - i : 11, pool, &err), &err);
    check_ok(tl_moments_gaussian(&m, pool, &other, &err), &err);
    assert_memory_equal(one.mu, other.mu, sizeof(double) * D);
    assert_memory_equal(one.sigma, other.sigma, sizeof(double) * D * D);
    tl_moments_finish(&m);
    tl_gaussian_finish(&one);
    tl_gaussian_finish(&other);
    tl_pool_destroy(&pool);
    rows_free(&f);
}

static void test_merge_and_remove(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_features f = offset_rows();
    double mu[D], sigma[D * D];
    two_passes(&f, mu, sigma);
    struct tl_moments a, b;
    struct tl_gaussian g;
    check_ok(tl_moments_init(&a, D, &err) && tl_moments_init(&b, D, &err), &err);
    check_ok(tl_moments_add(&a, f.x, 450, NULL, &err), &err);
    check_ok(tl_moments_add(&b, f.x + 450 * D, N - 450, NULL, &err), &err);
    check_ok(tl_moments_merge(&a, &b, NULL, &err), &err);
    check_ok(tl_moments_gaussian(&a, NULL, &g, &err), &err);
    check_same(&g, mu, sigma, 1e-12);
    tl_gaussian_finish(&g);
    check_ok(tl_moments_remove(&a, &b, NULL, &err), &err);
    check_ok(tl_moments_gaussian(&a, NULL, &g, &err), &err);
    assert_true(g.n == 450);
    struct tl_features first = rows_of(f.x, 450, D);
    two_passes(&first, mu, sigma);
    check_same(&g, mu, sigma, 1e-10);
    tl_gaussian_finish(&g);
    assert_false(tl_moments_remove(&b, &a, NULL, &err));
    tl_moments_finish(&a);
    tl_moments_finish(&b);
    rows_free(&f);
}

static void test_refusals(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_gaussian g;
    const float x[] = {1, 2, 3, 4, NAN, 6}, one[] = {1, 2};
    const size_t first[] = {0, 1, 3};
    struct tl_features f = {.x = x, .n = 3, .dim = 2, .first = first, .n_items = 2};
    assert_false(tl_gaussian_from_features(&g, &f, NULL, &err));
    assert_true(err.code == TL_NUMERIC);
    assert_non_null(strstr(err.text, "item 1: row 1"));
    err = (struct tl_err){0};
    f = rows_of(one, 1, 2);
    assert_false(tl_gaussian_from_features(&g, &f, NULL, &err));
    assert_true(err.code == TL_BAD_INPUT && strstr(err.text, "two embeddings"));
    err = (struct tl_err){0};
    f = rows_of(one, 0, 2);
    assert_false(tl_gaussian_from_features(&g, &f, NULL, &err));
    const double mu[] = {0, 0}, lopsided[] = {1, 2, 0, 1}, negative[] = {-1, 0, 0, 1},
                 infinite[] = {1, 0, 0, INFINITY};
    err = (struct tl_err){0};
    assert_false(tl_gaussian_init(&g, 2, 0, mu, lopsided, &err));
    assert_non_null(strstr(err.text, "not symmetric"));
    err = (struct tl_err){0};
    assert_false(tl_gaussian_init(&g, 2, 0, mu, negative, &err));
    assert_non_null(strstr(err.text, "cannot be negative"));
    err = (struct tl_err){0};
    assert_false(tl_gaussian_init(&g, 2, 0, mu, infinite, &err));
    assert_true(err.code == TL_BAD_INPUT);
    assert_null(g.mu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_passes),
        cmocka_unit_test(test_cuts_and_threads),
        cmocka_unit_test(test_merge_and_remove),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
