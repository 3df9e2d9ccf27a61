/* Products in every form, factors, eigenvalues on both sides of the size where their way changes. */
#include "metrics/support_metrics.h"

#include "metrics/dense.h"

static double *doubles(uint32_t sample, size_t n)
{
    struct tl_features f = normal_rows(sample, n, 1);
    double *x = malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = f.x[i];
    rows_free(&f);
    return x;
}

static void check_product(size_t m, size_t n, size_t k, bool symmetric, bool upper)
{
    struct tl_err err = {0};
    if (symmetric || upper) k = m;
    double *a = doubles(1, m * (k + 2)), *b = doubles(2, n * (k + 1)), *c = doubles(3, m * (n + 3));
    for (size_t i = 0; upper && i < m; i++)
        for (size_t j = 0; j < i; j++) a[i * (k + 2) + j] = 0;
    double *was = malloc(m * (n + 3) * sizeof *was);
    memcpy(was, c, m * (n + 3) * sizeof *was);
    struct tl_dense_product p = {
        .m = m, .n = n, .k = k, .a = a, .lda = k + 2, .b = b, .ldb = k + 1, .c = c, .ldc = n + 3};
    p.alpha = -2;
    p.accumulate = true;
    p.a_symmetric = symmetric;
    p.a_upper = upper;
    check_ok(tl_dense_product(&p, NULL, &err), &err);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n + 3; j++) {
            double sum = 0;
            for (size_t l = 0; j < n && l < k; l++) {
                bool mirrored = symmetric && l > i;
                sum += a[mirrored ? l * (k + 2) + i : i * (k + 2) + l] * b[j * (k + 1) + l];
            }
            check_near(c[i * (n + 3) + j], was[i * (n + 3) + j] - 2 * sum, 1e-11);
        }
    free(a), free(b), free(c), free(was);
}

static void test_products(void **state)
{
    (void)state;
    const size_t sizes[][3] = {{1, 1, 1}, {7, 5, 3}, {8, 24, 10}, {193, 30, 200}, {25, 211, 193}};
    for (size_t i = 0; i < 5; i++)
        for (int form = 0; form < 3; form++)
            check_product(sizes[i][0], sizes[i][1], sizes[i][2], form == 1, form == 2);
}

/* A matrix with known eigenvalues: a diagonal between Householder reflections. */
static double *with_spectrum(size_t n, const double *w)
{
    double *a = calloc(n * n, sizeof *a), *p = malloc(n * sizeof *p);
    for (size_t i = 0; i < n; i++) a[i * n + i] = w[i];
    for (uint32_t r = 0; r < 3; r++) {
        double *v = doubles(10 + r, n), norm = 0, vav = 0;
        for (size_t i = 0; i < n; i++) norm += v[i] * v[i];
        for (size_t i = 0; i < n; i++) {
            p[i] = 0;
            for (size_t j = 0; j < n; j++) p[i] += a[i * n + j] * v[j];
            vav += v[i] * p[i];
        }
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++)
                a[i * n + j] += (4 * vav / norm * v[i] * v[j] - 2 * (v[i] * p[j] + p[i] * v[j])) / norm;
        free(v);
    }
    free(p);
    return a;
}

static void test_eigenvalues(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_pool *pool = tl_pool_create(3, &err);
    const size_t sizes[] = {1, 2, 50, 599, 600, 601, 625, 649};
    for (size_t s = 0; s < 8; s++) {
        size_t n = sizes[s];
        double *w = malloc(n * sizeof *w), *got = malloc(n * sizeof *got), *again = malloc(n * sizeof *again);
        for (size_t i = 0; i < n; i++) w[i] = i % 3 == 0 ? -1 : 0.01 * (double)(i / 2);
        double *a = with_spectrum(n, w), *b = malloc(n * n * sizeof *b), sum = 0, squares = 0;
        memcpy(b, a, n * n * sizeof *b);
        check_ok(tl_dense_eigenvalues(a, n, NULL, got, &err), &err);
        check_ok(tl_dense_eigenvalues(b, n, pool, again, &err), &err);
        assert_memory_equal(got, again, n * sizeof *got);
        for (size_t i = 0; i < n; i++) {
            size_t below = 0, same = 0; /* where got[i] stands among w */
            for (size_t j = 0; j < n; j++) {
                below += w[j] < got[i] - 1e-11;
                same += fabs(w[j] - got[i]) <= 1e-11;
            }
            assert_true(below <= i && i < below + same);
            sum += got[i] - w[i];
            squares += got[i] * got[i] - w[i] * w[i];
        }
        check_near(sum, 0, 1e-10);
        check_near(squares, 0, 1e-9);
        free(w), free(got), free(again), free(a), free(b);
    }
    tl_pool_destroy(&pool);
}

static void test_roots(void **state)
{
    (void)state;
    struct tl_err err = {0};
    for (size_t rank = 40; rank <= 230; rank += 190) {
        size_t n = 230, got;
        double *w = calloc(n, sizeof *w), *r = NULL;
        for (size_t i = 0; i < rank; i++) w[i] = 1 + (double)i;
        double *a = with_spectrum(n, w);
        bool upper;
        check_ok(tl_dense_root(a, n, NULL, &r, &got, &upper, &err), &err);
        assert_true(got == rank && upper == (rank == n));
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++) {
                double sum = 0;
                for (size_t k = 0; k < got; k++) sum += r[k * n + i] * r[k * n + j];
                check_near(sum, a[i * n + j], 1e-10);
            }
        free(w), free(a), free(r);
    }
    double zero[4] = {0}, *r = NULL;
    size_t got;
    bool upper;
    check_ok(tl_dense_root(zero, 2, NULL, &r, &got, &upper, &err), &err);
    assert_int_equal(got, 0);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_eigenvalues),
        cmocka_unit_test(test_roots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
