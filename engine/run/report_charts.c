/* Which curves a report shows. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/html.h"
#include "io/svg_chart.h"
#include "run/report_parts.h"

enum { MOST_CURVES = 4, MOST_MORE = 60, MOST_MARKS = 40 };

struct curve {
    const char *phase, *column, *error, *name;
    int colour;
    bool faint;
};

struct panel {
    const char *title, *note;
    bool percent;
    struct curve curves[MOST_CURVES];
};

#define OTHERS  "prompts not trained on"
#define TRAINED "trained prompts"

static const struct panel panels[] = {
    {"Trained reward",
     "mean over the pictures of a reading, band: one standard error",
     false,
     {{"eval_others", "reward", "reward_se", OTHERS, 0, false},
      {"eval_trained", "reward", "reward_se", TRAINED, 1, false},
      {"train", "reward_mean", "reward_se", "samples that are learned from", 6, true}}},
    {"Held-out reward",
     "watched, not trained on: where it falls while the trained one rises, the reward is being fooled",
     false,
     {{"eval_others", "held_out", "held_out_se", OTHERS, 0, false},
      {"eval_trained", "held_out", "held_out_se", TRAINED, 1, false}}},
    {"Distance from the untouched model",
     "KL in nats a sample",
     false,
     {{"train", "kl_nats", NULL, "samples that are learned from", 2, false},
      {"eval_others", "kl_nats", NULL, OTHERS, 0, false},
      {"eval_trained", "kl_nats", NULL, TRAINED, 1, false}}},
    {"Diversity",
     "mean pairwise distance of the pictures of a prompt: near 0 they have become one picture",
     false,
     {{"eval_others", "diversity", "diversity_se", OTHERS, 0, false},
      {"eval_trained", "diversity", "diversity_se", TRAINED, 1, false},
      {"train", "diversity", NULL, "samples that are learned from", 2, false}}},
    {"Reward spread within a prompt",
     "standard deviation: what there is to learn from",
     false,
     {{"train", "reward_spread", NULL, "reward spread", 4, false}}},
    {"Clip fraction",
     "share of steps beyond the clip",
     true,
     {{"train", "clip_fraction", NULL, "clip fraction", 3, false}}},
    {"Loss",
     NULL,
     false,
     {{"train", "loss", NULL, "training", 0, false}, {"validation", "loss", NULL, "validation", 1, false}}},
    {"Mean squared error",
     NULL,
     false,
     {{"train", "mse", NULL, "training", 0, false}, {"validation", "mse", NULL, "validation", 1, false}}},
    {"Gradient norm",
     "before it is clipped",
     false,
     {{"train", "grad_norm", NULL, "gradient norm", 2, false}}},
    {"Learning rate", NULL, false, {{"train", "lr", NULL, "learning rate", 6, false}}},
};
enum { N_PANELS = sizeof panels / sizeof *panels };

const char *tl_report_unit(struct tl_report_run *r)
{
    return tl_json_get(r->config, "epochs") ? "epoch" : "step";
}

/* Errors stand at the steps of their values; NULL where there are none. The caller frees. */
static double *errors_of(const struct tl_report_run *r, const struct curve *c,
                         const struct tl_report_column *values)
{
    const struct tl_report_column *e = c->error ? tl_report_column(r, c->phase, c->error) : NULL;
    double *out = e ? calloc(values->n + 1, sizeof *out) : NULL;
    for (size_t i = 0, j = 0; out && i < values->n; i++) {
        while (j < e->n && e->x[j] < values->x[i]) j++;
        if (j < e->n && e->x[j] == values->x[i]) out[i] = e->y[j];
    }
    return out;
}

/* Adds the curve where the run has it; *out_errors is the caller's. */
static bool add_series(const struct tl_report_run *r, const struct curve *c, struct tl_svg_series *out,
                       double **out_errors)
{
    const struct tl_report_column *values = tl_report_column(r, c->phase, c->column);
    if (!values || !values->n) return false;
    *out_errors = errors_of(r, c, values);
    *out = (struct tl_svg_series){.name = c->name,
                                  .x = values->x,
                                  .y = values->y,
                                  .error = *out_errors,
                                  .n = values->n,
                                  .colour = c->colour,
                                  .faint = c->faint,
                                  .smooth = strcmp(c->phase, "train") == 0};
    return true;
}

static size_t add_marks(struct tl_report_run *r, struct tl_svg_mark marks[MOST_MARKS])
{
    size_t n = 0;
    const char *metric;
    double value;
    int64_t best = tl_report_best(r, &value, &metric);
    if (best >= 0) marks[n++] = (struct tl_svg_mark){(double)best, "best"};
    for (size_t i = 0; i < r->n_warnings && n < MOST_MARKS; i++)
        if (r->warnings[i].step >= 0) marks[n++] = (struct tl_svg_mark){(double)r->warnings[i].step, NULL};
    return n;
}

/* The first step of any row: charts of one run share their x axis. */
static double first_step(const struct tl_report_run *r)
{
    double first = (double)r->last_step;
    for (size_t i = 0; i < r->n_columns; i++)
        if (r->columns[i].n && r->columns[i].x[0] < first) first = r->columns[i].x[0];
    return first;
}

static void figure(struct tl_str *out, const struct tl_svg_chart *chart, const char *note, const char *detail)
{
    tl_str_append(out, "<figure class=\"card\"><figcaption><b>");
    tl_html_text(out, chart->title);
    tl_str_append(out, "</b>");
    if (detail && *detail) {
        tl_str_append(out, " <span class=\"dim\">");
        tl_html_text_cut(out, detail, 80);
        tl_str_append(out, "</span>");
    }
    if (note) {
        tl_str_append(out, "<small>");
        tl_html_text(out, note);
        tl_str_append(out, "</small>");
    }
    tl_str_append(out, "</figcaption>");
    if (chart->n_series > 1) tl_svg_legend(out, chart);
    tl_svg_chart(out, chart);
    tl_str_append(out, "</figure>\n");
}

/* Without weights and penalties the loss is the mean squared error: one chart is enough then. */
static bool repeats_loss(const struct tl_report_run *r, const struct panel *p)
{
    const struct tl_report_column *loss = tl_report_column(r, "train", "loss"),
                                  *mse = tl_report_column(r, "train", "mse");
    return strcmp(p->curves[0].column, "mse") == 0 && loss && mse && loss->n == mse->n &&
           memcmp(loss->y, mse->y, loss->n * sizeof *loss->y) == 0;
}

static void draw_panel(struct tl_str *out, struct tl_report_run *r, const struct panel *p, const char *detail)
{
    struct tl_svg_series series[MOST_CURVES];
    struct tl_svg_mark marks[MOST_MARKS];
    double *errors[MOST_CURVES] = {NULL};
    size_t n = 0;
    for (size_t i = 0; i < MOST_CURVES && p->curves[i].phase; i++)
        if (add_series(r, &p->curves[i], &series[n], &errors[n])) n++;
    struct tl_svg_chart chart = {.title = p->title,
                                 .x_label = tl_report_unit(r),
                                 .series = series,
                                 .n_series = n,
                                 .marks = marks,
                                 .n_marks = add_marks(r, marks),
                                 .x_lo = first_step(r),
                                 .x_hi = (double)r->last_step,
                                 .percent = p->percent};
    if (n && !repeats_loss(r, p)) figure(out, &chart, p->note, detail);
    for (size_t i = 0; i < MOST_CURVES; i++) free(errors[i]);
}

static bool is_shown(const struct tl_report_column *c)
{
    if (strcmp(c->name, "time") == 0) return true;
    for (size_t i = 0; i < N_PANELS; i++)
        for (size_t k = 0; k < MOST_CURVES && panels[i].curves[k].phase; k++) {
            const struct curve *curve = &panels[i].curves[k];
            if (strcmp(c->phase, curve->phase) == 0 &&
                (strcmp(c->name, curve->column) == 0 || (curve->error && strcmp(c->name, curve->error) == 0)))
                return true;
        }
    return false;
}

static void more_charts(struct tl_str *out, struct tl_report_run *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_columns && n < MOST_MORE; i++) {
        const struct tl_report_column *c = &r->columns[i];
        if (is_shown(c)) continue;
        const char *title = tl_arena_printf(&r->arena, *c->phase ? "%s / %s" : "%s%s", c->phase, c->name);
        struct panel p = {.title = title ? title : c->name,
                          .curves = {{c->phase, c->name, NULL, c->name, 0, false}}};
        if (n++ == 0) tl_str_append(out, "<details><summary>More curves</summary><div class=\"charts\">\n");
        draw_panel(out, r, &p, NULL);
    }
    if (n) tl_str_append(out, "</div></details>\n");
}

void tl_report_charts(struct tl_str *out, struct tl_report_run *r)
{
    if (!r->n_rows) return;
    tl_str_append(out, "<section><h2>Curves</h2><div class=\"charts\">\n");
    for (size_t i = 0; i < N_PANELS; i++)
        draw_panel(out, r, &panels[i], i < 2 ? tl_report_reward_name(r, i == 1) : NULL);
    tl_str_append(out, "</div>\n");
    more_charts(out, r);
    tl_str_append(out, "</section>\n");
}

/* ---- runs side by side ---- */

static void overlay(struct tl_str *out, struct tl_report_run *runs, size_t n_runs, const struct panel *p,
                    const struct curve *c)
{
    struct tl_svg_series *series = calloc(n_runs, sizeof *series);
    double **errors = calloc(n_runs, sizeof *errors);
    size_t n = 0;
    for (size_t i = 0; series && errors && i < n_runs; i++) {
        struct curve one = *c;
        one.name = runs[i].name;
        one.colour = (int)i;
        one.faint = false;
        if (add_series(&runs[i], &one, &series[n], &errors[n])) n++;
    }
    struct tl_svg_chart chart = {.title = p->title,
                                 .x_label = tl_report_unit(&runs[0]),
                                 .series = series,
                                 .n_series = n,
                                 .percent = p->percent};
    if (!series || !errors) out->failed = true;
    if (n) figure(out, &chart, NULL, p->curves[1].phase || p->curves[0].faint ? c->name : NULL);
    for (size_t i = 0; errors && i < n_runs; i++) free(errors[i]);
    free(errors);
    free(series);
}

void tl_report_overlays(struct tl_str *out, struct tl_report_run *runs, size_t n)
{
    tl_str_append(out, "<section><h2>Curves</h2><div class=\"charts\">\n");
    for (size_t i = 0; i < N_PANELS; i++)
        for (size_t k = 0; k < MOST_CURVES && panels[i].curves[k].phase; k++)
            overlay(out, runs, n, &panels[i], &panels[i].curves[k]);
    tl_str_append(out, "</div></section>\n");
}
