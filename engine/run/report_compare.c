/* Runs side by side. */
#include <math.h>
#include <string.h>

#include "io/html.h"
#include "io/svg_axis.h"
#include "io/svg_chart.h"
#include "run/report_parts.h"

static void name_of(struct tl_str *out, const struct tl_report_run *r, size_t i)
{
    tl_str_printf(out, "<i class=\"swatch c%zu\"></i>", i % TL_SVG_COLOURS);
    tl_html_text_cut(out, r->name, 60);
}

static const struct tl_report_change *find(const struct tl_report_change *list, size_t n, const char *set,
                                           const char *reward)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].set, set) == 0 && strcmp(list[i].reward, reward) == 0) return &list[i];
    return NULL;
}

static void change_cell(struct tl_str *out, const struct tl_report_change *c)
{
    char before[TL_SVG_LABEL], after[TL_SVG_LABEL];
    if (!c) {
        tl_str_append(out, "<td class=\"dim\">\xe2\x80\x93</td>");
        return;
    }
    tl_svg_number(c->before, false, before);
    tl_svg_number(c->after, false, after);
    tl_str_printf(out, "<td>%s \xe2\x86\x92 %s<br><b class=\"delta %s\">%+.4f</b>", before, after,
                  !c->significant ? "same"
                  : c->change > 0 ? "up"
                                  : "down",
                  c->change);
    if (isfinite(c->se)) tl_str_printf(out, " \xc2\xb1 %.2g", c->se);
    tl_str_append(out, "</td>");
}

/* The last value of a column. */
static void last_cell(struct tl_str *out, const struct tl_report_run *r, const char *phase, const char *name)
{
    const struct tl_report_column *c = tl_report_column(r, phase, name);
    char text[TL_SVG_LABEL] = "\xe2\x80\x93";
    if (c && c->n) tl_svg_number(c->y[c->n - 1], false, text);
    tl_str_printf(out, "<td>%s</td>", text);
}

static const struct {
    const char *title, *set, *reward;
} changes[] = {{"trained reward, prompts not trained on", "others", "trained"},
               {"held-out reward, prompts not trained on", "others", "held_out"},
               {"trained reward, trained prompts", "trained", "trained"},
               {"held-out reward, trained prompts", "trained", "held_out"}};
static const struct {
    const char *title, *phase, *name;
} lasts[] = {{"KL, nats", "train", "kl_nats"},
             {"diversity", "eval_others", "diversity"},
             {"clip fraction", "train", "clip_fraction"},
             {"loss", "train", "loss"},
             {"validation loss", "validation", "loss"},
             {"validation mse", "validation", "mse"}};
enum { N_CHANGES = sizeof changes / sizeof *changes, N_LASTS = sizeof lasts / sizeof *lasts };

static bool any_last(const struct tl_report_run *runs, size_t n, size_t k)
{
    for (size_t i = 0; i < n; i++)
        if (tl_report_column(&runs[i], lasts[k].phase, lasts[k].name)) return true;
    return false;
}

static void final_table(struct tl_str *out, struct tl_report_run *runs, size_t n)
{
    bool shown[N_CHANGES] = {false};
    for (size_t i = 0; i < n; i++) {
        struct tl_report_change list[TL_REPORT_CHANGES];
        size_t n_list = tl_report_changes(&runs[i], list);
        for (size_t k = 0; k < N_CHANGES; k++)
            shown[k] |= find(list, n_list, changes[k].set, changes[k].reward) != NULL;
    }
    tl_str_append(out,
                  "<section><h2>Readings</h2><div class=\"wide\"><table>\n<tr><th>run</th><th>method</th>");
    for (size_t k = 0; k < N_CHANGES; k++)
        if (shown[k]) tl_str_printf(out, "<th>%s</th>", changes[k].title);
    for (size_t k = 0; k < N_LASTS; k++)
        if (any_last(runs, n, k)) tl_str_printf(out, "<th>%s</th>", lasts[k].title);
    tl_str_append(out, "<th>time</th><th>state</th></tr>\n");
    for (size_t i = 0; i < n; i++) {
        struct tl_report_change list[TL_REPORT_CHANGES];
        size_t n_list = tl_report_changes(&runs[i], list);
        double seconds = tl_report_seconds(&runs[i]);
        tl_str_append(out, "<tr><th>");
        name_of(out, &runs[i], i);
        tl_str_append(out, "</th><td>");
        tl_html_text_cut(out, tl_report_config(&runs[i], "method"), 40);
        tl_str_append(out, "</td>");
        for (size_t k = 0; k < N_CHANGES; k++)
            if (shown[k]) change_cell(out, find(list, n_list, changes[k].set, changes[k].reward));
        for (size_t k = 0; k < N_LASTS; k++)
            if (any_last(runs, n, k)) last_cell(out, &runs[i], lasts[k].phase, lasts[k].name);
        tl_str_printf(out, "<td>%s</td><td>",
                      isfinite(seconds) ? tl_report_duration(&runs[i].arena, seconds) : "\xe2\x80\x93");
        tl_html_text_cut(out, tl_report_state(&runs[i]), 60);
        tl_str_append(out, "</td></tr>\n");
    }
    tl_str_append(out, "</table></div></section>\n");
}

void tl_report_compare(struct tl_str *out, struct tl_report_run *runs, size_t n)
{
    struct tl_str style = {0};
    tl_report_style(&style);
    if (style.failed) {
        out->failed = true;
    } else {
        tl_html_begin(out, "Runs side by side", style.data, tl_svg_script);
        tl_str_append(out, "<header><h1>Runs side by side</h1><p class=\"legend\">");
        for (size_t i = 0; i < n; i++) {
            tl_str_append(out, "<span>");
            name_of(out, &runs[i], i);
            tl_str_append(out, "</span>");
        }
        tl_str_append(out, "</p></header>\n");
        final_table(out, runs, n);
        tl_report_overlays(out, runs, n);
        tl_report_setting_differences(out, runs, n);
        tl_str_append(out, "<footer>Written by tiller report.</footer>\n");
        tl_html_end(out, tl_svg_script);
    }
    tl_str_finish(&style);
}
