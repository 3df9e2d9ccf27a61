/* The process between us and a program; exec_process.h says what for. Forked from a process that may have
 * threads, so it calls async-signal-safe functions only. */
#ifndef TL_REWARDS_EXEC_KEEPER_H
#define TL_REWARDS_EXEC_KEEPER_H

#include <stddef.h>

#include "rewards/exec_process.h"

/* What is told through the control socket, a packet each. */
enum tl_exec_verb {
    TL_EXEC_TERM = 'T', /* SIGTERM to the group */
    TL_EXEC_KILL = 'K', /* SIGKILL to all there is */
    TL_EXEC_DONE = 'D', /* the caller is about to hang up: the folder stays */
};
struct tl_exec_report {
    enum { TL_EXEC_STARTED, TL_EXEC_ENDED } what;
    int value; /* errno or 0; status */
};

/* The keeper's ends of everything. */
struct tl_exec_ends {
    int control, in, out;
};

void tl_exec_keeper(const struct tl_exec_process_params *params, const struct tl_exec_ends *ends)
    __attribute__((noreturn));

/* exec_shed.c: gives back the pages that the fork shares with a caller that goes on to write to them, of
 * everything but this thread's own stack and data. What was allocated before is zeros afterwards. */
void tl_exec_shed_memory(void);

#endif
