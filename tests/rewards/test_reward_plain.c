/* Rewards that need no model: `jpeg` against Pillow's sizes, `colour` against numpy (fixture rewards), and
 * what they refuse. */
#include "support/check.h"

#include "rewards/jpeg_size.h"
#include "rewards/oklab.h"
#include "rewards/support_gradient.h"

#define EXPECTED TL_SOURCE_DIR "/tests/fixtures/rewards/expected.json"

static struct support_reward_case kit;
static cJSON *expected;

static const cJSON *row_of(size_t i)
{
    return cJSON_GetArrayItem(tl_json_get(expected, "rows"), (int)i);
}

static double score_one(const char *spec, const struct tl_reward_item *item)
{
    struct tl_err err = {0};
    double out = NAN;
    struct tl_reward_set *set = support_reward_open(spec, NULL);
    check_ok(tl_reward_set_score(set, item, 1, &out, NULL, &err), &err);
    tl_reward_set_close(&set);
    return out;
}

/* ---- jpeg ---- */

/* To the byte. */
static void test_jpeg_sizes(void **state)
{
    (void)state;
    for (size_t i = 0; i < kit.n; i++) {
        double bytes = tl_json_get(row_of(i), "jpeg")->valuedouble;
        assert_true(score_one("jpeg", &kit.items[i]) == -bytes / 1000);
        assert_true(score_one("jpeg:compressible", &kit.items[i]) == -bytes / 1000);
        assert_true(score_one("jpeg:", &kit.items[i]) == -bytes / 1000);
        assert_true(score_one("jpeg:incompressible", &kit.items[i]) == bytes / 1000);
    }
}

/* Noise is larger than waves, those than one colour; lower quality is smaller. No prompt is needed. */
static void test_jpeg_order(void **state)
{
    (void)state;
    enum { SIDE = 64 };
    struct tl_err err = {0};
    static uint8_t px[3][SIDE * SIDE * 3];
    size_t bytes[3], coarse;
    uint32_t random = 1;
    for (size_t i = 0; i < SIDE * SIDE * 3; i++) {
        random = random * 1664525u + 1013904223u;
        px[0][i] = 90;
        px[1][i] =
            (uint8_t)(128 + 60 * sin((double)(i / 3 % SIDE) / 6) + 60 * cos((double)(i / 3 / SIDE) / 9));
        px[2][i] = (uint8_t)(random >> 24);
    }
    for (int k = 0; k < 3; k++) check_ok(tl_jpeg_size(px[k], SIDE, SIDE, 95, &bytes[k], &err), &err);
    assert_true(bytes[0] > 0 && bytes[0] < bytes[1] && bytes[1] < bytes[2]);
    check_ok(tl_jpeg_size(px[2], SIDE, SIDE, 50, &coarse, &err), &err);
    assert_true(coarse < bytes[2]);
    struct tl_reward_item item = {.rgb = px[2], .width = SIDE, .height = SIDE};
    assert_true(score_one("jpeg", &item) == score_one("jpeg", &item));
    struct tl_reward_set *set = support_reward_open("jpeg", NULL);
    assert_false(tl_reward_set_needs_prompts(set));
    tl_reward_set_close(&set);
}

/* JPEG has no pictures above 65500. */
static void test_jpeg_too_wide(void **state)
{
    (void)state;
    struct tl_err err = {0};
    double out;
    uint8_t *px = calloc(70000, 3);
    struct tl_reward_item item = {.name = "wide.png", .rgb = px, .width = 70000, .height = 1};
    struct tl_reward_set *set = support_reward_open("jpeg", NULL);
    assert_false(tl_reward_set_score(set, &item, 1, &out, NULL, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    if (!strstr(err.text, "wide.png") || !strstr(err.text, "65500")) fail_msg("%s", err.text);
    tl_reward_set_close(&set);
    free(px);
}

/* ---- colour ---- */

static void test_colour_values(void **state)
{
    (void)state;
    const cJSON *targets = tl_json_get(expected, "targets");
    for (size_t i = 0; i < kit.n; i++)
        for (int k = 0; k < cJSON_GetArraySize(targets); k++) {
            char spec[32];
            snprintf(spec, sizeof spec, "colour:%s", cJSON_GetArrayItem(targets, k)->valuestring);
            double distance = cJSON_GetArrayItem(tl_json_get(row_of(i), "colour"), k)->valuedouble;
            check_near(score_one(spec, &kit.items[i]), -distance, 1e-12);
        }
}

/* The same colour in all its spellings; black and white mix to sRGB 188; Ottosson's published values. */
static void test_colour_known(void **state)
{
    (void)state;
    static const uint8_t orange[] = {255, 165, 0}, mixed[] = {0, 0, 0, 255, 255, 255},
                         grey[] = {188, 188, 188};
    static const char *const spellings[] = {"colour:orange", "colour:255,165,0", "colour:#ffa500",
                                            "colour:#FFA500"};
    struct tl_reward_item item = {.rgb = orange, .width = 1, .height = 1};
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++)
        check_near(score_one(spellings[i], &item), 0, 1e-12);
    item.rgb = grey;
    double exact = score_one("colour:#000", &item);
    item = (struct tl_reward_item){.rgb = mixed, .width = 2, .height = 1};
    check_near(score_one("colour:black", &item), exact, 2e-3);
    check_near(score_one("colour:#bcbcbc", &item), 0, 2e-3);
    check_near(score_one("colour:#bcbcbc", &(struct tl_reward_item){.rgb = mixed, .width = 1, .height = 1}),
               -cbrt(tl_srgb_to_linear(188 / 255.0)), 1e-6);
    /* red is L 0.628, a 0.225, b 0.126 */
    double lab[3];
    tl_oklab_of_linear((const double[]){1, 0, 0}, lab);
    check_near(lab[0], 0.62796, 1e-4);
    check_near(lab[1], 0.22486, 1e-4);
    check_near(lab[2], 0.12585, 1e-4);
}

static void test_colour_about(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_reward_about about;
    struct tl_reward_set *set = support_reward_open("colour:white@2", NULL);
    check_ok(tl_reward_set_about(set, 0, &about, &err), &err);
    assert_string_equal(about.variant, "#ffffff");
    check_near(about.low, -1, 1e-6);
    assert_true(about.high == 0 && about.weight == 2);
    tl_reward_set_close(&set);
}

static void test_colour_gradient(void **state)
{
    (void)state;
    struct support_gradient q;
    double scores[SUPPORT_PICTURES];
    support_gradient_check(&kit, "colour:30,144,255");
    support_gradient_check(&kit, "colour:black");
    support_gradient_check_vulkan(&kit, "colour:30,144,255");
    support_gradient_open(&q, &kit, "colour:30,144,255", "cpu");
    support_gradient_run(&q, scores);
    check_near(scores[0], score_one("colour:30,144,255", &kit.items[1]), 1e-5);
    /* black pictures and pictures of the target have finite slopes */
    memset(q.pictures, 0, sizeof q.pictures);
    for (size_t i = 0; i < SUPPORT_PIXELS; i++) q.pictures[i] = (const double[]){30, 144, 255}[i % 3] / 255;
    support_gradient_run(&q, scores);
    check_near(scores[0], 0, 2e-4);
    for (size_t i = 0; i < SUPPORT_PICTURES * SUPPORT_PIXELS; i++) assert_true(isfinite(q.gradient[i]));
    support_gradient_close(&q);
}

static void test_refusals(void **state)
{
    (void)state;
    support_reward_refused("jpeg:best", TL_USAGE, "jpeg:incompressible");
    support_reward_refused("colour", TL_USAGE, "colour:#rrggbb");
    support_reward_refused("colour:", TL_USAGE, "black, white");
    support_reward_refused("colour:oragne", TL_USAGE, "did you mean orange?");
    support_reward_refused("colour:1,2", TL_USAGE, "colour:R,G,B");
    support_reward_refused("colour:1,2,256", TL_USAGE, "0 to 255");
    support_reward_refused("colour:1,2,3,4", TL_USAGE, "0 to 255");
    support_reward_refused("colour:0.5,0,0", TL_USAGE, "0 to 255");
    support_reward_refused("colour:#12345", TL_USAGE, "#rrggbb");
    support_reward_refused("colour:#12345g", TL_USAGE, "#rrggbb");
    support_reward_refused("color:red", TL_USAGE, "did you mean colour?");
}

static int open_kit(void **state)
{
    (void)state;
    struct tl_err err = {0};
    support_reward_case_open(&kit);
    expected = tl_json_read(EXPECTED, &err);
    return expected ? 0 : -1;
}

static int close_kit(void **state)
{
    (void)state;
    cJSON_Delete(expected);
    support_reward_case_close(&kit);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jpeg_sizes),      cmocka_unit_test(test_jpeg_order),
        cmocka_unit_test(test_jpeg_too_wide),   cmocka_unit_test(test_colour_values),
        cmocka_unit_test(test_colour_known),    cmocka_unit_test(test_colour_about),
        cmocka_unit_test(test_colour_gradient), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, open_kit, close_kit);
}
