/* One process of a crew: its start, its request, what it says, and its end when it did wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "base/clock.h"
#include "rewards/exec_crew_parts.h"
#include "rewards/exec_talk.h"

void tl_exec_worker_forget(struct tl_exec_crew *c, struct tl_exec_worker *w)
{
    tl_exec_media_remove(&c->media, w->id, w->n);
    free(w->scores);
    w->scores = NULL;
    w->task = NULL;
    w->n = w->n_scores = 0;
}

/* ---- when it did wrong ---- */

static int count_others(const struct tl_exec_crew *c, const struct tl_exec_worker *w)
{
    int count = 0;
    for (int i = 0; i < c->n_workers; i++)
        count += &c->workers[i] != w && c->workers[i].state != TL_EXEC_RETIRED;
    return count;
}

/* It has failed too often in a row. Without another, whoever waits would wait for ever; whoever comes later
 * may have better luck. */
static void give_up(struct tl_exec_crew *c, struct tl_exec_worker *w, struct tl_err *why)
{
    int left = count_others(c, w), failures = w->failures;
    w->failures = 0;
    if (left) {
        w->state = TL_EXEC_RETIRED;
        c->counts.retired++;
        tl_log(TL_LOG_WARN,
               "reward exec:%s: %s; after %d failures in a row it is not started again: %d of %d are left",
               c->spec.program, why->text, failures, left, c->n_workers);
        return;
    }
    tl_err_add(why, "%d failures in a row, the last", failures);
    tl_exec_tasks_fail_all(c, why);
    for (int i = 0; i < c->n_workers; i++) {
        struct tl_exec_worker *each = &c->workers[i];
        if (each->state == TL_EXEC_RETIRED) each->state = TL_EXEC_DOWN;
        if (each->state == TL_EXEC_DOWN) each->not_before = w->not_before;
    }
}

/* The process is gone. The pause before its next start is its task's, too. */
static void end_fault(struct tl_exec_crew *c, struct tl_exec_worker *w)
{
    struct tl_err why = {0};
    struct tl_exec_task *task = w->task;
    tl_exec_log_tell(&c->log, w->did, &why); /* now that all it had to say is there */
    tl_exec_worker_forget(c, w);
    w->state = TL_EXEC_DOWN;
    w->failures++;
    w->not_before = tl_clock_s() + tl_exec_tasks_pause(w->failures);
    if (c->is_opening) {
        c->err = why;
        return;
    }
    bool is_last = w->failures > c->spec.retries || (task && task->failures >= c->spec.retries);
    if (!is_last) tl_log(TL_LOG_WARN, "reward exec:%s: %s; it is started again", c->spec.program, why.text);
    if (task) tl_exec_tasks_try_again(c, task, &why);
    if (w->failures > c->spec.retries) give_up(c, w, &why);
}

void tl_exec_worker_fault(struct tl_exec_crew *c, struct tl_exec_worker *w, const char *did)
{
    tl_exec_log_copy(w->did, sizeof w->did, did, strlen(did));
    w->state = TL_EXEC_ENDING;
    tl_exec_link_end_begin(&w->link, 0);
    if (tl_exec_link_end_step(&w->link)) end_fault(c, w);
}

/* ---- what it is given ---- */

void tl_exec_worker_start(struct tl_exec_crew *c, struct tl_exec_worker *w)
{
    struct tl_err why = {0};
    bool ok = tl_exec_talk_start(&w->link, &c->spec, &c->log, &c->media, &why);
    w->state = TL_EXEC_STARTING;
    w->waited_s = 0;
    if (w->was_up) c->counts.restarts++;
    if (ok) return;
    if (c->is_opening)
        c->err = why;
    else
        tl_exec_worker_fault(c, w, why.text);
}

static bool send_task(struct tl_exec_crew *c, struct tl_exec_worker *w, struct tl_exec_task *task,
                      struct tl_err *err)
{
    w->id = ++c->last_id;
    w->n = task->n;
    w->n_scores = task->of_set ? 1 : task->n;
    w->scores = malloc(w->n_scores * sizeof *w->scores);
    return (w->scores || tl_err_set(err, TL_FAIL, "out of memory")) &&
           tl_exec_talk_ask(&w->link, &c->media, w->id, task->of_set ? "score_set" : "score", task->items,
                            task->n, err);
}

void tl_exec_worker_give(struct tl_exec_crew *c, struct tl_exec_worker *w, double now)
{
    struct tl_err why = {0};
    struct tl_exec_task *task = tl_exec_tasks_take(c, now);
    if (!task) return;
    if (!send_task(c, w, task, &why)) {
        tl_exec_worker_forget(c, w);
        tl_exec_tasks_fail(task, &why);
        return;
    }
    w->task = task;
    w->state = TL_EXEC_BUSY;
    w->waited_s = 0;
    task->state = TL_EXEC_OUT;
    c->counts.requests++;
}

/* ---- what it says ---- */

static bool is_same(const struct tl_exec_about *a, const struct tl_exec_about *b)
{
    return strcmp(a->name, b->name) == 0 && a->image == b->image && a->audio == b->audio &&
           a->score == b->score && a->score_set == b->score_set && a->needs_prompt == b->needs_prompt &&
           a->max_batch == b->max_batch;
}

static bool welcome(struct tl_exec_crew *c, struct tl_exec_worker *w, const char *line, size_t n,
                    struct tl_err *err)
{
    struct tl_exec_about about;
    if (!tl_exec_read_welcome(line, n, &about, err)) return false;
    if (!c->about.name[0]) c->about = about;
    if (!is_same(&about, &c->about))
        return tl_err_set(err, TL_PLUGIN, "says that it is %.100s, not what it was when it was first started",
                          about.name);
    w->state = TL_EXEC_IDLE;
    w->was_up = true;
    return true;
}

/* The error is about the samples, not about the program: a sample that it names is bad input. */
static void refuse(struct tl_exec_crew *c, struct tl_exec_worker *w, const struct tl_exec_reply *reply)
{
    struct tl_exec_task *task = w->task;
    struct tl_err why = {0};
    tl_err_set(&why, reply->item < 0 || reply->may_retry ? TL_PLUGIN : TL_BAD_INPUT, "the program says: %s",
               reply->text[0] ? reply->text : "an error without a text");
    if (task && reply->item >= 0) tl_reward_item_err(task->items, (size_t)reply->item, &why);
    tl_exec_worker_forget(c, w);
    w->state = TL_EXEC_IDLE;
    if (!task) return;
    if (reply->may_retry)
        tl_exec_tasks_try_again(c, task, &why);
    else
        tl_exec_tasks_fail(task, &why);
}

static bool answer(struct tl_exec_crew *c, struct tl_exec_worker *w, const char *line, size_t n,
                   struct tl_err *err)
{
    struct tl_exec_reply reply;
    if (!tl_exec_read_reply(line, n, w->id, w->n_scores, w->scores, &reply, err)) return false;
    w->failures = 0;
    if (reply.is_error) {
        refuse(c, w, &reply);
        return true;
    }
    if (w->task) {
        memcpy(w->task->scores, w->scores, w->n_scores * sizeof *w->scores);
        w->task->state = TL_EXEC_DONE;
    }
    tl_exec_worker_forget(c, w);
    w->state = TL_EXEC_IDLE;
    return true;
}

static bool hear(struct tl_exec_crew *c, struct tl_exec_worker *w, const char *line, size_t n,
                 struct tl_err *err)
{
    if (w->state == TL_EXEC_STARTING) return welcome(c, w, line, n, err);
    if (w->state == TL_EXEC_BUSY) return answer(c, w, line, n, err);
    return tl_err_set(err, TL_PLUGIN, "wrote to standard output though nothing was asked: '%.100s'", line);
}

void tl_exec_worker_listen(struct tl_exec_crew *c, struct tl_exec_worker *w)
{
    struct tl_err why = {0}, wrong = {0};
    const char *line;
    size_t n;
    if (w->state == TL_EXEC_ENDING) {
        if (tl_exec_link_end_step(&w->link)) end_fault(c, w);
        return;
    }
    bool ok = true, moved = tl_exec_link_move(&w->link, &why);
    while (ok && (line = tl_exec_link_take(&w->link, &n)) != NULL) ok = hear(c, w, line, n, &wrong);
    if (!ok || !moved) tl_exec_worker_fault(c, w, ok ? why.text : wrong.text);
}
