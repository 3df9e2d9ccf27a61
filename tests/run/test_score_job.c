/* The job `score` on small folders: the fixture whose scores transformers gave, pairing in its three ways,
 * damaged pictures, the report's three forms, what is refused. */
#include "support/check.h"

#include <sys/stat.h>
#include <unistd.h>

#include <tiller/interrupt.h>
#include <tiller/score.h>

#include "base/sha256.h"
#include "io/file.h"
#include "io/image.h"
#include "io/json.h"
#include "rewards/scene_draw.h"
#include "run/support_folder.h"

#define MODEL    TL_SOURCE_DIR "/tests/fixtures/clip_score"
#define PICTURES MODEL "/pictures"
/* Of the params of one folder. */
#define ONE(path) .folders = (const char *const[]){path}, .n_folders = 1

static const struct tl_job job = {.device = "cpu", .threads = 1, .seed = 3};

static char *score_ok(const struct tl_score_params *p, bool whole)
{
    struct tl_err err = {0};
    struct tl_score_params q = *p;
    bool is_whole = !whole;
    q.no_cache = true;
    char *text = tl_score(&q, &job, &is_whole, &err);
    if (!text) fail_msg("%s", err.text);
    assert_true(is_whole == whole);
    return text;
}

/* The report's one object; the caller deletes the array that comes with it. */
static cJSON *score_json(struct tl_score_params p, bool whole, cJSON **out_array)
{
    struct tl_err err = {0};
    p.json = true;
    char *text = score_ok(&p, whole);
    *out_array = tl_json_parse(text, strlen(text), "report", &err);
    if (!cJSON_IsArray(*out_array)) fail_msg("%s: %s", err.text, text);
    assert_int_equal(cJSON_GetArraySize(*out_array), 1);
    free(text);
    return cJSON_GetArrayItem(*out_array, 0);
}

static void score_fails(const struct tl_score_params *p, enum tl_code code, const char *says)
{
    struct tl_err err = {0};
    struct tl_score_params q = *p;
    bool whole;
    q.no_cache = true;
    assert_null(tl_score(&q, &job, &whole, &err));
    if (err.code != code || !strstr(err.text, says))
        fail_msg("code %d, '%s'; expected %d, '%s'", err.code, err.text, code, says);
}

static double number(const cJSON *row, const char *key)
{
    const cJSON *x = tl_json_get(row, key);
    assert_true(cJSON_IsNumber(x));
    return x->valuedouble;
}

/* ---- the fixture ---- */

static double expected_mean(double factor)
{
    struct tl_err err = {0};
    double sum = 0;
    int n = 0;
    cJSON *json = tl_json_read(MODEL "/expected.json", &err);
    const cJSON *row;
    cJSON_ArrayForEach(row, tl_json_get(json, "rows"))
    {
        double cos = number(row, "cosine");
        sum += factor * cos;
        n++;
    }
    cJSON_Delete(json);
    return sum / n;
}

static void test_clip(void **state)
{
    struct tl_err err = {0};
    char hash[65];
    cJSON *array;
    const char *csv = support_path(*state, "scores.csv");
    struct tl_score_params p = {.metric = "clip", ONE(PICTURES), .encoder = MODEL, .csv = csv};
    cJSON *row = score_json(p, true, &array);
    double value = number(row, "value");
    assert_string_equal(tl_json_get(row, "metric")->valuestring, "clip");
    assert_string_equal(tl_json_get(row, "flavour")->valuestring, "cosine");
    assert_string_equal(tl_json_get(row, "encoder")->valuestring, MODEL);
    check_ok(tl_sha256_file(MODEL "/model.safetensors", hash, &err), &err);
    assert_string_equal(tl_json_get(row, "encoder_sha256")->valuestring, hash);
    assert_true(number(row, "n") == 6);
    assert_int_equal(cJSON_GetArraySize(tl_json_get(row, "skipped")), 0);
    check_near(value, expected_mean(1), 1e-5);
    double low = cJSON_GetArrayItem(tl_json_get(row, "interval"), 0)->valuedouble;
    double high = cJSON_GetArrayItem(tl_json_get(row, "interval"), 1)->valuedouble;
    assert_true(low < value && value < high && low > -0.2 && high < 0.6);
    cJSON_Delete(array);

    char *text = support_read(csv);
    assert_non_null(text);
    assert_int_equal(strncmp(text, "file,prompt,score\n\"alpha_41x25.png\",\"two large", 46), 0);
    assert_non_null(strstr(text, "\"A Purple   square, please!\",0.5127"));
    free(text);

    p.flavour = "torchmetrics";
    p.csv = NULL;
    row = score_json(p, true, &array);
    check_near(number(row, "value"), expected_mean(100), 1e-3);
    cJSON_Delete(array);
    p.encoder = NULL;
    p.metric = "clip:" MODEL;
    row = score_json(p, true, &array);
    check_near(number(row, "value"), expected_mean(100), 1e-3);
    cJSON_Delete(array);
    p.flavour = NULL;
    p.metric = "clip:" MODEL ",flavour=torchmetrics";
    row = score_json(p, true, &array);
    check_near(number(row, "value"), expected_mean(100), 1e-3);
    cJSON_Delete(array);

    text = score_ok(&p, true);
    assert_non_null(strstr(text, "torchmetrics"));
    assert_non_null(strstr(text, hash));
    free(text);
}

/* Each picture by the caption of another: an order that only the file of prompts gives. */
static void test_prompts(void **state)
{
    cJSON *array;
    struct tl_score_params p = {.metric = "clip", ONE(PICTURES), .encoder = MODEL};
    p.prompts =
        support_path(*state, "six.txt"); /* names in byte order: alpha, exact, grey, large, tall, wide */
    support_write(p.prompts,
                  "two large cyan squares and a small red triangle below three green circles on a white "
                  "background\na red circle\na gray background\nA Purple   square, please!\n"
                  "three small green triangles\na blue square above a yellow circle\n");
    cJSON *row = score_json(p, true, &array);
    check_near(number(row, "value"), expected_mean(1), 1e-5);
    cJSON_Delete(array);
    support_write(p.prompts, "a red circle\na blue square\n"); /* three pictures each */
    row = score_json(p, true, &array);
    assert_true(fabs(number(row, "value") - expected_mean(1)) > 1e-3);
    assert_true(number(row, "n") == 6);
    cJSON_Delete(array);
    support_write(p.prompts, "1\n2\n3\n4\n");
    score_fails(&p, TL_USAGE, "4 prompts");
    p.prompts = support_path(*state, "none.txt");
    score_fails(&p, TL_BAD_INPUT, "none.txt");
}

/* ---- drawn scenes, damaged files ---- */

static void draw(const char *path, const char *caption, const char *damage)
{
    struct tl_err err = {0};
    struct tl_scene_spec spec;
    struct tl_scene scene;
    struct tl_image image = {0};
    check_ok(tl_scene_parse(caption, &spec, &err), &err);
    check_ok(tl_scene_place(&spec, (struct tl_rng_key){.seed = 5, .stream = TL_RNG_TEST}, &scene, &err),
             &err);
    check_ok(tl_image_init(&image, TL_SCENE_SIDE, TL_SCENE_SIDE, 3, &err), &err);
    tl_scene_draw(scene.object, scene.n_objects, scene.ground, image.px);
    check_ok(tl_image_save_png(path, &image, NULL, 0, &err), &err);
    tl_image_finish(&image);
    if (!damage) return;
    size_t n;
    uint8_t *bytes = tl_file_read(path, 1 << 20, &n, &err);
    check_ok(tl_file_write(path, bytes, n / 2, &err), &err);
    free(bytes);
}

/* Two right pictures and one with a fact wrong; one cut in half, one without caption, one that `scene` cannot
 * read. */
static const char *make_scenes(void **state)
{
    struct tl_err err = {0};
    static char folder[512];
    snprintf(folder, sizeof folder, "%s", support_path(*state, "scenes"));
    check_ok(tl_file_make_folder(folder, &err), &err);
    draw(support_path(folder, "a.png"), "a red circle above a blue square", NULL);
    draw(support_path(folder, "b.png"), "two small green triangles", NULL);
    draw(support_path(folder, "c.png"), "a red circle above a blue square", NULL);
    draw(support_path(folder, "d.png"), "a red circle", "cut");
    draw(support_path(folder, "e.png"), "a red circle", NULL);
    draw(support_path(folder, "f.png"), "a red circle", NULL);
    support_write(support_path(folder, "metadata.jsonl"),
                  "{\"file_name\": \"a.png\", \"text\": \"a red circle above a blue square\"}\n"
                  "{\"file_name\": \"b.png\", \"prompt\": \"two small green triangles\"}\n");
    support_write(support_path(folder, "c.txt"), "a red circle above a blue triangle\n");
    support_write(support_path(folder, "d.txt"), "a red circle\n");
    support_write(support_path(folder, "f.txt"), "a \"blurry\" cat\n");
    return folder;
}

static void test_damage(void **state)
{
    static const char *const files[] = {"d.png", "e.png", "f.png"}, *const reasons[] = {"d.png", "prompt",
                                                                                        "blurry"};
    cJSON *array;
    struct tl_score_params p = {.metric = "scene", ONE(make_scenes(state))};
    cJSON *row = score_json(p, false, &array);
    assert_true(number(row, "n") == 3);
    check_near(number(row, "value"), (1 + 1 + 6.0 / 7) / 3, 1e-6);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(row, "encoder")));
    const cJSON *skipped = tl_json_get(row, "skipped");
    assert_int_equal(cJSON_GetArraySize(skipped), 3);
    for (int i = 0; i < 3; i++) {
        const cJSON *one = cJSON_GetArrayItem(skipped, i);
        assert_string_equal(tl_json_get(one, "file")->valuestring, files[i]);
        if (!strstr(tl_json_get(one, "reason")->valuestring, reasons[i]))
            fail_msg("%s", tl_json_get(one, "reason")->valuestring);
    }
    cJSON_Delete(array);
    p.metric = "scene:exact@-3";
    row = score_json(p, false, &array);
    check_near(number(row, "value"), -2, 1e-12);
    cJSON_Delete(array);

    p.metric = "scene";
    char *text = score_ok(&p, false);
    assert_non_null(strstr(text, "f.png"));
    free(text);
    p.strict = true;
    score_fails(&p, TL_BAD_INPUT, "d.png");

    /* --prompts counts damaged pictures too, so the others keep their places. */
    p.strict = false;
    p.prompts = support_path(*state, "scenes.txt");
    support_write(p.prompts, "a red circle above a blue square\ntwo small green triangles\n"
                             "a red circle above a blue square\na red circle\na red circle\na red circle\n");
    row = score_json(p, false, &array);
    assert_true(number(row, "n") == 5 && number(row, "value") == 1);
    cJSON_Delete(array);
}

/* What the folder itself says cannot be used is one line each, also for a reward that reads no prompts. */
static void test_folder_faults(void **state)
{
    static const char *const files[] = {"fifo.png", "gone.png", "latin.png", "metadata.jsonl"};
    struct tl_err err = {0};
    cJSON *array;
    char folder[512];
    snprintf(folder, sizeof folder, "%s", support_path(*state, "faults"));
    check_ok(tl_file_make_folder(folder, &err), &err);
    draw(support_path(folder, "good.png"), "a red circle", NULL);
    draw(support_path(folder, "other.png"), "a blue square", NULL);
    draw(support_path(folder, "latin.png"), "a red circle", NULL);
    support_write(support_path(folder, "latin.txt"), "caf\xe9");
    support_write(support_path(folder, "metadata.jsonl"), "{\"file_name\": \"stray.png\"}\n");
    assert_int_equal(mkfifo(support_path(folder, "fifo.png"), 0600), 0);
    assert_int_equal(symlink("nowhere.png", support_path(folder, "gone.png")), 0);
    struct tl_score_params p = {.metric = "jpeg", ONE(folder)};
    cJSON *row = score_json(p, false, &array);
    assert_true(number(row, "n") == 2);
    const cJSON *skipped = tl_json_get(row, "skipped");
    assert_int_equal(cJSON_GetArraySize(skipped), 4);
    for (int i = 0; i < 4; i++) {
        const char *file = tl_json_get(cJSON_GetArrayItem(skipped, i), "file")->valuestring;
        if (!strstr(file, files[i])) fail_msg("%s", file);
    }
    assert_non_null(strstr(tl_json_get(cJSON_GetArrayItem(skipped, 3), "reason")->valuestring, "stray.png"));
    cJSON_Delete(array);
    char *text = score_ok(&p, false);
    assert_non_null(strstr(text, "stray.png"));
    free(text);
    p.strict = true;
    score_fails(&p, TL_BAD_INPUT, "stray.png");
}

/* More pictures than one batch holds. */
static void test_many(void **state)
{
    struct tl_err err = {0};
    cJSON *array;
    char folder[512];
    snprintf(folder, sizeof folder, "%s", support_path(*state, "many"));
    check_ok(tl_file_make_folder(folder, &err), &err);
    for (int i = 0; i < 37; i++) {
        draw(support_path(folder, "%02d.png", i), "a red circle", NULL);
        support_write(support_path(folder, "%02d.txt", i), i % 3 ? "a red circle\n" : "a blue circle\n");
    }
    struct tl_score_params p = {.metric = "scene:exact", ONE(folder)};
    cJSON *row = score_json(p, true, &array);
    assert_true(number(row, "n") == 37);
    check_near(number(row, "value"), 24.0 / 37, 1e-12);
    double low = cJSON_GetArrayItem(tl_json_get(row, "interval"), 0)->valuedouble;
    double high = cJSON_GetArrayItem(tl_json_get(row, "interval"), 1)->valuedouble;
    check_near(low, 24.0 / 37 - 0.155, 0.03); /* 1.96 sqrt(p (1 - p) / n) = 0.154 */
    check_near(high, 24.0 / 37 + 0.155, 0.03);
    cJSON_Delete(array);
}

static void test_refusals(void **state)
{
    struct tl_err err = {0};
    const char *folder = support_path(*state, "bad"), *gone = support_path(*state, "gone");
    check_ok(tl_file_make_folder(folder, &err), &err);
    struct tl_score_params p = {.metric = "clip", ONE(PICTURES)};
    score_fails(&p, TL_USAGE, "--encoder");
    p.metric = "klip";
    score_fails(&p, TL_USAGE, "did you mean clip?");
    p.metric = "clip:" MODEL;
    p.encoder = MODEL;
    score_fails(&p, TL_USAGE, "leave out --encoder");
    p.metric = "scene";
    score_fails(&p, TL_USAGE, "scene has no --encoder");
    p = (struct tl_score_params){.metric = "clip", ONE(PICTURES), .encoder = MODEL, .flavour = "logits"};
    score_fails(&p, TL_USAGE, "did you mean logit?");
    p.flavour = NULL;
    p.csv = support_path(gone, "x.csv");
    score_fails(&p, TL_OUTPUT, "there is no folder");
    p = (struct tl_score_params){.metric = "scene", ONE(gone)};
    score_fails(&p, TL_BAD_INPUT, "gone");
    p.folders = (const char *const[]){folder};
    score_fails(&p, TL_BAD_INPUT, "bad");
    support_write(support_path(folder, "only.png"), "no picture");
    support_write(support_path(folder, "only.txt"), "a red circle");
    score_fails(&p, TL_BAD_INPUT, "none of the 1 pictures");
    p.csv = support_path(folder, "x.csv");
    score_fails(&p, TL_BAD_INPUT, "only.png");
    assert_false(support_exists(p.csv));

    p = (struct tl_score_params){.metric = "clip", ONE(PICTURES), .encoder = MODEL};
    tl_interrupt_request();
    score_fails(&p, TL_INTERRUPTED, "scoring");
    tl_interrupt_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_clip, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_prompts, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_damage, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_folder_faults, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_many, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_refusals, support_folder_make, support_folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
