#include "support/check.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <tiller/version.h>

#include "io/file.h"
#include "run/run_folder.h"
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
    assert_false(f->begun || f->resumes);
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
        assert_true(f->begun && !f->resumes); /* nothing to go on from yet */
        config = tl_run_folder_read_config(f, &err);
        assert_true(tl_json_get(config, "steps")->valuedouble == 8);
        cJSON_Delete(config);
        tl_run_folder_close(&f);
    }
    check_ok(tl_file_make_folder(support_path(path, "checkpoints/step-00000004"), &err), &err);
    f = tl_run_folder_open(path, TL_RUN_RESUME, &err);
    check_ok(f != NULL, &err);
    assert_true(f->begun && f->resumes);
    tl_run_folder_close(&f);
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

/* What crashed processes left unfinished goes when the folder is opened; what is not ours stays. */
static void test_leftovers(void **state)
{
    static const char *const gone[] = {".tiller-999999999-0.tmp", "lora/.tiller-999999999-12.tmp",
                                       "samples/step-00000001/.tiller-999999999-1.tmp",
                                       "model/unet/.tiller-999999999-3.tmp",
                                       "checkpoints/step-00000002.tmp/x"},
                             *const stay[] = {".tiller-1-0.tmp", ".tiller-999999999-0.tmp.png",
                                              ".tiller-x-0.tmp", "notes.tmp", "checkpoints/mine.tmp"};
    struct tl_err err = {0};
    char run[256];
    strcpy(run, support_path(*state, "left"));
    static const char *const folders[] = {"lora", "samples/step-00000001", "model/unet",
                                          "checkpoints/step-00000002.tmp"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        check_ok(tl_file_make_folder(support_path(run, "%s", folders[i]), &err), &err);
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
        support_write(support_path(run, "%s", gone[i]), "x");
    for (size_t i = 0; i < sizeof stay / sizeof *stay; i++)
        support_write(support_path(run, "%s", stay[i]), "x");
    support_write(support_path(run, ".tiller-%ld-77.tmp", (long)getpid()),
                  "x"); /* our number's earlier owner */
    struct tl_run_folder *f = tl_run_folder_open(run, TL_RUN_RESUME, &err);
    check_ok(f != NULL, &err);
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
        if (support_exists(support_path(run, "%s", gone[i]))) fail_msg("%s is left", gone[i]);
    for (size_t i = 0; i < sizeof stay / sizeof *stay; i++)
        if (!support_exists(support_path(run, "%s", stay[i]))) fail_msg("%s was removed", stay[i]);
    assert_false(support_exists(support_path(run, ".tiller-%ld-77.tmp", (long)getpid())));
    assert_true(f->begun && !f->resumes);
    /* another process does not clean under the holder's hands */
    support_write(support_path(run, "%s", gone[0]), "x");
    assert_null(tl_run_folder_open(run, TL_RUN_AUTO, &err));
    assert_int_equal(err.code, TL_BUSY);
    assert_true(support_exists(support_path(run, "%s", gone[0])));
    tl_run_folder_close(&f);
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

/* A killed holder whose child lives a little longer: the next one waits for that. */
static void test_lock_of_a_child(void **state)
{
    struct tl_err err = {0};
    const char *path = support_path(*state, "child");
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        struct tl_run_folder *f = tl_run_folder_open(path, TL_RUN_AUTO, NULL);
        if (f && fork() == 0) {
            nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
            _exit(0);
        }
        if (!f || write(ready[1], "x", 1) != 1) _exit(1);
        for (;;) pause();
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(ready[0]);
    close(ready[1]);
    struct tl_run_folder *f = tl_run_folder_open(path, TL_RUN_AUTO, &err);
    check_ok(f != NULL, &err);
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
    const struct tl_run_input inputs[] = {{.name = "prompts", .path = support_path(path, "prompts.txt")},
                                          {.name = "model", .path = "elsewhere", .sha256 = "feed"}};
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

    /* A resume adds to it, keeps what was there, and sees that a file has changed: one that matters is
     * refused and leaves no entry. */
    support_write(support_path(path, "prompts.txt"), "abd");
    f = tl_run_folder_open(path, TL_RUN_RESUME, &err);
    check_ok(f != NULL, &err);
    assert_false(tl_run_folder_write_about(f, &about, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    assert_non_null(strstr(err.text, "prompts.txt (prompts) is no longer the file that the run in"));
    tl_run_folder_close(&f);
    tl_err_clear(&err);
    struct tl_run_input harmless[] = {inputs[0], inputs[1]};
    harmless[0].harmless = true;
    about.inputs = harmless;
    for (int i = 0; i < 2; i++) {
        support_log_start();
        f = tl_run_folder_open(path, TL_RUN_RESUME, &err);
        check_ok(f != NULL, &err);
        about.step = 40 + i;
        about.device_name = "vulkan:0";
        check_ok(tl_run_folder_write_about(f, &about, &err), &err);
        tl_run_folder_close(&f);
        assert_non_null(strstr(support_log(), "prompts.txt) is no longer the file that the run began with"));
        assert_non_null(strstr(support_log(), "begun on cpu, goes on with vulkan:0"));
        assert_null(strstr(support_log(), "elsewhere"));
        assert_null(strstr(support_log(), "version"));
    }
    f = tl_run_folder_open(path, TL_RUN_RESUME, &err);
    cJSON *json = tl_run_folder_read_about(f, &err);
    support_log_start();
    check_ok(tl_run_folder_note(f, "version", cJSON_CreateString("0.0.1"), &err) &&
                 tl_run_folder_write_about(f, &about, &err),
             &err);
    assert_non_null(strstr(support_log(), "begun by version 0.0.1, goes on with " TL_VERSION));
    tl_run_folder_close(&f);
    check_ok(json != NULL, &err);
    const cJSON *resumes = tl_json_get(json, "resumes");
    assert_int_equal(cJSON_GetArraySize(resumes), 2);
    assert_true(tl_json_get(cJSON_GetArrayItem(resumes, 1), "step")->valuedouble == 41);
    assert_string_equal(tl_json_get(tl_json_get(json, "device"), "name")->valuestring, "cpu");
    assert_true(tl_json_get(json, "reward_scale")->valuedouble == 0.25);
    cJSON_Delete(json);
}

/* A resume of the run whose only input is this folder. */
static bool resume_with(const char *run, const char *folder, struct tl_err *err)
{
    tl_err_clear(err);
    struct tl_run_inputs inputs = {0};
    struct tl_run_folder *f = tl_run_folder_open(run, TL_RUN_AUTO, err);
    check_ok(f && tl_run_inputs_add(&inputs, "model", folder, err), err);
    const struct tl_run_about about = {.inputs = inputs.list, .n_inputs = inputs.n};
    bool ok = tl_run_folder_write_about(f, &about, err);
    tl_run_inputs_finish(&inputs);
    tl_run_folder_close(&f);
    return ok;
}

static const cJSON *first_input(cJSON *about)
{
    return cJSON_GetArrayItem(tl_json_get(about, "inputs"), 0);
}

/* A pipeline: its components' weights, configs, vocabularies; nothing else. */
static void test_about_folder(void **state)
{
    struct tl_err err = {0};
    char run[300], model[300];
    snprintf(run, sizeof run, "%s/of-model", (const char *)*state);
    snprintf(model, sizeof model, "%s/pipe", (const char *)*state);
    static const char *const parts[] = {"", "/unet", "/safety_checker"};
    for (int i = 0; i < 3; i++) assert_int_equal(mkdir(support_path(model, "%s", parts[i]), 0777), 0);
    static const char *const files[] = {
        "model_index.json",   "unet/w.safetensors",           "unet/w.fp16.safetensors",
        "single.safetensors", "safety_checker/w.safetensors", "README.md"};
    for (int i = 0; i < 6; i++) support_write(support_path(model, "%s", files[i]), files[i]);
    check_ok(resume_with(run, model, &err), &err);
    cJSON *about = tl_json_read(support_path(run, "run.json"), &err);
    const cJSON *list = tl_json_get(first_input(about), "files");
    assert_int_equal(cJSON_GetArraySize(list), 2);
    assert_string_equal(tl_json_get(cJSON_GetArrayItem(list, 0), "name")->valuestring, "model_index.json");
    assert_string_equal(tl_json_get(cJSON_GetArrayItem(list, 1), "name")->valuestring, "unet/w.safetensors");
    cJSON_Delete(about);
    /* what nobody reads may change; so may the time of what is read, and its place */
    for (int i = 2; i < 6; i++) support_write(support_path(model, "%s", files[i]), "other");
    const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    assert_int_equal(utimensat(AT_FDCWD, support_path(model, "unet/w.safetensors"), times, 0), 0);
    check_ok(resume_with(run, model, &err), &err);
    /* untouched files are not read again: the time that was noted vouches for them */
    support_write(support_path(model, "unet/w.safetensors"), "unet/W.safetensors");
    assert_int_equal(utimensat(AT_FDCWD, support_path(model, "unet/w.safetensors"), times, 0), 0);
    check_ok(resume_with(run, model, &err), &err);
    support_write(support_path(model, "unet/w.safetensors"), "unet/W.safetensors");
    assert_false(resume_with(run, model, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    assert_non_null(strstr(err.text, "pipe (model) is no longer the folder that the run in"));
    assert_non_null(strstr(err.text, "(unet/w.safetensors differs)"));
    support_write(support_path(model, "unet/w.safetensors"), files[1]);
    support_write(support_path(model, "unet/more.json"), "{}");
    assert_false(resume_with(run, model, &err));
    assert_non_null(strstr(err.text, "(unet/more.json differs)"));
}

/* Files and folders that a reward names, and nothing else of its words. */
static void test_inputs_of_rewards(void **state)
{
    struct tl_err err = {0};
    struct tl_run_inputs in = {0};
    char head[300], folder[300], spec[1300];
    snprintf(head, sizeof head, "%s/head.json", (const char *)*state);
    snprintf(folder, sizeof folder, "%s", (const char *)*state);
    support_write(head, "{}");
    snprintf(spec, sizeof spec, "aesthetic:%s,encoder=%s@0.5", head, folder);
    check_ok(tl_run_inputs_add(&in, "lora", NULL, &err) &&
                 tl_run_inputs_add_reward(&in, "reward", "jpeg@2", &err) &&
                 tl_run_inputs_add_reward(&in, "reward", spec, &err),
             &err);
    snprintf(spec, sizeof spec, "mean:clip:%s,flavour=logit,clip:/no/such@3", folder);
    check_ok(tl_run_inputs_add_reward(&in, "reward", spec, &err), &err);
    assert_int_equal(in.n, 3);
    const char *const want[3][2] = {{"reward", head}, {"reward 2", folder}, {"reward 3", folder}};
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(in.list[i].name, want[i][0]);
        assert_string_equal(in.list[i].path, want[i][1]);
    }
    tl_run_inputs_finish(&in);
}

static void test_about_missing_input(void **state)
{
    struct tl_err err = {0};
    struct tl_run_folder *f = tl_run_folder_open(support_path(*state, "missing"), TL_RUN_NEW, &err);
    const struct tl_run_input input = {.name = "prompts", .path = support_path(*state, "no-such.txt")};
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_resume_auto),
        cmocka_unit_test(test_each_kind_of_run_is_seen),
        cmocka_unit_test(test_leftovers),
        cmocka_unit_test(test_lock),
        cmocka_unit_test(test_lock_of_a_child),
        cmocka_unit_test(test_race),
        cmocka_unit_test(test_about),
        cmocka_unit_test(test_about_missing_input),
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_about_folder),
        cmocka_unit_test(test_inputs_of_rewards),
    };
    return cmocka_run_group_tests(tests, support_folder_make, support_folder_remove);
}
