/* Saving that fails, or whose process dies, at every point: the newest finished one is whole. */
#include "support/check.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "run/checkpoint.h"
#include "run/run_folder.h"
#include "support_checkpoint.h"
#include "support_folder.h"

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
        strcpy(run, support_checkpoint_run(*state, name));
        for (int step = 1; step <= 3; step++) support_checkpoint_save(run, step);
        struct tl_err err = {0};
        struct fault fault = {.at = at};
        bool ok = support_checkpoint_save_with(
            run, 4, &(struct support_saving){.fault = on_change, .user = &fault}, &err);
        more = fault.n > at;
        if (!ok) assert_int_equal(err.code, TL_OUTPUT);
        int64_t step = support_checkpoint_newest(run);
        if (step != 4 && (ok || step != 3)) fail_msg("change %d: step %d", at, (int)step);
        if (!ok && step == 3)
            assert_string_equal(support_checkpoint_names(run), "step-00000002 step-00000003");
        support_checkpoint_save(run, 5);
        assert_string_equal(support_checkpoint_names(run),
                            step == 4 ? "step-00000004 step-00000005" : "step-00000003 step-00000005");
        assert_int_equal(support_checkpoint_newest(run), 5);
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
        strcpy(run, support_checkpoint_run(*state, name));
        for (int step = 1; step <= 3; step++) support_checkpoint_save(run, step);
        pid_t child = fork();
        assert_true(child >= 0);
        if (!child) {
            struct fault fault = {.at = at, .kill = true};
            _exit(support_checkpoint_save_with(
                      run, 4, &(struct support_saving){.fault = on_change, .user = &fault}, NULL)
                      ? 0
                      : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        status = WEXITSTATUS(status);
        assert_true(status == 77 || status == 0);
        int64_t step = support_checkpoint_newest(run);
        assert_true(step == 4 || (step == 3 && status == 77));
        /* And again onto the same step, as the resumed run will. */
        support_checkpoint_save(run, 4);
        assert_int_equal(support_checkpoint_newest(run), 4);
        assert_string_equal(support_checkpoint_names(run), "step-00000003 step-00000004");
    }
    assert_true(at > 8);
}

/* The system cannot exchange two names: what stands there steps aside. */
struct replacing {
    const char *at; /* the change at which the process dies, or fails; NULL: none */
    bool kill;
    int n_aside; /* how often the old one stepped aside */
};

static bool on_replace(void *user, int change, const char *what)
{
    struct replacing *r = user;
    (void)change;
    if (!strcmp(what, "exchange")) return false;
    r->n_aside += !strcmp(what, "aside");
    if (!r->at || strcmp(what, r->at) != 0) return true;
    if (r->kill) _exit(77);
    return false;
}

static void replace(const char *run, const char *at, bool kill)
{
    pid_t child = fork();
    assert_true(child >= 0);
    struct replacing r = {.at = at, .kill = kill};
    const struct support_saving how = {.best = true, .fault = on_replace, .user = &r};
    if (!child) {
        bool ok = support_checkpoint_save_with(run, 2, &how, NULL);
        _exit(r.n_aside != 1 ? 3 : ok ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), !at ? 0 : kill ? 77 : 1);
}

static void test_replace_without_exchange(void **state)
{
    static const char *const points[] = {NULL, "manifest.json", "aside", "rename", "sync"};
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        for (int kill = 0; kill < (points[i] ? 2 : 1); kill++) {
            char run[128], name[32];
            if (i == 1 && !kill) continue; /* fails before the old one would step aside */
            snprintf(name, sizeof name, "aside-%zu-%d", i, kill);
            strcpy(run, support_checkpoint_run(*state, name));
            support_checkpoint_save(run, 1);
            support_checkpoint_save(run, 2);
            replace(run, points[i], kill);
            bool came = !points[i] || !strcmp(points[i], "sync");
            struct tl_err err = {0};
            struct tl_run_folder *f = tl_run_folder_open(run, TL_RUN_RESUME, &err);
            check_ok(f != NULL, &err);
            assert_string_equal(support_checkpoint_names(run), "step-00000001 step-00000002");
            assert_int_equal(support_checkpoint_newest(run), 2);
            assert_int_equal(tl_checkpoint_best_step(run), came ? 2 : -1);
            tl_run_folder_close(&f);
        }
}

/* Killed at any time, not only between changes. */
static void test_random_kills(void **state)
{
    char run[128];
    strcpy(run, support_checkpoint_run(*state, "random"));
    support_checkpoint_save(run, 1);
    int64_t last = 1;
    for (int round = 0; round < 12 || (last == 1 && round < 100); round++) { /* a busy machine needs more */
        pid_t child = fork();
        assert_true(child >= 0);
        if (!child) {
            for (int64_t step = last + 1;; step++) {
                if (!support_checkpoint_save_with(run, step, &(struct support_saving){0}, NULL)) _exit(1);
            }
        }
        nanosleep(&(struct timespec){.tv_nsec = 15000000L + round * 7300000L}, NULL);
        kill(child, SIGKILL);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        int64_t step = support_checkpoint_newest(run);
        if (step < last) fail_msg("round %d: step %d after %d", round, (int)step, (int)last);
        if (step > last) last = step;
    }
    assert_true(last > 1);
}

/* A disk that is full after so many bytes. */
static void test_file_limit(void **state)
{
    char run[128];
    strcpy(run, support_checkpoint_run(*state, "limit"));
    support_checkpoint_save(run, 1);
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
        bool ok = support_checkpoint_save_with(run, 2, &(struct support_saving){.keep = 1}, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        if (!ok) assert_int_equal(err.code, TL_OUTPUT);
        assert_int_equal(support_checkpoint_newest(run), ok ? 2 : 1);
        if (!ok) assert_string_equal(support_checkpoint_names(run), "step-00000001");
        refused += !ok;
    }
    assert_true(refused >= 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_fault),
        cmocka_unit_test(test_each_kill),
        cmocka_unit_test(test_replace_without_exchange),
        cmocka_unit_test(test_random_kills),
        cmocka_unit_test(test_file_limit),
    };
    return cmocka_run_group_tests(tests, support_folder_make, support_folder_remove);
}
