/* A crew's steps and its life. */
#include "rewards/exec_crew.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <tiller/interrupt.h>
#include <tiller/log.h>

#include "base/clock.h"
#include "rewards/exec_crew_parts.h"

enum { IDLE_END_S = 2 };
static const double slice_s = 0.1; /* how long a wait goes on without looking at anything else */

/* ---- a step ---- */

static void count_time(struct tl_exec_crew *c, double waited_s)
{
    char did[120];
    for (int i = 0; i < c->n_workers; i++) {
        struct tl_exec_worker *w = &c->workers[i];
        if (w->state != TL_EXEC_STARTING && w->state != TL_EXEC_BUSY) continue;
        double most = w->state == TL_EXEC_BUSY ? c->spec.timeout_s : c->spec.start_s;
        w->waited_s += waited_s;
        if (w->waited_s < most) continue;
        if (w->state == TL_EXEC_BUSY)
            snprintf(did, sizeof did, "gave no answer for %zu samples within %g s (timeout=S)", w->n, most);
        else
            snprintf(did, sizeof did, "did not answer the handshake within %g s (start=S)", most);
        tl_exec_worker_fault(c, w, did);
    }
}

/* Until the next thing that happens by itself. */
static double until_next(const struct tl_exec_crew *c, double now, double most)
{
    if (most > slice_s) most = slice_s;
    for (int i = 0; i < c->n_workers; i++) {
        const struct tl_exec_worker *w = &c->workers[i];
        double left = w->state == TL_EXEC_DOWN       ? w->not_before - now
                      : w->state == TL_EXEC_BUSY     ? c->spec.timeout_s - w->waited_s
                      : w->state == TL_EXEC_STARTING ? c->spec.start_s - w->waited_s
                      : w->state == TL_EXEC_ENDING   ? w->link.process.until - now
                                                     : most;
        if (left < most) most = left;
    }
    for (const struct tl_exec_task *t = c->first; t; t = t->next)
        if (t->not_before > now && t->not_before - now < most) most = t->not_before - now;
    return most > 0 ? most : 0;
}

static void wait_and_listen(struct tl_exec_crew *c, double seconds)
{
    struct pollfd on[TL_EXEC_LINK_FDS * TL_EXEC_MOST_WORKERS];
    for (int i = 0; i < c->n_workers; i++) tl_exec_link_fds(&c->workers[i].link, on + TL_EXEC_LINK_FDS * i);
    double begin = tl_clock_s();
    poll(on, (nfds_t)(TL_EXEC_LINK_FDS * c->n_workers), (int)ceil(1e3 * seconds));
    double waited = tl_clock_s() - begin;
    for (int i = 0; i < c->n_workers; i++)
        if (tl_exec_link_is_open(&c->workers[i].link)) tl_exec_worker_listen(c, &c->workers[i]);
    count_time(c, waited);
}

void tl_exec_crew_step(struct tl_exec_crew *c, double seconds)
{
    double now = tl_clock_s();
    for (int i = 0; i < c->n_workers; i++) {
        struct tl_exec_worker *w = &c->workers[i];
        if (w->state == TL_EXEC_DOWN && w->not_before <= now) tl_exec_worker_start(c, w);
        /* What it may have said since, or its end, belongs in front of the next request. */
        if (w->state == TL_EXEC_IDLE && c->first) tl_exec_worker_listen(c, w);
        if (w->state == TL_EXEC_IDLE) tl_exec_worker_give(c, w, now);
    }
    wait_and_listen(c, until_next(c, now, seconds));
}

/* ---- life ---- */

static bool all_up(struct tl_exec_crew *c)
{
    for (int i = 0; i < c->n_workers; i++)
        if (c->workers[i].state != TL_EXEC_IDLE) return false;
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

/* What a run went through without anybody having to know at the time. */
static void tell_counts(const struct tl_exec_crew *c)
{
    const struct tl_exec_counts *n = &c->counts;
    if (!n->retries && !n->restarts) return;
    tl_log(TL_LOG_WARN,
           "reward exec:%s: of %llu requests %llu were sent again, and the program was restarted %llu time%s",
           c->spec.program, (unsigned long long)n->requests, (unsigned long long)n->retries,
           (unsigned long long)n->restarts, n->restarts == 1 ? "" : "s");
}

void tl_exec_crew_hang_up(struct tl_exec_crew *c)
{
    for (int i = 0; i < c->n_workers; i++) {
        struct tl_exec_worker *w = &c->workers[i];
        if (!tl_exec_link_is_open(&w->link)) continue;
        bool may_finish = w->state == TL_EXEC_IDLE && !tl_interrupted();
        tl_exec_link_end_begin(&w->link, may_finish ? IDLE_END_S : 0);
    }
}

/* All of them at the same time. */
static void end_all(struct tl_exec_crew *c)
{
    tl_exec_crew_hang_up(c);
    for (;;) {
        struct pollfd on[TL_EXEC_LINK_FDS * TL_EXEC_MOST_WORKERS];
        nfds_t n = 0;
        double next = slice_s;
        for (int i = 0; i < c->n_workers; i++) {
            struct tl_exec_link *link = &c->workers[i].link;
            if (!tl_exec_link_is_open(link) || tl_exec_link_end_step(link)) continue;
            next = fmin(next, link->process.until - tl_clock_s());
            tl_exec_link_fds(link, on + n);
            n += TL_EXEC_LINK_FDS;
        }
        if (n == 0) return;
        poll(on, n, next > 0 ? (int)ceil(1e3 * next) : 0);
        if (tl_interrupted()) tl_exec_crew_hang_up(c); /* whoever waits has no more time */
    }
}

void tl_exec_crew_close(struct tl_exec_crew **crew)
{
    struct tl_exec_crew *c = *crew;
    if (!c) return;
    *crew = NULL;
    end_all(c);
    tell_counts(c);
    for (int i = 0; i < c->n_workers; i++) tl_exec_worker_forget(c, &c->workers[i]);
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
