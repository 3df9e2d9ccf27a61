/* What `tiller score` refuses, tells and writes beside its values: pairs, flavours, outputs, sets without a
 * value, intervals that cannot be. */
#include "support/check.h"

#include <tiller/score.h>

#include "base/rng.h"
#include "io/file.h"
#include "io/image.h"
#include "io/json.h"
#include "io/npy.h"
#include "io/sound.h"
#include "run/support_folder.h"
#include "run/support_score.h"

#define CLIP TL_SOURCE_DIR "/tests/fixtures/clip_score"
#define NETS TL_SOURCE_DIR "/tests/fixtures/fad_nets/"
#define CLAP TL_SOURCE_DIR "/tests/fixtures/clap_score"

enum { PATH = 512 };

/* NULL where it is null. */
static const char *text_of(const cJSON *row, const char *key)
{
    const cJSON *x = cJSON_GetObjectItemCaseSensitive(row, key);
    assert_non_null(x);
    return cJSON_IsString(x) ? x->valuestring : NULL;
}

static bool warns(const cJSON *row, const char *says)
{
    const cJSON *w;
    cJSON_ArrayForEach(w, tl_json_get(row, "warnings")) if (strstr(w->valuestring, says)) return true;
    return false;
}

static void copy(char *out, const char *path)
{
    snprintf(out, PATH, "%s", path);
}

static void normal(const char *folder, const char *name, uint32_t sample, size_t n, size_t dim, char *out)
{
    struct tl_err err = {0};
    struct tl_rng_key key = {.seed = 1, .stream = TL_RNG_TEST, .sample = sample};
    float *x = calloc(n * dim, sizeof *x);
    assert_non_null(x);
    tl_rng_normal(key, 0, n * dim, x);
    copy(out, support_path(folder, "%s", name));
    struct tl_npy_item item = {.rank = 2, .shape = {n, dim}, .f32 = x};
    check_ok(tl_npy_write(out, &item, &err), &err);
    free(x);
}

static void picture(const char *folder, const char *name, int k)
{
    struct tl_err err = {0};
    struct tl_image image = {0};
    check_ok(tl_image_init(&image, 20, 24, 3, &err), &err);
    for (size_t i = 0; i < 3 * 20 * 24; i++)
        image.px[i] = (uint8_t)((i * (size_t)(k + 3) + (size_t)k * 31) % 251);
    check_ok(tl_image_save_png(support_path(folder, "%s", name), &image, NULL, 0, &err), &err);
    tl_image_finish(&image);
}

static void tone(const char *folder, const char *name, double pitch, double seconds)
{
    struct tl_err err = {0};
    struct tl_sound sound = {0};
    check_ok(tl_sound_init(&sound, 16000, 1, (size_t)(seconds * 16000), &err), &err);
    for (size_t i = 0; i < sound.frames; i++)
        sound.samples[i] = (float)(0.3 * sin(pitch * (double)i / 16000 * (1 + 0.05 * (double)i / 16000)));
    check_ok(tl_sound_save(support_path(folder, "%s", name), &sound, TL_SOUND_WAV_16, &err), &err);
    tl_sound_finish(&sound);
}

static void folder_of(const char *root, const char *name, char *out)
{
    struct tl_err err = {0};
    copy(out, support_path(root, "%s", name));
    check_ok(tl_file_make_folder(out, &err), &err);
}

/* Full names before stems; a stem that several files have pairs none of them. */
static void test_names(void **state)
{
    char a[PATH], b[PATH];
    folder_of(*state, "a", a);
    folder_of(*state, "b", b);
    picture(a, "1.jpg.png", 7);
    picture(b, "1.jpg.png", 7);
    picture(a, "2.png", 1);
    picture(b, "2.PNG", 1);
    picture(b, "2.png", 5); /* the very name, although 2.PNG comes first */
    struct tl_score_params p = support_score_of("clip", SETS(a, b), CLIP);
    cJSON *array = support_score_ask(p, false);
    assert_true(support_score_number(array->child, "n") == 2 &&
                support_score_number(array->child, "value") < 0.99999);
    assert_string_equal(text_of(tl_json_get(array->child, "settings"), "metric"), "files paired by name");
    assert_string_equal(text_of(tl_json_get(array->child, "skipped")->child, "file"), "2.PNG");
    cJSON_Delete(array);
    picture(a, "3.png", 2);
    picture(b, "3.PNG", 2);
    picture(a, "4.png", 3);
    picture(b, "4.PNG", 3);
    picture(b, "4.Png", 3);
    array = support_score_ask(p, false);
    assert_true(support_score_number(array->child, "n") == 3);
    assert_true(warns(array->child, "stem of 4.png") && !warns(array->child, "stem of 3.png"));
    cJSON_Delete(array);
    p.strict = true;
    support_score_refused(p, TL_BAD_INPUT, "no file of this name");
}

static void test_order(void **state)
{
    char a[PATH], b[PATH], x[PATH], y[PATH];
    folder_of(*state, "a", a);
    folder_of(*state, "b", b);
    for (int k = 0; k < 3; k++) {
        picture(a, k == 0 ? "0.png" : k == 1 ? "1.png" : "2.png", k);
        picture(b, k == 0 ? "0.png" : k == 1 ? "1.png" : "2.png", k);
    }
    struct tl_score_params p = support_score_of("clip", SETS(a, b), "clip:" CLIP);
    p.flavour = "clip-score";
    cJSON *array = support_score_ask(p, true);
    assert_string_equal(text_of(tl_json_get(array->child, "settings"), "metric"),
                        "files paired by order of names");
    cJSON_Delete(array);
    support_write(support_path(a, "0.png"), "no picture");
    support_write(support_path(b, "1.png"), "nor this");
    support_score_refused(p, TL_BAD_INPUT, "pairs by order need every file");
    normal(*state, "x.npy", 1, 5, 4, x);
    normal(*state, "y.npy", 2, 5, 4, y);
    array = support_score_ask(support_score_of("clip", SETS(x, y), NULL), true);
    assert_non_null(strstr(text_of(tl_json_get(array->child, "settings"), "metric"), "rows have no names"));
    cJSON_Delete(array);
}

static void flavour_is(struct tl_score_params p, const char *want)
{
    cJSON *array = support_score_ask(p, true);
    const char *have = text_of(array->child, "flavour");
    if (want ? !have || strcmp(have, want) != 0 : have != NULL)
        fail_msg("flavour %s, expected %s", have ? have : "null", want ? want : "null");
    cJSON_Delete(array);
}

static void test_flavours(void **state)
{
    char s[PATH], x[PATH], y[PATH];
    folder_of(*state, "s", s);
    tone(s, "0.wav", 2000, 2);
    tone(s, "1.wav", 3000, 2.5);
    normal(*state, "x.npy", 1, 30, 4, x);
    normal(*state, "y.npy", 2, 30, 4, y);
    const char *vggish = "vggish:" NETS "vggish.safetensors";
    struct tl_score_params p = support_score_of("fad", SETS(s, s), vggish);
    flavour_is(p, "symmetric");
    p.flavour = "google";
    flavour_is(p, "google");
    p.encoder = "vggish:" NETS "vggish.safetensors,compat=google";
    flavour_is(p, "google");
    p.flavour = NULL;
    flavour_is(p, "symmetric, input of google");
    p.flavour = "fadtk";
    support_score_refused(p, TL_USAGE, "compat=fadtk");
    /* settings one by one */
    p = support_score_of("kad", SETS(s, s), "clap:" CLAP ",compat=kadtk");
    p.flavour = "kadtk";
    cJSON *array = support_score_ask(p, true);
    assert_non_null(strstr(text_of(array->child, "encoder"), ",compat=kadtk,crop=fadtk"));
    cJSON_Delete(array);
    p.encoder = "clap:" CLAP ",crop=centre";
    support_score_refused(p, TL_USAGE, "means crop=fadtk, and the encoder is given crop=centre");
    /* nothing is encoded */
    p = support_score_of("fid", SETS(x, y), NULL);
    flavour_is(p, NULL);
    p.flavour = "clean";
    p.encoder = "inception:nowhere.pth";
    array = support_score_ask(p, true);
    assert_null(text_of(array->child, "flavour"));
    assert_true(warns(array->child, "nothing is encoded") &&
                warns(array->child, "--encoder inception:nowhere.pth"));
    cJSON_Delete(array);
    p = support_score_of("kad", SETS(x, y), NULL);
    flavour_is(p, "paper");
    p = support_score_of("clap", SETS(x, y), NULL);
    p.flavour = "clipscore";
    support_score_refused(p, TL_USAGE, "cosine, logit");
}

/* A long sound and a short one: a value, and no interval. */
static void test_no_interval(void **state)
{
    char s[PATH], t[PATH];
    folder_of(*state, "s", s);
    folder_of(*state, "t", t);
    tone(s, "long.wav", 2000, 30);
    tone(s, "short.wav", 2500, 1.2);
    for (int k = 0; k < 3; k++) tone(t, k == 0 ? "0.wav" : k == 1 ? "1.wav" : "2.wav", 1500 + 300 * k, 3);
    struct tl_score_params p = support_score_of("fad", SETS(t, s), "logmel");
    cJSON *array = support_score_ask(p, true);
    assert_true(support_score_number(array->child, "value") > 0);
    assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(array->child, "interval")->child));
    assert_true(warns(array->child, "no interval"));
    cJSON_Delete(array);
    p.no_interval = true;
    array = support_score_ask(p, true);
    assert_false(warns(array->child, "no interval"));
    cJSON_Delete(array);
    /* files, and not windows: twice the same sound at two lengths is one kind and not many */
    array = support_score_ask(support_score_of("vendi", SETS(s), "logmel"), true);
    assert_true(support_score_number(array->child, "value") <= 2);
    assert_non_null(
        strstr(text_of(tl_json_get(array->child, "settings"), "metric"), "mean row of each file"));
    cJSON_Delete(array);
}

static void test_seed(void **state)
{
    char x[PATH], y[PATH];
    normal(*state, "x.npy", 1, 600, 4, x);
    normal(*state, "y.npy", 2, 600, 4, y);
    struct tl_score_params p = support_score_of("fad", SETS(x, y), NULL);
    p.inf = true;
    cJSON *array = support_score_ask(p, true), *again = support_score_ask(p, true);
    assert_true(support_score_number(array->child, "seed") == 3);
    assert_true(cJSON_Compare(array, again, true));
    assert_non_null(strstr(text_of(tl_json_get(array->child, "settings"), "metric"), "evaluated set alone"));
    cJSON_Delete(array);
    cJSON_Delete(again);
    array = support_score_ask(support_score_of("kad", SETS(x, y), NULL), true); /* draws nothing */
    assert_null(text_of(array->child, "seed"));
    assert_false(cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(array->child, "seed")));
    cJSON_Delete(array);
}

/* One set of several that cannot be used costs its own value alone. */
static void test_failed_set(void **state)
{
    char x[PATH], y[PATH], wide[PATH], csv[PATH];
    normal(*state, "x.npy", 1, 40, 4, x);
    normal(*state, "y.npy", 2, 40, 4, y);
    normal(*state, "wide.npy", 2, 40, 5, wide);
    copy(csv, support_path(*state, "v.csv"));
    struct tl_score_params p = support_score_of("kid", SETS(x, wide, y), NULL);
    p.csv = csv;
    cJSON *array = support_score_ask(p, false);
    const cJSON *first = array->child, *second = first->next;
    assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(first, "value")) &&
                support_score_number(second, "value") != 0);
    assert_non_null(strstr(text_of(first, "error"), "wide.npy"));
    assert_null(text_of(second, "error"));
    cJSON_Delete(array);
    char *text = support_read(csv);
    assert_non_null(strstr(text, "wide.npy: "));
    free(text);
    p.strict = true;
    support_score_refused(p, TL_BAD_INPUT, "wide.npy");
    p = support_score_of("kid", SETS(x, wide), NULL);
    support_score_refused(p, TL_BAD_INPUT, "wide.npy");
    p = support_score_of("kid", SETS(x, wide, wide), NULL);
    support_score_refused(p, TL_BAD_INPUT, "none of the sets");
    p = support_score_of("kid", SETS(wide, x, y), NULL);
    support_score_refused(p, TL_BAD_INPUT, "none of the sets");
    p = support_score_of("kid", SETS(x, support_path(*state, "absent.npy"), y), NULL);
    cJSON_Delete(support_score_ask(p, false));
}

static void test_outputs(void **state)
{
    char x[PATH], y[PATH], csv[PATH], other[PATH], before[PATH];
    normal(*state, "x.npy", 1, 40, 4, x);
    normal(*state, "y.npy", 2, 40, 4, y);
    copy(csv, support_path(*state, "v.csv"));
    copy(other, support_path(*state, "./v.csv"));
    copy(before, support_path(*state, "./y.npy"));
    struct tl_score_params p = support_score_of("kad", SETS(x, y), NULL);
    p.csv = before;
    support_score_refused(p, TL_USAGE, "would overwrite");
    p.csv = support_path(*state, "x.npy.json");
    support_score_refused(p, TL_USAGE, "would overwrite");
    p = support_score_of("fad", SETS(x, y), NULL);
    p.csv = csv;
    p.indiv = other;
    support_score_refused(p, TL_USAGE, "two files");
    p.indiv = NULL;
    cJSON_Delete(support_score_ask(p, true));
    p = support_score_of("kad", SETS(x, y), NULL);
    p.csv = csv;
    cJSON_Delete(support_score_ask(p, true));
    char *text = support_read(csv);
    assert_non_null(strstr(text, ",skipped,seed,bandwidth,error\n"));
    free(text);
    /* several sets of pairs: the folder in front */
    p = support_score_of("clip", SETS(x, y, y), NULL);
    p.csv = csv;
    cJSON_Delete(support_score_ask(p, true));
    text = support_read(csv);
    size_t lines = 0;
    for (const char *at = text; (at = strchr(at, '\n')); at++) lines++;
    assert_true(lines == 81 && strncmp(text, "folder,file,partner,score\n", 26) == 0);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_names, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_order, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_flavours, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_no_interval, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_seed, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_failed_set, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_outputs, support_folder_make, support_folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
