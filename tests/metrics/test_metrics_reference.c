/* The reference tools' numbers on the same rows: tests/fixtures/metrics/expected.txt, made by
 * tests/reference/metrics.py. */
#include "metrics/support_metrics.h"

#include "metrics/fad_inf.h"
#include "metrics/frechet.h"
#include "metrics/mmd.h"
#include "metrics/vendi.h"

static double expected(const char *name)
{
    FILE *file = fopen(TL_SOURCE_DIR "/tests/fixtures/metrics/expected.txt", "r");
    if (!file) fail_msg("tests/fixtures/metrics/expected.txt is missing");
    char found[64];
    double value = NAN;
    while (fscanf(file, "%63s %lf", found, &value) == 2 && strcmp(found, name) != 0) value = NAN;
    fclose(file);
    if (isnan(value)) fail_msg("no %s in expected.txt", name);
    return value;
}

#define check_tool(got, name, relative) check_near(got, expected(name), fabs(expected(name)) * (relative))

/* metrics.py's `drawn`. */
static void draw(size_t which, size_t size, size_t n, uint32_t *out)
{
    for (size_t i = 0; i < size; i++) out[i] = (uint32_t)((i * 7 + which * 13 + i / 3) % n);
}

static void test_frechet(void **state)
{
    (void)state;
    struct tl_err err = {0};
    const size_t cases[][3] = {{300, 200, 24}, {64, 64, 8}, {40, 33, 48}};
    for (size_t i = 0; i < 3; i++) {
        struct tl_features x = wave_x(cases[i][0], cases[i][2]), y = wave_y(cases[i][1], cases[i][2]);
        struct tl_frechet f;
        char name[64];
        snprintf(name, sizeof name, "frechet_%zu_%zu_%zu", cases[i][0], cases[i][1], cases[i][2]);
        check_ok(tl_frechet_features(&x, &y, NULL, &f, &err), &err);
        check_tool(f.value, name, 1e-7);
        rows_free(&x), rows_free(&y);
    }
}

static void test_fad_inf(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_features x = wave_x(900, 8), y = wave_y(700, 8);
    uint32_t *rows = malloc(25 * 700 * sizeof *rows), *at = rows;
    for (size_t k = 0; k < 25; k++) {
        size_t n = tl_fad_inf_size(500, 700, 25, k);
        draw(k, n, 700, at);
        at += n;
    }
    struct tl_fad_inf fit;
    struct tl_fad_inf_params p = {.rows = rows};
    check_ok(tl_fad_inf((struct tl_frechet_side){.rows = &x}, &y, &p, NULL, &fit, NULL, NULL, &err), &err);
    check_tool(fit.value, "fad_inf", 1e-6);
    check_tool(fit.slope, "fad_inf_slope", 1e-4);
    check_tool(fit.r2, "fad_inf_r2", 1e-3);
    free(rows);
    rows_free(&x), rows_free(&y);
}

static void test_kid(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_features x = wave_x(120, 24), y = wave_y(90, 24);
    uint32_t sx[250], sy[250];
    struct tl_kid kid;
    struct tl_kid_params p = TL_KID_CLEAN_FID;
    p.n_subsets = 5;
    p.subset_size = 50;
    p.subset_x = sx;
    p.subset_y = sy;
    for (size_t s = 0; s < 5; s++) { /* clean-fid draws of its second set first */
        draw(2 * s, 50, 90, sy + 50 * s);
        draw(2 * s + 1, 50, 120, sx + 50 * s);
    }
    check_ok(tl_kid(&x, &y, &p, NULL, &kid, &err), &err);
    check_tool(kid.mean, "kid_clean_fid", 1e-6);
    p.degree = 2;
    p.gamma = 0.1;
    p.coef = 0.5;
    for (size_t s = 0; s < 5; s++) {
        draw(2 * s, 50, 120, sx + 50 * s);
        draw(2 * s + 1, 50, 90, sy + 50 * s);
    }
    check_ok(tl_kid(&x, &y, &p, NULL, &kid, &err), &err);
    check_tool(kid.mean, "kid_torchmetrics", 1e-6);
    check_tool(kid.sd_n, "kid_torchmetrics_std", 1e-6);
    rows_free(&x), rows_free(&y);
}

static void test_kad_cmmd_vendi(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_features x = wave_x(120, 24), y = wave_y(90, 24);
    const char *kernels[] = {"gaussian", "iq", "imq"}, *from[] = {"reference", "evaluated"};
    for (int i = 0; i < 6; i++) {
        struct tl_kad_params p = {.kind = (enum tl_kernel_kind)(TL_KERNEL_GAUSSIAN + i / 2), .from = i % 2};
        double value;
        char name[64];
        snprintf(name, sizeof name, "kad_%s_%s", kernels[i / 2], from[i % 2]);
        check_ok(tl_kad(&x, &y, &p, NULL, &value, NULL, &err), &err);
        check_tool(value, name, 1e-6);
    }
    struct tl_mmd m = {0};
    check_ok(tl_cmmd(&x, &y, true, NULL, &m, &err), &err);
    check_tool(m.value, "cmmd", 1e-6);
    const double orders[] = {1, 2, 0.5, INFINITY};
    const char *names[] = {"vendi_1", "vendi_2", "vendi_half", "vendi_inf"};
    for (size_t i = 0; i < 4; i++) {
        double value;
        check_ok(tl_vendi_features(&x, &(struct tl_vendi_params){.q = orders[i]}, NULL, &value, &err), &err);
        check_tool(value, names[i], 1e-6);
    }
    rows_free(&x), rows_free(&y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frechet),
        cmocka_unit_test(test_fad_inf),
        cmocka_unit_test(test_kid),
        cmocka_unit_test(test_kad_cmmd_vendi),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
