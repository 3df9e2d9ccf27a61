/* CLAP's front end: published values, transformers' extractor end to end, crops, windows. */
#include "audio/support_front.h"

#include "audio/front_clap.h"
#include "base/numpy_rng.h"
#include "io/safetensors.h"

static const size_t five[] = {0, 8, 16, 32, 63};

static struct tl_front make(const struct tl_front_clap_params *p, const float *x, size_t n, bool *longer)
{
    struct tl_err err = {0};
    struct tl_front out = {0};
    struct tl_front_clap *f = tl_front_clap_create(p, &err);
    if (!f) fail_msg("%s", err.text);
    check_ok(tl_front_clap_run(f, x, n, &out, longer, &err), &err);
    assert_int_equal(tl_front_clap_frames(f), out.frames);
    tl_front_clap_destroy(&f);
    return out;
}

/* NAN: rounding noise, not compared */
static void check_bins(const struct tl_front *f, size_t frame, const size_t *bins, size_t n,
                       const double *want)
{
    for (size_t i = 0; i < n; i++)
        if (!isnan(want[i])) check_near(f->x[frame * f->bands + bins[i]], want[i], 6e-4);
}

/* The values were made with the extractor class's own lowest frequency; checkpoints' configs say 50 Hz. */
static struct tl_front_clap_params from_zero(void)
{
    struct tl_front_clap_params p = tl_front_clap_defaults();
    p.low = 0;
    return p;
}

static void test_known(void **state)
{
    (void)state;
    bool longer = true;
    struct tl_front_clap_params p = from_zero();
    float *x = support_two_tones(48000, 48000);
    struct tl_front f = make(&p, x, 48000, &longer);
    assert_true(f.n == 1 && f.channels == 1 && f.frames == 1001 && f.bands == 64 && !longer);
    check_bins(&f, 0, five, 5, (double[]){8.8216, 19.1111, -5.3253, -8.8947, -35.6394});
    check_bins(&f, 1, five, 5, (double[]){-35.3229, 20.1841, -39.9930, NAN, NAN});
    check_bins(&f, 50, five, 5, (double[]){NAN, 20.1862, NAN, NAN, -100});
    check_bins(&f, 1000, five, 5, (double[]){8.7632, 18.6798, -5.0998, -9.7741, -36.1747});
    tl_front_finish(&f);
    p.is_fused = true;
    f = make(&p, x, 48000, &longer);
    assert_true(f.channels == 4 && !longer);
    check_bins(&f, 0, five, 5, (double[]){23.4916, 38.1847, 16.1828, 18.5350, -7.5592});
    check_bins(&f, 50, five, 5, (double[]){NAN, 28.7722, -22.0517, NAN, NAN});
    for (size_t i = 1; i < 4; i++) assert_memory_equal(f.x, f.x + i * 1001 * 64, 1001 * 64 * sizeof *f.x);
    tl_front_finish(&f);
    free(x);
}

static void test_padding(void **state)
{
    (void)state;
    const size_t two[] = {8, 32};
    struct tl_front_clap_params p = from_zero();
    float *x = support_two_tones(31000, 48000);
    struct tl_front f = make(&p, x, 31000, NULL);
    check_bins(&f, 65, two, 2, (double[]){18.428, -10.082});
    check_bins(&f, 968, two, 2, (double[]){20.216, -24.735});
    check_bins(&f, 969, two, 2, (double[]){12.703, -11.223});
    check_bins(&f, 1000, two, 2, (double[]){-100, -100});
    tl_front_finish(&f);
    p.padding = TL_CLAP_REPEAT;
    f = make(&p, x, 31000, NULL);
    check_bins(&f, 968, two, 2, (double[]){20.062, -21.370});
    check_bins(&f, 969, two, 2, (double[]){16.941, -7.890});
    check_bins(&f, 1000, two, 2, (double[]){18.680, -9.774});
    tl_front_finish(&f);
    p.padding = TL_CLAP_PAD;
    f = make(&p, x, 31000, NULL);
    check_bins(&f, 64, two, 2, (double[]){20.166, -17.960});
    check_bins(&f, 65, two, 2, (double[]){8.103, -13.414});
    check_bins(&f, 968, two, 2, (double[]){-100, -100});
    tl_front_finish(&f);
    free(x);
}

/* 0.5 sin 440 Hz over ten seconds, frame 500. */
static void test_one_tone(void **state)
{
    (void)state;
    struct tl_front_clap_params p = tl_front_clap_defaults();
    float *x = calloc(480000, sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < 480000; i++)
        x[i] = (float)(0.5 * sin(2 * 3.14159265358979323846 * 440 * (double)i / 48000));
    for (int fused = 0; fused < 2; fused++) {
        p.is_fused = fused;
        struct tl_front f = make(&p, x, 480000, NULL);
        const float *row = f.x + 500 * 64;
        size_t most = 0;
        for (size_t b = 0; b < 64; b++) most = row[b] > row[most] ? b : most;
        assert_int_equal(most, fused ? 8 : 6);
        check_near(row[most], fused ? 41.405632 : 24.26786, 3e-5);
        tl_front_finish(&f);
    }
    free(x);
}

static void test_reference(void **state)
{
    (void)state;
    const struct {
        const char *name;
        size_t n;
        bool is_fused;
        enum tl_clap_padding padding;
    } cases[] = {
        {"clap.short_repeatpad", 131000, false, TL_CLAP_REPEAT_PAD},
        {"clap.short_repeat", 131000, false, TL_CLAP_REPEAT},
        {"clap.short_pad", 131000, false, TL_CLAP_PAD},
        {"clap.exact", 480000, false, TL_CLAP_REPEAT_PAD},
        {"clap.long", 1233600, false, TL_CLAP_REPEAT_PAD},
        {"clap_fused.short", 131000, true, TL_CLAP_REPEAT_PAD},
        {"clap_fused.corner", 480300, true, TL_CLAP_REPEAT_PAD},
        {"clap_fused.two_starts", 480480, true, TL_CLAP_REPEAT_PAD},
        {"clap_fused.long", 1233600, true, TL_CLAP_REPEAT_PAD},
    };
    struct tl_st_file *io = support_fixture();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tl_front_clap_params p = tl_front_clap_defaults();
        bool longer = false;
        char key[64];
        p.is_fused = cases[i].is_fused;
        p.padding = cases[i].padding;
        p.crop = TL_CLAP_SEEDED;
        p.seed = 1234;
        float *x = support_signal(cases[i].n, 48000, (uint32_t)(cases[i].n % 97));
        struct tl_front f = make(&p, x, cases[i].n, &longer);
        support_compare(io, cases[i].name, &f, true);
        snprintf(key, sizeof key, "%s.longer", cases[i].name);
        assert_int_equal(longer, support_number(io, key, 0));
        tl_front_finish(&f);
        free(x);
    }
    tl_st_close(&io);
}

static void test_numpy_draws(void **state)
{
    (void)state;
    struct tl_st_file *io = support_fixture();
    for (size_t row = 0; row < 7; row++) {
        struct tl_numpy_rng rng;
        uint32_t n = (uint32_t)support_number(io, "numpy_draws", row * 6);
        tl_numpy_rng_seed(&rng, 1234);
        for (size_t i = 0; i < 5; i++) {
            uint32_t below = i < 4 || n < 5 ? n : 5;
            assert_int_equal(tl_numpy_rng_below(&rng, below),
                             support_number(io, "numpy_draws", row * 6 + 1 + i));
        }
    }
    tl_st_close(&io);
}

/* ---- crops ---- */

static void expect_same(const struct tl_front *a, size_t a_plane, const struct tl_front *b, size_t b_plane)
{
    size_t size = a->frames * a->bands;
    assert_memory_equal(a->x + a_plane * size, b->x + b_plane * size, size * sizeof *a->x);
}

static void test_crops(void **state)
{
    (void)state;
    enum { N = 700001 };
    float *x = support_signal(N, 48000, 9);
    struct tl_front_clap_params p = tl_front_clap_defaults();
    const size_t start[] = {[TL_CLAP_CENTRE] = (N - 480000) / 2, [TL_CLAP_START] = 0, [TL_CLAP_GIVEN] = 777};
    const enum tl_clap_crop crops[] = {TL_CLAP_CENTRE, TL_CLAP_START, TL_CLAP_GIVEN};
    p.starts[0] = 777;
    for (size_t i = 0; i < 3; i++) {
        p.crop = crops[i];
        struct tl_front cut = make(&p, x, N, NULL), alone = make(&p, x + start[p.crop], 480000, NULL);
        expect_same(&cut, 0, &alone, 0);
        tl_front_finish(&cut);
        tl_front_finish(&alone);
    }
    p.starts[0] = N - 480000 + 1;
    struct tl_err err = {0};
    struct tl_front out;
    struct tl_front_clap *f = tl_front_clap_create(&p, &err);
    assert_non_null(f);
    assert_false(tl_front_clap_run(f, x, N, &out, NULL, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    assert_null(out.x);
    tl_err_clear(&err);
    assert_false(tl_front_clap_run(f, x, 0, &out, NULL, &err));
    assert_non_null(strstr(err.text, "no samples"));
    tl_front_clap_destroy(&f);
    free(x);
}

/* Frames 0, 1 and so on of a fused clip's stretches are frames of the whole one. */
static void test_fused_starts(void **state)
{
    (void)state;
    enum { N = 480000 + 480 * 100 }; /* starts 0 to 100, in parts of 34, 34, 33 */
    float *x = support_signal(N, 48000, 9);
    struct tl_front_clap_params p = tl_front_clap_defaults();
    const size_t want[2][3] = {{16, 50, 84}, {0, 34, 68}};
    const enum tl_clap_crop crops[] = {TL_CLAP_CENTRE, TL_CLAP_START};
    bool longer = false;
    p.is_fused = true;
    for (size_t i = 0; i < 2; i++) {
        p.crop = crops[i];
        struct tl_front f = make(&p, x, N, &longer);
        assert_true(longer);
        p.crop = TL_CLAP_GIVEN;
        memcpy(p.starts, want[i], sizeof p.starts);
        struct tl_front given = make(&p, x, N, &longer);
        for (size_t c = 0; c < 4; c++) expect_same(&f, c, &given, c);
        assert_memory_not_equal(f.x + 1001 * 64, f.x + 2 * 1001 * 64, 1001 * 64 * sizeof *f.x);
        tl_front_finish(&f);
        tl_front_finish(&given);
    }
    free(x);
}

/* ---- windows ---- */

/* Overlapping windows share frames; they must be those that each window has by itself. */
static void test_windows(void **state)
{
    (void)state;
    const struct {
        size_t n, hop, windows;
    } cases[] = {
        {480000, 48000, 10}, {491520, 48000, 11}, {600000, 48001, 13}, {1200, 48000, 1}, {480480, 470000, 2}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct tl_front_clap_params p = tl_front_clap_defaults(), one = p;
        float *x = support_signal(cases[c].n, 48000, 4);
        p.crop = TL_CLAP_WINDOWS;
        p.window_hop = cases[c].hop;
        one.padding = TL_CLAP_PAD;
        one.crop = TL_CLAP_START;
        struct tl_front f = make(&p, x, cases[c].n, NULL);
        assert_int_equal(f.n, cases[c].windows);
        for (size_t i = 0; i < f.n; i++) {
            size_t at = i * p.window_hop;
            struct tl_front alone = make(&one, x + at, cases[c].n - at, NULL);
            expect_same(&f, i, &alone, 0);
            tl_front_finish(&alone);
        }
        tl_front_finish(&f);
        free(x);
    }
    struct tl_err err = {0};
    struct tl_front_clap_params p = tl_front_clap_defaults();
    p.crop = TL_CLAP_WINDOWS;
    p.is_fused = true;
    assert_null(tl_front_clap_create(&p, &err));
    assert_int_equal(err.code, TL_USAGE);
}

static void test_quantised(void **state)
{
    (void)state;
    struct tl_front_clap_params p = tl_front_clap_defaults(), plain = p;
    float *x = support_signal(480000, 48000, 4), *q = calloc(480000, sizeof *q);
    assert_non_null(q);
    x[1000] = 1.5f;
    x[1001] = -3;
    for (size_t i = 0; i < 480000; i++)
        q[i] = (float)(int)(32767.0f * (x[i] > 1 ? 1.0f : x[i] < -1 ? -1.0f : x[i])) / 32767.0f;
    p.is_quantised = true;
    struct tl_front a = make(&p, x, 480000, NULL), b = make(&plain, q, 480000, NULL),
                    c = make(&plain, x, 480000, NULL);
    expect_same(&a, 0, &b, 0);
    assert_memory_not_equal(a.x, c.x, 1001 * 64 * sizeof *a.x);
    tl_front_finish(&a);
    tl_front_finish(&b);
    tl_front_finish(&c);
    free(x);
    free(q);
}

/* The shapes of tiny test models. */
static void test_small(void **state)
{
    (void)state;
    struct tl_front_clap_params p = {
        .rate = 8000, .max_samples = 31 * 64, .fft = 128, .hop = 64, .bands = 16, .high = 4000};
    float *x = support_signal(5000, 8000, 4);
    bool longer = false;
    p.is_fused = true;
    struct tl_front f = make(&p, x, 5000, &longer);
    assert_true(longer && f.channels == 4 && f.frames == 32 && f.bands == 16);
    for (size_t i = 0; i < 4 * 32 * 16; i++) assert_true(isfinite(f.x[i]));
    tl_front_finish(&f);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_known),        cmocka_unit_test(test_padding),
                                       cmocka_unit_test(test_one_tone),     cmocka_unit_test(test_reference),
                                       cmocka_unit_test(test_numpy_draws),  cmocka_unit_test(test_crops),
                                       cmocka_unit_test(test_fused_starts), cmocka_unit_test(test_windows),
                                       cmocka_unit_test(test_quantised),    cmocka_unit_test(test_small)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
