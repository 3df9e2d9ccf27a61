/* Workers that crash, hang, take too much memory or are killed. What happens to a picture goes by its name.
 */
#include "io/decode_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "io/file.h"
#include "io/support_decode.h"
#include "io/support_io.h"

/* A failed malloc gives NULL under the sanitizer too, as the decoders expect. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

/* Shared with the workers. */
static struct {
    atomic_int pid, n_tries;
} * shared;

static atomic_bool is_over;

static void check_limits(void)
{
    static const struct {
        int what;
        rlim_t most;
    } rows[] = {{RLIMIT_CORE, 0}, {RLIMIT_FSIZE, 0}, {RLIMIT_NPROC, 0}, {RLIMIT_NOFILE, 8}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rlimit now;
        if (getrlimit(rows[i].what, &now) != 0 || now.rlim_max > rows[i].most) _exit(10 + (int)i);
    }
    int n = 0;
    for (int fd = 0; fd < 100; fd++) n += fcntl(fd, F_GETFD) >= 0;
    if (n > 5) _exit(20); /* streams, socket, the picture */
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) _exit(21);
    int death = 0;
    if (prctl(PR_GET_PDEATHSIG, &death) != 0 || death != SIGKILL) _exit(22);
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) raise(ignored[i]);
}

/* Once a worker has decoded, it can open nothing and reach nobody. */
static void check_filter(void)
{
#if (defined __x86_64__ || defined __aarch64__) && !defined __SANITIZE_ADDRESS__
    if (open("/dev/null", O_RDONLY) >= 0 || errno != EPERM) _exit(30);
    if (socket(AF_UNIX, SOCK_STREAM, 0) >= 0 || errno != EPERM) _exit(31);
    if (kill(1, 0) == 0 || errno != EPERM) _exit(32);
    if (fork() >= 0) _exit(33);
#endif
}

/* Until not even a little is left; kept. */
static void take_all_memory(void)
{
    for (size_t n = 1 << 20; n >= 16; n /= 2) {
        for (volatile char *p; (p = malloc(n)) != NULL;) *p = 1;
    }
}

static void before(void *user, const char *path)
{
    (void)user;
    const char *name = tl_path_base(path);
    shared->n_tries++;
    if (strstr(name, "limits")) check_limits();
    if (strstr(name, "filter")) check_filter();
    if (strstr(name, "crash")) {
        signal(SIGSEGV, SIG_DFL);
        raise(SIGSEGV);
    }
    if (strstr(name, "abort")) {
        signal(SIGABRT, SIG_DFL);
        abort();
    }
    if (strstr(name, "exit")) _exit(5);
    if (strstr(name, "hang")) {
        for (;;) pause();
    }
    if (strstr(name, "hog")) take_all_memory();
    bool is_victim = strstr(name, "victim"), is_unlucky = strstr(name, "unlucky") && shared->n_tries == 1;
    if (is_victim || is_unlucky) {
        shared->pid = getpid();
        for (;;) pause();
    }
}

static const struct timespec a_moment = {0, 1000000};

/* Kills whoever stands in shared->pid. */
static void *killer(void *user)
{
    (void)user;
    while (!is_over) {
        int pid = atomic_exchange(&shared->pid, 0);
        if (pid > 0) kill(pid, SIGKILL);
        nanosleep(&a_moment, NULL);
    }
    return NULL;
}

static const char *put(const char *name)
{
    return io_put_text(name, "P5 2 1 255\n\1\2");
}

static const struct tl_image good = {2, 1, 3, (uint8_t *)"\1\1\1\2\2\2"};

/* Bad ones between good ones, each told by its reason; the same with one worker and with three. */
static void test_faults(void **state)
{
    (void)state;
    static const struct {
        const char *name, *reason;
    } rows[] = {
        {"0.pgm", NULL},
        {"crash.pgm", "crash.pgm: the decoder crashed (signal 11)"},
        {"1.pgm", NULL},
        {"abort.pgm", "abort.pgm: the decoder crashed (signal 6)"},
        {"exit.pgm", "exit.pgm: the decoder ended (exit status 5)"},
        {"hog.pgm", "hog.pgm: decoding needs more memory than 64 MiB"},
        {"2.pgm", NULL},
        {"crash2.pgm", "crash2.pgm: the decoder crashed (signal 11)"},
        {"3.pgm", NULL},
    };
    enum { N = sizeof rows / sizeof *rows };
    struct decode_case *c = decode_case_new(N);
    for (int i = 0; i < N; i++) decode_case_add(c, put(rows[i].name), TL_DECODE_PIXELS, 0, 0);
    for (int workers = 1; workers <= 3; workers += 2) {
        struct tl_decode_params params = {.n_workers = workers, .most_memory = 64 << 20, .before = before};
        decode_case_run(c, &params);
        for (size_t i = 0; i < N; i++) {
            if (rows[i].reason) {
                decode_case_fails(c, i, rows[i].reason);
            } else {
                decode_case_is(c, i, &good);
            }
        }
    }
    decode_case_free(c);
}

static void test_limits(void **state)
{
    (void)state;
    struct decode_case *c = decode_case_new(2);
    decode_case_add(c, put("limits.pgm"), TL_DECODE_PIXELS, 0, 0);
    decode_case_add(c, put("filter.pgm"), TL_DECODE_PIXELS, 0, 0);
    decode_case_run(c, &(struct tl_decode_params){.n_workers = 1, .before = before});
    decode_case_is(c, 0, &good);
    decode_case_is(c, 1, &good);
    decode_case_free(c);
}

static void test_hang(void **state)
{
    (void)state;
    struct decode_case *c = decode_case_new(4);
    for (int i = 0; i < 4; i++)
        decode_case_add(c, put(i % 2 ? "good.pgm" : "hang.pgm"), TL_DECODE_PIXELS, 0, 0);
    decode_case_run(c, &(struct tl_decode_params){.n_workers = 2, .most_seconds = 1.5, .before = before});
    for (size_t i = 0; i < 4; i++) {
        if (i % 2) {
            decode_case_is(c, i, &good);
        } else {
            decode_case_fails(c, i, "hang.pgm: decoding took longer than 1.5 s");
        }
    }
    decode_case_free(c);
}

/* A real picture of 48 MB. */
static void test_memory(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_image large;
    check_ok(tl_image_init(&large, 4000, 4000, 3, &err), &err);
    check_ok(tl_image_save_png(io_path("large.png"), &large, NULL, 0, &err), &err);
    struct decode_case *c = decode_case_new(2);
    decode_case_add(c, put("small.pgm"), TL_DECODE_PIXELS, 0, 0);
    decode_case_add(c, io_path("large.png"), TL_DECODE_PIXELS, 0, 0);
    decode_case_run(c, &(struct tl_decode_params){.n_workers = 1, .most_memory = 32 << 20});
    decode_case_is(c, 0, &good);
    decode_case_fails(c, 1, "large.png: decoding needs more memory than 32 MiB");
    decode_case_run(c, &(struct tl_decode_params){.n_workers = 1, .most_memory = 64 << 20});
    decode_case_is(c, 1, &large);
    tl_image_finish(&large);
    decode_case_free(c);
}

/* Killed from outside once, a worker costs nothing; killed over the same picture again, it costs that. */
static void test_killed(void **state)
{
    (void)state;
    struct decode_case *c = decode_case_new(2);
    shared->n_tries = 0;
    decode_case_add(c, put("unlucky.pgm"), TL_DECODE_PIXELS, 0, 0);
    decode_case_add(c, put("victim.pgm"), TL_DECODE_PIXELS, 0, 0);
    decode_case_run(c, &(struct tl_decode_params){.n_workers = 1, .before = before});
    decode_case_is(c, 0, &good);
    decode_case_fails(c, 1, "victim.pgm: the decoder was killed (signal 9)");
    assert_int_equal(shared->n_tries, 4);
    decode_case_free(c);
}

static bool no_take(void *user, size_t i, struct tl_image *image, const struct tl_err *error)
{
    (void)user;
    (void)i;
    (void)image;
    (void)error;
    return true;
}

/* The keeper ended: an error, and no hanging. */
static void test_keeper_killed(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_decode_pool *pool = tl_decode_pool_open(&(struct tl_decode_params){.n_workers = 2}, &err);
    check_ok(pool != NULL, &err);
    struct tl_decode_job jobs[3];
    for (int i = 0; i < 3; i++) jobs[i] = (struct tl_decode_job){.path = put("0.pgm")};
    check_ok(tl_decode_pool_run(pool, jobs, 3, no_take, NULL, &err), &err);
    char path[64], pids[64] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    int fd = open(path, O_RDONLY);
    if (fd >= 0) {
        assert_true(read(fd, pids, sizeof pids - 1) >= 0);
        close(fd);
    }
    if (atoi(pids) > 0) {
        kill(atoi(pids), SIGKILL);
        siginfo_t info; /* its end is waited for, and left for the pool to see */
        assert_int_equal(waitid(P_PID, (id_t)atoi(pids), &info, WEXITED | WNOWAIT), 0);
        for (int turn = 0; turn < 2; turn++) {
            check_fails(tl_decode_pool_run(pool, jobs, 3, no_take, NULL, &err), &err, TL_FAIL,
                        "keeps the decoders has ended");
        }
    }
    tl_decode_pool_close(&pool);
    assert_true(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
}

/* The process that has the pool is killed in the middle: keeper and workers end by themselves. */
static void test_owner_killed(void **state)
{
    (void)state;
    const char *path = put("hang.pgm");
    shared->n_tries = 0;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    pid_t owner = fork();
    assert_true(owner >= 0);
    if (owner == 0) {
        struct tl_decode_job jobs[2] = {{.path = path}, {.path = path}};
        struct tl_decode_pool *pool =
            tl_decode_pool_open(&(struct tl_decode_params){.n_workers = 2, .before = before}, NULL);
        if (pool) tl_decode_pool_run(pool, jobs, 2, no_take, NULL, NULL);
        _exit(1);
    }
    while (shared->n_tries < 2) nanosleep(&a_moment, NULL);
    kill(owner, SIGKILL);
    int n = 0;
    while (waitpid(-1, NULL, 0) > 0) n++; /* all come here, and all have ended */
    assert_int_equal(errno, ECHILD);
    assert_true(n >= 2); /* the owner and the keeper, which reaps its own unless it ends first */
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
}

int main(void)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return 1;
    pthread_t thread;
    if (pthread_create(&thread, NULL, killer, NULL) != 0) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults),       cmocka_unit_test(test_limits),
        cmocka_unit_test(test_hang),         cmocka_unit_test(test_memory),
        cmocka_unit_test(test_killed),       cmocka_unit_test(test_keeper_killed),
        cmocka_unit_test(test_owner_killed),
    };
    int n_failed = cmocka_run_group_tests(tests, io_setup, io_teardown);
    is_over = true;
    pthread_join(thread, NULL);
    munmap(shared, sizeof *shared);
    return n_failed;
}
