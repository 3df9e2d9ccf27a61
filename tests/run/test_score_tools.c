/* From files to the number, beside the tools that people use: tests/reference/score_numbers.py makes the same
 * pictures and sounds, and wrote what pytorch-fid, clean-fid, torchmetrics, clip-score, vendi-score, fadtk,
 * kadtk, frechet-audio-distance, pyloudnorm and Pillow say of them with the small networks of the fixtures.
 */
#include "support/check.h"

#include <stdlib.h>

#include <tiller/score.h>

#include "encoders/support_synth.c" /* another folder's; helpers are linked by folder */
#include "io/file.h"
#include "io/json.h"
#include "run/support_folder.h"

#define FIXTURES  TL_SOURCE_DIR "/tests/fixtures/"
#define INCEPTION "inception:" FIXTURES "fad_nets/inception.safetensors"
#define VGGISH    "vggish:" FIXTURES "fad_nets/vggish.safetensors"
#define CLIP      FIXTURES "clip_score"

enum { PICTURES = 20, SOUNDS = 6, PATH = 512 };

struct sets {
    char pictures[2][PATH], sounds[2][PATH];
    cJSON *expected;
};

static void make(const char *root, struct sets *s)
{
    static const int seeds[2] = {1, 40};
    struct tl_err err = {0};
    for (int side = 0; side < 2; side++) {
        snprintf(s->pictures[side], PATH, "%s", support_path(root, "p%d", side));
        snprintf(s->sounds[side], PATH, "%s", support_path(root, "s%d", side));
        check_ok(tl_file_make_folder(s->pictures[side], &err), &err);
        check_ok(tl_file_make_folder(s->sounds[side], &err), &err);
        for (int i = 0; i < PICTURES; i++) {
            struct tl_image image;
            synth_picture(60 + 13 * i % 60, 50 + 29 * i % 60, seeds[side] + i, &image);
            const char *path = support_path(s->pictures[side], "%02d.png", i);
            check_ok(tl_image_save_png(path, &image, NULL, 0, &err), &err);
            tl_image_finish(&image);
        }
        for (int i = 0; i < SOUNDS; i++) {
            struct tl_sound sound;
            int rate = i % 2 ? 22050 : 16000;
            synth_sound(rate, (size_t)(rate * (5 + i) / 2), 1 + i % 2, 3 * i + seeds[side], &sound);
            const char *path = support_path(s->sounds[side], "%02d.wav", i);
            check_ok(tl_sound_save(path, &sound, TL_SOUND_WAV_16, &err), &err);
            tl_sound_finish(&sound);
        }
    }
    s->expected = tl_json_read(FIXTURES "score/expected.json", &err);
    if (!s->expected) fail_msg("%s", err.text);
}

/* `b` NULL: one set. */
static double score(const char *metric, const char *a, const char *b, const char *encoder,
                    const char *flavour, const char *indiv)
{
    const char *folders[] = {a, b};
    struct tl_job job = {.device = "cpu", .threads = 1, .seed = 3};
    struct tl_score_params p = {.metric = metric,
                                .folders = folders,
                                .n_folders = b ? 2 : 1,
                                .encoder = encoder,
                                .flavour = flavour,
                                .indiv = indiv,
                                .no_cache = true,
                                .json = true};
    struct tl_err err = {0};
    bool whole = false;
    char *text = tl_score(&p, &job, &whole, &err);
    if (!text) fail_msg("%s", err.text);
    cJSON *array = tl_json_parse(text, strlen(text), "report", &err);
    assert_true(whole && cJSON_IsArray(array));
    double value = tl_json_get(array->child, "value")->valuedouble;
    cJSON_Delete(array);
    free(text);
    return value;
}

static void near_tool(const char *name, double ours, double theirs, double limit)
{
    double apart = fabs(ours - theirs) / fabs(theirs);
    printf("%-20s %.9g, the tool %.9g, %.1e apart\n", name, ours, theirs, apart);
    if (!(apart <= limit)) fail_msg("%s: %.9g is not the tool's %.9g", name, ours, theirs);
}

static void near_expected(const struct sets *s, const char *name, double ours)
{
    near_tool(name, ours, tl_json_get(s->expected, name)->valuedouble, 1e-4);
}

static void test_pictures(void **state)
{
    struct sets s;
    make(*state, &s);
    const char *a = s.pictures[0], *b = s.pictures[1], *spec = INCEPTION ",dims=192";
    near_expected(&s, "fid", score("fid", a, b, spec, NULL, NULL));
    near_expected(&s, "fid clean", score("fid", a, b, spec, "clean", NULL));
    near_expected(&s, "fid torchmetrics", score("fid", a, b, spec, "torchmetrics", NULL));
    near_expected(&s, "kid clean-fid", score("kid", a, b, spec, "clean-fid", NULL));
    near_expected(&s, "kid torchmetrics",
                  score("kid", a, b, INCEPTION ",dims=192,resize=torchmetrics", NULL, NULL));
    near_expected(&s, "clip fid clean", score("fid", a, b, CLIP, "clean", NULL));
    near_expected(&s, "clip clip-score", score("clip", a, b, CLIP, "clip-score", NULL));
    near_expected(&s, "clip vendi", score("vendi", a, NULL, "clip:" CLIP ",crop=torchvision", NULL, NULL));
    near_expected(&s, "jpeg", score("jpeg", a, NULL, NULL, NULL, NULL));
    cJSON_Delete(s.expected);
}

/* The third column of the table of single files, in the order of their names. Two to four rows of eight
 * numbers each: one that falls to the other side in float16, by a last bit before, moves a distance by 3e-4.
 */
static void near_individual(const struct sets *s, const char *csv)
{
    const cJSON *theirs = tl_json_get(s->expected, "fad fadtk indiv");
    char *text = support_read(csv), *line = text;
    assert_non_null(text);
    for (int i = 0; i < SOUNDS; i++) {
        line = strchr(line, '\n') + 1;
        char *value = strchr(strchr(line, ',') + 1, ',') + 1;
        near_tool("fad fadtk indiv", strtod(value, NULL), cJSON_GetArrayItem(theirs, i)->valuedouble, 1e-3);
    }
    free(text);
}

static void test_sounds(void **state)
{
    struct sets s;
    char csv[PATH];
    make(*state, &s);
    const char *a = s.sounds[0], *b = s.sounds[1];
    snprintf(csv, sizeof csv, "%s", support_path(*state, "files.csv"));
    near_expected(&s, "fad fadtk", score("fad", a, b, VGGISH, "fadtk", csv));
    near_individual(&s, csv);
    /* The bandwidth is one distance of rows in float16. */
    near_tool("kad kadtk", score("kad", a, b, VGGISH, "kadtk", NULL),
              tl_json_get(s.expected, "kad kadtk")->valuedouble, 1e-3);
    near_expected(&s, "fad gudgud96", score("fad", a, b, VGGISH, "gudgud96", NULL));
    near_expected(&s, "loudness", score("loudness", a, NULL, NULL, NULL, NULL));
    cJSON_Delete(s.expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pictures, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_sounds, support_folder_make, support_folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
