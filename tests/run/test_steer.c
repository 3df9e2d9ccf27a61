/* The `steer` job on the small pipeline: what it is equal to, what its numbers obey. */
#include "support/check.h"
#include "support_folder.h"
#include "support_steer.h"
#include "support_train.h"

#include "io/file.h"
#include "io/image.h"

/* ---- pieces ---- */

static void same_pixels(const char *a, const char *b)
{
    struct tl_err err = {0};
    struct tl_image left, right;
    check_ok(tl_image_load(a, &left, &err) && tl_image_load(b, &right, &err), &err);
    assert_int_equal(left.width, right.width);
    assert_int_equal(left.height, right.height);
    assert_memory_equal(left.px, right.px, (size_t)left.width * (size_t)left.height * 3);
    tl_image_finish(&left);
    tl_image_finish(&right);
}

static bool is_same_pixels(const char *a, const char *b)
{
    struct tl_err err = {0};
    struct tl_image left, right;
    check_ok(tl_image_load(a, &left, &err) && tl_image_load(b, &right, &err), &err);
    bool same = memcmp(left.px, right.px, (size_t)left.width * (size_t)left.height * 3) == 0;
    tl_image_finish(&left);
    tl_image_finish(&right);
    return same;
}

/* ---- what it is equal to ---- */

static void sample(const char *out, const char *prompts, int n, int first, const char *sampler, double eta)
{
    struct tl_err err = {0};
    bool whole;
    const struct tl_sample_params p = {.model = SUPPORT_PIPELINE,
                                       .prompts = prompts,
                                       .n = n,
                                       .first = first,
                                       .steps = 4,
                                       .eta = eta,
                                       .sampler = sampler,
                                       .guidance = 1,
                                       .out = out};
    const struct tl_job job = {.device = "cpu", .threads = 1, .seed = 5};
    char *text = tl_sample(&p, &job, &whole, &err);
    if (!text) fail_msg("%s", err.text);
    free(text);
}

static void equals_sample(const char *out, const char *const *more, const char *plain, size_t n)
{
    char name[32], path[600];
    support_steer_ok(out, more);
    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%05zu.png", i);
        snprintf(path, sizeof path, "%s", support_steer_path(out, name));
        same_pixels(path, support_steer_path(plain, name));
    }
}

static void test_without_strength_it_is_sample(void **state)
{
    static const char *const none[] = {"potential=none", NULL}, *const zero[] = {"lambda=0", NULL},
                             *const one[] = {"particles=1", NULL}, *const never[] = {"ess=0", NULL},
                             *const ddpm[] = {"potential=none", "sampler=ddpm", "batch=2", NULL},
                             *const still[] = {"potential=none", "eta=0", NULL};
    char prompts[600], out[600];
    snprintf(prompts, sizeof prompts, "%s", support_path(*state, "three.txt"));
    const struct {
        const char *name;
        int n;
        const char *sampler;
        double eta;
    } plain[] = {
        {"plain", 3, NULL, 1}, {"single", 1, NULL, 1}, {"ddpm", 3, "ddpm", 1}, {"still", 3, NULL, 0}};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        snprintf(out, sizeof out, "%s", support_path(*state, "%s", plain[i].name));
        sample(out, prompts, plain[i].n, 0, plain[i].sampler, plain[i].eta);
    }
    equals_sample("none", none, "plain", 9);
    equals_sample("zero", zero, "plain", 9);
    equals_sample("never", never, "plain", 9);
    equals_sample("one", one, "single", 3);
    equals_sample("none-ddpm", ddpm, "ddpm", 9);
    equals_sample("none-still", still, "still", 9);
}

/* Groups meet other company and other places in the network's batches, and come out the same. */
static void test_batches_do_not_matter(void **state)
{
    static const char *const one[] = {"batch=1", NULL}, *const two[] = {"batch=2", NULL},
                             *const four[] = {"batch=4", NULL}, *const all[] = {"batch=9", NULL};
    (void)state;
    support_steer_ok("b9", all);
    support_steer_ok("b1", one);
    support_steer_ok("b2", two);
    support_steer_ok("b4", four);
    support_steer_same("b9", "b1", 9);
    support_steer_same("b9", "b2", 9);
    support_steer_same("b9", "b4", 9);
    cJSON *json = support_steer_json("b9");
    assert_true(support_steer_number(tl_json_get(json, "totals"), "resampled") >
                0); /* or all of this says little */
    assert_int_equal((int)support_steer_number(tl_json_get(json, "settings"), "groups_together"), 3);
    cJSON_Delete(json);
}

/* The last group by itself, by its first picture's number. */
static void test_prompts_do_not_mix(void **state)
{
    char *prompts = support_read(support_path(*state, "three.txt")), prompt[200], name[32], path[600];
    char *last = prompts;
    for (char *p; (p = strchr(last, '\n')) && p[1];) last = p + 1;
    last[strcspn(last, "\n")] = 0;
    snprintf(prompt, sizeof prompt, "prompt=%s", last);
    free(prompts);
    const char *const alone[] = {prompt, "first=6", NULL};
    support_steer_ok("together", NULL);
    support_steer_ok("alone", alone);
    cJSON *a = support_steer_json("together"), *b = support_steer_json("alone");
    static const char *const keys[] = {"prompt", "rewards", "log_weights", "weights",
                                       "best",   "log_z",   "events",      "lineage_log_g"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        assert_true(cJSON_Compare(tl_json_get(support_steer_group(a, 2), keys[i]),
                                  tl_json_get(support_steer_group(b, 0), keys[i]), true));
    for (int i = 6; i < 9; i++) {
        snprintf(name, sizeof name, "%05d.png", i);
        snprintf(path, sizeof path, "%s", support_steer_path("together", name));
        same_pixels(path, support_steer_path("alone", name));
    }
    cJSON_Delete(a);
    cJSON_Delete(b);
}

/* ---- what the numbers obey ---- */

static void check_group(const cJSON *g, size_t k, double lambda)
{
    double sum = 0, best = NAN;
    for (size_t j = 0; j < k; j++) {
        double r = support_steer_at(g, "rewards", j), want = lambda * r,
               log_g = support_steer_at(g, "lineage_log_g", j);
        sum += support_steer_at(g, "weights", j);
        best = lambda < 0 ? fmin(best, r) : fmax(best, r);
        if (fabs(log_g - want) > 1e-9 * fmax(1, fabs(want)))
            fail_msg("the lineage's log G is %.12g, lambda r is %.12g", log_g, want);
    }
    check_near(sum, 1, 1e-12);
    check_near(support_steer_at(g, "rewards", (size_t)support_steer_number(g, "best")), best, 0);
    const cJSON *event;
    cJSON_ArrayForEach(event, tl_json_get(g, "events"))
    {
        double ess = support_steer_number(event, "ess"), unique = support_steer_number(event, "unique");
        bool resampled = cJSON_IsTrue(tl_json_get(event, "resampled"));
        assert_true(ess >= 1 - 1e-9 && ess <= (double)k + 1e-9);
        assert_true(resampled == (ess < 0.5 * (double)k));
        assert_true(resampled ? unique >= 1 : unique == (double)k);
        assert_int_equal(cJSON_GetArraySize(tl_json_get(event, "rewards")), k);
        for (size_t j = 0; j < k; j++) assert_true(support_steer_at(event, "ancestors", j) < (double)k);
    }
}

static void test_numbers(void **state)
{
    static const char *const potentials[] = {"diff", "max", "sum", "immediate", "none"};
    (void)state;
    for (size_t i = 0; i < sizeof potentials / sizeof *potentials; i++) {
        char pair[64], out[64];
        snprintf(pair, sizeof pair, "potential=%s", potentials[i]);
        snprintf(out, sizeof out, "n-%s", potentials[i]);
        const char *const more[] = {pair, "lambda=300", NULL};
        support_steer_ok(out, more);
        cJSON *json = support_steer_json(out);
        const cJSON *totals = tl_json_get(json, "totals");
        assert_string_equal(tl_json_get(json, "schema")->valuestring, "tiller.steer/1");
        bool looks = strcmp(potentials[i], "none") != 0;
        int scored = looks ? 4 : 0; /* steps 0 to floor(0.8 * 4) */
        for (size_t g = 0; g < 3; g++) {
            check_group(support_steer_group(json, g), 3, 300);
            assert_int_equal(cJSON_GetArraySize(tl_json_get(support_steer_group(json, g), "events")), scored);
            assert_int_equal((int)support_steer_number(support_steer_group(json, g), "network_evaluations"),
                             12);
            assert_int_equal((int)support_steer_number(support_steer_group(json, g), "reward_evaluations"),
                             3 * (scored + 1));
        }
        assert_int_equal((int)support_steer_number(totals, "pictures"), 9);
        assert_int_equal((int)support_steer_number(totals, "network_evaluations"), 36);
        assert_int_equal((int)support_steer_number(totals, "events"), 3 * scored);
        assert_true(support_steer_number(totals, "reward_best") >=
                    support_steer_number(totals, "reward_weighted"));
        cJSON_Delete(json);
    }
}

/* The smallest reward is the best one. */
static void test_less_of_it(void **state)
{
    static const char *const more[] = {"lambda=-300", NULL};
    (void)state;
    support_steer_ok("less", more);
    cJSON *json = support_steer_json("less");
    for (size_t g = 0; g < 3; g++) {
        char name[40];
        check_group(support_steer_group(json, g), 3, -300);
        snprintf(name, sizeof name, "best/%05zu.png",
                 3 * g + (size_t)support_steer_number(support_steer_group(json, g), "best"));
        assert_true(support_exists(support_steer_path("less", name)));
    }
    const cJSON *totals = tl_json_get(json, "totals");
    assert_true(support_steer_number(totals, "reward_best") <= support_steer_number(totals, "reward_mean"));
    cJSON_Delete(json);
}

/* A lambda that lets one particle take all places: its copies get noise of their own. */
static void test_copies_part(void **state)
{
    static const char *const more[] = {"lambda=1e6", "from=0.25", "to=0.25", NULL};
    char path[600];
    (void)state;
    support_steer_ok("copies", more);
    cJSON *json = support_steer_json("copies");
    for (size_t g = 0; g < 3; g++) {
        const cJSON *event = cJSON_GetArrayItem(tl_json_get(support_steer_group(json, g), "events"), 0);
        assert_int_equal((int)support_steer_number(event, "step"), 1);
        assert_int_equal((int)support_steer_number(event, "unique"), 1);
        for (size_t j = 1; j < 3; j++) {
            char a[32], b[32];
            snprintf(a, sizeof a, "%05zu.png", 3 * g);
            snprintf(b, sizeof b, "%05zu.png", 3 * g + j);
            snprintf(path, sizeof path, "%s", support_steer_path("copies", a));
            assert_false(is_same_pixels(path, support_steer_path("copies", b)));
            assert_true(support_steer_at(support_steer_group(json, g), "rewards", 0) !=
                        support_steer_at(support_steer_group(json, g), "rewards", j));
        }
    }
    cJSON_Delete(json);
}

static void test_draws_and_paths(void **state)
{
    static const char *const draws[] = {"draws=3", NULL}, *const draws_b[] = {"draws=3", "batch=3", NULL},
                             *const bytes[] = {"reward-path=bytes", NULL},
                             *const bytes_draws[] = {"reward-path=bytes", "draws=2", NULL};
    (void)state;
    support_steer_ok("draws", draws);
    support_steer_ok("draws-b", draws_b);
    support_steer_same("draws", "draws-b", 9);
    cJSON *json = support_steer_json("draws");
    assert_int_equal((int)support_steer_number(support_steer_group(json, 0), "reward_evaluations"),
                     3 * (4 * 3 + 1));
    check_group(support_steer_group(json, 0), 3, 2000);
    cJSON_Delete(json);
    support_steer_ok("bytes", bytes);
    support_steer_ok("bytes-draws", bytes_draws);
    json = support_steer_json("bytes");
    assert_string_equal(tl_json_get(tl_json_get(json, "settings"), "intermediate_reward_path")->valuestring,
                        "bytes");
    check_group(support_steer_group(json, 1), 3, 2000);
    cJSON_Delete(json);
}

/* Log-weights are what the line's rewards and log-ratios make of them. */
static void retrace(const cJSON *g, size_t k, double lambda)
{
    double weight[8] = {0}, last[8] = {0}, old[8];
    const cJSON *event;
    cJSON_ArrayForEach(event, tl_json_get(g, "events"))
    {
        for (size_t j = 0; j < k; j++) {
            double r = support_steer_at(event, "rewards", j);
            weight[j] += lambda * (r - last[j]) + support_steer_at(event, "log_ratios", j);
            check_near(support_steer_at(event, "log_weights", j), weight[j], 1e-9);
            last[j] = r;
        }
        if (!cJSON_IsTrue(tl_json_get(event, "resampled"))) continue;
        memcpy(old, last, sizeof old);
        for (size_t j = 0; j < k; j++) {
            last[j] = old[(size_t)support_steer_at(event, "ancestors", j)];
            weight[j] = 0;
        }
    }
    for (size_t j = 0; j < k; j++) {
        weight[j] +=
            lambda * (support_steer_at(g, "rewards", j) - last[j]) + support_steer_at(g, "log_ratios", j);
        check_near(support_steer_at(g, "log_weights", j), weight[j], 1e-9);
    }
}

/* The shifted proposal's log-ratios stand in the weights, not in the lineages' potentials. */
static void test_guided(void **state)
{
    static const char *const more[] = {"lambda=50", "guide=0.05", NULL},
                             *const apart[] = {"lambda=50", "guide=0.05", "batch=3", NULL},
                             *const none[] = {"lambda=50", "guide=0.05", "potential=none", NULL};
    (void)state;
    support_steer_ok("guided", more);
    support_steer_ok("guided-3", apart);
    support_steer_same("guided", "guided-3", 9);
    cJSON *json = support_steer_json("guided");
    for (size_t g = 0; g < 3; g++) {
        check_group(support_steer_group(json, g), 3, 50);
        retrace(support_steer_group(json, g), 3, 50);
    }
    int guided = (int)support_steer_number(tl_json_get(json, "settings"), "guided_steps");
    assert_true(guided >= 2);
    assert_int_equal((int)support_steer_number(support_steer_group(json, 0), "network_evaluations"),
                     3 * (4 + 3 * guided));
    cJSON_Delete(json);
    support_steer_ok("guided-none", none);
    json = support_steer_json("guided-none");
    double spread = 0;
    for (size_t j = 0; j < 3; j++) {
        double ratio = support_steer_at(support_steer_group(json, 0), "log_weights", j) -
                       50 * support_steer_at(support_steer_group(json, 0), "rewards", j);
        spread = fmax(spread, fabs(ratio));
    }
    assert_true(spread > 1e-6);
    cJSON_Delete(json);
}

static void test_samplers(void **state)
{
    static const char *const names[] = {"euler_a", "dpmpp2m_sde", "ddpm"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char pair[64], out[64];
        snprintf(pair, sizeof pair, "sampler=%s", names[i]);
        snprintf(out, sizeof out, "s-%s", names[i]);
        const char *const more[] = {pair, NULL}, *const apart[] = {pair, "batch=3", NULL};
        support_steer_ok(out, more);
        cJSON *json = support_steer_json(out);
        assert_true(support_steer_number(tl_json_get(json, "totals"), "resampled") > 0);
        cJSON_Delete(json);
        char other[70];
        snprintf(other, sizeof other, "%s-3", out);
        support_steer_ok(other, apart);
        support_steer_same(out, other, 9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_strength_it_is_sample),
        cmocka_unit_test(test_batches_do_not_matter),
        cmocka_unit_test(test_prompts_do_not_mix),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_less_of_it),
        cmocka_unit_test(test_copies_part),
        cmocka_unit_test(test_draws_and_paths),
        cmocka_unit_test(test_guided),
        cmocka_unit_test(test_samplers),
    };
    return cmocka_run_group_tests(tests, support_steer_setup, support_folder_remove);
}
