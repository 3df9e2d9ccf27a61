/* Loudness: closed forms, the vectors of its sources, and pyloudnorm's numbers (fixture resample,
 * reference/sounds.py). */
#include "audio/loudness.h"

#include "io/file.h"
#include "io/json.h"
#include "support/check.h"

#define EXPECTED TL_SOURCE_DIR "/tests/fixtures/resample/loudness.json"

static const double pi = 3.14159265358979323846;

static struct tl_sound make(int rate, int channels, double seconds)
{
    struct tl_err err = {0};
    struct tl_sound s;
    check_ok(tl_sound_init(&s, rate, channels, (size_t)(seconds * rate + 0.5), &err), &err);
    return s;
}

static double loudness(const struct tl_sound *s, enum tl_loudness_flavour flavour)
{
    struct tl_err err = {0};
    double out = NAN;
    check_ok(tl_loudness(s, flavour, &out, &err), &err);
    return out;
}

/* The same sine in all channels. */
static double of_sine(double hz, int rate, int channels, double seconds, double gain,
                      enum tl_loudness_flavour flavour)
{
    struct tl_sound s = make(rate, channels, seconds);
    for (size_t i = 0; i < s.frames; i++)
        for (size_t c = 0; c < (size_t)channels; c++)
            s.samples[i * (size_t)channels + c] = (float)(gain * sin(2 * pi * hz * (double)i / rate));
    double out = loudness(&s, flavour);
    tl_sound_finish(&s);
    return out;
}

static void test_vectors(void **state)
{
    (void)state;
    check_near(of_sine(997, 44100, 1, 1, 1, TL_LOUDNESS_PYLOUDNORM), -3.05234, 1e-5);
    check_near(of_sine(997, 44100, 1, 1, 1, TL_LOUDNESS_BS1770), -3.00744, 1e-5);
    check_near(of_sine(997, 48000, 1, 1, 1, TL_LOUDNESS_BS1770), -3.01020, 1e-5);
    check_near(of_sine(1000, 48000, 1, 1, 1, TL_LOUDNESS_BS1770), -3.00364, 1e-5);
    check_near(of_sine(1000, 44100, 1, 1, 1, TL_LOUDNESS_BS1770), -3.00088, 1e-5);
    double gain = pow(10, -23.0 / 20);
    check_near(of_sine(1000, 48000, 2, 20, gain, TL_LOUDNESS_BS1770), -22.9933, 1e-4);
}

/* Twice the gain is 6.0206 LU, whatever the rate; two channels are 3.0103 LU above one. */
static void test_gain(void **state)
{
    (void)state;
    static const int rates[] = {4000, 8000, 16000, 22050, 44100, 48000, 96000, 192000};
    for (size_t k = 0; k < sizeof rates / sizeof *rates; k++) {
        double one = of_sine(1000, rates[k], 1, 1, 0.25, TL_LOUDNESS_BS1770);
        double two = of_sine(1000, rates[k], 1, 1, 0.5, TL_LOUDNESS_BS1770);
        double both = of_sine(1000, rates[k], 2, 1, 0.5, TL_LOUDNESS_BS1770);
        check_near(two - one, 20 * log10(2), 1e-6);
        check_near(both - two, 10 * log10(2), 1e-6);
        if (rates[k] >= 16000) check_near(two, -9.03, 0.15);
    }
}

/* Centre counts as a side does, surrounds 1.41 times, the LFE of 5.1 not at all. */
static void test_channels(void **state)
{
    (void)state;
    static const double wanted[] = {0, 0, 0, -INFINITY, 1.41, 1.41};
    double alone = of_sine(1000, 48000, 1, 1, 0.5, TL_LOUDNESS_BS1770);
    for (int c = 0; c < 6; c++) {
        struct tl_sound s = make(48000, 6, 1);
        for (size_t i = 0; i < s.frames; i++)
            s.samples[6 * i + (size_t)c] = (float)(0.5 * sin(2 * pi * 1000 * (double)i / 48000));
        double got = loudness(&s, TL_LOUDNESS_BS1770);
        if (c == 3) {
            assert_true(got == -INFINITY);
        } else {
            check_near(got - alone, wanted[c] > 0 ? 10 * log10(wanted[c]) : 0, 1e-9);
        }
        tl_sound_finish(&s);
    }
}

/* Silence around a sound, and a sound 40 dB softer, do not count. */
static void test_gates(void **state)
{
    (void)state;
    struct tl_sound s = make(48000, 1, 30), soft = make(48000, 1, 30);
    for (size_t i = 0; i < s.frames; i++) {
        double x = 0.5 * sin(2 * pi * 1000 * (double)i / 48000);
        bool is_loud = i >= 480000 && i < 960000;
        s.samples[i] = is_loud ? (float)x : 0;
        soft.samples[i] = (float)(is_loud ? x : 0.01 * x);
    }
    double whole = of_sine(1000, 48000, 1, 10, 0.5, TL_LOUDNESS_BS1770);
    double got = loudness(&s, TL_LOUDNESS_BS1770);
    check_near(got, whole, 0.2);
    check_near(loudness(&soft, TL_LOUDNESS_BS1770), got, 1e-3);
    tl_sound_finish(&s);
    tl_sound_finish(&soft);
}

/* Silence, and what lies below the absolute gate, have none. */
static void test_silence(void **state)
{
    (void)state;
    for (int flavour = 0; flavour < 2; flavour++) {
        assert_true(of_sine(1000, 16000, 2, 1, 0, (enum tl_loudness_flavour)flavour) == -INFINITY);
        assert_true(of_sine(1000, 16000, 1, 1, 1e-4, (enum tl_loudness_flavour)flavour) == -INFINITY);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        int rate, channels;
        double seconds;
        enum tl_loudness_flavour flavour;
        const char *part;
    } cases[] = {
        {48000, 1, 0.39, TL_LOUDNESS_BS1770, "0.39 s long, and loudness is measured over 0.4 s"},
        {48000, 1, 0.39, TL_LOUDNESS_PYLOUDNORM, "0.39 s long"},
        {48000, 7, 1, TL_LOUDNESS_BS1770, "7 channels, and loudness is defined for up to 6"},
        {48000, 6, 1, TL_LOUDNESS_PYLOUDNORM, "6 channels, and loudness is defined for up to 5"},
        {3999, 1, 1, TL_LOUDNESS_BS1770, "a rate of 3999 Hz is too low"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tl_err err = {0};
        double out;
        struct tl_sound s = make(cases[i].rate, cases[i].channels, cases[i].seconds);
        assert_false(tl_loudness(&s, cases[i].flavour, &out, &err));
        assert_int_equal(err.code, TL_BAD_INPUT);
        if (!strstr(err.text, cases[i].part)) fail_msg("%s; expected %s", err.text, cases[i].part);
        tl_sound_finish(&s);
    }
    struct tl_sound s = make(48000, 1, 0.4);
    for (size_t i = 0; i < s.frames; i++) s.samples[i] = (float)sin(0.1 * (double)i);
    assert_true(isfinite(loudness(&s, TL_LOUDNESS_BS1770)));
    tl_sound_finish(&s);
}

/* The signal `steps` of reference/sounds.py. */
static void test_pyloudnorm(void **state)
{
    (void)state;
    struct tl_err err = {0};
    size_t n;
    uint8_t *text = tl_file_read(EXPECTED, 1 << 20, &n, &err);
    check_ok(text != NULL, &err);
    cJSON *rows = tl_json_parse((const char *)text, n, EXPECTED, &err);
    check_ok(rows != NULL, &err);
    int count = 0;
    for (const cJSON *row = rows->child; row; row = row->next, count++) {
        int rate = tl_json_get(row, "rate")->valueint, channels = tl_json_get(row, "channels")->valueint;
        struct tl_sound s = make(rate, channels, 3);
        for (size_t i = 0; i < s.frames; i++) {
            double gain = i < (size_t)rate ? 1 : i < 2 * (size_t)rate ? 0.1 : 0;
            for (int c = 0; c < channels; c++)
                s.samples[i * (size_t)channels + (size_t)c] =
                    (float)(gain * 0.5 / (c + 1) * sin(2 * pi * 300 * (c + 1) * (double)i / rate));
        }
        check_near(loudness(&s, TL_LOUDNESS_PYLOUDNORM), tl_json_get(row, "pyloudnorm")->valuedouble, 1e-6);
        tl_sound_finish(&s);
    }
    assert_int_equal(count, 12);
    cJSON_Delete(rows);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),    cmocka_unit_test(test_gain),    cmocka_unit_test(test_channels),
        cmocka_unit_test(test_gates),      cmocka_unit_test(test_silence), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_pyloudnorm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
