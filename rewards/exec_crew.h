/* Programs at work: one or several processes of one command, and requests that wait for them.
 *
 * A request goes to whichever process is free. A process that breaks the protocol, dies or takes too long is
 * ended and started again after a pause that grows (0.1, 0.4, 1.6 ... 30 s), and its request is sent anew, as
 * often as the spec's `retries` say; then the request has failed, with TL_PLUGIN and the last reason. A
 * process that fails more often than that in a row is retired, and only when none is left has everything
 * failed. Time counts only while somebody waits in tl_exec_crew_step. All in the caller's thread. */
#ifndef TL_REWARDS_EXEC_CREW_H
#define TL_REWARDS_EXEC_CREW_H

#include "rewards/exec_protocol.h"
#include "rewards/exec_spec.h"

/* A request. The caller owns it, and keeps it and its items alive while it is in the crew. */
struct tl_exec_task {
    const struct tl_reward_item *items;
    size_t n;
    bool of_set;    /* one score for all */
    double *scores; /* [n], or [1] of a set; written when it is done */
    enum { TL_EXEC_WAITS, TL_EXEC_OUT, TL_EXEC_DONE, TL_EXEC_FAILED } state;
    struct tl_err err; /* where it has failed */

    int failures; /* the crew's own from here on */
    double not_before;
    struct tl_exec_task *next;
};

struct tl_exec_crew;

/* What happened so far. */
struct tl_exec_counts {
    uint64_t requests, retries, restarts, retired;
};

/* Starts the processes and waits until each has said what it is; each must say the same. The first that does
 * not is TL_PLUGIN, without a second try; TL_USAGE and TL_BAD_INPUT where it cannot be run. spec is copied
 * from (moved, left empty), on failure too. */
struct tl_exec_crew *tl_exec_crew_open(struct tl_exec_spec *spec, struct tl_err *err);
/* Idle processes have two seconds to end when their input does; busy ones, and all after an interrupt, get
 * SIGTERM at once, and two seconds more. That is for all together. What had to be tried again is logged. */
void tl_exec_crew_close(struct tl_exec_crew **crew);
/* Begins with that: closing is all that may follow. */
void tl_exec_crew_hang_up(struct tl_exec_crew *crew);

const struct tl_exec_about *tl_exec_crew_about(const struct tl_exec_crew *crew);
const struct tl_exec_spec *tl_exec_crew_spec(const struct tl_exec_crew *crew);
struct tl_exec_counts tl_exec_crew_counts(const struct tl_exec_crew *crew);
const char *tl_exec_crew_folder(const struct tl_exec_crew *crew); /* where samples lie */

/* Tasks go out in the order in which they came. One that is removed while it is out is answered for nothing.
 */
void tl_exec_crew_add(struct tl_exec_crew *crew, struct tl_exec_task *task);
void tl_exec_crew_remove(struct tl_exec_crew *crew, struct tl_exec_task *task);

/* Does what can be done now, and waits for more, `seconds` at most. */
void tl_exec_crew_step(struct tl_exec_crew *crew, double seconds);

#endif
