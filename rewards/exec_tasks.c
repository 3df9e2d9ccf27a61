/* Requests that wait, in the order in which they go out. */
#include <math.h>

#include "base/clock.h"
#include "rewards/exec_crew_parts.h"

void tl_exec_crew_add(struct tl_exec_crew *c, struct tl_exec_task *task)
{
    struct tl_exec_task **at = &c->first;
    while (*at) at = &(*at)->next;
    *at = task;
    task->next = NULL;
    task->state = TL_EXEC_WAITS;
}

static void unlink_task(struct tl_exec_crew *c, const struct tl_exec_task *task)
{
    for (struct tl_exec_task **at = &c->first; *at; at = &(*at)->next) {
        if (*at != task) continue;
        *at = task->next;
        return;
    }
}

void tl_exec_crew_remove(struct tl_exec_crew *c, struct tl_exec_task *task)
{
    unlink_task(c, task);
    for (int i = 0; i < c->n_workers; i++)
        if (c->workers[i].task == task) c->workers[i].task = NULL;
}

struct tl_exec_task *tl_exec_tasks_take(struct tl_exec_crew *c, double now)
{
    struct tl_exec_task *task = c->first;
    while (task && task->not_before > now) task = task->next;
    if (task) unlink_task(c, task);
    return task;
}

/* One that has been out goes before those that have not. */
static void put_back(struct tl_exec_crew *c, struct tl_exec_task *task)
{
    task->next = c->first;
    c->first = task;
    task->state = TL_EXEC_WAITS;
}

void tl_exec_tasks_fail(struct tl_exec_task *task, const struct tl_err *why)
{
    task->state = TL_EXEC_FAILED;
    task->err = *why;
}

void tl_exec_tasks_fail_all(struct tl_exec_crew *c, const struct tl_err *why)
{
    for (struct tl_exec_task *task; (task = c->first) != NULL;) {
        c->first = task->next;
        tl_exec_tasks_fail(task, why);
    }
}

double tl_exec_tasks_pause(int failures)
{
    double pause = 0.1 * pow(4, failures - 1);
    return pause < 30 ? pause : 30;
}

void tl_exec_tasks_try_again(struct tl_exec_crew *c, struct tl_exec_task *task, const struct tl_err *why)
{
    task->failures++;
    if (task->failures > c->spec.retries) {
        struct tl_err last = *why;
        if (task->failures > 1) tl_err_add(&last, "tried %d times, the last time", task->failures);
        tl_exec_tasks_fail(task, &last);
        return;
    }
    c->counts.retries++;
    task->not_before = tl_clock_s() + tl_exec_tasks_pause(task->failures);
    put_back(c, task);
}
