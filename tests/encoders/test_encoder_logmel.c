/* The encoder that needs no weights, through the table as a caller has it. */
#include "support/check.h"

#include "encoders/encoder.h"

static struct tl_sound tone(int rate, int channels, double seconds)
{
    struct tl_err err = {0};
    struct tl_sound s;
    check_ok(tl_sound_init(&s, rate, channels, (size_t)(rate * seconds), &err), &err);
    for (size_t i = 0; i < s.frames; i++)
        for (int c = 0; c < channels; c++)
            s.samples[i * (size_t)channels + (size_t)c] =
                (float)(0.3 * sin(2 * 3.14159265358979323846 * 600 * (double)i / rate));
    return s;
}

static size_t embed(struct tl_encoder *e, const struct tl_sound *s, float *out, size_t most)
{
    struct tl_err err = {0};
    struct tl_encoder_windows w;
    struct tl_encoder_item item = {.name = "tone.wav", .sound = s};
    check_ok(tl_encoder_prepare(e, &item, &w, &err), &err);
    size_t n = w.n;
    assert_int_equal(w.floats, 128);
    assert_true(n <= most);
    check_ok(tl_encoder_run(e, w.x, n, w.floats, out, &err), &err);
    tl_encoder_windows_finish(&w);
    return n;
}

static void test_rows(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_encoder *e = tl_encoder_open(&(struct tl_encoder_env){0}, "logmel", &err);
    if (!e) fail_msg("%s", err.text);
    const struct tl_encoder_about *a = tl_encoder_about(e);
    assert_true(a->dim == 128 && a->has_many && a->is_fixed && !a->is_unit && !a->cls->needs_device);
    assert_true(!a->path && !*a->sha256);
    assert_non_null(strstr(a->settings, "soxr-vhq"));
    float plain[4 * 128], stereo[4 * 128];
    struct tl_sound mono = tone(16000, 1, 2.6), wide = tone(44100, 2, 2.6);
    assert_int_equal(embed(e, &mono, plain, 4), 3);
    assert_int_equal(embed(e, &wide, stereo, 4), 3);
    /* The same tone by another road: its own band (600 Hz) has the same mean, in windows without an end. */
    size_t most = 128;
    for (size_t b = 128; b < 192; b++) most = plain[b] > plain[most] ? b : most;
    check_near(stereo[most], plain[most], 1e-3);
    tl_sound_finish(&mono);
    tl_sound_finish(&wide);
    tl_encoder_close(&e);
}

static void test_arguments(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_encoder_env env = {0};
    struct tl_encoder *e = tl_encoder_open(&env, "logmel,resample=soxr-hq", &err);
    if (!e) fail_msg("%s", err.text);
    assert_non_null(strstr(tl_encoder_about(e)->settings, "soxr-hq"));
    tl_encoder_close(&e);
    const char *const wrong[] = {"logmel:weights.pth", "logmel,resample=cubic"};
    for (size_t i = 0; i < 2; i++) {
        tl_err_clear(&err);
        assert_null(tl_encoder_open(&env, wrong[i], &err));
        assert_int_equal(err.code, TL_USAGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_arguments)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
