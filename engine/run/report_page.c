/* A run's page. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/html.h"
#include "io/svg_axis.h"
#include "io/svg_chart.h"
#include "run/report_parts.h"

static void best_reading(struct tl_str *out, struct tl_report_run *r)
{
    const char *metric;
    double value;
    int64_t step = tl_report_best(r, &value, &metric);
    char number[TL_SVG_LABEL];
    if (step < 0) return;
    tl_str_printf(out, " <span class=\"state\">best at %s %lld", tl_report_unit(r), (long long)step);
    if (isfinite(value)) {
        tl_svg_number(value, false, number);
        tl_str_append(out, ": ");
        tl_html_text_cut(out, metric, 40);
        tl_str_printf(out, " %s", number);
    }
    tl_str_append(out, "</span>");
}

/* The method's name with the rewards and the model. */
static void head(struct tl_str *out, struct tl_report_run *r)
{
    const char *method = tl_report_config(r, "method"), *reward = tl_report_reward_name(r, false),
               *model = tl_report_config(r, "model"),
               *begun = tl_report_value_text(&r->arena, tl_json_get(r->about, "started"));
    tl_str_append(out, "<header><h1>");
    tl_html_text_cut(out, r->name, 120);
    tl_str_append(out, "</h1><p>");
    tl_html_text_cut(out, *method ? method : "a run", 60);
    if (*reward) {
        tl_str_append(out, " on <b>");
        tl_html_text_cut(out, reward, 200);
        tl_str_append(out, "</b>");
    }
    if (*model) {
        tl_str_append(out, ", from ");
        tl_html_text_cut(out, tl_path_base(model), 100);
    }
    tl_str_append(out, "</p><p><span class=\"state\">");
    tl_html_text(out, tl_report_state(r));
    tl_str_append(out, "</span> <span class=\"dim\">");
    if (*begun) {
        tl_str_append(out, "begun ");
        tl_html_text_cut(out, begun, 40);
    }
    tl_str_append(out, "</span>");
    best_reading(out, r);
    tl_str_append(out, "</p></header>\n");
}

void tl_report_page(struct tl_str *out, struct tl_report_run *r)
{
    struct tl_str style = {0}, script = {0};
    const char *method = tl_report_config(r, "method");
    tl_report_style(&style);
    tl_str_printf(&script, "%s%s", tl_svg_script, tl_report_script);
    const char *title = tl_arena_printf(&r->arena, "%s%s%s", r->name, *method ? ": " : "", method);
    if (title && !style.failed && !script.failed) {
        tl_html_begin(out, title, style.data, script.data);
        head(out, r);
        tl_report_warnings(out, r);
        tl_report_tiles(out, r);
        tl_report_charts(out, r);
        tl_report_pictures(out, r);
        tl_report_histograms(out, r);
        tl_report_results(out, r);
        tl_report_cost(out, r);
        tl_report_settings(out, r);
        tl_str_append(out,
                      "<footer>Written by tiller report from the run's folder; one file, nothing is loaded "
                      "from elsewhere.</footer>\n");
        tl_html_end(out, script.data);
    } else {
        out->failed = true;
    }
    tl_str_finish(&style);
    tl_str_finish(&script);
}
