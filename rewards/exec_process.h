/* A foreign program as a child that cannot outlive us: pipes to its standard input and output, its standard
 * error in a file of limited size, and its end.
 *
 * Between us and the program stands a keeper, a small process of ours that owns the program's process number
 * and adopts whatever its descendants leave behind. The program runs in a process group of its own (Ctrl-C
 * does not reach it), with default signals, no descriptors but 0 to 2, no core dumps, a limit on its data
 * where one is given, and as the kernel's first choice when memory runs out. When it ends, or when this
 * process ends in any way (kill -9 too), the keeper kills the group and every descendant that is left, one in
 * a session of its own as well, and then ends. Should the keeper itself be killed, the program is killed by
 * the kernel (PR_SET_PDEATHSIG); only its own children might then go on.
 *
 * Linux. Starting forks, and copies nothing: the keeper gives back what it shares of this process's memory.
 * Not thread-safe. */
#ifndef TL_REWARDS_EXEC_PROCESS_H
#define TL_REWARDS_EXEC_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <tiller/err.h>

struct tl_exec_process_params {
    const char *program; /* the file to run */
    char *const *argv;
    int log;       /* descriptor for standard error, opened for reading and writing */
    size_t memory; /* RLIMIT_DATA in bytes; 0: none */
    /* Removed by the keeper should this process die; NULL: none. */
    const char *folder;
    const char *log_path; /* only where the log is empty */
};

/* A zeroed struct is none. */
struct tl_exec_process {
    pid_t keeper; /* 0: none */
    int in, out;  /* the program's standard input and output; not blocking; in -1 once closed */
    int control;  /* readable when something was told: tl_exec_process_listen */
    bool has_ended;
    int status; /* as waitpid gives it, once it has ended */
    enum { TL_EXEC_RUNS, TL_EXEC_HUNG_UP, TL_EXEC_TERMED, TL_EXEC_KILLED } ending;
    double until; /* that it is waited for before the next step of its ending */
};

/* Returns once the program runs: TL_BAD_INPUT with the reason where the system refuses to run it. */
bool tl_exec_process_start(struct tl_exec_process *p, const struct tl_exec_process_params *params,
                           struct tl_err *err);
/* Takes note of its end, without waiting. */
bool tl_exec_process_listen(struct tl_exec_process *p);
/* Waits for its end, `seconds` at most; true once it has ended. */
bool tl_exec_process_wait(struct tl_exec_process *p, double seconds);
/* Ends it and all it has started: closes its input and waits for `seconds`; then SIGTERM to its group, two
 * seconds, SIGKILL. Nothing of it is left when this returns (but where the system holds a process). */
void tl_exec_process_end(struct tl_exec_process *p, double seconds);
/* The same without waiting, so that several end at a time: begin, then step when `control` is readable or
 * `until` has come, until it says true. To begin again may shorten the time, and else changes nothing. */
void tl_exec_process_end_begin(struct tl_exec_process *p, double seconds);
bool tl_exec_process_end_step(struct tl_exec_process *p);

/* "ended with exit status 3", "was killed by signal 11 (Segmentation fault)". */
void tl_exec_process_tell(const struct tl_exec_process *p, char *out, size_t size);

#endif
