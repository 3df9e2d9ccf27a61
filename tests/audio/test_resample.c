/* Resampling: closed forms, and the tools' own numbers (fixture resample, reference/sounds.py). */
#include "audio/resample.h"

#include "io/safetensors.h"
#include "support/check.h"

#define EXPECTED TL_SOURCE_DIR "/tests/fixtures/resample/expected.safetensors"

static const double pi = 3.14159265358979323846;

static struct tl_sound make(int rate, int channels, size_t frames)
{
    struct tl_err err = {0};
    struct tl_sound s;
    check_ok(tl_sound_init(&s, rate, channels, frames, &err), &err);
    return s;
}

static struct tl_sound resampled(const struct tl_sound *s, int rate, enum tl_resampler how)
{
    struct tl_err err = {0};
    struct tl_sound out;
    check_ok(tl_sound_resample(s, rate, how, &out, &err), &err);
    assert_int_equal(out.rate, rate);
    assert_int_equal(out.channels, s->channels);
    return out;
}

static void test_names(void **state)
{
    (void)state;
    struct tl_err err = {0};
    enum tl_resampler how;
    for (int i = 0; i < TL_RESAMPLERS; i++) {
        check_ok(tl_resampler_parse(tl_resampler_name((enum tl_resampler)i), &how, &err), &err);
        assert_int_equal(how, i);
    }
    assert_false(tl_resampler_parse("soxr", &how, &err));
    assert_int_equal(err.code, TL_USAGE);
    assert_non_null(strstr(err.text, "there are soxr-vhq, soxr-hq, torchaudio"));
}

/* The sweep of reference/sounds.py. */
static struct tl_sound signal(int rate)
{
    enum { N = 400 };
    struct tl_sound s = make(rate, 1, N);
    for (size_t i = 0; i < N; i++) {
        double x = (double)i;
        s.samples[i] = (float)(0.6 * sin(x * x * (pi / (2 * N))) + 0.2);
    }
    return s;
}

static void test_tools(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_st_file *file = tl_st_open(EXPECTED, &err);
    check_ok(file != NULL, &err);
    assert_int_equal(tl_st_count(file), 7 * TL_RESAMPLERS);
    for (size_t i = 0; i < tl_st_count(file); i++) {
        const struct tl_st_tensor *t = tl_st_at(file, i);
        char name[64];
        int from, to;
        enum tl_resampler how;
        snprintf(name, sizeof name, "%s", t->name);
        char *dot = strchr(name, '.');
        assert_true(dot && sscanf(dot, ".%d.%d", &from, &to) == 2);
        *dot = 0;
        check_ok(tl_resampler_parse(name, &how, &err), &err);
        struct tl_sound s = signal(from), out = resampled(&s, to, how);
        static float wanted[4096];
        assert_true(out.frames == t->shape[0] && out.frames <= 4096);
        check_ok(tl_st_to_f32(t, wanted, &err), &err);
        double worst = 0;
        for (size_t k = 0; k < out.frames; k++)
            worst = fmax(worst, fabs((double)out.samples[k] - (double)wanted[k]));
        if (!(worst < 1e-6)) fail_msg("%s: off by %g", t->name, worst);
        tl_sound_finish(&s);
        tl_sound_finish(&out);
    }
    tl_st_close(&file);
}

/* A constant and a slow sine stay as they are away from the ends, channels apart. */
static void test_closed_forms(void **state)
{
    (void)state;
    static const int rates[][2] = {{44100, 16000}, {16000, 48000}, {22050, 24000}, {12345, 16000}};
    for (int how = 0; how < TL_RESAMPLERS; how++) {
        double most = how <= TL_RESAMPLE_SOXR_HQ        ? 2e-6
                      : how == TL_RESAMPLE_KAISER_FADTK ? 5e-5 /* phases in float32, as the tool has them */
                                                        : 4e-3;
        for (size_t k = 0; k < sizeof rates / sizeof *rates; k++) {
            struct tl_sound s = make(rates[k][0], 2, (size_t)rates[k][0] / 5);
            for (size_t i = 0; i < s.frames; i++) {
                s.samples[2 * i] = 0.75f;
                s.samples[2 * i + 1] = (float)(0.5 * sin(2 * pi * 1000 * (double)i / s.rate));
            }
            struct tl_sound out = resampled(&s, rates[k][1], (enum tl_resampler)how);
            double ratio = (double)s.frames * out.rate / s.rate;
            assert_true(fabs((double)out.frames - ratio) <= 1);
            for (size_t i = out.frames / 4; i < out.frames * 3 / 4; i++) {
                double sine = 0.5 * sin(2 * pi * 1000 * (double)i / out.rate);
                if (fabs((double)out.samples[2 * i] - 0.75) > most ||
                    fabs((double)out.samples[2 * i + 1] - sine) > most)
                    fail_msg("%s, %d to %d, frame %zu: %g, and %g for %g", tl_resampler_name(how), s.rate,
                             out.rate, i, (double)out.samples[2 * i], (double)out.samples[2 * i + 1], sine);
            }
            tl_sound_finish(&s);
            tl_sound_finish(&out);
        }
    }
}

/* What the lower rate cannot hold is gone. */
static void test_alias(void **state)
{
    (void)state;
    for (int how = 0; how < TL_RESAMPLERS; how++) {
        struct tl_sound s = make(48000, 1, 9600);
        for (size_t i = 0; i < s.frames; i++) s.samples[i] = (float)sin(2 * pi * 11000 * (double)i / s.rate);
        struct tl_sound out = resampled(&s, 16000, (enum tl_resampler)how);
        double worst = 0;
        for (size_t i = out.frames / 4; i < out.frames * 3 / 4; i++)
            worst = fmax(worst, fabs((double)out.samples[i]));
        if (!(worst < (how == TL_RESAMPLE_TORCHAUDIO ? 1e-2 : 5e-4)))
            fail_msg("%s lets %g through", tl_resampler_name(how), worst);
        tl_sound_finish(&s);
        tl_sound_finish(&out);
    }
}

static void test_lengths(void **state)
{
    (void)state;
    static const struct {
        size_t frames;
        int from, to;
        size_t soxr, torchaudio, resampy;
    } cases[] = {
        {44100, 44100, 16000, 16000, 16000, 16000},
        {1000, 44100, 16000, 363, 363, 362},
        {1001, 48000, 16000, 334, 334, 333},
        {1, 16000, 48000, 3, 3, 3},
        {7, 8000, 11025, 10, 10, 9},
        {3, 768000, 767999, 3, 3, 2},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct tl_sound s = make(cases[k].from, 1, cases[k].frames);
        for (int how = 0; how < TL_RESAMPLERS; how++) {
            struct tl_sound out = resampled(&s, cases[k].to, (enum tl_resampler)how);
            size_t wanted = how <= TL_RESAMPLE_SOXR_HQ        ? cases[k].soxr
                            : how <= TL_RESAMPLE_KAISER_FADTK ? cases[k].torchaudio
                                                              : cases[k].resampy;
            if (out.frames != wanted)
                fail_msg("%s, case %zu: %zu frames, not %zu", tl_resampler_name(how), k, out.frames, wanted);
            for (size_t i = 0; i < out.frames; i++) assert_true(out.samples[i] == 0);
            tl_sound_finish(&out);
        }
        tl_sound_finish(&s);
    }
}

/* Kernels are kept between sounds, and more rates come than are kept: same bits each time. */
static void test_kept(void **state)
{
    (void)state;
    static const int rates[] = {44100, 22050, 8000, 11025, 12345, 24000, 32000, 44101, 48000, 44101, 44100};
    enum { N = sizeof rates / sizeof *rates };
    static float first[N][512];
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < N; i++) {
            struct tl_sound s = signal(rates[i]), longer;
            s.frames = 200;
            longer = signal(rates[i]);
            if (round == 1) { /* makes the kernel with more phases first */
                struct tl_sound out = resampled(&longer, 16000, TL_RESAMPLE_KAISER_FADTK);
                tl_sound_finish(&out);
            }
            struct tl_sound out = resampled(&s, 16000, TL_RESAMPLE_KAISER_FADTK);
            assert_true(out.frames <= 512);
            if (round == 0) memcpy(first[i], out.samples, out.frames * sizeof *first[i]);
            assert_memory_equal(first[i], out.samples, out.frames * sizeof *first[i]);
            tl_sound_finish(&out);
            tl_sound_finish(&longer);
            tl_sound_finish(&s);
        }
}

/* Rates that share no divisor: a second of them is refused before the work, a moment is not. */
static void test_coprime(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_sound s = make(767999, 1, 767999), out;
    assert_false(tl_sound_resample(&s, 16000, TL_RESAMPLE_KAISER_FADTK, &out, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    assert_non_null(strstr(err.text, "kaiser-fadtk cannot resample by a ratio of 767999 to 16000"));
    assert_null(out.samples);
    s.frames = 2000;
    out = resampled(&s, 16000, TL_RESAMPLE_KAISER_FADTK);
    tl_sound_finish(&out);
    tl_sound_finish(&s);
}

static void test_refused(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_sound s = make(48000, 1, 1), out;
    assert_false(tl_sound_resample(&s, 16000, TL_RESAMPLE_SOXR_VHQ, &out, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    assert_non_null(strstr(err.text, "too short: 1 frames at 48000 Hz make none at 16000 Hz"));
    assert_null(out.samples);
    tl_err_clear(&err);
    assert_false(tl_sound_resample(&s, 10, TL_RESAMPLE_SOXR_VHQ, &out, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    tl_sound_finish(&s);
}

static void test_mono(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_sound s = make(16000, 3, 2), mono, at, both;
    static const float x[] = {1, 2, 6, 1e30f, -1e30f, 3};
    memcpy(s.samples, x, sizeof x);
    check_ok(tl_sound_mono(&s, &mono, &err), &err);
    assert_int_equal(mono.channels, 1);
    assert_true(mono.samples[0] == 3 && mono.samples[1] == 1);
    tl_sound_finish(&mono);
    tl_sound_finish(&s);
    s = make(16000, 2, 4000);
    for (size_t i = 0; i < 8000; i++) s.samples[i] = (float)sin(0.01 * (double)i);
    check_ok(tl_sound_mono(&s, &mono, &err), &err);
    both = resampled(&mono, 24000, TL_RESAMPLE_SOXR_VHQ);
    check_ok(tl_sound_mono_at(&s, 24000, TL_RESAMPLE_SOXR_VHQ, &at, &err), &err);
    assert_int_equal(at.frames, both.frames);
    assert_memory_equal(at.samples, both.samples, at.frames * sizeof *at.samples);
    tl_sound_finish(&at);
    check_ok(tl_sound_mono_at(&mono, 16000, TL_RESAMPLE_KAISER_FADTK, &at, &err), &err);
    assert_memory_equal(at.samples, mono.samples, at.frames * sizeof *at.samples);
    tl_sound_finish(&at);
    tl_sound_finish(&both);
    tl_sound_finish(&mono);
    tl_sound_finish(&s);
}

/* What torchaudio.save wrote for these (2.5.1 over soundfile). */
static void test_pcm16(void **state)
{
    (void)state;
    static const double x[] = {0.4, 0.6, 1.5, 2.5, -0.4, -0.6, -1.5, 16384, 32764.723, 49152, -49152, -100.7};
    static const double y[] = {0, 0, 1, 2, -1, -1, -2, 16384, 32764, 32767, -32768, -101};
    enum { N = sizeof x / sizeof *x };
    struct tl_sound s = make(16000, 1, N);
    for (size_t i = 0; i < N; i++) s.samples[i] = (float)(x[i] / 32768);
    tl_sound_to_pcm16(&s);
    for (size_t i = 0; i < N; i++) check_near((double)s.samples[i] * 32768, y[i], 0);
    tl_sound_finish(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),   cmocka_unit_test(test_tools),   cmocka_unit_test(test_closed_forms),
        cmocka_unit_test(test_alias),   cmocka_unit_test(test_lengths), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_mono),    cmocka_unit_test(test_pcm16),   cmocka_unit_test(test_kept),
        cmocka_unit_test(test_coprime),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
