/* Frechet distances: the specs' vectors, closed forms, laws, forms that agree, refusals, items, FAD-infinity.
 */
#include "metrics/support_metrics.h"

#include "metrics/fad_inf.h"
#include "metrics/frechet.h"

static double distance(const struct tl_features *a, const struct tl_features *b, enum tl_frechet_form form)
{
    struct tl_err err = {0};
    struct tl_frechet f;
    check_ok(tl_frechet_sides((struct tl_frechet_side){.rows = a}, (struct tl_frechet_side){.rows = b}, form,
                              NULL, &f, &err),
             &err);
    return f.value;
}

static const enum tl_frechet_form forms[] = {TL_FRECHET_AUTO, TL_FRECHET_COVARIANCE, TL_FRECHET_GRAM};

static void test_spec_vectors(void **state)
{
    (void)state;
    const float a1[] = {0, 0, 2, 0, 0, 2, 2, 2, 1, 1}, b1[] = {1, 0, 3, 1, 1, 3, 2, 2};
    const float a2[] = {0, 0, 0, 1, 1, 1}, b2[] = {0, 1, 0, 2, 1, 0, 1, 1, 0};
    struct tl_features fa1 = rows_of(a1, 5, 2), fb1 = rows_of(b1, 4, 2), fa2 = rows_of(a2, 2, 3),
                       fb2 = rows_of(b2, 3, 3);
    struct tl_features x = wave_x(64, 8), y = wave_y(64, 8), x6 = wave_x(6, 8), y6 = wave_y(6, 8);
    for (size_t i = 0; i < 3; i++) {
        check_near(distance(&fa1, &fb1, forms[i]), 0.9090424640743, 1e-12);
        check_near(distance(&fa2, &fb2, forms[i]), 1.8357864376269, 1e-7);
        check_near(distance(&x, &y, forms[i]), 1.37203221, 1e-6);
        check_near(distance(&x6, &y6, forms[i]), 5.48221177, 1e-6);
        check_near(distance(&x, &x, forms[i]), 0, 0);
    }
    check_near(distance(&fa2, &fb2, TL_FRECHET_GRAM), 1.8357864376269, 1e-12);
    struct tl_err err = {0};
    struct tl_frechet f;
    check_ok(tl_frechet_features(&x, &y, NULL, &f, &err), &err);
    check_near(f.trace_a, 4.11240992, 1e-6);
    check_near(f.trace_b, 3.92036305, 1e-6);
    assert_true(!f.singular && !f.gram && f.rank_a == 8 && f.n_a == 64);
    check_ok(tl_frechet_features(&x6, &y6, NULL, &f, &err), &err);
    assert_true(f.singular && f.gram && f.rank_a == 5);
    rows_free(&x), rows_free(&y), rows_free(&x6), rows_free(&y6);
}

/* sum (sqrt a - sqrt b)^2 + |dmu|^2; N(0, I) against N(m, s^2 I); a direction without variance. */
static void test_closed_forms(void **state)
{
    (void)state;
    enum { D = 300 };
    struct tl_err err = {0};
    double *mu = calloc(2 * D, sizeof *mu), *a = calloc(D * D, sizeof *a), *b = calloc(D * D, sizeof *b),
           expected = 0;
    for (size_t i = 0; i < D; i++) {
        mu[D + i] = 0.01 * (double)i;
        a[i * D + i] = i % 7 == 0 ? 0 : 1.0 / (double)(1 + i);
        b[i * D + i] = i % 5 == 0 ? 0 : 0.5 + 0.001 * (double)i;
        expected += pow(sqrt(a[i * D + i]) - sqrt(b[i * D + i]), 2) + mu[D + i] * mu[D + i];
    }
    struct tl_gaussian ga, gb;
    struct tl_frechet f, back;
    check_ok(tl_gaussian_init(&ga, D, 0, mu, a, &err) && tl_gaussian_init(&gb, D, 0, mu + D, b, &err), &err);
    check_ok(tl_frechet_gaussians(&ga, &gb, NULL, &f, &err), &err);
    check_near(f.value, expected, 1e-11 * expected);
    assert_true(f.singular && f.rank_a == D - (D + 6) / 7 && f.rank_b == D - D / 5);
    check_ok(tl_frechet_gaussians(&gb, &ga, NULL, &back, &err), &err);
    check_near(f.value, back.value, 1e-12 * expected);
    for (size_t i = 0; i < D; i++) {
        ga.sigma[i * D + i] = 1;
        gb.sigma[i * D + i] = 0.64;
        gb.mu[i] = 0.1;
    }
    check_ok(tl_frechet_gaussians(&ga, &gb, NULL, &f, &err), &err);
    check_near(f.value, D * 0.01 + D * 0.04, 1e-10);
    assert_false(f.singular);
    tl_gaussian_finish(&ga);
    tl_gaussian_finish(&gb);
    free(mu), free(a), free(b);
}

/* Scaled, rotated (by Givens turns of neighbours) or shifted, into new rows. */
static struct tl_features moved(const struct tl_features *f, double scale, double turn, double shift)
{
    float *x = malloc(f->n * f->dim * sizeof *x);
    for (size_t i = 0; i < f->n; i++) {
        const float *from = f->x + i * f->dim;
        for (size_t j = 0; j + 1 < f->dim; j += 2) {
            x[i * f->dim + j] = (float)(scale * (cos(turn) * from[j] - sin(turn) * from[j + 1]) + shift);
            x[i * f->dim + j + 1] = (float)(scale * (sin(turn) * from[j] + cos(turn) * from[j + 1]) + shift);
        }
    }
    return rows_of(x, f->n, f->dim);
}

static void test_laws(void **state)
{
    (void)state;
    for (size_t n = 20; n <= 90; n += 70) { /* fewer and more rows than dimensions */
        struct tl_features a = normal_rows(1, n, 40), raw = normal_rows(2, n + 5, 40),
                           b = moved(&raw, 1.5, 0.3, 0.2);
        double d = distance(&a, &b, TL_FRECHET_AUTO);
        check_near(distance(&b, &a, TL_FRECHET_AUTO), d, 1e-10 * d);
        struct tl_features a3 = moved(&a, 3, 0.7, 0), b3 = moved(&b, 3, 0.7, 0), as = moved(&a, 1, 0, 2);
        check_near(distance(&a3, &b3, TL_FRECHET_AUTO), 9 * d, 1e-5 * d);
        check_near(distance(&a, &as, TL_FRECHET_AUTO), 4 * 40, 1e-3);
        for (size_t i = 1; i < 3; i++) check_near(distance(&a, &b, forms[i]), d, 2e-7 * d);
        rows_free(&a), rows_free(&b), rows_free(&raw), rows_free(&a3), rows_free(&b3), rows_free(&as);
    }
}

/* A set against itself in another order: nothing is bit for bit the same, and still 0. */
static void test_self_is_zero(void **state)
{
    (void)state;
    const size_t sizes[] = {12, 60, 61, 400};
    for (size_t s = 0; s < 4; s++) {
        size_t n = sizes[s], dim = 60;
        struct tl_features a = normal_rows(3, n, dim);
        float *x = malloc(n * dim * sizeof *x);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < dim; j++) {
                ((float *)a.x)[i * dim + j] *= expf(-0.3f * (float)j); /* spread over 1e15 in variance */
                x[(n - 1 - i) * dim + j] = a.x[i * dim + j];
            }
        struct tl_features b = rows_of(x, n, dim);
        for (size_t i = 0; i < 3; i++) check_near(distance(&a, &b, forms[i]), 0, 1e-8);
        rows_free(&a), rows_free(&b);
    }
}

static void test_noise_threads_refusals(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_pool *pool = tl_pool_create(3, &err);
    struct tl_features a = normal_rows(1, 500, 230), noise = normal_rows(2, 500, 230);
    double last = -1;
    for (int level = 0; level < 4; level++) {
        float *x = malloc(500 * 230 * sizeof *x), s = powf(10, (float)level / 2 - 2);
        for (size_t i = 0; i < 500 * 230; i++) x[i] = a.x[i] + s * noise.x[i];
        struct tl_features b = rows_of(x, 500, 230);
        struct tl_frechet one, many;
        check_ok(tl_frechet_features(&a, &b, NULL, &one, &err) &&
                     tl_frechet_features(&a, &b, pool, &many, &err),
                 &err);
        assert_memory_equal(&one.raw, &many.raw, sizeof one.raw);
        assert_true(one.value > last);
        last = one.value;
        rows_free(&b);
    }
    struct tl_features narrow = normal_rows(1, 10, 3);
    struct tl_frechet f;
    assert_false(tl_frechet_features(&a, &narrow, NULL, &f, &err));
    assert_true(err.code == TL_BAD_INPUT && strstr(err.text, "230 and of 3"));
    /* A "covariance" with an eigenvalue of -0.9 */
    err = (struct tl_err){0};
    const double mu[2] = {0}, wrong[] = {0.1, 1, 1, 0.1}, right[] = {1, 0, 0, 1};
    struct tl_gaussian g, h;
    check_ok(tl_gaussian_init(&g, 2, 0, mu, wrong, &err) && tl_gaussian_init(&h, 2, 0, mu, right, &err),
             &err);
    assert_false(tl_frechet_gaussians(&g, &h, NULL, &f, &err));
    assert_true(err.code == TL_BAD_INPUT && strstr(err.text, "positive semidefinite"));
    tl_gaussian_finish(&g);
    tl_gaussian_finish(&h);
    rows_free(&a), rows_free(&noise), rows_free(&narrow);
    tl_pool_destroy(&pool);
}

static void test_items(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_features reference = normal_rows(1, 200, 12), x = normal_rows(2, 40, 12);
    const size_t first[] = {0, 10, 11, 13, 40};
    x.first = first;
    x.n_items = 4;
    struct tl_frechet_item out[4];
    ((float *)x.x)[11 * 12] = NAN;
    check_ok(tl_frechet_per_item(&x, (struct tl_frechet_side){.rows = &reference}, NULL, out, &err), &err);
    assert_true(isnan(out[1].value) && strstr(out[1].error, "fewer than two"));
    assert_true(isnan(out[2].value) && strstr(out[2].error, "not finite"));
    for (size_t i = 0; i < 4; i += 3) {
        struct tl_features one = rows_of(x.x + first[i] * 12, first[i + 1] - first[i], 12);
        assert_null(out[i].error);
        assert_int_equal(out[i].n_rows, one.n);
        check_near(out[i].value, distance(&reference, &one, TL_FRECHET_COVARIANCE), 1e-6);
    }
    rows_free(&reference);
    rows_free(&x);
}

/* The bias laws of the specs, small: n d^2 is constant for one law; drawing without replacement takes the
 * evaluated set's bias away, drawing with it does not; R^2 is near 1. */
static void test_fad_inf(void **state)
{
    (void)state;
    enum { D = 16 };
    struct tl_err err = {0};
    double product[2] = {0};
    for (uint32_t r = 0; r < 10; r++)
        for (size_t k = 0; k < 2; k++) {
            size_t n = k ? 800 : 200;
            struct tl_features a = normal_rows(10 + r, n, D), b = normal_rows(30 + r, n, D);
            product[k] += (double)n * distance(&a, &b, TL_FRECHET_AUTO) / 10;
            rows_free(&a), rows_free(&b);
        }
    check_near(product[1] / product[0], 1, 0.1);
    double mu[D] = {0}, identity[D * D] = {0}, plain = 0, without = 0, with = 0;
    for (size_t i = 0; i < D; i++) identity[i * D + i] = 1;
    struct tl_gaussian g;
    check_ok(tl_gaussian_init(&g, D, 0, mu, identity, &err), &err);
    struct tl_frechet_side reference = {.gaussian = &g};
    for (uint32_t r = 0; r < 8; r++) {
        struct tl_features x = normal_rows(50 + r, 600, D);
        struct tl_frechet f;
        struct tl_fad_inf fit;
        size_t sizes[25];
        double values[25];
        check_ok(tl_frechet_sides(reference, (struct tl_frechet_side){.rows = &x}, TL_FRECHET_AUTO, NULL, &f,
                                  &err),
                 &err);
        struct tl_fad_inf_params p = {.n_min = 100, .seed = r};
        check_ok(tl_fad_inf(reference, &x, &p, NULL, &fit, sizes, values, &err), &err);
        assert_true(fit.r2 > 0.8 && sizes[0] == 100 && sizes[24] == 600 && sizes[1] == 120);
        check_near(values[24], f.value, 1e-10);
        plain += f.value / 8;
        without += fit.value / 8;
        p.replace = true;
        check_ok(tl_fad_inf(reference, &x, &p, NULL, &fit, NULL, NULL, &err), &err);
        with += fit.value / 8;
        rows_free(&x);
    }
    assert_true(fabs(without) < 0.15 * plain);
    assert_true(with > 0.7 * plain);
    struct tl_features few = normal_rows(1, 499, D);
    struct tl_fad_inf fit;
    struct tl_fad_inf_params p = {.n_min = 100};
    assert_false(tl_fad_inf(reference, &few, &p, NULL, &fit, NULL, NULL, &err));
    assert_true(err.code == TL_BAD_INPUT && strstr(err.text, "499"));
    err = (struct tl_err){0};
    p.allow_small = true;
    check_ok(tl_fad_inf(reference, &few, &p, NULL, &fit, NULL, NULL, &err), &err);
    rows_free(&few);
    tl_gaussian_finish(&g);
}

/* Injected samples, and a line that fits exactly. */
static void test_fad_inf_injected(void **state)
{
    (void)state;
    struct tl_err err = {0};
    const size_t sizes[] = {10, 20, 40};
    const double values[] = {3 + 50.0 / 10, 3 + 50.0 / 20, 3 + 50.0 / 40};
    struct tl_fad_inf fit;
    check_ok(tl_fad_inf_fit(sizes, values, 3, &fit, &err), &err);
    check_near(fit.value, 3, 1e-12);
    check_near(fit.slope, 50, 1e-11);
    check_near(fit.r2, 1, 1e-12);
    struct tl_features x = normal_rows(1, 30, 4), r = normal_rows(2, 100, 4);
    uint32_t rows[10 + 20 + 30];
    for (uint32_t i = 0; i < 60; i++) rows[i] = i % 30;
    struct tl_fad_inf_params p = {.n_sizes = 3, .n_min = 10, .allow_small = true, .rows = rows};
    double got[3];
    check_ok(tl_fad_inf((struct tl_frechet_side){.rows = &r}, &x, &p, NULL, &fit, NULL, got, &err), &err);
    struct tl_features head = rows_of(x.x, 10, 4);
    check_near(got[0], distance(&r, &head, TL_FRECHET_AUTO), 1e-10);
    rows[3] = 30;
    assert_false(tl_fad_inf((struct tl_frechet_side){.rows = &r}, &x, &p, NULL, &fit, NULL, NULL, &err));
    assert_non_null(strstr(err.text, "row 30 of 30"));
    rows_free(&x), rows_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spec_vectors),
        cmocka_unit_test(test_closed_forms),
        cmocka_unit_test(test_laws),
        cmocka_unit_test(test_self_is_zero),
        cmocka_unit_test(test_noise_threads_refusals),
        cmocka_unit_test(test_items),
        cmocka_unit_test(test_fad_inf),
        cmocka_unit_test(test_fad_inf_injected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
