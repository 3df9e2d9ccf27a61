#include "run/progress.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "io/utf8.h"

static const double FADE_S = 30; /* the rate tells of about so many seconds */

static double now_s(const struct tl_progress_meter *m)
{
    return m->clock ? m->clock() : tl_clock_s();
}

static void report(struct tl_progress_meter *m, double now, const char *health)
{
    m->last_report = now;
    if (!m->fn) return;
    double rate = m->sum_time > 0 ? m->sum_done / m->sum_time : 0;
    struct tl_progress p = {.phase = m->phase,
                            .done = m->done,
                            .total = m->total,
                            .unit = m->unit ? m->unit : "",
                            .rate = rate,
                            .seconds_left = -1,
                            .health = health ? health : ""};
    if (m->total > 0 && m->done >= m->total) {
        p.seconds_left = 0;
    } else if (m->total > 0 && rate > 0) {
        p.seconds_left = (double)(m->total - m->done) / rate;
    }
    m->fn(m->user, &p);
}

void tl_progress_begin(struct tl_progress_meter *m, int64_t done)
{
    m->done = done;
    m->sum_done = m->sum_time = 0;
    m->last_time = now_s(m);
    report(m, m->last_time, NULL);
}

/* Units and seconds fade together, so their ratio is right from the first advance on. */
void tl_progress_advance(struct tl_progress_meter *m, int64_t done, const char *health)
{
    double now = now_s(m), passed = now - m->last_time;
    if (done > m->done && passed > 0) {
        double keep = exp(-passed / FADE_S);
        m->sum_done = m->sum_done * keep + (double)(done - m->done);
        m->sum_time = m->sum_time * keep + passed;
        m->last_time = now;
        m->done = done;
    } else if (done > m->done) { /* within one tick of the clock */
        m->sum_done += (double)(done - m->done);
        m->done = done;
    }
    bool is_last = m->total > 0 && m->done >= m->total;
    if (is_last || now - m->last_report >= (m->interval_s > 0 ? m->interval_s : 0.2)) report(m, now, health);
}

/* "0:07", "12:30", "3:00:10", "2 d 4 h" */
static void time_text(double seconds, char *out, size_t size)
{
    if (seconds > 1e9) seconds = 1e9;
    long long s = llround(seconds);
    if (s < 3600) {
        snprintf(out, size, "%lld:%02lld", s / 60, s % 60);
    } else if (s < 86400) {
        snprintf(out, size, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    } else {
        snprintf(out, size, "%lld d %lld h", s / 86400, s / 3600 % 24);
    }
}

/* "3.1 images/s"; slow ones "12 s each". */
static void rate_text(const struct tl_progress *p, char *out, size_t size)
{
    if (p->rate < 0.5) {
        double each = 1 / p->rate;
        snprintf(out, size, each < 10 ? "%.1f s each" : "%.0f s each", each);
    } else {
        snprintf(out, size, p->rate < 100 ? "%.1f %.40s/s" : "%.0f %.40s/s", p->rate,
                 p->unit[0] ? p->unit : "units");
    }
}

struct line {
    char *out;
    size_t size, used;
};

static void add(struct line *l, const char *before, const char *text)
{
    if (!*text || l->used + 1 >= l->size) return;
    int n = snprintf(l->out + l->used, l->size - l->used, "%s%s", before, text);
    if (n > 0) l->used += (size_t)n;
    if (l->used >= l->size) l->used = l->size - 1;
}

char *tl_progress_line(const struct tl_progress *p, char *out, size_t size)
{
    char text[96];
    struct line l = {out, size, 0};
    if (!size) return out;
    out[0] = 0;
    add(&l, "", p->phase);
    snprintf(text, sizeof text, p->total > 0 ? "%lld/%lld" : "%lld", (long long)p->done, (long long)p->total);
    add(&l, " ", text);
    add(&l, " ", p->unit);
    if (p->rate > 0 && isfinite(p->rate)) {
        rate_text(p, text, sizeof text);
        add(&l, ", ", text);
    }
    if (p->seconds_left > 0) {
        time_text(p->seconds_left, text, sizeof text);
        add(&l, ", ", text);
        add(&l, "", " left");
    }
    add(&l, ", ", p->health);
    out[tl_utf8_prefix(out, l.used)] = 0; /* no half characters where it was cut */
    return out;
}
