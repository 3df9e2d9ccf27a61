#include "rewards/exec_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "rewards/exec_keeper.h"

enum { TERM_S = 2, KILL_S = 2, PIPE_BYTES = 1 << 20 };

/* ---- starting ---- */

static void close_all(int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (fds[i] >= 0) close(fds[i]);
        fds[i] = -1;
    }
}

/* fds: our and the keeper's end of the control, of the input, of the output. */
static bool open_ends(int fds[6])
{
    int pair[2];
    for (int i = 0; i < 6; i++) fds[i] = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) return false;
    if (pipe2(pair, O_CLOEXEC) != 0) return false;
    fds[2] = pair[1];
    fds[3] = pair[0];
    if (pipe2(fds + 4, O_CLOEXEC) != 0) return false;
    for (int i = 2; i <= 4; i += 2) {
        fcntl(fds[i], F_SETPIPE_SZ, PIPE_BYTES); /* a whole message, where the system allows it */
        if (fcntl(fds[i], F_SETFL, O_NONBLOCK) != 0) return false;
    }
    return true;
}

/* No signal may find the child before it has put the caller's handlers away. */
static pid_t fork_keeper(const struct tl_exec_process_params *params, const struct tl_exec_ends *ends)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pid_t pid = fork();
    if (pid == 0) tl_exec_keeper(params, ends);
    int why = errno;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = why;
    return pid;
}

static ssize_t receive(int control, struct tl_exec_report *out, int flags)
{
    ssize_t n;
    do n = recv(control, out, sizeof *out, flags);
    while (n < 0 && errno == EINTR);
    return n;
}

static void bury_keeper(struct tl_exec_process *p)
{
    const double until = tl_clock_s() + KILL_S;
    while (waitpid(p->keeper, NULL, WNOHANG) == 0 && tl_clock_s() < until) poll(NULL, 0, 5);
}

/* The first report, or none where the keeper came to nothing. */
static bool await_start(struct tl_exec_process *p, const char *program, struct tl_err *err)
{
    struct tl_exec_report report;
    int why = ECHILD;
    if (receive(p->control, &report, 0) == (ssize_t)sizeof report) why = report.value;
    if (why == 0) return true;
    const char *advice = why == ENOEXEC  ? "; it has no '#!' line that says who reads it"
                         : why == ENOENT ? "; the program that its '#!' line names is missing"
                         : why == ECHILD ? "; is the machine out of memory?"
                                         : "";
    tl_err_set(err, TL_BAD_INPUT, "%s cannot be run: %s%s", program, strerror(why), advice);
    tl_exec_process_end(p, 0);
    return false;
}

bool tl_exec_process_start(struct tl_exec_process *p, const struct tl_exec_process_params *params,
                           struct tl_err *err)
{
    int fds[6];
    *p = (struct tl_exec_process){0};
    pid_t keeper = -1;
    if (open_ends(fds)) {
        const struct tl_exec_ends ends = {fds[1], fds[3], fds[5]};
        keeper = fork_keeper(params, &ends);
    }
    int why = errno;
    if (keeper < 0) {
        close_all(fds, 6);
        return tl_err_set(err, TL_FAIL, "cannot start %s: %s", params->program, strerror(why));
    }
    *p = (struct tl_exec_process){.keeper = keeper, .control = fds[0], .in = fds[2], .out = fds[4]};
    close(fds[1]);
    close(fds[3]);
    close(fds[5]);
    return await_start(p, params->program, err);
}

/* ---- the end ---- */

bool tl_exec_process_listen(struct tl_exec_process *p)
{
    struct tl_exec_report report;
    if (p->has_ended) return true;
    ssize_t n = receive(p->control, &report, MSG_DONTWAIT);
    if (n < 0) return false;
    p->has_ended = n == 0 || report.what == TL_EXEC_ENDED;
    p->status = n == 0 ? SIGKILL : report.value; /* a keeper that is gone took the program with it */
    return p->has_ended;
}

bool tl_exec_process_wait(struct tl_exec_process *p, double seconds)
{
    const double until = tl_clock_s() + seconds;
    while (!tl_exec_process_listen(p)) {
        double left = until - tl_clock_s();
        if (!(left > 0)) return false;
        struct pollfd on = {.fd = p->control, .events = POLLIN};
        poll(&on, 1, left < 1 ? (int)(1e3 * left) + 1 : 1000);
    }
    return true;
}

static void say(const struct tl_exec_process *p, char verb)
{
    ssize_t sent;
    do sent = send(p->control, &verb, 1, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
}

void tl_exec_process_end_begin(struct tl_exec_process *p, double seconds)
{
    const double until = tl_clock_s() + seconds;
    if (!p->keeper) return;
    if (p->in >= 0) close(p->in);
    p->in = -1;
    if (p->ending > TL_EXEC_HUNG_UP || (p->ending == TL_EXEC_HUNG_UP && p->until <= until)) return;
    p->ending = TL_EXEC_HUNG_UP;
    p->until = until;
    tl_exec_process_end_step(p);
}

static void let_go(struct tl_exec_process *p)
{
    say(p, TL_EXEC_DONE);
    close(p->control);
    close(p->out);
    bury_keeper(p);
    p->keeper = 0;
}

bool tl_exec_process_end_step(struct tl_exec_process *p)
{
    if (!p->keeper) return true;
    if (!tl_exec_process_listen(p)) {
        const double now = tl_clock_s();
        if (now < p->until) return false;
        if (p->ending != TL_EXEC_KILLED) {
            say(p, p->ending == TL_EXEC_HUNG_UP ? TL_EXEC_TERM : TL_EXEC_KILL);
            p->until = now + (p->ending == TL_EXEC_HUNG_UP ? TERM_S : KILL_S);
            p->ending++;
            return false;
        }
    }
    let_go(p);
    return true;
}

void tl_exec_process_end(struct tl_exec_process *p, double seconds)
{
    tl_exec_process_end_begin(p, seconds);
    while (!tl_exec_process_end_step(p)) tl_exec_process_wait(p, p->until - tl_clock_s());
}

void tl_exec_process_tell(const struct tl_exec_process *p, char *out, size_t size)
{
    if (!p->has_ended)
        snprintf(out, size, "is still running");
    else if (WIFSIGNALED(p->status))
        snprintf(out, size, "was killed by signal %d (%s)%s", WTERMSIG(p->status),
                 strsignal(WTERMSIG(p->status)),
                 WTERMSIG(p->status) == SIGKILL ? "; is the machine out of memory?" : "");
    else
        snprintf(out, size, "ended with exit status %d", WEXITSTATUS(p->status));
}
