/* The front ends of VGGish, PANNs and logmel. */
#include "audio/support_front.h"

#include "audio/front_logmel.h"
#include "audio/front_panns.h"
#include "audio/front_vggish.h"
#include "io/safetensors.h"

/* ---- VGGish ---- */

static bool vggish(const struct tl_front_vggish_params *p, const float *x, size_t n, struct tl_front *out,
                   struct tl_err *err)
{
    struct tl_front_vggish *f = tl_front_vggish_create(p, err);
    if (!f) fail_msg("%s", err->text);
    bool ok = tl_front_vggish_run(f, x, n, out, err);
    tl_front_vggish_destroy(&f);
    return ok;
}

static void test_vggish_known(void **state)
{
    (void)state;
    const size_t bins[] = {0, 8, 16, 40, 63};
    const double frame[2][5] = {{-3.73587, 4.08916, -3.24376, -0.91040, -4.59937},
                                {-3.77326, 4.08917, -3.22750, -0.90985, -4.60081}};
    struct tl_err err = {0};
    struct tl_front f;
    float *x = support_two_tones(32000, 16000);
    check_ok(vggish(&(struct tl_front_vggish_params){0}, x, 32000, &f, &err), &err);
    assert_true(f.n == 2 && f.channels == 1 && f.frames == 96 && f.bands == 64);
    for (size_t i = 0; i < 5; i++) {
        check_near(f.x[bins[i]], frame[0][i], 2e-5);
        check_near(f.x[64 + bins[i]], frame[1][i], 2e-5);
        check_near(f.x[100 * 64 + bins[i]], frame[0][i], 2e-5); /* the second patch's frame 4 */
    }
    tl_front_finish(&f);
    double mean = 0;
    float least = 0, most = -99;
    for (size_t i = 0; i < 16000; i++)
        x[i] = (float)(0.5 * sin(2 * 3.14159265358979323846 * 440 * (double)i / 16000));
    check_ok(vggish(&(struct tl_front_vggish_params){0}, x, 16000, &f, &err), &err);
    for (size_t b = 0; b < 64; b++) {
        least = f.x[b] < least ? f.x[b] : least;
        most = f.x[b] > most ? f.x[b] : most;
    }
    check_near(most, 4.0891637811268, 1e-6);
    assert_true(f.x[8] == most);
    check_near(least, -4.6043272467, 1e-5);
    for (size_t i = 0; i < 98; i++) /* all frames of the second; a tone of 440 Hz repeats after five */
        for (size_t b = 0; b < 64; b++) mean += f.x[(i < 96 ? i : i - 95) * 64 + b] / (98.0 * 64);
    check_near(mean, -3.5018253750, 3e-6); /* made from samples in double */
    tl_front_finish(&f);
    free(x);
}

static void test_vggish_patches(void **state)
{
    (void)state;
    const size_t n[] = {15600, 16000, 96000, 160000, 480000}, plain[] = {1, 1, 6, 10, 31},
                 half_second[] = {1, 1, 11, 19, 59}; /* hop of 50 frames */
    float *x = support_signal(480000, 16000, 1);
    for (size_t i = 0; i < 5; i++) {
        struct tl_err err = {0};
        struct tl_front a, b;
        check_ok(vggish(&(struct tl_front_vggish_params){0}, x, n[i], &a, &err), &err);
        check_ok(vggish(&(struct tl_front_vggish_params){.patch_hop = 50}, x, n[i], &b, &err), &err);
        assert_int_equal(a.n, plain[i]);
        assert_int_equal(b.n, half_second[i]);
        if (a.n > 1) assert_memory_equal(a.x + 50 * 64, b.x + 96 * 64, 46 * 64 * sizeof *a.x);
        tl_front_finish(&a);
        tl_front_finish(&b);
    }
    free(x);
}

static void test_vggish_short(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_front a, b;
    float *x = support_signal(16000, 16000, 1);
    assert_false(vggish(&(struct tl_front_vggish_params){0}, x, 15599, &a, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    assert_non_null(strstr(err.text, "15600"));
    tl_err_clear(&err);
    assert_false(vggish(&(struct tl_front_vggish_params){.is_padded = true}, x, 0, &a, &err));
    tl_err_clear(&err);
    for (size_t i = 300; i < 16000; i++) x[i] = 0;
    check_ok(vggish(&(struct tl_front_vggish_params){.is_padded = true}, x, 300, &a, &err), &err);
    check_ok(vggish(&(struct tl_front_vggish_params){0}, x, 16000, &b, &err), &err);
    assert_memory_equal(a.x, b.x, 96 * 64 * sizeof *a.x);
    tl_front_finish(&a);
    tl_front_finish(&b);
    free(x);
}

static void test_vggish_reference(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_front f;
    struct tl_st_file *io = support_fixture();
    float *x = support_signal(40000, 16000, 5);
    check_ok(vggish(&(struct tl_front_vggish_params){0}, x, 40000, &f, &err), &err);
    support_compare(io, "vggish", &f, false);
    tl_front_finish(&f);
    tl_st_close(&io);
    free(x);
}

/* ---- PANNs ---- */

static void test_panns(void **state)
{
    (void)state;
    const char *const name[] = {"panns_32k", "panns_16k", "panns_8k"};
    struct tl_st_file *io = support_fixture();
    for (int v = TL_PANNS_32K; v <= TL_PANNS_8K; v++) {
        struct tl_err err = {0};
        struct tl_front a, b;
        int rate = tl_front_panns_rate((enum tl_panns_variant)v);
        size_t n = 2 * (size_t)rate + 77, bins = tl_front_panns_bins((enum tl_panns_variant)v);
        float *x = support_signal(n, rate, 6), *bank = calloc(bins * 64, sizeof *bank);
        assert_non_null(bank);
        struct tl_front_panns *made = tl_front_panns_create((enum tl_panns_variant)v, NULL, &err);
        assert_non_null(made);
        check_ok(tl_front_panns_run(made, x, n, &a, &err), &err);
        assert_true(a.n == 1 && a.channels == 1 && a.frames == 201 && a.bands == 64);
        support_compare(io, name[v], &a, true);
        check_ok(tl_front_panns_bank((enum tl_panns_variant)v, v ? rate / 2.0 : 14000, bank, &err), &err);
        struct tl_front_panns *stored = tl_front_panns_create((enum tl_panns_variant)v, bank, &err);
        assert_non_null(stored);
        check_ok(tl_front_panns_run(stored, x, n, &b, &err), &err);
        assert_true(check_rel_l2(b.x, a.x, 201 * 64) < 1e-6);
        tl_front_finish(&a);
        tl_front_finish(&b);
        size_t least = 31 * (size_t)rate / 100;
        check_ok(tl_front_panns_run(made, x, least, &a, &err), &err);
        assert_int_equal(a.frames, 32);
        tl_front_finish(&a);
        assert_false(tl_front_panns_run(made, x, least - 1, &a, &err));
        assert_int_equal(err.code, TL_BAD_INPUT);
        tl_front_panns_destroy(&made);
        tl_front_panns_destroy(&stored);
        free(x);
        free(bank);
    }
    tl_st_close(&io);
}

/* ---- logmel ---- */

static struct tl_front logmel(const float *x, size_t n)
{
    struct tl_err err = {0};
    struct tl_front out;
    struct tl_front_logmel *f = tl_front_logmel_create(&err);
    if (!f) fail_msg("%s", err.text);
    check_ok(tl_front_logmel_run(f, x, n, &out, &err), &err);
    tl_front_logmel_destroy(&f);
    assert_true(out.channels == 1 && out.frames == 1 && out.bands == 128);
    return out;
}

static void test_logmel(void **state)
{
    (void)state;
    const size_t n[] = {1, 7999, 16000, 23999, 24000, 32000}, windows[] = {1, 1, 1, 1, 2, 2};
    struct tl_st_file *io = support_fixture();
    float *x = support_signal(41000, 16000, 7);
    struct tl_front all = logmel(x, 41000);
    support_compare(io, "logmel", &all, false);
    for (size_t i = 0; i < 6; i++) {
        struct tl_front f = logmel(x, n[i]);
        assert_int_equal(f.n, windows[i]);
        if (n[i] >= 16000) assert_memory_equal(f.x, all.x, 128 * sizeof *f.x);
        tl_front_finish(&f);
    }
    tl_front_finish(&all);
    struct tl_err err = {0};
    struct tl_front_logmel *f = tl_front_logmel_create(&err);
    assert_false(tl_front_logmel_run(f, x, 0, &all, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    tl_front_logmel_destroy(&f);
    tl_st_close(&io);
    free(x);
}

/* Silence is the floor without spread; a tone of full scale reads about 1 in its band. */
static void test_logmel_scale(void **state)
{
    (void)state;
    float *x = calloc(16000, sizeof *x);
    assert_non_null(x);
    struct tl_front f = logmel(x, 16000);
    for (size_t b = 0; b < 64; b++) check_near(f.x[b], log(1e-10), 1e-5);
    for (size_t b = 64; b < 128; b++) check_near(f.x[b], 0, 1e-6);
    tl_front_finish(&f);
    for (size_t i = 0; i < 16000; i++)
        x[i] = (float)cos(2 * 3.14159265358979323846 * 1000 * (double)i / 16000);
    f = logmel(x, 16000);
    float most = f.x[0];
    for (size_t b = 0; b < 64; b++) most = f.x[b] > most ? f.x[b] : most;
    assert_true(most > log(0.5) && most < log(2));
    tl_front_finish(&f);
    free(x);
}

/* Two hours of a window a second: refused by its size, not by memory running out. */
static void test_too_long(void **state)
{
    struct tl_err err = {0};
    struct tl_front front;
    (void)state;
    assert_false(tl_front_init(&front, 7200, 1, 1001, 64, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    assert_non_null(strstr(err.text, "too long: 7200 windows"));
    assert_null(front.x);
    tl_err_clear(&err);
    assert_false(tl_front_init(&front, SIZE_MAX / 2, 4, 1001, 64, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vggish_known), cmocka_unit_test(test_vggish_patches),
        cmocka_unit_test(test_vggish_short), cmocka_unit_test(test_vggish_reference),
        cmocka_unit_test(test_panns),        cmocka_unit_test(test_logmel),
        cmocka_unit_test(test_logmel_scale), cmocka_unit_test(test_too_long)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
