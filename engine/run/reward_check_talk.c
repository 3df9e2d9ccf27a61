#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <tiller/interrupt.h>

#include "base/clock.h"
#include "run/reward_check_parts.h"

bool tl_check_talk_open(struct tl_check_talk *t, const char *arg, struct tl_err *err)
{
    *t = (struct tl_check_talk){0};
    return tl_exec_spec_parse(arg, &t->spec, err) && tl_exec_spec_find(&t->spec, err) &&
           tl_exec_media_open(&t->media, err) && tl_exec_log_open(&t->log, t->spec.log, err);
}

void tl_check_talk_close(struct tl_check_talk *t)
{
    if (tl_exec_link_is_open(&t->link)) tl_exec_link_end(&t->link, 0);
    tl_exec_media_close(&t->media);
    tl_exec_log_close(&t->log);
    tl_exec_spec_finish(&t->spec);
}

/* It did wrong: its end, and what it said. */
static bool fault(struct tl_check_talk *t, const char *did, struct tl_err *err)
{
    tl_exec_link_end(&t->link, 0);
    tl_exec_log_tell(&t->log, did, err);
    return false;
}

/* The next line, valid until the next call; NULL: an error. */
static const char *wait_line(struct tl_check_talk *t, double most_s, const char *setting, size_t *out_n,
                             struct tl_err *err)
{
    const double until = tl_clock_s() + most_s;
    for (;;) {
        struct tl_err why = {0};
        struct pollfd on[TL_EXEC_LINK_FDS];
        char late[120];
        if (!tl_interrupt_check("checking a reward", err)) return NULL;
        bool moved = tl_exec_link_move(&t->link, &why);
        const char *line = tl_exec_link_take(&t->link, out_n);
        if (line) return line;
        double left = until - tl_clock_s();
        if (moved && left <= 0)
            snprintf(late, sizeof late, "gave no answer within %g s (%s)", most_s, setting);
        if (!moved || left <= 0) {
            fault(t, moved ? late : why.text, err);
            return NULL;
        }
        tl_exec_link_fds(&t->link, on);
        poll(on, TL_EXEC_LINK_FDS, left < 0.1 ? (int)ceil(1e3 * left) : 100);
    }
}

bool tl_check_talk_start(struct tl_check_talk *t, struct tl_err *err)
{
    struct tl_err why = {0};
    size_t n;
    if (tl_exec_link_is_open(&t->link)) return true;
    bool ok = tl_exec_talk_start(&t->link, &t->spec, &t->log, &t->media, err);
    const char *line = ok ? wait_line(t, t->spec.start_s, "start=S", &n, err) : NULL;
    return line && (tl_exec_read_welcome(line, n, &t->about, &why) || fault(t, why.text, err));
}

bool tl_check_talk_ask(struct tl_check_talk *t, const char *kind, const struct tl_reward_item *items,
                       size_t n, double *scores, struct tl_exec_reply *out, struct tl_err *err)
{
    struct tl_err why = {0};
    const int64_t id = ++t->last_id;
    size_t n_line, n_scores = strcmp(kind, "score_set") == 0 ? 1 : n;
    bool ok = tl_check_talk_start(t, err) && tl_exec_talk_ask(&t->link, &t->media, id, kind, items, n, err);
    const char *reply = ok ? wait_line(t, t->spec.timeout_s, "timeout=S", &n_line, err) : NULL;
    ok = reply &&
         (tl_exec_read_reply(reply, n_line, id, n_scores, scores, out, &why) || fault(t, why.text, err));
    tl_exec_media_remove(&t->media, id, n);
    return ok;
}

bool tl_check_talk_hang_up(struct tl_check_talk *t, double seconds, struct tl_err *err)
{
    const double begin = tl_clock_s();
    struct tl_err why = {0};
    char did[160];
    tl_exec_link_move(&t->link, &why); /* what it says unasked */
    size_t n = 0;
    const char *line = tl_exec_link_take(&t->link, &n);
    if (line) {
        snprintf(did, sizeof did, "wrote to standard output though nothing was asked: '%.80s'", line);
        return fault(t, did, err);
    }
    close(t->link.process.in);
    t->link.process.in = -1;
    bool ok = tl_exec_process_wait(&t->link.process, seconds - (tl_clock_s() - begin));
    if (!ok) {
        snprintf(did, sizeof did, "has not ended %g s after its standard input did", seconds);
        return fault(t, did, err);
    }
    if (t->link.process.status != 0) {
        tl_exec_process_tell(&t->link.process, did, sizeof did);
        return fault(t, did, err);
    }
    tl_exec_link_end(&t->link, 0);
    return true;
}
