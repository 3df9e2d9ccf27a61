/* A folder of sounds as people have them, through the whole program: what is no sound changes nothing but the
 * list of what was left out, and odd sounds are sounds. */
#include "support/check.h"

#include <sys/stat.h>
#include <unistd.h>

#include <tiller/score.h>

#include "io/file.h"
#include "io/json.h"
#include "io/sound.h"
#include "run/support_folder.h"

static struct tl_job job = {.device = "cpu", .threads = 1, .seed = 3};
static char ref[512], clean[512], dirty[512];
enum { CLEAN = 8 };

static struct tl_score_params of(const char *const *folders)
{
    return (struct tl_score_params){.metric = "fad",
                                    .folders = folders,
                                    .n_folders = 2,
                                    .encoder = "logmel",
                                    .no_cache = true,
                                    .json = true};
}
#define SETS(...) ((const char *const[]){__VA_ARGS__})

static cJSON *ask(struct tl_score_params p, bool whole)
{
    struct tl_err err = {0};
    bool is_whole = !whole;
    char *text = tl_score(&p, &job, &is_whole, &err);
    if (!text) fail_msg("%s", err.text);
    cJSON *array = tl_json_parse(text, strlen(text), "report", &err);
    if (is_whole != whole) fail_msg("%s", text);
    free(text);
    return array;
}

static double number(const cJSON *array, const char *key)
{
    const cJSON *x = tl_json_get(array->child, key);
    assert_true(cJSON_IsNumber(x));
    return x->valuedouble;
}

static void refused(struct tl_score_params p, const char *says)
{
    struct tl_err err = {0};
    bool whole;
    assert_null(tl_score(&p, &job, &whole, &err));
    if (err.code != TL_BAD_INPUT || !strstr(err.text, says)) fail_msg("code %d, '%s'", err.code, err.text);
}

/* Two tones of float samples. */
static void tone(const char *path, int k, double seconds, double loud)
{
    struct tl_err err = {0};
    struct tl_sound s = {0};
    const int rate = k % 2 ? 16000 : 22050;
    check_ok(tl_sound_init(&s, rate, 1 + k % 2, (size_t)(seconds * rate), &err), &err);
    for (size_t i = 0; i < s.frames * (size_t)s.channels; i++) {
        double t = (double)(i / (size_t)s.channels) / rate;
        s.samples[i] = (float)(loud * (0.3 * sin(6.2831853 * (200 + 90 * k) * t) +
                                       0.1 * sin(6.2831853 * (1000 + 70 * k) * t)));
    }
    check_ok(tl_sound_save(path, &s, TL_SOUND_WAV_FLOAT, &err), &err);
    tl_sound_finish(&s);
}

static void make(void **state)
{
    struct tl_err err = {0};
    snprintf(ref, sizeof ref, "%s", support_path(*state, "ref"));
    snprintf(clean, sizeof clean, "%s", support_path(*state, "clean"));
    snprintf(dirty, sizeof dirty, "%s", support_path(*state, "dirty"));
    check_ok(tl_file_make_folder(ref, &err) && tl_file_make_folder(clean, &err), &err);
    check_ok(tl_file_make_folder(dirty, &err), &err);
    for (int k = 0; k < CLEAN; k++) {
        tone(support_path(ref, "%02d.wav", k), k, 1.2, 1);
        tone(support_path(clean, "%02d.wav", k), k + 3, 1.1, 1);
        tone(support_path(dirty, "%02d.wav", k), k + 3, 1.1, 1);
    }
}

static void test_torture(void **state)
{
    make(state);
    struct tl_err err = {0};
    support_write(support_path(dirty, "00x.flac"), "");
    support_write(support_path(dirty, "01x.mp3"), "no sound at all, whatever its name says");
    size_t n, n_bad = 9;
    uint8_t *data = tl_file_read(support_path(dirty, "02.wav"), 1 << 20, &n, &err);
    check_ok(data, &err);
    check_ok(tl_file_write(support_path(dirty, "02x.wav"), data, n / 2, &err), &err);
    memset(data + n - 4, 0xff, 4); /* a NaN */
    check_ok(tl_file_write(support_path(dirty, "03x.wav"), data, n, &err), &err);
    free(data);
    data = tl_file_read(TL_SOURCE_DIR "/tests/fixtures/sounds/tone.flac", 1 << 20, &n, &err);
    check_ok(data, &err);
    data[n / 2] ^= 0x55;
    check_ok(tl_file_write(support_path(dirty, "04x.flac"), data, n, &err), &err);
    free(data);
    assert_int_equal(mkfifo(support_path(dirty, "05x.wav"), 0600), 0);
    assert_int_equal(symlink("nowhere", support_path(dirty, "06x.ogg")), 0);
    check_ok(tl_file_make_folder(support_path(dirty, "07x.wav"), &err), &err);
    support_write(support_path(dirty, "08x.wav"), "RIFF");
    assert_int_equal(truncate(support_path(dirty, "08x.wav"), (off_t)8 << 30), 0); /* a hole */
    support_write(support_path(dirty, "09x.wav"), "shut");
    chmod(support_path(dirty, "09x.wav"), 0);
    n_bad++; /* root may read it, and finds no sound */
    support_write(support_path(dirty, "00.txt"), "caf\xe9");
    support_write(support_path(dirty, "metadata.csv"), "id,seed\n1,2\n");
    cJSON *want = ask(of(SETS(ref, clean)), true), *got = ask(of(SETS(ref, dirty)), false);
    assert_true(number(want, "value") == number(got, "value") && isfinite(number(got, "value")));
    assert_true(number(got, "n") == CLEAN);
    const cJSON *skipped = tl_json_get(got->child, "skipped");
    assert_int_equal(cJSON_GetArraySize(skipped), n_bad);
    for (const cJSON *s = skipped->child; s; s = s->next) /* each says of which file it speaks */
        assert_non_null(strstr(tl_json_get(s, "reason")->valuestring, tl_json_get(s, "file")->valuestring));
    cJSON_Delete(want);
    cJSON_Delete(got);
    struct tl_score_params p = of(SETS(ref, dirty));
    p.strict = true;
    refused(p, "x.");
    for (int k = 0; k < CLEAN; k++) unlink(support_path(dirty, "%02d.wav", k));
    refused(of(SETS(ref, dirty)), "none of the 10 files");
}

/* Silence, a few samples, and sounds above full scale, as far as floats go. */
static void test_odd_sounds(void **state)
{
    make(state);
    tone(support_path(dirty, "silent.wav"), 0, 1.1, 0);
    tone(support_path(dirty, "short.wav"), 0, 0.001, 1);
    tone(support_path(dirty, "sample.wav"), 0, 0.00005, 1);
    tone(support_path(dirty, "loud.wav"), 0, 1.1, 1000);
    tone(support_path(dirty, "louder.wav"), 0, 1.1, 1e38);
    cJSON *got = ask(of(SETS(ref, dirty)), true);
    assert_true(isfinite(number(got, "value")) && number(got, "n") == CLEAN + 5);
    cJSON_Delete(got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_torture, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_odd_sounds, support_folder_make, support_folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
