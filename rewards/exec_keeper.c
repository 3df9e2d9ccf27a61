#include "rewards/exec_keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { CONTROL = 3, ERRORS, LOG, KEPT }; /* the keeper's descriptors */
enum { MOST_LOG = 1 << 20, KEPT_LOG = 256 << 10, PATIENCE_MS = 2000 };

struct keeper {
    pid_t program;
    bool is_dead;
    int status;
    bool is_done; /* the caller hangs up on purpose */
    char folder[PATH_MAX], log_path[PATH_MAX];
};

/* ---- settling ---- */

static void reset_signals(bool keeper)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGXFSZ, SIGTTIN, SIGTTOU};
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    for (size_t i = 0; keeper && i < sizeof ignored / sizeof *ignored; i++) signal(ignored[i], SIG_IGN);
}

static void close_from(unsigned first)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, first, ~0u, 0) == 0) return;
#endif
    long most = sysconf(_SC_OPEN_MAX);
    for (int fd = (int)first; fd < (most < 0 ? 65536 : (int)most); fd++) close(fd);
}

/* Brings from[i] to the number first + i; all of them out of the way before. */
static bool arrange(const int *from, int n, int first)
{
    enum { MOST = 4, ABOVE = 64 };
    int high[MOST];
    for (int i = 0; i < n; i++) {
        high[i] = fcntl(from[i], F_DUPFD, ABOVE);
        if (high[i] < 0) return false;
    }
    for (int i = 0; i < n; i++)
        if (dup2(high[i], first + i) != first + i) return false;
    return true;
}

static bool settle(const struct tl_exec_ends *ends, int errors, int log)
{
    const int mine[] = {ends->control, errors, log};
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || !arrange(mine, 3, CONTROL)) return false;
#ifdef __SANITIZE_ADDRESS__
    enum { STREAMS = 2 }; /* its reports go to the caller's stderr */
#else
    enum { STREAMS = 3 };
#endif
    for (int fd = 0; fd < STREAMS; fd++)
        if (dup2(null, fd) != fd) return false;
    close_from(KEPT);
    fcntl(ERRORS, F_SETFL, O_NONBLOCK);
    return true;
}

/* ---- the program ---- */

static void limit(unsigned what, rlim_t most)
{
    struct rlimit now;
    if (getrlimit(what, &now) != 0) return;
    rlim_t value = now.rlim_max < most ? now.rlim_max : most;
    setrlimit(what, &(struct rlimit){value, value});
}

/* The kernel's first choice when memory runs out, before the process that trains. */
static void volunteer(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "800", 3) != 3) errno = 0;
    if (fd >= 0) close(fd);
}

static void become(const struct tl_exec_process_params *params, const struct tl_exec_ends *ends, int errors,
                   int tell, pid_t parent)
{
    const int streams[] = {ends->in, ends->out, errors, tell};
    int why = 0;
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    if (!arrange(streams, 4, 0)) {
        why = errno;
    } else {
        close_from(4);
        tell = 3;
        fcntl(tell, F_SETFD, FD_CLOEXEC);
        reset_signals(false);
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        limit(RLIMIT_CORE, 0);
        if (params->memory) limit(RLIMIT_DATA, params->memory);
        volunteer();
        execve(params->program, params->argv, environ);
        why = errno;
    }
    if (write(tell, &why, sizeof why) != sizeof why) _exit(126);
    _exit(127);
}

/* 0, or why it does not run. */
static int start(struct keeper *k, const struct tl_exec_process_params *params,
                 const struct tl_exec_ends *ends, int errors)
{
    int tell[2], why = 0;
    if (pipe2(tell, O_CLOEXEC) != 0) return errno;
    pid_t self = getpid(), pid = fork();
    if (pid < 0) return errno;
    if (pid == 0) become(params, ends, errors, tell[1], self);
    setpgid(pid, pid); /* whoever comes first */
    k->program = pid;
    close(tell[1]);
    ssize_t n;
    do n = read(tell[0], &why, sizeof why);
    while (n < 0 && errno == EINTR);
    close(tell[0]);
    return n == sizeof why ? why : 0;
}

/* ---- standard error ---- */

/* Of a log that grows too long the end stays. */
static void cut_log(off_t size)
{
    static char kept[KEPT_LOG];
    static const char note[] = "[... what stood here was cut]\n";
    if (size < MOST_LOG) return;
    ssize_t n = pread(LOG, kept, sizeof kept, size - (off_t)sizeof kept);
    if (n > 0 && ftruncate(LOG, 0) == 0 && lseek(LOG, 0, SEEK_SET) == 0 &&
        write(LOG, note, sizeof note - 1) > 0 && write(LOG, kept, (size_t)n) < n)
        errno = 0; /* a full disk: what is missing is missing */
}

/* False at its end. A program that floods it is no reason to listen to nothing else. */
static bool take_errors(void)
{
    static char bytes[65536];
    for (int round = 0; round < 16; round++) {
        ssize_t n = read(ERRORS, bytes, sizeof bytes);
        if (n == 0) return false;
        if (n < 0) return errno == EAGAIN || errno == EINTR;
        off_t size = lseek(LOG, 0, SEEK_END);
        if (size >= 0 && write(LOG, bytes, (size_t)n) > 0) cut_log(size + n);
    }
    return true;
}

/* ---- the end of everything ---- */

/* Reaps whom it adopted. The program itself stays in the table, and with it the group's number. */
static void reap(struct keeper *k)
{
    siginfo_t info = {0};
    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid > 0) {
        if (info.si_pid == k->program) {
            k->is_dead = true;
            return;
        }
        waitpid(info.si_pid, NULL, WNOHANG);
        info.si_pid = 0;
    }
}

/* Ours by birth, or adopted when their parents died: those in sessions of their own, too. */
static void kill_children(void)
{
    char bytes[4096];
    int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    pid_t pid = 0;
    for (ssize_t n; fd >= 0 && (n = read(fd, bytes, sizeof bytes)) > 0;) {
        for (ssize_t i = 0; i < n; i++) {
            if (bytes[i] >= '0' && bytes[i] <= '9') {
                pid = 10 * pid + (bytes[i] - '0');
            } else {
                if (pid > 1) kill(pid, SIGKILL);
                pid = 0;
            }
        }
    }
    if (fd >= 0) close(fd);
}

/* A signal to a whole group misses nobody who is being forked. Who has left the group comes to us as his
 * parents die, so it takes as many rounds as there are generations. */
static void kill_all(struct keeper *k)
{
    pid_t pid;
    kill(-k->program, SIGKILL);
    do {
        int status;
        kill_children();
        take_errors();
        poll(NULL, 0, 1);
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
            if (pid == k->program) k->status = status;
    } while (pid == 0);
    while (poll(&(struct pollfd){.fd = ERRORS, .events = POLLIN}, 1, 0) > 0 && take_errors()) {
    }
}

/* The files of a flat folder, and the folder. */
static void remove_folder(const char *path)
{
    struct entry {
        uint64_t ino;
        int64_t off;
        unsigned short size;
        unsigned char type;
        char name[];
    };
    _Alignas(struct entry) char bytes[8192];
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    for (long n; fd >= 0 && (n = syscall(SYS_getdents64, fd, bytes, sizeof bytes)) > 0;)
        for (long at = 0; at < n; at += ((struct entry *)(bytes + at))->size)
            unlinkat(fd, ((struct entry *)(bytes + at))->name, 0);
    if (fd >= 0) close(fd);
    rmdir(path);
}

/* ---- life ---- */

static void report(int what, int value)
{
    const struct tl_exec_report r = {what, value};
    ssize_t n;
    do n = send(CONTROL, &r, sizeof r, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
}

/* The group, and the program should it have left it. */
static void signal_program(const struct keeper *k, int number)
{
    if (k->is_dead) return;
    kill(-k->program, number);
    kill(k->program, number);
}

/* False once the caller has hung up. */
static bool obey(struct keeper *k)
{
    char verb;
    ssize_t n = recv(CONTROL, &verb, 1, MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) return false;
    if (verb == TL_EXEC_TERM) signal_program(k, SIGTERM);
    if (verb == TL_EXEC_KILL) signal_program(k, SIGKILL);
    if (verb == TL_EXEC_DONE) k->is_done = true;
    return true;
}

/* Until the program has ended. A caller that hangs up before leaves it two seconds. */
static void watch(struct keeper *k, int deaths)
{
    struct pollfd on[] = {{.fd = deaths, .events = POLLIN},
                          {.fd = ERRORS, .events = POLLIN},
                          {.fd = CONTROL, .events = POLLIN}};
    int patience = -1;
    while (!k->is_dead) {
        int n = poll(on, 3, patience);
        if (n == 0) return;
        struct signalfd_siginfo told;
        while (read(deaths, &told, sizeof told) > 0) {
        }
        reap(k);
        if (on[1].fd >= 0 && on[1].revents && !take_errors()) on[1].fd = -1;
        if (on[2].fd < 0 || !on[2].revents || obey(k)) continue;
        on[1].fd = on[2].fd = -1;
        patience = PATIENCE_MS;
        signal_program(k, SIGTERM);
    }
}

static void live(struct keeper *k)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    int deaths = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (deaths >= 0) watch(k, deaths);
    kill_all(k);
    report(TL_EXEC_ENDED, k->status);
    /* It is the caller's turn: to say that it is done, or to be gone. */
    struct pollfd on = {.fd = CONTROL, .events = POLLIN};
    while (poll(&on, 1, -1) < 0 || obey(k)) {
    }
    if (k->is_done) return;
    if (k->folder[0]) remove_folder(k->folder);
    struct stat st;
    if (k->log_path[0] && fstat(LOG, &st) == 0 && st.st_size == 0) unlink(k->log_path);
}

/* "" where there is none, or it is too long. */
static void copy_path(char out[PATH_MAX], const char *path)
{
    size_t n = path ? strlen(path) : 0;
    if (n < PATH_MAX) memcpy(out, path ? path : "", n + 1);
}

void tl_exec_keeper(const struct tl_exec_process_params *params, const struct tl_exec_ends *ends)
{
    struct keeper k = {0};
    int errors[2];
    copy_path(k.folder, params->folder);
    copy_path(k.log_path, params->log_path);
    reset_signals(true);
    setpgid(0, 0); /* whoever kills the caller's group leaves us to clear up */
    prctl(PR_SET_NAME, "tiller-exec");
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_SETMASK, &set, NULL);
    int why = pipe2(errors, O_CLOEXEC) == 0 ? start(&k, params, ends, errors[1]) : errno;
    bool ok = settle(ends, errors[0], params->log);
    if (!ok && !why) why = errno;
    report(TL_EXEC_STARTED, why);
    if (k.program > 0) {
        tl_exec_shed_memory();
        live(&k);
    }
    _exit(0);
}
