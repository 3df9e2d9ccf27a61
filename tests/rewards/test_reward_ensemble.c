/* Reward `ensemble`: its grammar, how members are combined and sloped, standardisation before it, what is
 * told of it. */
#include "support/check.h"

#include "rewards/reward_ensemble.h"
#include "rewards/support_reward.h"

#define CLIP "clip:" SUPPORT_REWARD_MODEL

static struct support_reward_case kit;

/* ---- the grammar ---- */

static void check_parse(const char *arg, int how, double k, const char *name, size_t n, const char *last)
{
    struct tl_err err = {0};
    struct tl_combination c;
    check_ok(tl_combination_parse(arg, tl_reward_classes, &c, &err), &err);
    assert_int_equal(c.how, how);
    assert_true(c.k == k);
    assert_string_equal(c.name, name);
    assert_int_equal(c.n, n);
    assert_string_equal(c.members[n - 1], last);
    tl_combination_finish(&c);
}

static void test_grammar(void **state)
{
    (void)state;
    check_parse("min:clip:a+clip:b", TL_COMBINE_MIN, 0, "min", 2, "clip:b");
    check_parse("mean:scene+jpeg", TL_COMBINE_MEAN, 0, "mean", 2, "jpeg");
    check_parse("median:jpeg+clip:a+b/c+d,flavour=logit+scene", TL_COMBINE_MEDIAN, 0, "median", 3, "scene");
    check_parse("mean-std:scene+clip:a+scenes/x", TL_COMBINE_MEAN_STD, 1, "mean-std", 2, "clip:a+scenes/x");
    check_parse("mean-0.5std:jpeg+scene:exact", TL_COMBINE_MEAN_STD, 0.5, "mean-0.5std", 2, "scene:exact");
}

static void test_refusals(void **state)
{
    (void)state;
    support_reward_refused("ensemble", TL_USAGE, "ensemble:HOW:REWARD+REWARD");
    support_reward_refused("ensemble:", TL_USAGE, "HOW one of mean, min, median");
    support_reward_refused("ensemble:max:jpeg+scene", TL_USAGE, "there are mean, min, median, mean-std");
    support_reward_refused("ensemble:mean--1std:jpeg+scene", TL_USAGE, "no way 'mean--1std'");
    support_reward_refused("ensemble:mean-xstd:jpeg+scene", TL_USAGE, "no way 'mean-xstd'");
    support_reward_refused("ensemble:min", TL_USAGE, "two rewards at least");
    support_reward_refused("ensemble:min:jpeg", TL_USAGE, "two rewards at least");
    support_reward_refused("ensemble:min:clip:a+klip:b", TL_USAGE, "two rewards at least");
    support_reward_refused("ensemble:min:klip:b+jpeg", TL_USAGE, "did you mean clip?");
    support_reward_refused("ensemble:min:jpeg+ensemble:min:jpeg+scene", TL_USAGE,
                           "single rewards, not ensemble");
    support_reward_refused("ensemble:min:jpeg+colour:oragne", TL_USAGE, "did you mean orange?");
    support_reward_refused("ensemble:min:jpeg+clip:/nowhere", TL_BAD_INPUT, "nowhere");
}

/* ---- the arithmetic ---- */

static const struct tl_combination mean = {.how = TL_COMBINE_MEAN}, min = {.how = TL_COMBINE_MIN},
                                   median = {.how = TL_COMBINE_MEDIAN},
                                   cautious = {.how = TL_COMBINE_MEAN_STD, .k = 1},
                                   twice = {.how = TL_COMBINE_MEAN_STD, .k = 2};

static void test_values(void **state)
{
    (void)state;
    const double x[] = {4, 1, 7, 2}, equal[] = {3, 3, 3};
    check_near(tl_combination_of(&mean, x, 4), 3.5, 0);
    check_near(tl_combination_of(&min, x, 4), 1, 0);
    check_near(tl_combination_of(&median, x, 4), 3, 0);
    check_near(tl_combination_of(&median, x, 3), 4, 0);
    check_near(tl_combination_of(&cautious, x, 4), 3.5 - sqrt(21.0 / 4), 1e-15);
    const struct tl_combination *all[] = {&mean, &min, &median, &cautious, &twice};
    for (size_t i = 0; i < 5; i++) check_near(tl_combination_of(all[i], equal, 3), 3, 0);
}

/* min <= median, min <= mean, and of five members min >= mean - 2 std; the slopes are the differences'. */
static void test_properties(void **state)
{
    (void)state;
    uint32_t random = 7;
    const struct tl_combination *all[] = {&mean, &min, &median, &cautious, &twice};
    for (int round = 0; round < 200; round++) {
        double x[5], slope[5], low, high;
        for (int i = 0; i < 5; i++) {
            random = random * 1664525u + 1013904223u;
            x[i] = random / 4294967296.0 * 4 - 2;
        }
        double least = tl_combination_of(&min, x, 5);
        assert_true(least <= tl_combination_of(&median, x, 5) && least <= tl_combination_of(&mean, x, 5));
        assert_true(least >= tl_combination_of(&twice, x, 5) - 1e-12);
        for (size_t k = 0; k < 5; k++) {
            tl_combination_slopes(all[k], x, 5, slope);
            for (int i = 0; i < 5; i++) {
                double kept = x[i], h = 1e-7;
                x[i] = kept + h;
                double up = tl_combination_of(all[k], x, 5);
                x[i] = kept - h;
                double down = tl_combination_of(all[k], x, 5);
                x[i] = kept;
                check_near(slope[i], (up - down) / (2 * h), 1e-6);
            }
            tl_combination_range(all[k], (double[]){-2, -2, -2, -2, -2}, (double[]){2, 2, 2, 2, 2}, 5, &low,
                                 &high);
            double value = tl_combination_of(all[k], x, 5);
            assert_true(low <= value && value <= high);
        }
    }
}

/* ---- in a set ---- */

static struct tl_reward_set *open_all(const char *const *specs, size_t n, bool raw)
{
    struct tl_err err = {0};
    struct tl_reward_set *set = tl_reward_set_open(
        &(struct tl_reward_set_params){
            .specs = specs, .n_specs = n, .raw = raw, .device_name = "cpu", .threads = 1},
        &err);
    if (!set) fail_msg("%s", err.text);
    return set;
}

/* Members are parts: scored, standardised and told of one by one. */
static void test_set(void **state)
{
    (void)state;
    struct tl_err err = {0};
    const char *specs[] = {"colour:red@2", "ensemble:min:" CLIP "+jpeg@0.5"};
    struct tl_reward_set *set = open_all(specs, 2, false);
    double total[SUPPORT_REWARD_MOST], parts[3 * SUPPORT_REWARD_MOST], slopes[3];
    assert_int_equal(tl_reward_set_count(set), 3);
    assert_int_equal(tl_reward_set_count_terms(set), 2);
    assert_true(tl_reward_set_needs_prompts(set));
    assert_int_equal(tl_reward_set_embed_dim(set), 14);
    assert_true(tl_reward_set_needs_standard(set));
    check_ok(tl_reward_set_score(set, kit.items, kit.n, NULL, parts, &err), &err);
    check_ok(tl_reward_set_measure(set, parts, kit.n, &err), &err);
    check_ok(tl_reward_set_score(set, kit.items, kit.n, total, parts, &err), &err);
    const struct tl_reward_standard *s = tl_reward_set_standards(set);
    int jpeg_is_less = 0;
    for (size_t i = 0; i < kit.n; i++) {
        double x[3];
        check_near(parts[3 * i + 1], kit.cosine[i], 1e-5);
        for (int k = 0; k < 3; k++) x[k] = (parts[3 * i + (size_t)k] - s[k].mean) / s[k].deviation;
        check_near(total[i], 2 * x[0] + 0.5 * fmin(x[1], x[2]), 1e-12);
        bool jpeg = x[2] < x[1];
        jpeg_is_less += jpeg;
        tl_reward_set_slopes(set, parts + 3 * i, slopes);
        check_near(slopes[0], 2 / s[0].deviation, 1e-12);
        check_near(slopes[1], jpeg ? 0 : 0.5 / s[1].deviation, 1e-12);
        check_near(slopes[2], jpeg ? 0.5 / s[2].deviation : 0, 1e-12);
    }
    assert_true(jpeg_is_less > 0 && jpeg_is_less < (int)kit.n);

    struct tl_reward_about about;
    check_ok(tl_reward_set_about(set, 2, &about, &err), &err);
    assert_string_equal(about.spec, "jpeg");
    assert_true(about.term == 1 && about.first == 1 && about.n == 2 && about.weight == 0.5);
    check_ok(tl_reward_set_about_term(set, 1, &about, &err), &err);
    assert_string_equal(about.info->name, "ensemble");
    assert_string_equal(about.variant, "min");
    assert_string_equal(about.spec, "ensemble:min:" CLIP "+jpeg");
    assert_true(about.low == -INFINITY && about.high == 0 && about.encoder == NULL);
    check_ok(tl_reward_set_about_term(set, 0, &about, &err), &err);
    assert_string_equal(about.variant, "#ff0000");
    tl_reward_set_close(&set);
}

/* One ensemble alone is standardised too, unless raw. */
static void test_alone(void **state)
{
    (void)state;
    struct tl_err err = {0};
    const char *spec = "ensemble:mean-0.5std:colour:red+colour:blue";
    struct tl_reward_set *set = open_all(&spec, 1, false), *raw = open_all(&spec, 1, true);
    double total[SUPPORT_REWARD_MOST], parts[2 * SUPPORT_REWARD_MOST];
    assert_true(tl_reward_set_needs_standard(set) && !tl_reward_set_needs_standard(raw));
    assert_false(tl_reward_set_needs_prompts(set));
    check_ok(tl_reward_set_score(raw, kit.items, kit.n, total, parts, &err), &err);
    for (size_t i = 0; i < kit.n; i++) {
        double a = parts[2 * i], b = parts[2 * i + 1];
        check_near(total[i], (a + b) / 2 - 0.5 * fabs(a - b) / 2, 1e-12);
    }
    assert_false(tl_reward_set_score(set, kit.items, kit.n, total, NULL, &err));
    assert_int_equal(err.code, TL_FAIL);
    tl_reward_set_close(&set);
    tl_reward_set_close(&raw);
}

/* A member that fails is an error that names it, never left out. */
static void test_failing_member(void **state)
{
    (void)state;
    struct tl_err err = {0};
    const char *spec = "ensemble:median:jpeg+scene+colour:red";
    struct tl_reward_set *set = open_all(&spec, 1, true);
    double total[SUPPORT_REWARD_MOST];
    struct tl_reward_item item = kit.items[0];
    item.prompt = "a blurry cat";
    assert_false(tl_reward_set_score(set, &item, 1, total, NULL, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    if (!strstr(err.text, "scene") || !strstr(err.text, item.name)) fail_msg("%s", err.text);
    tl_reward_set_close(&set);
}

static int open_kit(void **state)
{
    (void)state;
    support_reward_case_open(&kit);
    return 0;
}

static int close_kit(void **state)
{
    (void)state;
    support_reward_case_close(&kit);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grammar),        cmocka_unit_test(test_refusals), cmocka_unit_test(test_values),
        cmocka_unit_test(test_properties),     cmocka_unit_test(test_set),      cmocka_unit_test(test_alone),
        cmocka_unit_test(test_failing_member),
    };
    return cmocka_run_group_tests(tests, open_kit, close_kit);
}
