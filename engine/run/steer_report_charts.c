/* A steered run's curves: ESS and rewards on the way, and prompts as points. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "io/svg_chart.h"
#include "run/steer_report.h"

struct curve {
    double *x, *y, *error;
    size_t n;
};

/* Value of an event for its curve. */
typedef double (*event_fn)(const struct tl_steer_report_event *e, size_t k);

static double ess_of(const struct tl_steer_report_event *e, size_t k)
{
    (void)k;
    return e->ess;
}

static double mean_of(const struct tl_steer_report_event *e, size_t k)
{
    double sum = 0;
    for (size_t j = 0; j < k; j++) sum += e->rewards[j];
    return sum / (double)k;
}

static double least_of(const struct tl_steer_report_event *e, size_t k)
{
    double least = e->rewards[0];
    for (size_t j = 1; j < k; j++) least = fmin(least, e->rewards[j]);
    return least;
}

static double most_of(const struct tl_steer_report_event *e, size_t k)
{
    double most = e->rewards[0];
    for (size_t j = 1; j < k; j++) most = fmax(most, e->rewards[j]);
    return most;
}

/* Mean over prompts at each scored step, which are those of the first prompt; `end` adds a point. */
static struct curve mean_curve(const struct tl_steer_report *r, event_fn value, struct tl_steer_mean end)
{
    struct tl_arena *a = &r->run->arena;
    size_t n = r->rows[0].n_events;
    struct curve c = {tl_arena_alloc(a, n + 1, sizeof *c.x), tl_arena_alloc(a, n + 1, sizeof *c.y),
                      tl_arena_alloc(a, n + 1, sizeof *c.error), 0};
    if (!c.x || !c.y || !c.error) return c;
    for (size_t e = 0; e < n; e++) {
        double sum = 0, squares = 0, m = 0;
        for (size_t i = 0; i < r->n; i++) {
            if (r->rows[i].n_events != n || r->rows[i].events[e].step != r->rows[0].events[e].step) continue;
            double v = value(&r->rows[i].events[e], r->k), before = m > 0 ? sum / m : 0;
            sum += v;
            m++;
            squares += (v - before) * (v - sum / m);
        }
        c.x[c.n] = (double)r->rows[0].events[e].step;
        c.y[c.n] = sum / m;
        c.error[c.n++] = m > 1 ? sqrt(squares / (m - 1) / m) : 0;
    }
    if (isfinite(end.mean)) {
        c.x[c.n] = tl_steer_report_setting(r, "steps");
        c.y[c.n] = end.mean;
        c.error[c.n] = isfinite(end.se) ? end.se : 0;
        c.n += isfinite(c.x[c.n]);
    }
    return c;
}

/* 0: not known; the data make the axis then. */
static double steps_of(const struct tl_steer_report *r)
{
    double steps = tl_steer_report_setting(r, "steps");
    return steps > 0 ? steps : 0;
}

static void begin_figure(struct tl_str *out, const char *title, const char *note)
{
    tl_str_printf(out, "<figure class=\"card\"><figcaption><b>%s</b><small>%s</small></figcaption>", title,
                  note);
}

static struct tl_svg_series series_of(const char *name, const struct curve *c, int colour, bool faint)
{
    return (struct tl_svg_series){
        .name = name, .x = c->x, .y = c->y, .error = c->error, .n = c->n, .colour = colour, .faint = faint};
}

static void ess_chart(struct tl_str *out, const struct tl_steer_report *r)
{
    enum { SINGLE = 8 };
    struct tl_svg_series series[SINGLE + 2];
    const struct tl_steer_mean none = {NAN, NAN};
    const struct curve mean = mean_curve(r, ess_of, none);
    double share = tl_steer_report_setting(r, "ess"), level = share * (double)r->k;
    double ends[] = {mean.n ? mean.x[0] : 0, mean.n ? mean.x[mean.n - 1] : 0}, levels[] = {level, level};
    size_t n = 0;
    char note[160];
    if (!mean.n) return;
    if (isfinite(level) && mean.n > 1)
        series[n++] = (struct tl_svg_series){
            .name = "resampled below", .x = ends, .y = levels, .n = 2, .colour = 1, .faint = true};
    for (size_t i = 0; r->n > 1 && i < r->n && i < SINGLE; i++) {
        struct tl_steer_report one = *r;
        one.rows = &r->rows[i];
        one.n = 1;
        struct curve c = mean_curve(&one, ess_of, none);
        c.error = NULL;
        if (c.n > 1) series[n++] = series_of("a prompt", &c, 6, true);
    }
    series[n++] = series_of(r->n > 1 ? "mean over prompts" : "ESS", &mean, 0, false);
    snprintf(note, sizeof note,
             "of %zu particles, before a resampling, which comes below %.3g; band: one standard error%s",
             r->k, level,
             r->n > SINGLE ? "; grey: the first 8 prompts"
             : r->n > 1    ? "; grey: each prompt"
                           : "");
    begin_figure(out, "Effective sample size", note);
    tl_svg_chart(out, &(struct tl_svg_chart){.title = "Effective sample size",
                                             .x_label = "step",
                                             .series = series,
                                             .n_series = n,
                                             .x_hi = steps_of(r)});
    tl_str_append(out, "</figure>\n");
}

static void reward_chart(struct tl_str *out, const struct tl_steer_report *r)
{
    const struct curve mean = mean_curve(r, mean_of, r->totals.mean),
                       best =
                           mean_curve(r, tl_steer_report_lambda(r) < 0 ? least_of : most_of, r->totals.best);
    const struct tl_svg_series series[] = {series_of("best particle", &best, 1, false),
                                           series_of("mean of the particles", &mean, 0, false)};
    const struct tl_svg_chart chart = {.title = "Reward on the way",
                                       .x_label = "step",
                                       .series = series,
                                       .n_series = 2,
                                       .x_hi = steps_of(r)};
    if (mean.n < 2) return;
    begin_figure(out, "Reward on the way",
                 "of what the network predicts at scored steps, and of the pictures at the end; mean over "
                 "prompts, band: one standard error");
    tl_svg_legend(out, &chart);
    tl_svg_chart(out, &chart);
    tl_str_append(out, "</figure>\n");
}

static void pair_chart(struct tl_str *out, const struct tl_steer_report *r)
{
    struct tl_svg_point *points = malloc((r->n + 1) * sizeof *points);
    size_t n = 0;
    for (size_t i = 0; points && i < r->n; i++)
        if (r->rows[i].has_pair)
            points[n++] =
                (struct tl_svg_point){r->rows[i].pair.best_of, r->rows[i].pair.best, r->rows[i].prompt};
    if (!points) out->failed = true;
    if (n > 1 && !r->is_plain) {
        begin_figure(out, "Best particle beside best plain sample",
                     tl_steer_report_lambda(r) < 0
                         ? "a point a prompt, up the best particle's reward; below the line steering wins"
                         : "a point a prompt, up the best particle's reward; above the line steering wins");
        tl_svg_scatter(out, "Best particle beside best plain sample", "reward of the best plain sample",
                       points, n, 2);
        tl_str_append(out, "</figure>\n");
    }
    free(points);
}

void tl_steer_report_charts(struct tl_str *out, const struct tl_steer_report *r)
{
    struct tl_str list = {0};
    ess_chart(&list, r);
    reward_chart(&list, r);
    pair_chart(&list, r);
    if (list.len) {
        tl_str_append(out, "<section><h2>Curves</h2><div class=\"charts\">\n");
        tl_str_append_n(out, list.data, list.len);
        tl_str_append(out, "</div></section>\n");
    }
    out->failed |= list.failed;
    tl_str_finish(&list);
}
