/* Programs that go wrong, in every way and at every moment that reliability is promised for: never a score in
 * place of an error, an end in time, nothing left behind, and right scores once the fault has gone.
 *
 * Each case is a process of its own, several at a time, for most of them do nothing but wait. */
#include "rewards/support_exec.h"
#include "support/check.h"

#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tiller/interrupt.h>
#include <tiller/log.h>

#include "base/clock.h"
#include "rewards/reward_exec.h"

enum { AT_ONCE = 20, RETRIES = 1, N = 6 /* two requests of at most 4 */ };
static const double timeout_s = 1.5, start_s = 4;

/* What a fault comes to where it shows each time. */
enum outcome { FAILS, SCORES };
static const struct fault {
    const char *name;
    enum outcome hello, batch;
} faults[] = {
    {"exit", FAILS, FAILS},    {"segv", FAILS, FAILS},     {"hang", FAILS, FAILS},
    {"slow", SCORES, SCORES},  {"partial", FAILS, FAILS},  {"garbage", FAILS, FAILS},
    {"nan", FAILS, FAILS},     {"count", FAILS, FAILS},    {"order", FAILS, FAILS},
    {"id", FAILS, FAILS},      {"gigabyte", FAILS, FAILS}, {"noise", FAILS, FAILS},
    {"flood", SCORES, SCORES}, {"stdin", FAILS, FAILS},    {"grandchild", FAILS, FAILS},
    {"sigterm", FAILS, FAILS}, {"bomb", FAILS, FAILS},     {"version", FAILS, FAILS},
    {"late", FAILS, FAILS},
#if !defined(__SANITIZE_ADDRESS__)
    {"hog", FAILS, FAILS}, /* a sanitizer's shadow is more than any limit on memory */
#endif
};
enum { N_FAULTS = sizeof faults / sizeof *faults, N_PLACES = 4 };
/* "once": at a batch, in the first process only. */
static const char *const places[N_PLACES] = {"hello", "batch", "idle", "once"};

/* ---- one case, in a process of its own; failures end it with a message ---- */

#define demand(condition, ...)                                                                               \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s: ", mark);                                                                   \
            fprintf(stderr, __VA_ARGS__);                                                                    \
            fprintf(stderr, " (%s)\n", #condition);                                                          \
            _exit(1);                                                                                        \
        }                                                                                                    \
    } while (0)

static char mark[64], counter[128];

static void no_log(void *user, enum tl_log_level level, const char *text)
{
    (void)user;
    (void)level;
    (void)text;
}

static struct tl_reward_set *open_case(const char *fault, const char *where, int starts, struct tl_err *err)
{
    char spec[512], memory[32] = "";
#if !defined(__SANITIZE_ADDRESS__)
    snprintf(memory, sizeof memory, ",memory=64");
#endif
    snprintf(spec, sizeof spec, "exec:'%s' %s %s %d %s %s,timeout=%g,start=%g,retries=%d,log=%s.log%s",
             EXEC_FAULT, fault, where, starts, counter, mark, timeout_s, start_s, RETRIES, counter, memory);
    const char *const specs[] = {spec};
    tl_log_set(no_log, NULL);
    return tl_reward_set_open(&(struct tl_reward_set_params){.specs = specs, .n_specs = 1, .raw = true}, err);
}

static void check_scores(const double *out)
{
    for (int i = 0; i < N; i++) demand(out[i] == i + 1, "score %d is %g", i, out[i]);
}

static void check_failure(const struct tl_err *err, const double *out)
{
    demand(err->code == TL_PLUGIN, "code %d, %s", err->code, err->text);
    demand(strstr(err->text, "the program"), "it says %s", err->text);
    for (int i = 0; out && i < N; i++) demand(isnan(out[i]), "score %d is %g after an error", i, out[i]);
}

static void score_twice(struct tl_reward_set *set, bool fails, int restarts, int retries)
{
    struct tl_reward_item items[N];
    double out[N];
    support_exec_items(items, N);
    for (int i = 0; i < N; i++) out[i] = NAN;
    for (int round = 0; round < 2; round++) {
        struct tl_err err = {0};
        bool ok = tl_reward_set_score(set, items, N, out, NULL, &err);
        demand(ok != fails, "round %d: %s", round, err.text);
        if (fails) {
            check_failure(&err, out);
            break;
        }
        check_scores(out);
    }
    struct tl_exec_counts counts = tl_exec_crew_counts(tl_reward_exec_crew(tl_reward_set_part(set, 0)));
    if (restarts >= 0) demand(counts.restarts == (uint64_t)restarts, "%d restarts", (int)counts.restarts);
    if (retries >= 0) demand(counts.retries == (uint64_t)retries, "%d retries", (int)counts.retries);
}

static void check_log(void)
{
    char path[160];
    snprintf(path, sizeof path, "%s.log", counter);
    FILE *f = fopen(path, "r");
    demand(f && fseek(f, 0, SEEK_END) == 0 && ftell(f) < 2 << 20, "the log is missing or too long");
    fclose(f);
    unlink(path);
    unlink(counter);
}

static void run_case(const struct fault *f, int place)
{
    struct tl_err err = {0};
    double begin = tl_clock_s();
    bool once = place == 3;
    snprintf(mark, sizeof mark, "mark-%s-%s-%ld", f->name, places[place], (long)getpid());
    snprintf(counter, sizeof counter, "/tmp/tiller-%s", mark);
    struct tl_reward_set *set = open_case(f->name, once ? "batch" : places[place], once ? 1 : 1000, &err);
    if (place == 0 && f->hello == FAILS) {
        demand(!set, "it was welcomed");
        check_failure(&err, NULL);
    } else {
        demand(set, "%s", err.text);
        bool fails = place == 1 && f->batch == FAILS, mends = once && f->batch == FAILS;
        /* a restart behind the last failure has no reason */
        score_twice(set, fails, mends ? 1 : fails ? RETRIES : -1, mends ? 1 : fails ? RETRIES : -1);
    }
    double spent = tl_clock_s() - begin, most = (RETRIES + 1) * (timeout_s + 2) + start_s + 2;
    demand(spent < most, "it took %.1f s", spent);
    tl_reward_set_close(&set);
    demand(support_exec_count(mark) == 0, "%d processes are left", support_exec_count(mark));
    demand(support_exec_folders(getpid()) == 0, "the folder of samples is left");
    check_log();
}

/* One worker of two never comes up again: the other does the work. */
static void run_relapse(void)
{
    struct tl_err err = {0};
    struct tl_reward_item items[N];
    double out[N];
    char spec[512];
    const double until = tl_clock_s() + 20;
    snprintf(mark, sizeof mark, "mark-relapse-%ld", (long)getpid());
    snprintf(counter, sizeof counter, "/tmp/tiller-%s", mark);
    snprintf(spec, sizeof spec, "exec:'%s' exit relapse 2 %s %s,workers=2,retries=%d,log=%s.log", EXEC_FAULT,
             counter, mark, RETRIES, counter);
    const char *const specs[] = {spec};
    tl_log_set(no_log, NULL);
    struct tl_reward_set *set =
        tl_reward_set_open(&(struct tl_reward_set_params){.specs = specs, .n_specs = 1, .raw = true}, &err);
    demand(set, "%s", err.text);
    const struct tl_exec_crew *crew = tl_reward_exec_crew(tl_reward_set_part(set, 0));
    support_exec_items(items, N);
    do {
        demand(tl_reward_set_score(set, items, N, out, NULL, &err), "%s", err.text);
        check_scores(out);
    } while (tl_exec_crew_counts(crew).retired == 0 && tl_clock_s() < until);
    demand(tl_exec_crew_counts(crew).retired == 1, "it is not retired");
    demand(tl_exec_crew_counts(crew).retries == 1, "%d retries", (int)tl_exec_crew_counts(crew).retries);
    demand(tl_reward_set_score(set, items, N, out, NULL, &err), "%s", err.text);
    check_scores(out);
    tl_reward_set_close(&set);
    demand(support_exec_count(mark) == 0, "%d processes are left", support_exec_count(mark));
    check_log();
}

/* Stubborn ones are waited for together: one after the other they would take four seconds each. */
static void run_close(bool interrupted)
{
    enum { WORKERS = 4, MOST = 4 * WORKERS };
    struct tl_err err = {0};
    struct tl_reward_item items[MOST];
    double out[MOST];
    char spec[512];
    snprintf(mark, sizeof mark, "mark-close-%d-%ld", interrupted, (long)getpid());
    snprintf(counter, sizeof counter, "/tmp/tiller-%s", mark);
    snprintf(spec, sizeof spec, "exec:'%s' sigterm idle 1000 %s %s,workers=%d,log=%s.log", EXEC_FAULT,
             counter, mark, WORKERS, counter);
    const char *const specs[] = {spec};
    struct tl_reward_set *set =
        tl_reward_set_open(&(struct tl_reward_set_params){.specs = specs, .n_specs = 1, .raw = true}, &err);
    demand(set, "%s", err.text);
    support_exec_items(items, MOST);
    demand(tl_reward_set_score(set, items, MOST, out, NULL, &err), "%s", err.text);
    if (interrupted) tl_interrupt_request();
    const double begin = tl_clock_s();
    tl_reward_set_close(&set);
    double spent = tl_clock_s() - begin;
    demand(spent < 9, "it took %.1f s", spent);
    demand(support_exec_count(mark) == 0, "%d processes are left", support_exec_count(mark));
    demand(support_exec_folders(getpid()) == 0, "the folder of samples is left");
    check_log();
}

/* ---- all of them ---- */

enum { N_CASES = N_FAULTS * N_PLACES, N_OTHERS = 3 };

static void run_other(int k)
{
    if (k == 0) run_relapse();
    if (k > 0) run_close(k == 2);
}

static int start_case(int k)
{
    fflush(stdout);
    fflush(stderr);
    pid_t pid = fork();
    if (pid != 0) return pid > 0 ? 1 : 0;
    if (k < N_CASES)
        run_case(&faults[k / N_PLACES], k % N_PLACES);
    else
        run_other(k - N_CASES);
    _exit(0);
}

static int end_case(void)
{
    int status;
    assert_true(wait(&status) > 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1;
}

static void test_faults(void **state)
{
    (void)state;
    int running = 0, failed = 0;
    for (int k = 0; k < N_CASES + N_OTHERS; k++) {
        if (running == AT_ONCE) {
            failed += end_case();
            running--;
        }
        running += start_case(k);
    }
    for (; running; running--) failed += end_case();
    assert_int_equal(failed, 0);
}

/* ---- our own end ---- */

/* A batch that hangs, of a program with children, in a process that is killed. */
static void test_killed(void **state)
{
    (void)state;
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    snprintf(mark, sizeof mark, "mark-killed-%ld", (long)getpid());
    snprintf(counter, sizeof counter, "/tmp/tiller-%s", mark);
    pid_t pid = fork();
    if (pid == 0) {
        struct tl_err err = {0};
        struct tl_reward_item items[N];
        support_exec_items(items, N);
        struct tl_reward_set *set = open_case("bomb", "batch", 1000, &err);
        demand(set, "%s", err.text);
        demand(tl_reward_set_submit(set, items, N, &err), "%s", err.text);
        demand(write(ready[1], "x", 1) == 1, "no pipe");
        for (;;) pause();
    }
    char byte;
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    assert_true(support_exec_count(mark) > 0);
    assert_int_equal(support_exec_folders(pid), 1);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_true(support_exec_is_gone(mark, pid));
    check_log();
}

/* A log in which nothing stands is of no use to anybody. */
static void test_empty_log(void **state)
{
    (void)state;
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        const char *const specs[] = {"exec:" EXEC_FAULT};
        struct tl_err err = {0};
        struct tl_reward_set *set = tl_reward_set_open(
            &(struct tl_reward_set_params){.specs = specs, .n_specs = 1, .raw = true}, &err);
        demand(set && write(ready[1], "x", 1) == 1, "%s", err.text);
        for (;;) pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    assert_int_equal(support_exec_logs(pid), 1);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    for (int i = 0; i < 500 && support_exec_logs(pid); i++) usleep(10000);
    assert_int_equal(support_exec_logs(pid), 0);
}

static void ask_to_stop(int number)
{
    (void)number;
    tl_interrupt_request();
}

/* Ctrl-C ends the waiting, not the time-out; and the set can be closed. */
static void test_interrupted(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_reward_item items[N];
    double out[N];
    support_exec_items(items, N);
    snprintf(mark, sizeof mark, "mark-interrupted-%ld", (long)getpid());
    snprintf(counter, sizeof counter, "/tmp/tiller-%s", mark);
    char spec[512];
    snprintf(spec, sizeof spec, "exec:'%s' hang batch 1000 %s %s,timeout=600", EXEC_FAULT, counter, mark);
    const char *const specs[] = {spec};
    struct tl_reward_set *set =
        tl_reward_set_open(&(struct tl_reward_set_params){.specs = specs, .n_specs = 1, .raw = true}, &err);
    if (!set) fail_msg("%s", err.text);
    signal(SIGALRM, ask_to_stop);
    setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {.tv_usec = 300000}}, NULL);
    assert_false(tl_reward_set_score(set, items, N, out, NULL, &err));
    assert_int_equal(err.code, TL_INTERRUPTED);
    tl_interrupt_clear();
    tl_reward_set_close(&set);
    assert_true(support_exec_is_gone(mark, getpid()));
    unlink(counter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_empty_log),
        cmocka_unit_test(test_interrupted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
