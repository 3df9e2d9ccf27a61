/* What a steered run writes: metadata, strips, the grid, JSON, the scale of a sum. */
#include "support/check.h"
#include "support_folder.h"
#include "support_steer.h"
#include "support_train.h"

#include "io/image.h"

static void test_files(void **state)
{
    static const char rows[] = "{\"prompt\": \"a red circle\", \"kind\": 7, \"reward\": \"theirs\"}\n"
                               "{\"prompt\": \"a blue square\"}\n";
    char prompts[600], grid[600];
    support_write(support_path(*state, "rows.jsonl"), rows);
    snprintf(prompts, sizeof prompts, "prompts=%s", support_path(*state, "rows.jsonl"));
    snprintf(grid, sizeof grid, "grid=%s", support_path(*state, "grid.png"));
    const char *const more[] = {prompts, grid, "report=true", NULL};
    support_steer_ok("files", more);
    cJSON *json = support_steer_json("files");
    char *metadata = support_read(support_steer_path("files", "metadata.jsonl")), *rest = metadata;
    struct tl_err err = {0};
    for (size_t i = 0; i < 6; i++) {
        size_t n = strcspn(rest, "\n");
        char name[40];
        cJSON *row = tl_json_parse(rest, n, "row", &err);
        assert_non_null(row);
        snprintf(name, sizeof name, "%05zu.png", i);
        assert_string_equal(tl_json_get(row, "file_name")->valuestring, name);
        check_near(support_steer_number(row, "reward"),
                   support_steer_at(support_steer_group(json, i / 3), "rewards", i % 3), 0);
        check_near(support_steer_number(row, "weight"),
                   support_steer_at(support_steer_group(json, i / 3), "weights", i % 3), 0);
        assert_int_equal((int)support_steer_number(row, "group"), i / 3);
        assert_int_equal((int)support_steer_number(row, "particle"), i % 3);
        assert_true((tl_json_get(row, "kind") != NULL) == (i < 3));
        bool best = cJSON_IsTrue(tl_json_get(row, "best"));
        assert_true(best ==
                    ((size_t)support_steer_number(support_steer_group(json, i / 3), "best") == i % 3));
        snprintf(name, sizeof name, "best/%05zu.png", i);
        assert_true(support_exists(support_steer_path("files", name)) == best);
        cJSON_Delete(row);
        rest += n + 1;
    }
    assert_int_equal(*rest, 0);
    free(metadata);
    struct tl_image strip;
    check_ok(tl_image_load(support_steer_path("files", "steps/0001-002.png"), &strip, &err), &err);
    assert_int_equal(strip.width, 3 * 16);
    assert_int_equal(strip.height, 16);
    tl_image_finish(&strip);
    assert_true(support_exists(support_path(*state, "grid.png")));
    cJSON_Delete(json);
}

static void test_json_is_the_file(void **state)
{
    static const char *const more[] = {"prompt=a red circle", NULL};
    struct tl_err err = {0};
    char *text;
    (void)state;
    const struct support_steer run = {.out = "json", .more = more, .json = true};
    if (support_steer(&run, &text, &err) != TL_OK) fail_msg("%s", err.text);
    char *file = support_read(support_steer_path("json", "steer.json"));
    assert_string_equal(text, file);
    free(text);
    free(file);
}

static void test_sum_of_rewards(void **state)
{
    static const char *const more[] = {"reward=clip:" SUPPORT_CLIP, "reward=colour:red@2", "standardise=8",
                                       "lambda=3", NULL},
                             *const raw[] = {"reward=clip:" SUPPORT_CLIP, "reward=colour:red@2",
                                             "raw-rewards=true", "lambda=3", NULL};
    (void)state;
    support_steer_ok("sum", more);
    cJSON *json = support_steer_json("sum");
    const cJSON *rewards = tl_json_get(tl_json_get(json, "settings"), "rewards");
    for (size_t j = 0; j < 3; j++) {
        double want = 0;
        for (int i = 0; i < 2; i++) {
            const cJSON *r = cJSON_GetArrayItem(rewards, i),
                        *parts =
                            cJSON_GetArrayItem(tl_json_get(support_steer_group(json, 1), "parts"), (int)j);
            want += (i ? 2 : 1) *
                    (cJSON_GetArrayItem(parts, i)->valuedouble - support_steer_number(r, "mean")) /
                    support_steer_number(r, "deviation");
        }
        check_near(support_steer_at(support_steer_group(json, 1), "rewards", j), want, 1e-9);
    }
    const cJSON *parts = tl_json_get(tl_json_get(json, "settings"), "parts");
    assert_int_equal(cJSON_GetArraySize(parts), 2);
    assert_string_equal(tl_json_get(cJSON_GetArrayItem(parts, 1), "reward")->valuestring, "colour:red");
    check_near(support_steer_number(cJSON_GetArrayItem(parts, 1), "weight"), 2, 0);
    check_near(support_steer_number(cJSON_GetArrayItem(parts, 1), "mean"),
               support_steer_number(cJSON_GetArrayItem(rewards, 1), "mean"), 0);
    cJSON_Delete(json);
    support_steer_ok("raw", raw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_json_is_the_file),
        cmocka_unit_test(test_sum_of_rewards),
    };
    return cmocka_run_group_tests(tests, support_steer_setup, support_folder_remove);
}
