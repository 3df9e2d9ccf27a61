/* Steered runs side by side. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/html.h"
#include "io/svg_chart.h"
#include "metrics/stats.h"
#include "run/steer_report.h"

static void name_of(struct tl_str *out, const struct tl_steer_report *r, size_t i)
{
    tl_str_printf(out, "<i class=\"swatch c%zu\"></i>", i % TL_SVG_COLOURS);
    tl_html_text_cut(out, r->run->name, 60);
}

/* The best rewards of prompts that both have, in the order of a; the caller frees. */
struct paired {
    struct tl_svg_point *points; /* x: of a, y: of b */
    double *change;              /* b less a */
    size_t n;
};

static bool pair(const struct tl_steer_report *a, const struct tl_steer_report *b, struct paired *out)
{
    *out = (struct paired){.points = malloc((a->n + 1) * sizeof *out->points),
                           .change = malloc((a->n + 1) * sizeof *out->change)};
    if (!out->points || !out->change) return false;
    for (size_t i = 0, j = 0; i < a->n; i++) {
        const struct tl_steer_report_row *x = &a->rows[i], *y;
        while (j < b->n && b->rows[j].group < x->group) j++;
        if (j == b->n) break;
        y = &b->rows[j];
        if (y->group != x->group || strcmp(x->prompt, y->prompt) != 0) continue;
        out->points[out->n] = (struct tl_svg_point){x->pair.best, y->pair.best, x->prompt};
        out->change[out->n++] = y->pair.best - x->pair.best;
    }
    return true;
}

static void paired_finish(struct paired *p)
{
    free(p->points);
    free(p->change);
}

static const char *seed_of(const struct tl_steer_report *r)
{
    const cJSON *seeds = tl_json_get(r->run->about, "seeds"), *seed = tl_json_get(seeds, "seed");
    return tl_report_value_text(&r->run->arena, seed);
}

static void change_cell(struct tl_str *out, const struct tl_steer_report *a, const struct tl_steer_report *b)
{
    struct paired p;
    tl_str_append(out, "<td>");
    if (!pair(a, b, &p))
        out->failed = true;
    else if (p.n == 0)
        tl_str_append(out, "<span class=\"dim\">no prompt in common</span>");
    else {
        tl_steer_report_difference(
            out, b, (struct tl_steer_mean){tl_stats_mean(p.change, p.n), tl_stats_se(p.change, p.n)});
        if (p.n < a->n || p.n < b->n) tl_str_printf(out, " <span class=\"dim\">%zu prompts</span>", p.n);
    }
    paired_finish(&p);
    tl_str_append(out, "</td>");
}

static double seconds_of(const struct tl_steer_report *r)
{
    const cJSON *seconds = tl_json_get(tl_json_get(r->summary, "totals"), "seconds");
    double total;
    return tl_json_double(seconds, "total", NAN, &total, NULL) ? total : NAN;
}

static void run_row(struct tl_str *out, const struct tl_steer_report *reports, size_t i, bool plain)
{
    const struct tl_steer_report *r = &reports[i];
    double seconds = seconds_of(r);
    tl_str_append(out, "<tr><th>");
    name_of(out, r, i);
    tl_str_append(out, "</th><td>");
    tl_html_text_cut(out, tl_report_config(r->run, "potential"), 20);
    tl_str_append(out, "</td><td>");
    tl_html_text_cut(out, tl_report_config(r->run, "lambda"), 20);
    tl_str_printf(out, "</td><td>%zu</td><td>%zu</td><td>", r->k, r->n);
    tl_steer_report_mean(out, r->n ? r->totals.best : (struct tl_steer_mean){NAN, NAN});
    tl_str_append(out, "</td>");
    if (i)
        change_cell(out, &reports[0], r);
    else
        tl_str_append(out, "<td></td>");
    tl_str_append(out, "<td>");
    tl_steer_report_mean(out, r->n ? r->totals.weighted : (struct tl_steer_mean){NAN, NAN});
    tl_str_append(out, "</td>");
    if (plain) {
        tl_str_append(out, "<td>");
        tl_steer_report_mean(out, r->comparison.n ? r->comparison.base : (struct tl_steer_mean){NAN, NAN});
        tl_str_append(out, "</td><td>");
        tl_steer_report_mean(out, r->comparison.n ? r->comparison.best_of : (struct tl_steer_mean){NAN, NAN});
        tl_str_append(out, "</td>");
    }
    tl_str_printf(out, "<td>%.0f</td><td>%.0f</td><td>%s</td><td>", r->totals.network, r->totals.reward,
                  isfinite(seconds) ? tl_report_duration(&r->run->arena, seconds) : "\xe2\x80\x93");
    tl_html_text_cut(out, tl_steer_report_state(r), 60);
    tl_str_append(out, "</td></tr>\n");
}

static void table(struct tl_str *out, const struct tl_steer_report *reports, size_t n)
{
    bool plain = false, same = true;
    for (size_t i = 0; i < n; i++) {
        plain |= reports[i].comparison.n > 0;
        same &= strcmp(seed_of(&reports[i]), seed_of(&reports[0])) == 0;
    }
    tl_str_append(out,
                  "<section><h2>Rewards</h2><div class=\"wide\"><table>\n<tr><th>run</th><th>potential</th>"
                  "<th>lambda</th><th>particles</th><th>prompts</th><th>best particle</th><th>less the "
                  "first run's, paired</th><th>particle by weight</th>");
    if (plain) tl_str_append(out, "<th>one plain sample</th><th>best plain sample</th>");
    tl_str_append(
        out, "<th>network evaluations</th><th>reward evaluations</th><th>time</th><th>state</th></tr>\n");
    for (size_t i = 0; i < n; i++) run_row(out, reports, i, plain);
    tl_str_printf(out,
                  "</table></div><p class=\"dim\">Means over prompts, \xc2\xb1 one standard error. Pairs are "
                  "prompts of the same place and text; %s</p></section>\n",
                  same ? "all runs have the same seed, so their particles start from the same noise."
                       : "the runs have different seeds, so their noise differs.");
}

static void scatters(struct tl_str *out, const struct tl_steer_report *reports, size_t n)
{
    bool any = false;
    for (size_t i = 1; i < n; i++) {
        struct paired p;
        if (!pair(&reports[0], &reports[i], &p)) out->failed = true;
        if (p.points && p.change && p.n > 1) {
            if (!any)
                tl_str_append(out, "<section><h2>Best particle of each prompt</h2><div class=\"charts\">\n");
            any = true;
            tl_str_append(out, "<figure class=\"card\"><figcaption><b>");
            tl_html_text_cut(out, reports[i].run->name, 60);
            tl_str_append(out, "</b><small>up, beside ");
            tl_html_text_cut(out, reports[0].run->name, 60);
            tl_str_append(out, " across; a point a prompt, equal on the line</small></figcaption>");
            tl_svg_scatter(out, reports[i].run->name, reports[0].run->name, p.points, p.n, (int)i);
            tl_str_append(out, "</figure>\n");
        }
        paired_finish(&p);
    }
    if (any) tl_str_append(out, "</div></section>\n");
}

/* tl_report_setting_differences wants runs in a row. */
static void differences(struct tl_str *out, struct tl_steer_report *reports, size_t n)
{
    struct tl_report_run *runs = calloc(n, sizeof *runs);
    for (size_t i = 0; runs && i < n; i++) runs[i] = *reports[i].run;
    if (runs)
        tl_report_setting_differences(out, runs, n);
    else
        out->failed = true;
    for (size_t i = 0; runs && i < n; i++) reports[i].run->arena = runs[i].arena; /* it may have grown */
    free(runs);
}

void tl_steer_report_runs(struct tl_str *out, struct tl_steer_report *reports, size_t n)
{
    struct tl_str style = {0};
    tl_steer_report_style(&style);
    if (style.failed) {
        out->failed = true;
    } else {
        tl_html_begin(out, "Steered runs side by side", style.data, tl_svg_script);
        tl_str_append(out, "<header><h1>Steered runs side by side</h1><p class=\"legend\">");
        for (size_t i = 0; i < n; i++) {
            tl_str_append(out, "<span>");
            name_of(out, &reports[i], i);
            tl_str_append(out, "</span>");
        }
        tl_str_append(out, "</p></header>\n");
        table(out, reports, n);
        scatters(out, reports, n);
        differences(out, reports, n);
        tl_str_append(out, "<footer>Written by tiller report.</footer>\n");
        tl_html_end(out, tl_svg_script);
    }
    tl_str_finish(&style);
}
