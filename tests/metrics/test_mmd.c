/* Kernel distances and Vendi: the specs' vectors, direct sums, leave-outs, subsets, refusals. */
#include "metrics/support_metrics.h"

#include "metrics/mmd.h"
#include "metrics/vendi.h"

static void test_kid(void **state)
{
    (void)state;
    struct tl_err err = {0};
    const float x[] = {0, 0, 1, 0, 0, 1}, y[] = {1, 1, 2, 1, 1, 2};
    struct tl_features fx = rows_of(x, 3, 2), fy = rows_of(y, 3, 2);
    struct tl_kid kid;
    check_ok(tl_kid(&fx, &fy, &TL_KID_DEFAULT, NULL, &kid, &err), &err);
    check_near(kid.mean, 13.194444444444, 1e-11);
    check_ok(tl_kid(&fx, &fy, &TL_KID_CLEAN_FID, NULL, &kid, &err), &err);
    check_near(kid.mean, 13.194444444444, 1e-11);
    assert_int_equal(kid.subset_size, 3);
    assert_false(tl_kid(&fx, &fy, &TL_KID_TORCHMETRICS, NULL, &kid, &err));
    assert_non_null(strstr(err.text, "1000"));
    /* Subsets by hand: rows 0, 1 with 0, 1 and rows 1, 2 with 0, 2. gamma 1, coef 0, degree 2: k = (x.y)^2.
     * First: xx 0; yy (1,1).(2,1) = 3: 9; xy: (1,0) with both: (1 + 4)/4: 9 - 2.5 = 6.5.
     * Second: xx 0; yy 9; xy: (1,0): 1, 1; (0,1): 1, 4: 7/4: 9 - 3.5 = 5.5. */
    const uint32_t sx[] = {0, 1, 1, 2}, sy[] = {0, 1, 0, 2};
    struct tl_kid_params p = {
        .degree = 2, .gamma = 1, .coef = 0, .n_subsets = 2, .subset_size = 2, .subset_x = sx, .subset_y = sy};
    err = (struct tl_err){0};
    check_ok(tl_kid(&fx, &fy, &p, NULL, &kid, &err), &err);
    check_near(kid.mean, 6, 1e-12);
    check_near(kid.sd_n, 0.5, 1e-12);
}

/* Halves of one law: near 0, and the mean of many subsets is near the full value. */
static void test_kid_subsets(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_pool *pool = tl_pool_create(2, &err);
    struct tl_features x = normal_rows(1, 300, 8), y = normal_rows(2, 280, 8);
    struct tl_kid full, drawn, again;
    struct tl_kid_params p = {.degree = 3, .coef = 1, .n_subsets = 60, .subset_size = 100, .seed = 4};
    check_ok(tl_kid(&x, &y, &TL_KID_DEFAULT, NULL, &full, &err), &err);
    check_ok(tl_kid(&x, &y, &p, NULL, &drawn, &err), &err);
    check_ok(tl_kid(&x, &y, &p, pool, &again, &err), &err);
    assert_true(fabs(full.mean) < 0.02 && fabs(drawn.mean - full.mean) < 4 * drawn.sd_n / sqrt(60));
    assert_memory_equal(&drawn, &again, sizeof drawn);
    assert_true(isnan(full.sd_n) && drawn.sd_n > 0);
    rows_free(&x), rows_free(&y);
    tl_pool_destroy(&pool);
}

/* The subsets' values one by one: tl_mmd over the rows that they name. */
static void check_subsets(const struct tl_features *x, const struct tl_features *y,
                          const struct tl_kid_params *p, struct tl_pool *pool)
{
    enum { MOST = 128 };
    struct tl_err err = {0};
    struct tl_kernel k = tl_kid_kernel(p, x->dim);
    struct tl_kid kid;
    double sum = 0, squares = 0, n = (double)p->n_subsets;
    float a[MOST * 8], b[MOST * 8];
    assert_true(p->subset_size <= MOST && x->dim == 8);
    for (size_t s = 0; s < p->n_subsets; s++) {
        struct tl_mmd m = {0};
        for (size_t i = 0; i < p->subset_size; i++) {
            memcpy(a + i * 8, x->x + p->subset_x[s * p->subset_size + i] * 8, 8 * sizeof *a);
            memcpy(b + i * 8, y->x + p->subset_y[s * p->subset_size + i] * 8, 8 * sizeof *b);
        }
        struct tl_features fa = rows_of(a, p->subset_size, 8), fb = rows_of(b, p->subset_size, 8);
        check_ok(tl_mmd(&fa, &fb, &k, true, 1, NULL, &m, &err), &err);
        sum += m.value;
        squares += m.value * m.value;
    }
    check_ok(tl_kid(x, y, p, pool, &kid, &err), &err);
    check_near(kid.mean, sum / n, 1e-12);
    check_near(kid.sd_n, sqrt(squares / n - sum / n * sum / n), 1e-9);
}

/* Few large subsets share a pass over all pairs of rows, many small ones are taken alone: the same numbers.
 * Sets of several tiles; a row may stand in a subset twice. */
static void test_kid_together(void **state)
{
    (void)state;
    enum { N = 40, SIZE = 120 };
    struct tl_err err = {0};
    struct tl_pool *pool = tl_pool_create(2, &err);
    struct tl_features x = normal_rows(3, 300, 8), y = normal_rows(4, 700, 8),
                       large = normal_rows(5, 2000, 8);
    uint32_t rows_x[N * SIZE], rows_y[N * SIZE];
    for (uint32_t i = 0; i < N * SIZE; i++) {
        rows_x[i] = i * 7919u % 300;
        rows_y[i] = i * 104729u / 3 % 700;
    }
    struct tl_kid_params p = {
        .degree = 3, .coef = 1, .n_subsets = N, .subset_size = SIZE, .subset_x = rows_x, .subset_y = rows_y};
    check_subsets(&x, &y, &p, pool);
    check_subsets(&x, &large, &p, pool);
    p.degree = 2;
    check_subsets(&x, &y, &p, NULL);
    rows_y[N * SIZE - 1] = 700;
    struct tl_kid kid;
    assert_false(tl_kid(&x, &y, &p, pool, &kid, &err));
    assert_true(err.code == TL_USAGE && strstr(err.text, "row 700 of 700"));
    rows_free(&x), rows_free(&y), rows_free(&large);
    tl_pool_destroy(&pool);
}

static const float kad_x[] = {0, 0, 1, 0, 0, 1, 3, 0}, kad_y[] = {1, 1, 2, 1, 1, 2, 4, 4, 0, 2};

static void test_kad(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_features x = rows_of(kad_x, 4, 2), y = rows_of(kad_y, 5, 2);
    double value, bandwidth;
    check_ok(tl_kad(&x, &y, &(struct tl_kad_params){0}, NULL, &value, &bandwidth, &err), &err);
    check_near(bandwidth, sqrt(2), 1e-12);
    check_near(value, 12.591044, 1e-5);
    check_ok(
        tl_kad(&x, &y, &(struct tl_kad_params){.from = TL_KAD_EVALUATED}, NULL, &value, &bandwidth, &err),
        &err);
    check_near(value, 12.591044, 1e-5);
    const double given[][2] = {{1, 14.853308}, {1.7071068, 11.296553}, {1.8251407, 11.020287}};
    for (size_t i = 0; i < 3; i++) {
        struct tl_kad_params p = {.from = TL_KAD_GIVEN, .bandwidth = given[i][0]};
        check_ok(tl_kad(&x, &y, &p, NULL, &value, NULL, &err), &err);
        check_near(value, given[i][1], 1e-5);
    }
    assert_false(tl_kad(&x, &y, &(struct tl_kad_params){.from = TL_KAD_GIVEN}, NULL, &value, NULL, &err));
    assert_true(err.code == TL_USAGE);
}

/* Every kernel and both estimators by sums over pairs; the leave-outs by leaving out. */
static double direct(const struct tl_features *x, const struct tl_features *y, const struct tl_kernel *k,
                     bool unbiased)
{
    const struct tl_features *sets[2] = {x, y};
    double value = 0;
    for (int p = 0; p < 2; p++)
        for (int q = 0; q < 2; q++) {
            const struct tl_features *a = sets[p], *b = sets[q];
            bool skip = p == q && unbiased;
            double sum = 0;
            for (size_t i = 0; i < a->n; i++)
                for (size_t j = 0; j < b->n; j++) {
                    double dot = 0, d2 = 0;
                    for (size_t l = 0; l < a->dim; l++) {
                        double u = a->x[i * a->dim + l], v = b->x[j * a->dim + l];
                        dot += u * v;
                        d2 += (u - v) * (u - v);
                    }
                    if (skip && i == j) continue;
                    switch (k->kind) {
                    case TL_KERNEL_POLYNOMIAL:
                        sum += pow(k->gamma * dot + k->coef, k->degree);
                        break;
                    case TL_KERNEL_GAUSSIAN:
                        sum += exp(-k->gamma * d2);
                        break;
                    case TL_KERNEL_INVERSE_QUADRATIC:
                        sum += 1 / (1 + k->gamma * d2);
                        break;
                    case TL_KERNEL_INVERSE_MULTIQUADRIC:
                        sum += 1 / sqrt(1 + k->gamma * d2);
                        break;
                    }
                }
            value += (p == q ? 1 : -1) * sum / ((double)a->n * (double)(b->n - (skip ? 1 : 0)));
        }
    return value;
}

static void test_kernels(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_pool *pool = tl_pool_create(3, &err);
    struct tl_features x = normal_rows(1, 300, 5), y = normal_rows(2, 270, 5);
    const size_t first[] = {0, 1, 40, 300};
    x.first = first;
    x.n_items = 3;
    const struct tl_kernel kernels[] = {{TL_KERNEL_POLYNOMIAL, 0.2, 1, 3},
                                        {TL_KERNEL_GAUSSIAN, 0.3, 0, 0},
                                        {TL_KERNEL_INVERSE_QUADRATIC, 0.3, 0, 0},
                                        {TL_KERNEL_INVERSE_MULTIQUADRIC, 0.3, 0, 0}};
    for (int i = 0; i < 8; i++) {
        double wx[3], wy[270], *w[2] = {wx, wy};
        struct tl_mmd m = {.without_x = w[0], .without_y = w[1]}, alone = {0};
        check_ok(tl_mmd(&x, &y, &kernels[i / 2], i % 2, 100, pool, &m, &err), &err);
        check_ok(tl_mmd(&x, &y, &kernels[i / 2], i % 2, 100, NULL, &alone, &err), &err);
        assert_memory_equal(&m.value, &alone.value, sizeof m.value);
        check_near(m.value, 100 * direct(&x, &y, &kernels[i / 2], i % 2), 1e-9);
        struct tl_features head = rows_of(x.x, 40, 5), tail = rows_of(y.x, 269, 5);
        check_near(wx[2], 100 * direct(&head, &y, &kernels[i / 2], i % 2), 1e-9);
        check_near(wy[269], 100 * direct(&x, &tail, &kernels[i / 2], i % 2), 1e-9);
    }
    tl_pool_destroy(&pool);
    rows_free(&x), rows_free(&y);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void test_median(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_pool *pool = tl_pool_create(2, &err);
    enum { N = 2300 }; /* 2.6e6 pairs: the counting passes run */
    struct tl_features x = normal_rows(7, N, 3);
    double *all = malloc(N * (N - 1) / 2 * sizeof *all), got, alone;
    size_t n = 0;
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < i; j++) {
            double d2 = 0;
            for (size_t l = 0; l < 3; l++) d2 += pow((double)x.x[i * 3 + l] - x.x[j * 3 + l], 2);
            all[n++] = sqrt(d2);
        }
    qsort(all, n, sizeof *all, by_value);
    check_ok(tl_median_distance(&x, pool, &got, &err) && tl_median_distance(&x, NULL, &alone, &err), &err);
    check_near(got, all[(n - 1) / 2], 1e-12);
    assert_memory_equal(&got, &alone, sizeof got);
    free(all);
    rows_free(&x);
    tl_pool_destroy(&pool);
    const float same[] = {1, 2, 1, 2, 1, 2};
    struct tl_features f = rows_of(same, 3, 2);
    check_ok(tl_median_distance(&f, NULL, &got, &err), &err);
    check_near(got, 0, 0);
    f.n = f.n_items = 1;
    assert_false(tl_median_distance(&f, NULL, &got, &err));
}

static void test_cmmd(void **state)
{
    (void)state;
    struct tl_err err = {0};
    const float a[] = {1, 0}, b[] = {0, 1}, c[] = {-3, 0}, zero[] = {0, 0};
    struct tl_features fa = rows_of(a, 1, 2), fb = rows_of(b, 1, 2), fc = rows_of(c, 1, 2),
                       fz = rows_of(zero, 1, 2);
    struct tl_mmd m = {0};
    check_ok(tl_cmmd(&fa, &fb, false, NULL, &m, &err), &err);
    check_near(m.value, -2000 * expm1(-0.01), 1e-10);
    check_near(m.value, 19.9003, 1e-4);
    check_ok(tl_cmmd(&fa, &fc, true, NULL, &m, &err), &err);
    check_near(m.value, 39.6027, 5e-4);
    check_near(m.value, -2000 * expm1(-0.02), 1e-10);
    struct tl_features x = normal_rows(1, 400, 16);
    check_ok(tl_cmmd(&x, &x, true, NULL, &m, &err), &err);
    check_near(m.value, 0, 1e-11);
    rows_free(&x);
    assert_false(tl_cmmd(&fa, &fz, true, NULL, &m, &err));
    assert_true(err.code == TL_NUMERIC);
    err = (struct tl_err){0};
    assert_false(tl_mmd(&fa, &fb, &TL_CMMD_KERNEL, true, 1, NULL, &m, &err));
    assert_true(err.code == TL_BAD_INPUT && strstr(err.text, "two embeddings"));
}

static double vendi(const struct tl_features *x, double q, enum tl_vendi_form form)
{
    struct tl_err err = {0};
    double out;
    check_ok(tl_vendi_features(x, &(struct tl_vendi_params){.q = q, .form = form}, NULL, &out, &err), &err);
    return out;
}

static void test_vendi(void **state)
{
    (void)state;
    struct tl_err err = {0};
    const double k3[] = {1, .9, 0, .9, 1, 0, 0, 0, 1}, at[] = {0, 0, 10, 10, 20, 20};
    double k6[36], out;
    for (int i = 0; i < 36; i++) k6[i] = exp(-fabs(at[i / 6] - at[i % 6]));
    check_ok(tl_vendi_kernel(k3, 3, 1, &out, &err), &err);
    check_near(out, 2.1573004833739833, 1e-13);
    check_ok(tl_vendi_kernel(k6, 6, 1, &out, &err), &err);
    check_near(out, 2.9999999958777, 1e-12);
    /* Eigenvalues of k3 / 3: 1.9, 1, .1 over 3. */
    check_ok(tl_vendi_kernel(k3, 3, INFINITY, &out, &err), &err);
    check_near(out, 3 / 1.9, 1e-13);
    check_ok(tl_vendi_kernel(k3, 3, 2, &out, &err), &err);
    check_near(out, 9 / (1.9 * 1.9 + 1 + .01), 1e-13);
    check_ok(tl_vendi_kernel(k3, 3, 0, &out, &err), &err);
    check_near(out, 3, 0);
    const double off[] = {2, 0, 0, 2};
    assert_false(tl_vendi_kernel(off, 2, 1, &out, &err));
    assert_true(err.code == TL_NUMERIC && strstr(err.text, "expected 1"));
    float unit[16] = {0}, same[16], two[16] = {0};
    for (size_t i = 0; i < 4; i++) {
        unit[i * 5] = (float)(i + 1);
        two[i * 4 + i / 2] = 1;
        for (size_t j = 0; j < 4; j++) same[i * 4 + j] = (float)((i + 1) * (j + 1));
    }
    struct tl_features fu = rows_of(unit, 4, 4), fs = rows_of(same, 4, 4), ft = rows_of(two, 4, 4);
    const double orders[] = {0, 0.5, 1, 2, INFINITY};
    for (size_t i = 0; i < 5; i++)
        for (int form = 0; form < 3; form++) {
            check_near(vendi(&fu, orders[i], form), 4, 1e-12);
            check_near(vendi(&fs, orders[i], form), 1, 1e-6);
            check_near(vendi(&ft, orders[i], form), 2, 1e-6);
        }
    struct tl_features x = normal_rows(1, 60, 20), twice = normal_rows(1, 120, 20),
                       more = normal_rows(1, 61, 20);
    memcpy((float *)twice.x + 60 * 20, x.x, 60 * 20 * sizeof(float));
    memcpy((float *)more.x + 60 * 20, x.x, 20 * sizeof(float));
    for (size_t i = 1; i < 5; i++)
        check_near(vendi(&x, orders[i], TL_VENDI_PRIMAL), vendi(&x, orders[i], TL_VENDI_DUAL), 1e-5);
    check_near(vendi(&twice, 1, TL_VENDI_AUTO), vendi(&x, 1, TL_VENDI_AUTO), 1e-9);
    assert_true(vendi(&more, 1, TL_VENDI_AUTO) < 61 && vendi(&x, 1, TL_VENDI_AUTO) < 20);
    ((float *)x.x)[0] = NAN;
    assert_false(tl_vendi_features(&x, &TL_VENDI_DEFAULT, NULL, &out, &err));
    err = (struct tl_err){0};
    memset((float *)x.x, 0, 20 * sizeof(float));
    assert_false(tl_vendi_features(&x, &TL_VENDI_DEFAULT, NULL, &out, &err));
    assert_true(err.code == TL_NUMERIC && strstr(err.text, "row 0"));
    err = (struct tl_err){0};
    assert_false(tl_vendi_features(&fu, &(struct tl_vendi_params){.q = -1}, NULL, &out, &err));
    assert_true(err.code == TL_USAGE);
    rows_free(&x), rows_free(&twice), rows_free(&more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kid),  cmocka_unit_test(test_kid_subsets), cmocka_unit_test(test_kid_together),
        cmocka_unit_test(test_kad),  cmocka_unit_test(test_kernels),     cmocka_unit_test(test_median),
        cmocka_unit_test(test_cmmd), cmocka_unit_test(test_vendi),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
