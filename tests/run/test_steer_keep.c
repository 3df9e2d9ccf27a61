/* What a steered run keeps of itself: going on after stops, failures and crashes to the same bytes; refusals.
 */
#include "support/check.h"
#include "support_folder.h"
#include "support_steer.h"
#include "support_train.h"

#include <unistd.h>

#include <tiller/interrupt.h>

#include "io/file.h"

/* One group at a time, so that there is something between stops. */
static const char *const singly[] = {"batch=3", NULL};

static void resume(const char *out, const char *const *more)
{
    struct tl_err err = {0};
    const struct support_steer run = {.out = out, .more = more, .resume = true};
    if (support_steer(&run, NULL, &err) != TL_OK) fail_msg("%s: %s", out, err.text);
}

static int whole(void **state)
{
    if (support_steer_setup(state)) return -1;
    support_steer_ok("whole", singly);
    return 0;
}

static size_t lines(const char *out)
{
    char *text = support_read(support_steer_path(out, "steer.jsonl"));
    size_t n = 0;
    for (const char *p = text; p && (p = strchr(p, '\n')); p++) n++;
    free(text);
    return n;
}

/* ---- stops ---- */

struct stop {
    int64_t at; /* steps of samples */
};

static void stop(void *user, const struct tl_progress *p)
{
    const struct stop *s = user;
    if (strcmp(p->phase, "steering") == 0 && p->done >= s->at) tl_interrupt_request();
}

static enum tl_code stopped_at(const char *out, int64_t at, bool resumes, struct tl_err *err)
{
    struct stop s = {at};
    const struct support_steer run = {
        .out = out, .more = singly, .resume = resumes, .progress = stop, .user = &s};
    enum tl_code code = support_steer(&run, NULL, err);
    tl_interrupt_clear();
    return code;
}

static void test_stops_and_goes_on(void **state)
{
    struct tl_err err = {0};
    (void)state;
    /* the meter reports now and then, so it may stop a little later than asked; each group has 12 */
    assert_int_equal(stopped_at("stopped", 0, false, &err), TL_INTERRUPTED);
    assert_int_equal(lines("stopped"), 0);
    assert_non_null(strstr(err.text, "no prompt is finished yet; begin again with: tiller steer --resume"));
    assert_true(support_exists(support_steer_path("stopped", "config.json")));
    resume("stopped", singly);
    support_steer_same("whole", "stopped", 9);
    cJSON *json = support_steer_json("stopped");
    assert_int_equal(cJSON_GetArraySize(tl_json_get(json, "prompts")), 3);
    cJSON_Delete(json);
    resume("stopped", singly); /* all is there: nothing changes */
    support_steer_same("whole", "stopped", 9);
}

/* A power cut in the midst of a line, after some lines, with pictures that have none. */
static void test_torn_line(void **state)
{
    (void)state;
    support_steer_ok("torn", singly);
    char *text = support_read(support_steer_path("torn", "steer.jsonl")), *second = strchr(text, '\n') + 1;
    second[40] = 0;
    support_write(support_steer_path("torn", "steer.jsonl"), text);
    free(text);
    unlink(support_steer_path("torn", "00008.png"));
    unlink(support_steer_path("torn", "metadata.jsonl"));
    resume("torn", singly);
    support_steer_same("whole", "torn", 9);
}

/* Groups that walked together and were finished in part: the rest meets the same company again. */
static void test_part_of_a_walk(void **state)
{
    static const char *const more[] = {"batch=9", NULL};
    (void)state;
    support_steer_ok("part", more);
    char *text = support_read(support_steer_path("part", "steer.jsonl"));
    *(strchr(text, '\n') + 1) = 0;
    support_write(support_steer_path("part", "steer.jsonl"), text);
    free(text);
    resume("part", more);
    support_steer_same("whole", "part", 9);
}

/* Pictures that are gone are drawn again, and lines keep their order. */
static void test_missing_pictures(void **state)
{
    char best[40];
    (void)state;
    support_steer_ok("gone", singly);
    cJSON *json = support_steer_json("gone");
    int j = (int)tl_json_get(cJSON_GetArrayItem(tl_json_get(json, "prompts"), 0), "best")->valuedouble;
    cJSON_Delete(json);
    snprintf(best, sizeof best, "best/%05d.png", j);
    unlink(support_steer_path("gone", best));
    unlink(support_steer_path("gone", "00004.png"));
    resume("gone", singly);
    support_steer_same("whole", "gone", 9);
    assert_true(support_exists(support_steer_path("gone", best)));
}

static void test_pictures_of_others(void **state)
{
    struct tl_err err = {0};
    (void)state;
    check_ok(tl_file_make_folder(support_steer_path("theirs", ""), &err), &err);
    support_write(support_steer_path("theirs", "0002.png"), "a cat");
    support_steer_fails("theirs", singly, TL_USAGE, "0002.png");
    assert_false(support_exists(support_steer_path("theirs", "config.json")));
}

static void test_lines_of_others(void **state)
{
    struct tl_err err = {0};
    (void)state;
    support_steer_ok("odd", singly);
    char *text = support_read(support_steer_path("odd", "steer.jsonl"));
    text[0] = '[';
    support_write(support_steer_path("odd", "steer.jsonl"), text);
    free(text);
    const struct support_steer run = {.out = "odd", .more = singly, .resume = true};
    assert_int_equal(support_steer(&run, NULL, &err), TL_BAD_INPUT);
    assert_non_null(strstr(err.text, "steer.jsonl:1"));
}

/* ---- failures ---- */

/* A picture that cannot be written ends the run; what was finished stays, and the rest comes later. */
static void test_failure_loses_nothing(void **state)
{
    struct tl_err err = {0};
    (void)state;
    check_ok(tl_file_make_folder(support_steer_path("failed", "00005.png"), &err), &err);
    support_steer_fails("failed", singly, TL_OUTPUT, "00005.png");
    assert_int_equal(lines("failed"), 1);
    assert_true(support_exists(support_steer_path("failed", "metadata.jsonl")));
    assert_true(support_exists(support_steer_path("failed", "best/metadata.jsonl")));
    rmdir(support_steer_path("failed", "00005.png"));
    resume("failed", singly);
    support_steer_same("whole", "failed", 9);
}

/* With nothing finished the folder is no run: the same command works once the cause is gone. */
static void test_early_failure_is_forgotten(void **state)
{
    struct tl_err err = {0};
    (void)state;
    check_ok(tl_file_make_folder(support_steer_path("early", "00001.png"), &err), &err);
    support_steer_fails("early", singly, TL_OUTPUT, "00001.png");
    assert_false(support_exists(support_steer_path("early", "config.json")));
    assert_false(support_exists(support_steer_path("early", "00000.png")));
    assert_false(support_exists(support_steer_path("early", "best")));
    rmdir(support_steer_path("early", "00001.png"));
    support_steer_ok("early", singly);
    support_steer_same("whole", "early", 9);
}

/* The scale of summed rewards is that of the beginning. */
static void test_scale_is_kept(void **state)
{
    static const char *const more[] = {
        "reward=clip:" SUPPORT_CLIP, "reward=colour:red", "standardise=6", "lambda=3", "batch=3", NULL};
    (void)state;
    support_steer_ok("scale", more);
    support_steer_ok("scale-stopped", more);
    char *text = support_read(support_steer_path("scale-stopped", "steer.jsonl"));
    *(strchr(text, '\n') + 1) = 0;
    support_write(support_steer_path("scale-stopped", "steer.jsonl"), text);
    free(text);
    resume("scale-stopped", more);
    support_steer_same("scale", "scale-stopped", 9);
}

/* ---- refusals ---- */

static void refuse_resume(const char *const *more, const char *says)
{
    struct tl_err err = {0};
    const struct support_steer run = {.out = "whole", .more = more, .resume = true};
    enum tl_code code = support_steer(&run, NULL, &err);
    if (code != TL_USAGE || !strstr(err.text, says)) fail_msg("code %d, '%s'", code, err.text);
}

static void test_another_run(void **state)
{
    static const char *const lambda[] = {"batch=3", "lambda=7", NULL},
                             *const particles[] = {"batch=3", "particles=4", NULL},
                             *const report[] = {"batch=3", "report=true", NULL};
    struct tl_err err = {0};
    (void)state;
    support_steer_fails("whole", singly, TL_USAGE, "--resume");
    refuse_resume(lambda, "--lambda: the run began with 2000");
    refuse_resume(particles, "--particles");
    resume("whole", report); /* is free */
    const struct support_steer other = {.out = "whole", .more = singly, .resume = true, .seed = 6};
    assert_int_equal(support_steer(&other, NULL, &err), TL_USAGE);
    const struct support_steer none = {.out = "nowhere", .more = singly, .resume = true};
    tl_err_clear(&err);
    assert_int_equal(support_steer(&none, NULL, &err), TL_USAGE);
    assert_false(support_exists(support_steer_path("nowhere", "")));
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *option;
        const char *says;
    } cases[] = {
        {"potential=dif", "did you mean diff"},
        {"potential=nothing", "there are diff, max, sum, immediate, none"},
        {"resample=systematik", "did you mean systematic"},
        {"eta=0", "copies of a particle would stay the same: give --eta 1"},
        {"sampler=euler", "euler_a"},
        {"sampler=dpmpp2m", "stochastic sampler"},
        {"from=0.9", "--from 0.9 --to 0.8"},
        {"reward=loudness", "pictures"},
        {"reward=nosuch", "nosuch"},
        {"sampler=dddim", "did you mean ddim"},
        {"size=15x16", "multiples of 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const more[] = {cases[i].option, NULL};
        support_steer_fails("refused", more, TL_USAGE, cases[i].says);
        assert_false(support_exists(support_steer_path("refused", "config.json")));
    }
    static const char *const still[] = {"eta=0", "guide=0.1", "potential=none", NULL}, *const bytes[] = {
                                                                                           "guide=0.1",
                                                                                           "reward=jpeg",
                                                                                           NULL};
    support_steer_fails("refused", still, TL_USAGE, "--guide");
    support_steer_fails("refused", bytes, TL_USAGE, "jpeg");
}

/* Numbers that the table of options would not let through. */
static void test_numbers_of_callers(void **state)
{
    const struct tl_job job = {.device = "cpu", .threads = 1, .seed = 5};
    static const char *const texts[] = {"a red circle"}, *const rewards[] = {"jpeg"};
    const char *out = support_path(*state, "numbers");
    struct tl_steer_params params;
    struct tl_err err = {0};
    struct tl_options *options = tl_options_create(tl_steer_options, &params, &err);
    assert_non_null(options);
    params.sample.model = SUPPORT_PIPELINE;
    params.sample.out = out;
    params.sample.prompt = (struct tl_strings){texts, 1};
    params.reward = (struct tl_strings){rewards, 1};
    struct tl_steer_params cases[7];
    for (size_t i = 0; i < 7; i++) cases[i] = params;
    cases[0].lambda = NAN;
    cases[1].sample.n = 0;
    cases[2].every = 0;
    cases[3].ess = 1.5;
    cases[4].from = NAN;
    cases[5].guide = -1;
    cases[6].reward.n = 0;
    static const char *const says[] = {"--lambda", "--particles", "--every", "--ess",
                                       "--from",   "--guide",     "--reward"};
    for (size_t i = 0; i < 7; i++) {
        bool all;
        tl_err_clear(&err);
        assert_null(tl_steer(&cases[i], options, &job, &all, &err));
        if (err.code != TL_USAGE || !strstr(err.text, says[i])) fail_msg("'%s'", err.text);
    }
    assert_false(support_exists(out));
    tl_options_destroy(&options);
}

static void test_warnings(void **state)
{
    static const char *const late[] = {"sampler=ddpm", "to=1", NULL}, *const one[] = {"particles=1", NULL},
                             *const none[] = {"from=0.9", "to=0.9", NULL},
                             *const single[] = {"particles=1", "potential=none", NULL},
                             *const pair[] = {"particles=2", NULL};
    (void)state;
    support_log_start();
    support_steer_ok("late", late);
    assert_non_null(strstr(support_log(), "step 3 of 4 is scored, but no noise comes from there on"));
    support_log_start();
    support_steer_ok("one", one);
    assert_non_null(strstr(support_log(), "nobody to compete with"));
    support_log_start();
    support_steer_ok("unscored", none);
    assert_non_null(strstr(support_log(), "no step is scored"));
    support_log_start();
    support_steer_ok("single", single);
    assert_null(strstr(support_log(), "nobody to compete with"));
    support_log_start();
    support_steer_ok("pair", pair);
    assert_non_null(strstr(support_log(), "nothing is ever resampled"));
    assert_non_null(strstr(support_log(), "such as 0.75"));
}

/* The batch that fits is that of the run's resumes, too. */
static void test_memory(void **state)
{
    static const char *const little[] = {"memory=2M", NULL}, *const enough[] = {"memory=1G", NULL},
                             *const none[] = {"memory=10K", NULL}, *const odd[] = {"memory=much", NULL};
    (void)state;
    support_steer_fails("tight", none, TL_USAGE, "--memory 10K: the smallest plan takes");
    support_steer_fails("tight", odd, TL_USAGE, "--memory");
    support_steer_ok("roomy", enough);
    support_steer_same("whole", "roomy", 9);
    cJSON *json = support_steer_json("roomy");
    assert_int_equal((int)tl_json_get(tl_json_get(json, "settings"), "batch")->valuedouble, 9);
    cJSON_Delete(json);
    resume("roomy", little);
    json = support_steer_json("roomy");
    assert_int_equal((int)tl_json_get(tl_json_get(json, "settings"), "batch")->valuedouble, 9);
    cJSON_Delete(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_stops_and_goes_on),
        cmocka_unit_test(test_torn_line),
        cmocka_unit_test(test_part_of_a_walk),
        cmocka_unit_test(test_missing_pictures),
        cmocka_unit_test(test_pictures_of_others),
        cmocka_unit_test(test_lines_of_others),
        cmocka_unit_test(test_failure_loses_nothing),
        cmocka_unit_test(test_early_failure_is_forgotten),
        cmocka_unit_test(test_scale_is_kept),
        cmocka_unit_test(test_another_run),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_numbers_of_callers),
        cmocka_unit_test(test_warnings),
    };
    return cmocka_run_group_tests(tests, whole, support_folder_remove);
}
