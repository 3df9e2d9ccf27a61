#include "rewards/exec_crew.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/interrupt.h>
#include <tiller/log.h>

#include "base/clock.h"
#include "rewards/exec_link.h"
#include "rewards/exec_log.h"
#include "rewards/exec_media.h"

enum { MOST_WORKERS = 16, IDLE_END_S = 2 };
static const double slice_s = 0.1; /* how long a wait goes on without looking at anything else */

struct worker {
    struct tl_exec_link link;
    enum { DOWN, STARTING, IDLE, BUSY } state;
    double not_before; /* DOWN */
    double waited_s;   /* STARTING, BUSY: for its answer */
    int failures;      /* in a row */
    bool was_up;       /* it has been welcomed before */

    struct tl_exec_task *task; /* BUSY; NULL: nobody wants the answer any more */
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
    struct worker workers[MOST_WORKERS];
    int n_workers;
    int64_t last_id;
    bool is_opening;
    struct tl_err err; /* while it opens: why it cannot */

    struct tl_exec_log log;
};

/* ---- tasks ---- */

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

/* One that has been out goes before those that have not. */
static void put_back(struct tl_exec_crew *c, struct tl_exec_task *task)
{
    task->next = c->first;
    c->first = task;
    task->state = TL_EXEC_WAITS;
}

static void fail_task(struct tl_exec_task *task, const struct tl_err *why)
{
    task->state = TL_EXEC_FAILED;
    task->err = *why;
}

static double pause_after(int failures)
{
    double pause = 0.1 * pow(4, failures - 1);
    return pause < 30 ? pause : 30;
}

/* A try of the task has come to nothing: once more, or the end. */
static void try_again(struct tl_exec_crew *c, struct tl_exec_task *task, const struct tl_err *why)
{
    task->failures++;
    if (task->failures > c->spec.retries) {
        struct tl_err last = *why;
        if (task->failures > 1) tl_err_add(&last, "tried %d times, the last time", task->failures);
        fail_task(task, &last);
        return;
    }
    c->counts.retries++;
    task->not_before = tl_clock_s() + pause_after(task->failures);
    put_back(c, task);
}

/* ---- workers ---- */

static void forget_request(struct tl_exec_crew *c, struct worker *w)
{
    tl_exec_media_remove(&c->media, w->id, w->n);
    free(w->scores);
    w->scores = NULL;
    w->task = NULL;
    w->n = w->n_scores = 0;
}

/* Ends the process that did wrong. The pause before its next start is the task's, too. */
static void fault(struct tl_exec_crew *c, struct worker *w, const char *did)
{
    struct tl_err why = {0};
    struct tl_exec_task *task = w->task;
    tl_exec_link_end(&w->link, 0); /* first, so that all it had to say is in the log */
    tl_exec_log_tell(&c->log, did, &why);
    if (w->state == BUSY) forget_request(c, w);
    w->state = DOWN;
    w->failures++;
    w->not_before = tl_clock_s() + pause_after(w->failures);
    if (c->is_opening) {
        c->err = why;
        return;
    }
    bool is_last = w->failures > c->spec.retries || (task && task->failures >= c->spec.retries);
    if (!is_last) tl_log(TL_LOG_WARN, "reward exec: %s; it is started again", why.text);
    if (task) try_again(c, task, &why);
    if (w->failures <= c->spec.retries) return;
    /* It does not even come up: whoever waits would wait for ever. */
    tl_err_add(&why, "%d failures in a row, the last", w->failures);
    for (struct tl_exec_task *t; (t = c->first) != NULL;) {
        c->first = t->next;
        fail_task(t, &why);
    }
    w->failures = 0;
}

static void start(struct tl_exec_crew *c, struct worker *w)
{
    struct tl_str hello = {0};
    struct tl_err why = {0};
    tl_exec_hello(&hello);
    bool ok = tl_exec_link_start(&w->link, &c->spec, c->log.fd, c->media.folder, &why) && !hello.failed &&
              tl_exec_link_send(&w->link, hello.data, hello.len, &why);
    tl_str_finish(&hello);
    w->state = STARTING;
    w->waited_s = 0;
    if (w->was_up) c->counts.restarts++;
    if (ok) return;
    if (c->is_opening)
        c->err = why;
    else
        fault(c, w, why.text);
}

static bool send_task(struct tl_exec_crew *c, struct worker *w, struct tl_exec_task *task, struct tl_err *err)
{
    struct tl_str line = {0};
    w->id = ++c->last_id;
    w->n = task->n;
    w->n_scores = task->of_set ? 1 : task->n;
    w->scores = malloc(w->n_scores * sizeof *w->scores);
    bool ok = w->scores || tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && tl_exec_media_write(&c->media, w->id, task->items, task->n, err);
    if (ok)
        tl_exec_request(&line, w->id, task->of_set ? "score_set" : "score", c->media.folder, task->items,
                        task->n);
    ok = ok && (!line.failed || tl_err_set(err, TL_FAIL, "out of memory"));
    if (ok && line.len > TL_EXEC_MOST_LINE)
        ok = tl_err_set(err, TL_USAGE, "%zu samples make a request of more than %d bytes", task->n,
                        TL_EXEC_MOST_LINE);
    ok = ok && tl_exec_link_send(&w->link, line.data, line.len, err);
    tl_str_finish(&line);
    return ok;
}

/* The first task whose time has come goes to this worker. */
static void give_work(struct tl_exec_crew *c, struct worker *w, double now)
{
    struct tl_err why = {0};
    struct tl_exec_task *task = c->first;
    while (task && task->not_before > now) task = task->next;
    if (!task) return;
    unlink_task(c, task);
    if (!send_task(c, w, task, &why)) {
        forget_request(c, w);
        fail_task(task, &why);
        return;
    }
    w->task = task;
    w->state = BUSY;
    w->waited_s = 0;
    task->state = TL_EXEC_OUT;
    c->counts.requests++;
}

/* ---- what workers say ---- */

static bool is_same(const struct tl_exec_about *a, const struct tl_exec_about *b)
{
    return strcmp(a->name, b->name) == 0 && a->image == b->image && a->audio == b->audio &&
           a->score == b->score && a->score_set == b->score_set && a->needs_prompt == b->needs_prompt &&
           a->max_batch == b->max_batch;
}

static bool welcome(struct tl_exec_crew *c, struct worker *w, const char *line, size_t n, struct tl_err *err)
{
    struct tl_exec_about about;
    if (!tl_exec_read_welcome(line, n, &about, err)) return false;
    if (!c->about.name[0]) c->about = about;
    if (!is_same(&about, &c->about))
        return tl_err_set(err, TL_PLUGIN, "says that it is %.100s, not what it was when it was first started",
                          about.name);
    w->state = IDLE;
    w->was_up = true;
    return true;
}

/* The error is about the samples, not about the program: a sample that it names is bad input. */
static void refuse(struct tl_exec_crew *c, struct worker *w, const struct tl_exec_reply *reply)
{
    struct tl_exec_task *task = w->task;
    struct tl_err why = {0};
    tl_err_set(&why, reply->item < 0 || reply->may_retry ? TL_PLUGIN : TL_BAD_INPUT, "the program says: %s",
               reply->text[0] ? reply->text : "an error without a text");
    if (task && reply->item >= 0) tl_reward_item_err(task->items, (size_t)reply->item, &why);
    forget_request(c, w);
    w->state = IDLE;
    if (!task) return;
    if (reply->may_retry)
        try_again(c, task, &why);
    else
        fail_task(task, &why);
}

static bool answer(struct tl_exec_crew *c, struct worker *w, const char *line, size_t n, struct tl_err *err)
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
    forget_request(c, w);
    w->state = IDLE;
    return true;
}

static bool hear(struct tl_exec_crew *c, struct worker *w, const char *line, size_t n, struct tl_err *err)
{
    if (w->state == STARTING) return welcome(c, w, line, n, err);
    if (w->state == BUSY) return answer(c, w, line, n, err);
    return tl_err_set(err, TL_PLUGIN, "wrote to standard output though nothing was asked: '%.100s'", line);
}

static void listen(struct tl_exec_crew *c, struct worker *w)
{
    struct tl_err why = {0}, wrong = {0};
    const char *line;
    size_t n;
    bool ok = true, moved = tl_exec_link_move(&w->link, &why);
    while (ok && (line = tl_exec_link_take(&w->link, &n)) != NULL) ok = hear(c, w, line, n, &wrong);
    if (!ok || !moved) fault(c, w, ok ? why.text : wrong.text);
}

/* ---- a step ---- */

static void count_time(struct tl_exec_crew *c, double waited_s)
{
    char did[120];
    for (int i = 0; i < c->n_workers; i++) {
        struct worker *w = &c->workers[i];
        if (w->state != STARTING && w->state != BUSY) continue;
        double most = w->state == BUSY ? c->spec.timeout_s : c->spec.start_s;
        w->waited_s += waited_s;
        if (w->waited_s < most) continue;
        if (w->state == BUSY)
            snprintf(did, sizeof did, "gave no answer for %zu samples within %g s (timeout=S)", w->n, most);
        else
            snprintf(did, sizeof did, "did not answer the handshake within %g s (start=S)", most);
        fault(c, w, did);
    }
}

/* Until the next thing that happens by itself. */
static double until_next(const struct tl_exec_crew *c, double now, double most)
{
    if (most > slice_s) most = slice_s;
    for (int i = 0; i < c->n_workers; i++) {
        const struct worker *w = &c->workers[i];
        double left = w->state == DOWN   ? w->not_before - now
                      : w->state == BUSY ? c->spec.timeout_s - w->waited_s
                      : w->state == IDLE ? most
                                         : c->spec.start_s - w->waited_s;
        if (left < most) most = left;
    }
    for (const struct tl_exec_task *t = c->first; t; t = t->next)
        if (t->not_before > now && t->not_before - now < most) most = t->not_before - now;
    return most > 0 ? most : 0;
}

static void wait_and_listen(struct tl_exec_crew *c, double seconds)
{
    struct pollfd on[TL_EXEC_LINK_FDS * MOST_WORKERS];
    for (int i = 0; i < c->n_workers; i++) tl_exec_link_fds(&c->workers[i].link, on + TL_EXEC_LINK_FDS * i);
    double begin = tl_clock_s();
    poll(on, (nfds_t)(TL_EXEC_LINK_FDS * c->n_workers), (int)ceil(1e3 * seconds));
    double waited = tl_clock_s() - begin;
    for (int i = 0; i < c->n_workers; i++)
        if (tl_exec_link_is_open(&c->workers[i].link)) listen(c, &c->workers[i]);
    count_time(c, waited);
}

void tl_exec_crew_step(struct tl_exec_crew *c, double seconds)
{
    double now = tl_clock_s();
    for (int i = 0; i < c->n_workers; i++) {
        struct worker *w = &c->workers[i];
        if (w->state == DOWN && w->not_before <= now) start(c, w);
        /* What it may have said since, or its end, belongs in front of the next request. */
        if (w->state == IDLE && c->first) listen(c, w);
        if (w->state == IDLE) give_work(c, w, now);
    }
    wait_and_listen(c, until_next(c, now, seconds));
}

/* ---- life ---- */

static bool all_up(struct tl_exec_crew *c)
{
    for (int i = 0; i < c->n_workers; i++)
        if (c->workers[i].state != IDLE) return false;
    return true;
}

struct tl_exec_crew *tl_exec_crew_open(struct tl_exec_spec *spec, struct tl_err *err)
{
    struct tl_exec_crew *c = calloc(1, sizeof *c);
    if (!c) {
        tl_err_set(err, TL_FAIL, "out of memory");
        tl_exec_spec_finish(spec);
        return NULL;
    }
    *c = (struct tl_exec_crew){.spec = *spec, .n_workers = spec->workers, .is_opening = true}; /* moved */
    *spec = (struct tl_exec_spec){0};
    bool ok = tl_exec_spec_find(&c->spec, err) && tl_exec_media_open(&c->media, err) &&
              tl_exec_log_open(&c->log, c->spec.log, err);
    while (ok && !all_up(c)) {
        ok = tl_interrupt_check("starting a reward's program", err);
        if (ok) tl_exec_crew_step(c, slice_s);
        if (ok && c->err.code) ok = tl_err_set(err, c->err.code, "%s", c->err.text);
    }
    c->is_opening = false;
    if (!ok) tl_exec_crew_close(&c);
    return c;
}

void tl_exec_crew_close(struct tl_exec_crew **crew)
{
    struct tl_exec_crew *c = *crew;
    if (!c) return;
    *crew = NULL;
    for (int i = 0; i < c->n_workers; i++) {
        struct worker *w = &c->workers[i];
        if (w->state == BUSY) forget_request(c, w);
        if (tl_exec_link_is_open(&w->link)) tl_exec_link_end(&w->link, w->state == IDLE ? IDLE_END_S : 0);
    }
    tl_exec_media_close(&c->media);
    tl_exec_log_close(&c->log);
    tl_exec_spec_finish(&c->spec);
    free(c);
}

const struct tl_exec_about *tl_exec_crew_about(const struct tl_exec_crew *c)
{
    return &c->about;
}

const struct tl_exec_spec *tl_exec_crew_spec(const struct tl_exec_crew *c)
{
    return &c->spec;
}

struct tl_exec_counts tl_exec_crew_counts(const struct tl_exec_crew *c)
{
    return c->counts;
}

const char *tl_exec_crew_folder(const struct tl_exec_crew *c)
{
    return c->media.folder;
}
