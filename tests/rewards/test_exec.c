/* Rewards that are programs, as long as all is well: batches over several processes, sets, refusals. */
#include "rewards/support_exec.h"
#include "rewards/support_reward.h"
#include "support/check.h"

#include <unistd.h>

#include "rewards/exec_process.h"
#include "rewards/reward_exec.h"
#include "tensor/device_planning.h"

#if !defined(__SANITIZE_ADDRESS__)
static long resident_mib(pid_t pid)
{
    char path[64];
    long size, resident = -1;
    snprintf(path, sizeof path, "/proc/%ld/statm", (long)pid);
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%ld %ld", &size, &resident) != 2) resident = -1;
    if (f) fclose(f);
    return resident * (sysconf(_SC_PAGESIZE) / 1024) / 1024;
}

/* The keeper does not hold on to what we had in memory when it was forked, and does its work all the same. */
static void test_memory(void **state)
{
    (void)state;
    enum { MIB = 200 };
    struct tl_err err = {0};
    struct tl_exec_process p;
    char *const argv[] = {"cat", NULL};
    char *large = malloc((size_t)MIB << 20);
    memset(large, 1, (size_t)MIB << 20);
    FILE *log = tmpfile();
    const struct tl_exec_process_params params = {.program = "/bin/cat", .argv = argv, .log = fileno(log)};
    check_ok(tl_exec_process_start(&p, &params, &err), &err);
    for (int i = 0; i < 500 && resident_mib(p.keeper) > 64; i++) usleep(10000);
    assert_true(resident_mib(getpid()) >= MIB);
    assert_in_range(resident_mib(p.keeper), 0, 64);
    assert_true(large[12345678] == 1);
    assert_false(tl_exec_process_listen(&p));
    tl_exec_process_end(&p, 5);
    assert_true(p.has_ended);
    assert_int_equal(p.status, 0);
    fclose(log);
    free(large);
}
#endif

/* ---- scoring, by the program that answers with widths, at most 4 at a time ---- */

static struct tl_reward_set *open_width(const char *settings)
{
    char spec[512];
    snprintf(spec, sizeof spec, "exec:'%s'%s", EXEC_FAULT, settings);
    return support_reward_open(spec, NULL);
}

static struct tl_exec_counts counts_of(struct tl_reward_set *set)
{
    return tl_exec_crew_counts(tl_reward_exec_crew(tl_reward_set_part(set, 0)));
}

static void test_batches(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_reward_item items[SUPPORT_EXEC_MOST];
    double out[SUPPORT_EXEC_MOST];
    support_exec_items(items, SUPPORT_EXEC_MOST);
    for (int workers = 1; workers <= 3; workers += 2) {
        struct tl_reward_set *set = open_width(workers == 1 ? "" : ",workers=3");
        for (size_t n = 1; n <= SUPPORT_EXEC_MOST; n = 4 * n + (n == 4)) {
            check_ok(tl_reward_set_score(set, items, n, out, NULL, &err), &err);
            for (size_t i = 0; i < n; i++) check_near(out[i], (double)i + 1, 0);
        }
        assert_int_equal(counts_of(set).requests, 1 + 1 + 5);
        assert_int_equal(counts_of(set).restarts, 0);
        tl_reward_set_close(&set);
    }
    assert_int_equal(support_exec_folders(getpid()), 0);
}

static void test_about(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_reward_about about;
    struct tl_reward_set *set = open_width(",timeout=9");
    check_ok(tl_reward_set_about(set, 0, &about, &err), &err);
    assert_string_equal(about.info->name, "exec");
    assert_string_equal(about.info->modality, "image");
    assert_true(about.info->deterministic && !about.info->needs_prompt && about.low == 0 &&
                isinf(about.high));
    assert_string_equal(about.variant, "width");
    assert_string_equal(about.encoder, EXEC_FAULT);
    assert_int_equal(strlen(about.sha256), 64);
    assert_string_equal(tl_reward_set_modality(set), "image");
    assert_false(tl_reward_set_needs_prompts(set));
    const float silence = 0;
    const struct tl_reward_item sound = {.samples = &silence, .frames = 1, .channels = 1, .rate = 8000};
    double x;
    assert_false(tl_reward_set_score(set, &sound, 1, &x, NULL, &err));
    assert_int_equal(err.code, TL_USAGE);
    tl_reward_set_close(&set);
}

/* Two batches at a time, collected the other way round; one that nobody collects. */
static void test_two_at_a_time(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_reward_item items[12];
    double x[12], y[12];
    support_exec_items(items, 12);
    struct tl_reward_set *set = open_width("");
    struct tl_reward_batch *a = tl_reward_set_submit(set, items, 6, &err),
                           *dropped = tl_reward_set_submit(set, items, 12, &err),
                           *b = tl_reward_set_submit(set, items + 6, 6, &err);
    if (!a || !b || !dropped) fail_msg("%s", err.text);
    check_ok(tl_reward_batch_collect(&b, y, NULL, &err), &err);
    tl_reward_batch_drop(&dropped);
    check_ok(tl_reward_batch_collect(&a, x, NULL, &err), &err);
    for (int i = 0; i < 6; i++) assert_true(x[i] == i + 1 && y[i] == i + 7);
    a = tl_reward_set_submit(set, items, 12, &err);
    tl_reward_batch_drop(&a); /* its first request is out */
    check_ok(tl_reward_set_score(set, items + 3, 2, x, NULL, &err), &err);
    assert_true(x[0] == 4 && x[1] == 5);
    assert_int_equal(counts_of(set).restarts, 0);
    tl_reward_set_close(&set);
}

static void test_set(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_reward_item items[10];
    double out[10], parts[20];
    support_exec_items(items, 10);
    const char *const specs[] = {"exec-set:" EXEC_FAULT, "exec:" EXEC_FAULT "@2"};
    struct tl_reward_set *set =
        tl_reward_set_open(&(struct tl_reward_set_params){.specs = specs, .n_specs = 2, .raw = true}, &err);
    if (!set) fail_msg("%s", err.text);
    check_ok(tl_reward_set_score(set, items, 10, out, parts, &err), &err);
    for (int i = 0; i < 10; i++)
        assert_true(parts[2 * i] == 55 && parts[2 * i + 1] == i + 1 && out[i] == 55 + 2 * (i + 1));
    tl_reward_set_close(&set);
    support_reward_refused("exec-set:" TL_SOURCE_DIR "/tools/rewards/brightness.sh", TL_PLUGIN, "score_set");
}

static void test_ensemble(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_reward_item items[3];
    double out[3];
    support_exec_items(items, 3);
    struct tl_reward_set *set = support_reward_open(
        "ensemble:min:exec:" EXEC_FAULT ",timeout=9+jpeg+exec:" EXEC_FAULT " 'a@2'@3", NULL);
    assert_int_equal(tl_reward_set_count(set), 3);
    check_ok(tl_reward_set_score(set, items, 3, out, NULL, &err), &err);
    for (int i = 0; i < 3; i++) assert_true(out[i] < 0); /* jpeg's */
    tl_reward_set_close(&set);
}

/* The program's own errors: of a sample, and passing ones. */
static void test_refusals(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_reward_item items[2];
    double out[2] = {NAN, NAN};
    support_exec_items(items, 2);
    struct tl_reward_set *set = open_width(",retries=1");
    items[1].prompt = "refuse me";
    assert_false(tl_reward_set_score(set, items, 2, out, NULL, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    assert_true(strstr(err.text, "sample 1: the program says: I do not like it") != NULL);
    assert_int_equal(counts_of(set).retries, 0);
    tl_err_clear(&err);
    items[1].prompt = "later";
    assert_false(tl_reward_set_score(set, items, 2, out, NULL, &err));
    assert_int_equal(err.code, TL_PLUGIN);
    assert_true(strstr(err.text, "tried 2 times") != NULL);
    assert_int_equal(counts_of(set).retries, 1);
    assert_int_equal(counts_of(set).restarts, 0);
    assert_true(isnan(out[0]) && isnan(out[1]));
    tl_err_clear(&err);
    char *endless = calloc(1, TL_EXEC_MOST_LINE + 1);
    memset(endless, 'x', TL_EXEC_MOST_LINE);
    items[1].prompt = endless;
    assert_false(tl_reward_set_score(set, items, 2, out, NULL, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    assert_true(strstr(err.text, "too long") != NULL);
    free(endless);
    items[1].prompt = NULL;
    tl_err_clear(&err);
    check_ok(tl_reward_set_score(set, items, 2, out, NULL, &err), &err);
    assert_true(out[0] == 1 && out[1] == 2);
    tl_reward_set_close(&set);
}

/* Where memory is planned no program is started, not even one that could not be; it has to be there all the
 * same. */
static void test_planning(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_reward_item items[6];
    double out[6];
    const char *specs[] = {"ensemble:min:exec:" EXEC_FAULT " exit hello+exec:" EXEC_FAULT " hang hello",
                           "exec-set:" EXEC_FAULT " exit hello"};
    struct tl_device *cpu = tl_device_open(&(struct tl_device_params){.name = "cpu"}, &err);
    struct tl_device *planning = cpu ? tl_device_planning_open(cpu, &err) : NULL;
    if (!planning) fail_msg("%s", err.text);
    const struct tl_reward_set_params p = {.specs = specs, .n_specs = 2, .raw = true, .device = planning};
    support_exec_items(items, 6);
    struct tl_reward_set *set = tl_reward_set_open(&p, &err);
    if (!set) fail_msg("%s", err.text);
    check_ok(tl_reward_set_score(set, items, 6, out, NULL, &err), &err);
    for (int i = 0; i < 6; i++) assert_true(out[i] == 0);
    tl_reward_set_close(&set);
    specs[1] = "exec:./no-such-judge";
    assert_null(tl_reward_set_open(&p, &err));
    assert_int_equal(err.code, TL_USAGE);
    tl_device_close(&planning);
    tl_device_close(&cpu);
}

/* The shipped one in shell, against the pictures' own bytes. */
static void test_brightness(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct support_reward_case c;
    double out[SUPPORT_REWARD_MOST];
    support_reward_case_open(&c);
    struct tl_reward_set *set =
        support_reward_open("exec:" TL_SOURCE_DIR "/tools/rewards/brightness.sh", NULL);
    check_ok(tl_reward_set_score(set, c.items, 3, out, NULL, &err), &err);
    for (int k = 0; k < 3; k++) {
        size_t n = (size_t)c.image[k].width * (size_t)c.image[k].height * 3;
        double sum = 0;
        for (size_t i = 0; i < n; i++) sum += c.image[k].px[i];
        check_near(out[k], sum / (double)n, 1e-6);
    }
    tl_reward_set_close(&set);
    support_reward_case_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_about),
        cmocka_unit_test(test_two_at_a_time),
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_ensemble),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_planning),
        cmocka_unit_test(test_brightness),
#if !defined(__SANITIZE_ADDRESS__)
        cmocka_unit_test(test_memory),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
