#include "support/check.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "io/file.h"
#include "run/checkpoint.h"
#include "support_folder.h"

/* Two tensors with a gap between them, as stores have it. */
static struct tl_store_entry entries[] = {
    {"z.weight", {4, {3, 3, 2, 5}}, TL_LAYOUT_CONV2D, 0},
    {"a.bias", {1, {7}}, TL_LAYOUT_PLAIN, 128},
};
static int32_t by_name[] = {1, 0};
static const struct tl_store_layout layout = {entries, 2, 192, by_name, NULL, TL_F32};

static bool is_gap(size_t i)
{
    return (i >= 90 && i < 128) || i >= 135;
}

/* A checkpoint's content follows from its step alone. */
static void fill(float *flat, int64_t step)
{
    for (size_t i = 0; i < 192; i++) flat[i] = is_gap(i) ? 0 : (float)sin((double)i + 0.1 * (double)step);
    flat[3] = -0.0f;
    flat[4] = 1e-42f; /* a denormal */
}

struct saving {
    int keep;
    bool (*fault)(void *user, int change, const char *what);
    void *user;
    float *flat; /* NULL: as fill says */
};

static bool save_with(const char *run, int64_t step, const struct saving *how, struct tl_err *err)
{
    float flat[192], moments[192];
    char blob[300];
    fill(flat, step);
    fill(moments, -step);
    for (size_t i = 0; i < sizeof blob; i++) blob[i] = (char)(i * 7 + (size_t)step);
    cJSON *state = cJSON_CreateObject();
    cJSON_AddNumberToObject(state, "step", (double)step);
    const struct tl_checkpoint_store stores[] = {
        {.name = "lora", .layout = &layout, .data = how->flat ? how->flat : flat},
        {.name = "lora_m", .layout = &layout, .data = moments},
    };
    const struct tl_checkpoint_blob blobs[] = {{"order", blob, sizeof blob}, {"empty", NULL, 0}};
    const struct tl_checkpoint_params params = {.stores = stores,
                                                .n_stores = 2,
                                                .blobs = blobs,
                                                .n_blobs = 2,
                                                .state = state,
                                                .keep = how->keep,
                                                .fault = how->fault,
                                                .fault_user = how->user};
    bool ok = tl_checkpoint_save(run, step, &params, err);
    cJSON_Delete(state);
    return ok;
}

static void save(const char *run, int64_t step)
{
    struct tl_err err = {0};
    check_ok(save_with(run, step, &(struct saving){0}, &err), &err);
}

/* Opens the newest and checks every byte of it against its step; returns the step, or -1 where there is none.
 */
static int64_t newest(const char *run)
{
    struct tl_err err = {0};
    struct tl_checkpoint *c = tl_checkpoint_open_newest(run, &err);
    if (!c) {
        assert_int_equal(err.code, TL_BAD_INPUT);
        return -1;
    }
    int64_t step = tl_checkpoint_step(c);
    float want[192], got[192];
    memset(got, 0xff, sizeof got);
    fill(want, step);
    check_ok(tl_checkpoint_read_flat(c, "lora", &layout, got, &err), &err);
    assert_memory_equal(got, want, sizeof want);
    fill(want, -step);
    check_ok(tl_checkpoint_read_flat(c, "lora_m", &layout, got, &err), &err);
    assert_memory_equal(got, want, sizeof want);
    size_t n = 0;
    uint8_t *blob = tl_checkpoint_read_blob(c, "order", &n, &err);
    check_ok(blob != NULL, &err);
    assert_int_equal(n, 300);
    for (size_t i = 0; i < n; i++) assert_int_equal(blob[i], (uint8_t)(i * 7 + (size_t)step));
    free(blob);
    blob = tl_checkpoint_read_blob(c, "empty", &n, &err);
    assert_int_equal(n, 0);
    free(blob);
    assert_true(tl_json_get(tl_checkpoint_state(c), "step")->valuedouble == (double)step);
    tl_checkpoint_close(&c);
    return step;
}

/* Names in RUN/checkpoints, joined. */
static const char *listing(const char *run)
{
    static char text[512];
    struct tl_arena arena = {0};
    const char *const *names;
    size_t n = 0;
    text[0] = 0;
    if (tl_file_list(support_path(run, "checkpoints"), &arena, &names, &n, NULL)) {
        for (size_t i = 0; i < n; i++)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? " " : "", names[i]);
    }
    tl_arena_finish(&arena);
    return text;
}

static const char *run_folder(void **state, const char *name)
{
    struct tl_err err = {0};
    const char *run = support_path(*state, "%s", name);
    check_ok(tl_file_make_folder(run, &err), &err);
    return run;
}

static void test_round_trip(void **state)
{
    char run[128];
    strcpy(run, run_folder(state, "round"));
    struct tl_err err = {0};
    assert_int_equal(newest(run), -1);
    save(run, 1000);
    assert_int_equal(newest(run), 1000);
    struct tl_checkpoint *c = tl_checkpoint_open(support_path(run, "checkpoints/step-00001000"), &err);
    check_ok(c != NULL, &err);
    assert_string_equal(tl_checkpoint_path(c), support_path(run, "checkpoints/step-00001000"));
    assert_true(tl_checkpoint_has_store(c, "lora") && !tl_checkpoint_has_store(c, "order"));
    assert_true(tl_checkpoint_has_blob(c, "order") && !tl_checkpoint_has_blob(c, "lora"));
    size_t n;
    assert_null(tl_checkpoint_read_blob(c, "none", &n, &err));
    assert_non_null(strstr(err.text, "has no none.bin"));
    tl_checkpoint_close(&c);
    tl_err_clear(&err);
    assert_null(tl_checkpoint_open(support_path(run, "checkpoints/step-00009999"), &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
}

/* A layout that is not the file's: each difference has its message. */
static void test_other_layout(void **state)
{
    char run[128];
    strcpy(run, run_folder(state, "layout"));
    save(run, 1);
    struct tl_err err = {0};
    struct tl_checkpoint *c = tl_checkpoint_open_newest(run, &err);
    check_ok(c != NULL, &err);
    struct tl_store_entry renamed[2] = {entries[0], entries[1]}, reshaped[2] = {entries[0], entries[1]};
    renamed[1].name = "b.bias";
    reshaped[0].shape.dim[3] = 4;
    const struct tl_store_layout others[] = {{renamed, 2, 192, by_name, NULL, TL_F32},
                                             {reshaped, 2, 192, by_name, NULL, TL_F32},
                                             {entries, 1, 128, by_name, NULL, TL_F32}};
    static const char *const messages[] = {"has no b.bias", "z.weight is [3, 3, 2, 5] there",
                                           "holds 2 tensors, this run has 1"};
    for (int i = 0; i < 3; i++) {
        float flat[192];
        tl_err_clear(&err);
        assert_false(tl_checkpoint_read_flat(c, "lora", &others[i], flat, &err));
        assert_int_equal(err.code, TL_BAD_INPUT);
        if (!strstr(err.text, messages[i]) || !strstr(err.text, "lora.safetensors"))
            fail_msg("\"%s\"", err.text);
    }
    tl_checkpoint_close(&c);
}

static void test_prune(void **state)
{
    char run[128];
    strcpy(run, run_folder(state, "prune"));
    struct tl_err err = {0};
    for (int step = 1; step <= 3; step++) save(run, step * 100);
    assert_string_equal(listing(run), "step-00000200 step-00000300");
    check_ok(save_with(run, 400, &(struct saving){.keep = 3}, &err), &err);
    assert_string_equal(listing(run), "step-00000200 step-00000300 step-00000400");
    check_ok(save_with(run, 500, &(struct saving){.keep = 1}, &err), &err);
    assert_string_equal(listing(run), "step-00000500");
    /* Above 8 digits the number decides, not the name. */
    save(run, 99999999);
    save(run, 100000000);
    assert_int_equal(newest(run), 100000000);
    /* Files that are no checkpoints are let be; a leftover of a crash goes. */
    assert_int_equal(mkdir(support_path(run, "checkpoints/step-mine"), 0777), 0);
    assert_int_equal(mkdir(support_path(run, "checkpoints/step-00000007.tmp"), 0777), 0);
    support_write(support_path(run, "checkpoints/step-00000007.tmp/x"), "x");
    support_write(support_path(run, "checkpoints/other.tmp"), "x");
    save(run, 100000001);
    assert_string_equal(listing(run), "other.tmp step-100000000 step-100000001 step-mine");
}

/* A damaged checkpoint does not count among those that are kept: two whole ones are always there. */
static void test_prune_keeps_whole_ones(void **state)
{
    char run[128];
    strcpy(run, run_folder(state, "whole"));
    save(run, 1);
    save(run, 2);
    assert_int_equal(truncate(support_path(run, "checkpoints/step-00000002/order.bin"), 299), 0);
    save(run, 3);
    assert_string_equal(listing(run), "step-00000001 step-00000002 step-00000003");
    assert_int_equal(newest(run), 3);
    save(run, 4);
    assert_string_equal(listing(run), "step-00000003 step-00000004");
}

/* The run went back to an older checkpoint: what lay beyond must not be resumed from. */
static void test_course_left(void **state)
{
    char run[128];
    strcpy(run, run_folder(state, "course"));
    struct tl_err err = {0};
    for (int step = 1; step <= 4; step++)
        check_ok(save_with(run, step, &(struct saving){.keep = 4}, &err), &err);
    support_log_start();
    check_ok(save_with(run, 2, &(struct saving){.keep = 4}, &err), &err); /* a step that is there already */
    assert_string_equal(listing(run), "step-00000001 step-00000002");
    assert_non_null(
        strstr(support_log(), "step-00000004: removed, the run went on from an earlier checkpoint"));
    assert_int_equal(newest(run), 2);
}

/* ---- damage ---- */

static size_t file_bytes(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (size_t)st.st_size;
}

static void flip(const char *path, size_t at, int mask)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, (long)at, SEEK_SET);
    int byte = fgetc(f);
    fseek(f, (long)at, SEEK_SET);
    fputc(byte ^ mask, f);
    fclose(f);
}

static const char *const files[] = {"lora.safetensors", "lora_m.safetensors", "order.bin", "state.json",
                                    "manifest.json"};

/* Every file of the newest cut short, lengthened, missing, a folder, or with one bit changed at many places:
 * the older one is taken, and the log says what was wrong. */
static void test_damage(void **state)
{
    char run[128];
    strcpy(run, run_folder(state, "damage"));
    save(run, 1);
    for (int kind = 0; kind < 4; kind++) {
        for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
            save(run, 2);
            const char *path = support_path(run, "checkpoints/step-00000002/%s", files[i]);
            if (kind == 0) assert_int_equal(truncate(path, (off_t)file_bytes(path) - 1), 0);
            if (kind == 1) support_write(path, "");
            if (kind >= 2) unlink(path);
            if (kind == 3) assert_int_equal(mkdir(path, 0777), 0);
            support_log_start();
            int64_t step = newest(run);
            bool harmless = kind == 0 && !strcmp(files[i], "manifest.json"); /* its last newline */
            if (step != (harmless ? 2 : 1)) fail_msg("kind %d, %s: step %d", kind, files[i], (int)step);
            if (!harmless && (!strstr(support_log(), "checkpoint step-00000002 skipped: ") ||
                              !strstr(support_log(), files[i])))
                fail_msg("kind %d, %s: log \"%s\"", kind, files[i], support_log());
            if (kind == 3) rmdir(path);
        }
    }
}

static void test_bits(void **state)
{
    char run[128];
    strcpy(run, run_folder(state, "bits"));
    save(run, 1);
    save(run, 2);
    for (size_t i = 0; i + 1 < sizeof files / sizeof *files; i++) {
        const char *path = support_path(run, "checkpoints/step-00000002/%s", files[i]);
        size_t n = file_bytes(path);
        for (size_t at = 0; at<n; at += n> 40 ? n / 37 : 1) {
            flip(path, at, 1 << at % 8);
            int64_t step = newest(run);
            if (step != 1) fail_msg("%s, byte %zu: step %d", files[i], at, (int)step);
            flip(path, at, 1 << at % 8);
        }
    }
    assert_int_equal(newest(run), 2); /* all mended */
    /* The manifest: each byte. Either it is seen, or what is loaded is right all the same (newest checks
     * every value). */
    char manifest[256];
    strcpy(manifest, support_path(run, "checkpoints/step-00000002/manifest.json"));
    size_t n = file_bytes(manifest), seen = 0;
    for (size_t at = 0; at < n; at++) {
        flip(manifest, at, 4);
        int64_t step = newest(run);
        assert_true(step == 1 || step == 2);
        seen += step == 1;
        flip(manifest, at, 4);
    }
    assert_true(seen > n / 2);
    /* None is left. */
    unlink(manifest);
    flip(support_path(run, "checkpoints/step-00000001/state.json"), 2, 1);
    struct tl_err err = {0};
    assert_null(tl_checkpoint_open_newest(run, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    assert_non_null(strstr(err.text, "none of its 2 checkpoints can be used"));
}

/* A manifest that names files outside of its folder, or a checkpoint under another's name. */
static void test_manifest_lies(void **state)
{
    char run[128];
    strcpy(run, run_folder(state, "lies"));
    save(run, 1);
    static const char *const texts[] = {
        "{\"format\":1,\"step\":2,\"files\":[{\"name\":\"../../x\",\"bytes\":1,\"sha256\":\"\"}]}",
        "{\"format\":1,\"step\":2,\"files\":[{\"name\":\"a/b\",\"bytes\":1,\"sha256\":\"\"}]}",
        "{\"format\":2,\"step\":2,\"files\":[]}",
        "{\"format\":1,\"step\":2,\"files\":[]}", /* lists nothing: state.json is not vouched for */
        "{\"format\":1,\"step\":2}",
        "{\"format\":1,\"step\":-2,\"files\":[]}",
        "{\"format\":1,\"step\":2,\"files\":[3]}",
        "[]",
        "{",
        "",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        save(run, 2);
        support_write(support_path(run, "checkpoints/step-00000002/manifest.json"), texts[i]);
        if (newest(run) != 1) fail_msg("taken: %s", texts[i]);
    }
    save(run, 2);
    assert_int_equal(rename(support_path(run, "checkpoints/step-00000002"),
                            support_path(run, "checkpoints/step-00000005")),
                     0);
    support_log_start();
    assert_int_equal(newest(run), 1);
    assert_non_null(strstr(support_log(), "its manifest is of step 2"));
}

/* ---- what must not be saved ---- */

static void test_not_finite(void **state)
{
    char run[128];
    strcpy(run, run_folder(state, "finite"));
    save(run, 1);
    save(run, 2);
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        float flat[192];
        struct tl_err err = {0};
        fill(flat, 3);
        flat[128 + 2] = bad[i];
        assert_false(save_with(run, 3, &(struct saving){.keep = 1, .flat = flat}, &err));
        assert_int_equal(err.code, TL_NUMERIC);
        if (!strstr(err.text, "step 3: lora: a.bias: element 2 is ")) fail_msg("\"%s\"", err.text);
        assert_string_equal(listing(run),
                            "step-00000001 step-00000002"); /* nothing pruned, nothing left over */
    }
    float flat[192];
    struct tl_err err = {0};
    fill(flat, 3);
    flat[100] = NAN; /* a gap is nobody's value */
    check_ok(save_with(run, 3, &(struct saving){.flat = flat}, &err), &err);
    assert_int_equal(newest(run), 3);
    cJSON *bad_state = cJSON_CreateObject();
    cJSON_AddNumberToObject(bad_state, "x", NAN);
    assert_false(tl_checkpoint_save(run, 4, &(struct tl_checkpoint_params){.state = bad_state}, &err));
    assert_int_equal(err.code, TL_NUMERIC);
    cJSON_Delete(bad_state);
    assert_int_equal(newest(run), 3);
}

static void test_names(void **state)
{
    char run[128];
    strcpy(run, run_folder(state, "names"));
    static const char *const bad[] = {
        "",        "../x",   "a/b",
        ".hidden", "sp ace", "a123456789012345678901234567890123456789012345678901234567890123456789"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct tl_err err = {0};
        const struct tl_checkpoint_blob blob = {bad[i], "x", 1};
        assert_false(
            tl_checkpoint_save(run, 1, &(struct tl_checkpoint_params){.blobs = &blob, .n_blobs = 1}, &err));
        assert_int_equal(err.code, TL_FAIL);
        assert_string_equal(listing(run), "");
    }
    struct tl_err err = {0};
    const struct tl_checkpoint_blob twice[] = {{"a", "x", 1}, {"a", "y", 1}};
    assert_false(
        tl_checkpoint_save(run, 1, &(struct tl_checkpoint_params){.blobs = twice, .n_blobs = 2}, &err));
    assert_non_null(strstr(err.text, "a.bin is twice"));
    tl_err_clear(&err);
    assert_false(tl_checkpoint_save(run, -1, &(struct tl_checkpoint_params){0}, &err));
    tl_err_clear(&err);
    check_ok(tl_checkpoint_save(run, 0, &(struct tl_checkpoint_params){0}, &err),
             &err); /* nothing in it is fine */
    struct tl_checkpoint *c = tl_checkpoint_open_newest(run, &err);
    check_ok(c != NULL, &err);
    assert_int_equal(tl_checkpoint_step(c), 0);
    tl_checkpoint_close(&c);
}

/* ---- faults ---- */

struct fault {
    int at;    /* the change that fails; -1: none */
    bool kill; /* the process dies instead */
    int n;     /* changes seen */
};

static bool on_change(void *user, int change, const char *what)
{
    struct fault *f = user;
    (void)what;
    f->n = change + 1;
    if (change != f->at) return true;
    if (f->kill) _exit(77);
    return false;
}

/* The Nth change of the disk fails, for every N: the save says so, or was complete already; the newest is
 * whole; nothing unfinished stays; the next save works. */
static void test_each_fault(void **state)
{
    int at = 0;
    for (bool more = true; more; at++) {
        char run[128], name[32];
        snprintf(name, sizeof name, "fault-%d", at);
        strcpy(run, run_folder(state, name));
        for (int step = 1; step <= 3; step++) save(run, step);
        struct tl_err err = {0};
        struct fault fault = {.at = at};
        bool ok = save_with(run, 4, &(struct saving){.fault = on_change, .user = &fault}, &err);
        more = fault.n > at;
        if (!ok) assert_int_equal(err.code, TL_OUTPUT);
        int64_t step = newest(run);
        if (step != 4 && (ok || step != 3)) fail_msg("change %d: step %d", at, (int)step);
        if (!ok && step == 3) assert_string_equal(listing(run), "step-00000002 step-00000003");
        save(run, 5);
        assert_string_equal(listing(run),
                            step == 4 ? "step-00000004 step-00000005" : "step-00000003 step-00000005");
        assert_int_equal(newest(run), 5);
    }
    /* folder, 2 stores, 2 blobs, state, manifest, rename, sync, prune, remove; then once without a fault */
    assert_int_equal(at, 12);
}

/* The same with the process dead at that point. */
static void test_each_kill(void **state)
{
    int at = 0;
    for (int status = 77; status == 77; at++) {
        char run[128], name[32];
        snprintf(name, sizeof name, "kill-%d", at);
        strcpy(run, run_folder(state, name));
        for (int step = 1; step <= 3; step++) save(run, step);
        pid_t child = fork();
        assert_true(child >= 0);
        if (!child) {
            struct fault fault = {.at = at, .kill = true};
            _exit(save_with(run, 4, &(struct saving){.fault = on_change, .user = &fault}, NULL) ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        status = WEXITSTATUS(status);
        assert_true(status == 77 || status == 0);
        int64_t step = newest(run);
        assert_true(step == 4 || (step == 3 && status == 77));
        /* And again onto the same step, as the resumed run will. */
        save(run, 4);
        assert_int_equal(newest(run), 4);
        assert_string_equal(listing(run), "step-00000003 step-00000004");
    }
    assert_true(at > 8);
}

/* Killed at any time, not only between changes. */
static void test_random_kills(void **state)
{
    char run[128];
    strcpy(run, run_folder(state, "random"));
    save(run, 1);
    int64_t last = 1;
    for (int round = 0; round < 12 || (last == 1 && round < 100); round++) { /* a busy machine needs more */
        pid_t child = fork();
        assert_true(child >= 0);
        if (!child) {
            for (int64_t step = last + 1;; step++) {
                if (!save_with(run, step, &(struct saving){0}, NULL)) _exit(1);
            }
        }
        nanosleep(&(struct timespec){.tv_nsec = 15000000L + round * 7300000L}, NULL);
        kill(child, SIGKILL);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        int64_t step = newest(run);
        if (step < last) fail_msg("round %d: step %d after %d", round, (int)step, (int)last);
        if (step > last) last = step;
    }
    assert_true(last > 1);
}

/* A disk that is full after so many bytes. */
static void test_file_limit(void **state)
{
    char run[128];
    strcpy(run, run_folder(state, "limit"));
    save(run, 1);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit old, now;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    int refused = 0;
    static const rlim_t limits[] = {0, 1, 100, 299, 300, 500, 777, 900};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        now = old;
        now.rlim_cur = limits[i];
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &now), 0);
        struct tl_err err = {0};
        bool ok = save_with(run, 2, &(struct saving){.keep = 1}, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        if (!ok) assert_int_equal(err.code, TL_OUTPUT);
        assert_int_equal(newest(run), ok ? 2 : 1);
        if (!ok) assert_string_equal(listing(run), "step-00000001");
        refused += !ok;
    }
    assert_true(refused >= 6);
}

/* ---- stores on a device ---- */

static void test_device_store(void **state)
{
    char run[128];
    strcpy(run, run_folder(state, "store"));
    struct tl_err err = {0};
    struct tl_device *device = tl_device_open(&(struct tl_device_params){.name = "cpu", .threads = 1}, &err);
    check_ok(device != NULL, &err);
    struct tl_store *a = tl_store_create(device, &layout, &err), *b = tl_store_create(device, &layout, &err);
    check_ok(a && b, &err);
    float flat[192], back[192];
    fill(flat, 9);
    check_ok(tl_store_write_flat(a, flat, &err), &err);
    const struct tl_checkpoint_store stores[] = {{.name = "one", .store = a}, {.name = "two", .store = b}};
    check_ok(
        tl_checkpoint_save(run, 9, &(struct tl_checkpoint_params){.stores = stores, .n_stores = 2}, &err),
        &err);
    struct tl_checkpoint *c = tl_checkpoint_open_newest(run, &err);
    check_ok(c != NULL, &err);
    check_ok(tl_checkpoint_read_store(c, "one", b, &err), &err);
    check_ok(tl_store_read_flat(b, back, &err), &err);
    assert_memory_equal(back, flat, sizeof flat);
    check_ok(tl_checkpoint_read_store(c, "two", b, &err), &err); /* was all zero */
    check_ok(tl_store_read_flat(b, back, &err), &err);
    for (size_t i = 0; i < 192; i++) assert_true(back[i] == 0);
    tl_checkpoint_close(&c);
    tl_store_destroy(&a);
    tl_store_destroy(&b);
    tl_device_close(&device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_other_layout),
        cmocka_unit_test(test_prune),        cmocka_unit_test(test_prune_keeps_whole_ones),
        cmocka_unit_test(test_course_left),  cmocka_unit_test(test_damage),
        cmocka_unit_test(test_bits),         cmocka_unit_test(test_manifest_lies),
        cmocka_unit_test(test_not_finite),   cmocka_unit_test(test_names),
        cmocka_unit_test(test_each_fault),   cmocka_unit_test(test_each_kill),
        cmocka_unit_test(test_random_kills), cmocka_unit_test(test_file_limit),
        cmocka_unit_test(test_device_store),
    };
    return cmocka_run_group_tests(tests, support_folder_make, support_folder_remove);
}
