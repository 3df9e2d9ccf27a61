/* The inside of a crew, for exec_crew.c (its life, its steps), exec_worker.c (one process) and exec_tasks.c
 * (requests) only. */
#ifndef TL_REWARDS_EXEC_CREW_PARTS_H
#define TL_REWARDS_EXEC_CREW_PARTS_H

#include "rewards/exec_crew.h"
#include "rewards/exec_link.h"
#include "rewards/exec_log.h"
#include "rewards/exec_media.h"

enum { TL_EXEC_MOST_WORKERS = 16 };

struct tl_exec_worker {
    struct tl_exec_link link;
    enum {
        TL_EXEC_DOWN, /* to be started */
        TL_EXEC_STARTING,
        TL_EXEC_IDLE,
        TL_EXEC_BUSY,
        TL_EXEC_ENDING,  /* it did wrong; its request is still its */
        TL_EXEC_RETIRED, /* not started again as long as another is left */
    } state;
    double not_before; /* DOWN */
    double waited_s;   /* STARTING, BUSY: for its answer */
    int failures;      /* in a row */
    bool was_up;       /* it has been welcomed before */
    char did[320];     /* ENDING: what it did wrong */

    struct tl_exec_task *task; /* BUSY, ENDING; NULL: nobody wants the answer any more */
    int64_t id;
    size_t n, n_scores;
    double *scores; /* [n_scores]; owns */
};

struct tl_exec_crew {
    struct tl_exec_spec spec;
    struct tl_exec_media media;
    struct tl_exec_about about; /* name empty until the first welcome */
    struct tl_exec_counts counts;
    struct tl_exec_task *first; /* those that wait */
    struct tl_exec_worker workers[TL_EXEC_MOST_WORKERS];
    int n_workers;
    int64_t last_id;
    bool is_opening;
    struct tl_err err; /* while it opens: why it cannot */

    struct tl_exec_log log;
};

/* ---- exec_tasks.c ---- */

/* The first whose time has come, out of the queue; NULL: none. */
struct tl_exec_task *tl_exec_tasks_take(struct tl_exec_crew *c, double now);
void tl_exec_tasks_fail(struct tl_exec_task *task, const struct tl_err *why);
void tl_exec_tasks_fail_all(struct tl_exec_crew *c, const struct tl_err *why);
/* A try of the task has come to nothing: once more, or the end. */
void tl_exec_tasks_try_again(struct tl_exec_crew *c, struct tl_exec_task *task, const struct tl_err *why);
/* Seconds, after so many failures in a row. */
double tl_exec_tasks_pause(int failures);

/* ---- exec_worker.c ---- */

void tl_exec_worker_start(struct tl_exec_crew *c, struct tl_exec_worker *w);
/* The first task whose time has come goes to this idle worker. */
void tl_exec_worker_give(struct tl_exec_crew *c, struct tl_exec_worker *w, double now);
/* Hears what an open one says, or looks whether one that ends has ended. */
void tl_exec_worker_listen(struct tl_exec_crew *c, struct tl_exec_worker *w);
/* It did wrong: its end begins. */
void tl_exec_worker_fault(struct tl_exec_crew *c, struct tl_exec_worker *w, const char *did);
void tl_exec_worker_forget(struct tl_exec_crew *c, struct tl_exec_worker *w);

#endif
