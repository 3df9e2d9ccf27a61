/* The process between the caller and the workers. It is forked once, from a process that may have threads,
 * and therefore calls async-signal-safe functions only. It owns the workers' process numbers: only it kills
 * and reaps, so that no signal can reach a number that the system has given away again. */
#include "io/decode_inner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CONTROL = 3 };

static pid_t workers[DECODE_MOST_WORKERS]; /* 0: none */

static void reset_signals(void)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGXFSZ};
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) signal(ignored[i], SIG_IGN);
    sigset_t set;
    sigemptyset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
}

/* Leaves everything of the caller's behind. */
static bool settle(int control)
{
    reset_signals();
    int high = fcntl(control, F_DUPFD, 16); /* should one of 0, 1, 2 have been closed */
    int null = open("/dev/null", O_RDWR);
    if (high < 0 || null < 0) return false;
#ifdef __SANITIZE_ADDRESS__
    enum { STREAMS = 2 }; /* its reports go to the caller's stderr */
#else
    enum { STREAMS = 3 };
#endif
    for (int fd = 0; fd < STREAMS; fd++) {
        if (dup2(null, fd) != fd) return false;
    }
    prctl(PR_SET_NAME, "tiller-decode");
    const struct rlimit none = {0, 0};
    return decode_keep_only(high) && chdir("/") == 0 && setrlimit(RLIMIT_CORE, &none) == 0 &&
           prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

static void start(const struct decode_plan *plan, int slot, int socket)
{
    pid_t self = getpid(), pid = fork();
    if (pid == 0) {
        sigset_t set;
        sigemptyset(&set);
        sigprocmask(SIG_SETMASK, &set, NULL);
        decode_worker(plan, slot, socket, self);
    }
    if (pid > 0) {
        workers[slot] = pid;
    } else {
        struct decode_death death = {.slot = slot, .start_failed = errno};
        decode_send(CONTROL, &death, sizeof death, -1);
    }
}

static void reap(void)
{
    for (int slot = 0; slot < DECODE_MOST_WORKERS; slot++) {
        int status;
        if (workers[slot] == 0 || waitpid(workers[slot], &status, WNOHANG) != workers[slot]) continue;
        workers[slot] = 0;
        struct decode_death death = {.slot = slot, .status = status};
        decode_send(CONTROL, &death, sizeof death, -1);
    }
}

/* False at the end: the pool was closed, or the caller's process is gone. */
static bool serve(const struct decode_plan *plan)
{
    struct decode_request request;
    int socket;
    ssize_t n = decode_receive(CONTROL, &request, sizeof request, 0, &socket);
    if (n != sizeof request || request.slot < 0 || request.slot >= plan->params.n_workers) return false;
    if (request.verb == DECODE_START && socket >= 0 && workers[request.slot] == 0)
        start(plan, request.slot, socket);
    if (request.verb == DECODE_KILL && workers[request.slot] > 0) kill(workers[request.slot], SIGKILL);
    if (socket >= 0) close(socket);
    return true;
}

void decode_keeper(const struct decode_plan *plan, int control)
{
    if (!settle(control)) _exit(1);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int deaths = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (deaths < 0) _exit(1);
    struct pollfd on[2] = {{.fd = CONTROL, .events = POLLIN}, {.fd = deaths, .events = POLLIN}};
    for (;;) {
        if (poll(on, 2, -1) < 0 && errno != EINTR) break;
        struct signalfd_siginfo told;
        while (read(deaths, &told, sizeof told) > 0) {
        }
        reap();
        if (on[0].revents && !serve(plan)) break;
    }
    for (int slot = 0; slot < DECODE_MOST_WORKERS; slot++) {
        if (workers[slot] > 0) kill(workers[slot], SIGKILL);
    }
    while (wait(NULL) > 0 || errno == EINTR) {
    }
    _exit(0);
}
