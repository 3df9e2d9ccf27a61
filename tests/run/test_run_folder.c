#include "support/check.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <tiller/version.h>

#include "run/run_folder.h"
#include "run/run_metrics.h"
#include "support_folder.h"

static void test_new_resume_auto(void **state)
{
    struct tl_err err = {0};
    const char *path = support_path(*state, "deep/er/run");
    assert_null(tl_run_folder_open(path, TL_RUN_RESUME, &err));
    assert_int_equal(err.code, TL_USAGE);
    assert_non_null(strstr(err.text, "holds no run to resume"));
    assert_false(support_exists(path)); /* a mistyped name leaves nothing behind */
    tl_err_clear(&err);

    struct tl_run_folder *f = tl_run_folder_open(path, TL_RUN_NEW, &err);
    check_ok(f != NULL, &err);
    assert_false(f->resumes);
    tl_run_folder_close(&f);
    f = tl_run_folder_open(path, TL_RUN_NEW, &err); /* nothing was written: not yet a run */
    check_ok(f != NULL, &err);
    cJSON *config = cJSON_CreateObject();
    cJSON_AddNumberToObject(config, "steps", 8);
    check_ok(tl_run_folder_write_config(f, config, &err), &err);
    cJSON_Delete(config);
    tl_run_folder_close(&f);

    assert_true(tl_run_folder_is_run(path));
    assert_null(tl_run_folder_open(path, TL_RUN_NEW, &err));
    assert_int_equal(err.code, TL_USAGE);
    assert_non_null(strstr(err.text, "holds another run"));
    tl_err_clear(&err);
    for (int mode = TL_RUN_RESUME; mode <= TL_RUN_AUTO; mode++) {
        f = tl_run_folder_open(path, mode, &err);
        check_ok(f != NULL, &err);
        assert_true(f->resumes);
        config = tl_run_folder_read_config(f, &err);
        assert_true(tl_json_get(config, "steps")->valuedouble == 8);
        cJSON_Delete(config);
        tl_run_folder_close(&f);
    }
    tl_run_folder_close(&f); /* an empty one is fine */
}

static void test_each_kind_of_run_is_seen(void **state)
{
    static const char *const names[] = {"config.json", "run.json", "metrics.jsonl", "checkpoints"};
    for (size_t i = 0; i < 4; i++) {
        struct tl_err err = {0};
        const char *path = support_path(*state, "kind-%zu", i);
        struct tl_run_folder *f = tl_run_folder_open(path, TL_RUN_NEW, &err);
        check_ok(f != NULL, &err);
        tl_run_folder_close(&f);
        support_write(support_path(path, "%s", names[i]), "x");
        assert_null(tl_run_folder_open(path, TL_RUN_NEW, &err));
        assert_int_equal(err.code, TL_USAGE);
    }
    support_write(support_path(*state, "plain"), "x");
    struct tl_err err = {0};
    assert_null(tl_run_folder_open(support_path(*state, "plain"), TL_RUN_NEW, &err));
    assert_int_equal(err.code, TL_OUTPUT);
}

/* One process holds the lock; another is told its id; when the holder is killed the lock is free. */
static void test_lock(void **state)
{
    struct tl_err err = {0};
    const char *path = support_path(*state, "locked");
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        struct tl_run_folder *f = tl_run_folder_open(path, TL_RUN_AUTO, NULL);
        if (!f || write(ready[1], "x", 1) != 1) _exit(1);
        for (;;) pause();
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    for (int mode = TL_RUN_NEW; mode <= TL_RUN_AUTO; mode += 2) {
        char holder[64];
        snprintf(holder, sizeof holder, "process %d on ", (int)child);
        tl_err_clear(&err);
        assert_null(tl_run_folder_open(path, mode, &err));
        assert_int_equal(err.code, TL_BUSY);
        if (!strstr(err.text, holder)) fail_msg("\"%s\" does not name %s", err.text, holder);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(ready[0]);
    close(ready[1]);
    struct tl_run_folder *f = tl_run_folder_open(path, TL_RUN_AUTO, &err);
    assert_non_null(f);
    tl_run_folder_close(&f);
}

/* Many at once: exactly one gets in, and the others are told so while it is there. */
static void test_race(void **state)
{
    enum { N = 12 };
    const char *path = support_path(*state, "race");
    int start[2], told[2], end[2]; /* start and end are heard by their closing */
    assert_true(pipe(start) == 0 && pipe(told) == 0 && pipe(end) == 0);
    pid_t children[N];
    for (int i = 0; i < N; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i]) continue;
        char byte;
        close(start[1]);
        close(end[1]);
        if (read(start[0], &byte, 1) != 0) _exit(99);
        struct tl_err err = {0};
        byte = tl_run_folder_open(path, TL_RUN_NEW, &err) ? 'i' : err.code == TL_BUSY ? 'b' : '?';
        if (write(told[1], &byte, 1) != 1 || read(end[0], &byte, 1) != 0) _exit(99);
        _exit(0);
    }
    close(start[1]);
    char answers[N];
    for (int i = 0; i < N; i++) assert_int_equal(read(told[0], &answers[i], 1), 1);
    close(end[1]);
    int in = 0, busy = 0;
    for (int i = 0; i < N; i++) {
        in += answers[i] == 'i';
        busy += answers[i] == 'b';
        waitpid(children[i], NULL, 0);
    }
    assert_int_equal(in, 1);
    assert_int_equal(busy, N - 1);
    close(start[0]);
    close(told[0]);
    close(told[1]);
    close(end[0]);
}

static void test_about(void **state)
{
    struct tl_err err = {0};
    const char *path = support_path(*state, "about");
    struct tl_run_folder *f = tl_run_folder_open(path, TL_RUN_NEW, &err);
    check_ok(f != NULL, &err);
    support_write(support_path(path, "prompts.txt"), "abc");
    const struct tl_run_seed seeds[] = {{"seed", 7}, {"large", UINT64_MAX}};
    const struct tl_run_input inputs[] = {{"prompts", support_path(path, "prompts.txt"), NULL},
                                          {"model", "elsewhere", "feed"}};
    struct tl_run_about about = {.command = "tiller train \"x\"",
                                 .device_name = "cpu",
                                 .device_description = "2 threads",
                                 .seeds = seeds,
                                 .n_seeds = 2,
                                 .inputs = inputs,
                                 .n_inputs = 2};
    check_ok(tl_run_folder_write_about(f, &about, &err), &err);
    check_ok(tl_run_folder_note(f, "reward_scale", cJSON_CreateNumber(0.5), &err), &err);
    check_ok(tl_run_folder_note(f, "reward_scale", cJSON_CreateNumber(0.25), &err), &err);
    tl_run_folder_close(&f);
    char *text = support_read(support_path(path, "run.json"));
    static const char *const parts[] = {
        "\"version\": \"" TL_VERSION "\"",
        "\"command\": \"tiller train \\\"x\\\"\"",
        "\"name\": \"cpu\"",
        "\"description\": \"2 threads\"",
        "\"started\": \"20",
        "\"seed\": 7",
        "\"large\": \"18446744073709551615\"",
        "\"sha256\": \"feed\"",
        "\"reward_scale\": 0.25",
        /* FIPS 180's own example */
        "\"sha256\": \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"",
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strstr(text, parts[i])) fail_msg("no %s in %s", parts[i], text);
    assert_null(strstr(text, "resumes"));
    free(text);

    /* A resume adds to it, keeps what was there, and sees that a file has changed. */
    support_write(support_path(path, "prompts.txt"), "abd");
    for (int i = 0; i < 2; i++) {
        support_log_start();
        f = tl_run_folder_open(path, TL_RUN_RESUME, &err);
        check_ok(f != NULL, &err);
        about.step = 40 + i;
        about.device_name = "vulkan:0";
        check_ok(tl_run_folder_write_about(f, &about, &err), &err);
        tl_run_folder_close(&f);
        assert_non_null(strstr(support_log(), "prompts.txt) is no longer the file that the run began with"));
        assert_null(strstr(support_log(), "elsewhere"));
    }
    f = tl_run_folder_open(path, TL_RUN_RESUME, &err);
    cJSON *json = tl_run_folder_read_about(f, &err);
    tl_run_folder_close(&f);
    check_ok(json != NULL, &err);
    const cJSON *resumes = tl_json_get(json, "resumes");
    assert_int_equal(cJSON_GetArraySize(resumes), 2);
    assert_true(tl_json_get(cJSON_GetArrayItem(resumes, 1), "step")->valuedouble == 41);
    assert_string_equal(tl_json_get(tl_json_get(json, "device"), "name")->valuestring, "cpu");
    assert_true(tl_json_get(json, "reward_scale")->valuedouble == 0.25);
    cJSON_Delete(json);
}

static void test_about_missing_input(void **state)
{
    struct tl_err err = {0};
    struct tl_run_folder *f = tl_run_folder_open(support_path(*state, "missing"), TL_RUN_NEW, &err);
    const struct tl_run_input input = {"prompts", support_path(*state, "no-such.txt"), NULL};
    const struct tl_run_about about = {.inputs = &input, .n_inputs = 1};
    assert_false(tl_run_folder_write_about(f, &about, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    assert_non_null(strstr(err.text, "no-such.txt"));
    assert_false(support_exists(support_path(*state, "missing/run.json")));
    tl_run_folder_close(&f);
}

static void test_samples(void **state)
{
    struct tl_err err = {0};
    struct tl_str out = {0};
    struct tl_run_folder *f = tl_run_folder_open(support_path(*state, "samples-run"), TL_RUN_NEW, &err);
    check_ok(tl_run_folder_samples(f, 120, &out, &err), &err);
    assert_true(support_exists(support_path(*state, "samples-run/samples/step-00000120")));
    assert_string_equal(out.data, support_path(*state, "samples-run/samples/step-00000120"));
    tl_str_finish(&out);
    tl_run_folder_close(&f);
}

/* ---- metrics ---- */

static void append(struct tl_run_metrics *m, const char *phase, int64_t step, double loss)
{
    struct tl_err err = {0};
    const struct tl_run_metric values[] = {{"loss", loss}, {"rate", 1e-4}};
    check_ok(tl_run_metrics_append(m, phase, step, values, 2, &err), &err);
}

/* Rows without the clock, joined. */
static char *rows_of(const char *path)
{
    char *text = support_read(path), *out = calloc(1, 1 << 16), *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *time = strstr(line, ",\"time\":");
        if (time) strcpy(time, "}");
        strcat(strcat(out, line), "\n");
    }
    free(text);
    return out;
}

static void test_metrics(void **state)
{
    struct tl_err err = {0};
    const char *file = support_path(*state, "metrics.jsonl");
    struct tl_run_metrics *m = tl_run_metrics_open(*state, -1, &err);
    check_ok(m != NULL, &err);
    time_t before = time(NULL);
    append(m, "train", 1, 0.1);
    append(m, "train", 2, 1.0 / 3);
    /* What is not finite is refused by name and leaves no trace. */
    const double bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        const struct tl_run_metric values[] = {{"loss", 1}, {"kl", bad[i]}};
        tl_err_clear(&err);
        assert_false(tl_run_metrics_append(m, "train", 3, values, 2, &err));
        assert_int_equal(err.code, TL_NUMERIC);
        assert_non_null(strstr(err.text, "step 3: kl is "));
    }
    const struct tl_run_metric taken = {"time", 1};
    assert_false(tl_run_metrics_append(m, "train", 3, &taken, 1, NULL));
    append(m, "eval", 2, 0.5);
    tl_err_clear(&err);
    check_ok(tl_run_metrics_sync(m, &err), &err);
    tl_run_metrics_close(&m);
    char *rows = rows_of(file);
    assert_string_equal(rows, "{\"step\":1,\"phase\":\"train\",\"loss\":0.1,\"rate\":0.0001}\n"
                              "{\"step\":2,\"phase\":\"train\",\"loss\":0.3333333333333333,\"rate\":0.0001}\n"
                              "{\"step\":2,\"phase\":\"eval\",\"loss\":0.5,\"rate\":0.0001}\n");
    free(rows);
    double *steps, *values;
    size_t n;
    check_ok(tl_run_metrics_column(file, NULL, "time", &steps, &values, &n, &err), &err);
    assert_int_equal(n, 3);
    for (size_t i = 0; i < n; i++)
        assert_true(values[i] >= (double)before && values[i] <= (double)time(NULL) + 1);
    free(steps);
    free(values);
    check_ok(tl_run_metrics_column(file, "train", "loss", &steps, &values, &n, &err), &err);
    assert_int_equal(n, 2);
    assert_true(steps[1] == 2 && values[1] == 1.0 / 3);
    free(steps);
    free(values);
    check_ok(tl_run_metrics_column(file, "train", "no_such", &steps, &values, &n, &err), &err);
    assert_int_equal(n, 0);
    assert_null(steps);
    assert_false(
        tl_run_metrics_column(support_path(*state, "no-such"), NULL, "loss", &steps, &values, &n, &err));
}

/* Broken off at step 5 and resumed from 3: the file ends up as if nothing had happened. */
static void test_metrics_resume(void **state)
{
    struct tl_err err = {0};
    const char *file = support_path(*state, "metrics.jsonl");
    struct tl_run_metrics *m = tl_run_metrics_open(*state, -1, &err);
    for (int i = 1; i <= 6; i++) append(m, "train", i, i * 0.5);
    tl_run_metrics_close(&m);
    char *whole = rows_of(file);

    m = tl_run_metrics_open(*state, -1, &err); /* a new run: empty again */
    for (int i = 1; i <= 5; i++) append(m, "train", i, i <= 3 ? i * 0.5 : 99);
    tl_run_metrics_close(&m);
    FILE *f = fopen(file, "a");
    fputs("{\"step\":6,\"phase\":\"tr", f); /* the process died in the middle */
    fclose(f);
    m = tl_run_metrics_open(*state, 3, &err);
    check_ok(m != NULL, &err);
    for (int i = 4; i <= 6; i++) append(m, "train", i, i * 0.5);
    tl_run_metrics_close(&m);
    char *again = rows_of(file);
    assert_string_equal(again, whole);
    free(again);

    /* Nothing beyond the step: not a byte changes. From step 0: nothing stays. */
    char *before = support_read(file);
    m = tl_run_metrics_open(*state, 6, &err);
    tl_run_metrics_close(&m);
    char *after = support_read(file);
    assert_string_equal(before, after);
    m = tl_run_metrics_open(*state, 0, &err);
    tl_run_metrics_close(&m);
    free(after);
    after = support_read(file);
    assert_string_equal(after, "");
    free(before);
    free(after);
    free(whole);
    unlink(file);
    m = tl_run_metrics_open(*state, 4, &err); /* it was lost: begins anew */
    check_ok(m != NULL, &err);
    tl_run_metrics_close(&m);
}

static void test_metrics_full_disk(void **state)
{
    (void)state;
    if (access("/dev/full", W_OK) != 0) skip();
    struct tl_err err = {0};
    const char *folder = support_path(*state, "full");
    struct tl_run_folder *f = tl_run_folder_open(folder, TL_RUN_NEW, &err);
    assert_int_equal(symlink("/dev/full", support_path(folder, "metrics.jsonl")), 0);
    struct tl_run_metrics *m = tl_run_metrics_open(folder, -1, &err);
    check_ok(m != NULL, &err);
    const struct tl_run_metric value = {"loss", 1};
    assert_false(tl_run_metrics_append(m, "train", 1, &value, 1, &err));
    assert_int_equal(err.code, TL_OUTPUT);
    tl_run_metrics_close(&m);
    tl_run_folder_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_resume_auto),
        cmocka_unit_test(test_each_kind_of_run_is_seen),
        cmocka_unit_test(test_lock),
        cmocka_unit_test(test_race),
        cmocka_unit_test(test_about),
        cmocka_unit_test(test_about_missing_input),
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_metrics_resume),
        cmocka_unit_test(test_metrics_full_disk),
    };
    return cmocka_run_group_tests(tests, support_folder_make, support_folder_remove);
}
