/* A steered run's page: all but its trees and charts. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/html.h"
#include "io/svg_axis.h"
#include "io/svg_chart.h"
#include "run/steer_report.h"

enum { MOST_TABLE = 500, UNFOLDED = 24 };

static const char style[] =
    ".tree{--best:#c84c00;overflow:hidden}.trees{display:grid;gap:.8rem}.tree .scroll{overflow-x:auto}"
    "@media(prefers-color-scheme:dark){.tree{--best:#ff8a4c}}\n"
    ".rows{min-width:calc(var(--n)*3rem + 9.2rem);max-width:calc(var(--n)*9rem + 9.2rem)}"
    ".rows>div{display:grid;grid-template-columns:4.2rem minmax(0,1fr) 4.2rem;gap:.4rem;align-items:center}\n"
    ".when,.health{font-size:.78rem;line-height:1.25;font-variant-numeric:tabular-nums;overflow-wrap:normal}"
    ".when small,.health small{display:block;font-size:.72rem}\n"
    ".strip .pic{display:block}.strip{min-width:0}.shot{position:relative}"
    ".veil{position:absolute;inset:0;pointer-events:none}"
    ".cells{display:grid;grid-template-columns:repeat(var(--n),minmax(0,1fr))}"
    ".strip .pic img{border-radius:0}\n"
    ".veil i{box-shadow:inset 0 0 0 2px var(--card)}.veil .gone{background:var(--card);opacity:.72}"
    ".veil .win{box-shadow:inset 0 0 0 3px var(--best)}\n"
    ".vals{font-size:.72rem;text-align:center;font-variant-numeric:tabular-nums;line-height:1.25;"
    "margin-top:.1rem}.vals .gone{color:var(--dim);opacity:.7}.vals .win{color:var(--best);font-weight:700}"
    ".vals span{overflow-wrap:normal;white-space:nowrap}\n"
    ".links{display:block;width:100%;height:1.6rem}.links path{fill:none;stroke-width:1.6;stroke:var(--ink);"
    "vector-effect:non-scaling-stroke}.links .gone{stroke:var(--line)}.links "
    ".win{stroke:var(--best);stroke-width:3}\n"
    ".bar{display:block;height:.3rem;background:var(--line);border-radius:2px;margin:.1rem 0}"
    ".bar i{display:block;height:100%;background:var(--ink);border-radius:2px}.bar "
    ".low{background:var(--best)}\n"
    ".vals .bar{margin:.1rem .3rem}.compare td,.compare th{text-align:right}.compare th:first-child{"
    "text-align:left;min-width:9rem;max-width:24rem}\n";

void tl_steer_report_style(struct tl_str *out)
{
    tl_report_style(out);
    tl_str_append(out, style);
}

/* ---- numbers ---- */

void tl_steer_report_mean(struct tl_str *out, struct tl_steer_mean m)
{
    if (!isfinite(m.mean)) {
        tl_str_append(out, "<span class=\"dim\">\xe2\x80\x93</span>");
        return;
    }
    tl_str_printf(out, "%.4f", m.mean);
    if (isfinite(m.se)) tl_str_printf(out, " <span class=\"dim\">\xc2\xb1 %.2g</span>", m.se);
}

static const char *direction(const struct tl_steer_report *r, struct tl_steer_mean m)
{
    bool sure = isfinite(m.se) && fabs(m.mean) >= 3 * m.se && m.mean != 0;
    return !sure ? "same" : tl_steer_is_better(tl_steer_report_lambda(r), m.mean, 0) ? "up" : "down";
}

void tl_steer_report_difference(struct tl_str *out, const struct tl_steer_report *r, struct tl_steer_mean m)
{
    tl_str_printf(out, "<b class=\"delta %s\">%+.4f</b>", direction(r, m), m.mean);
    if (isfinite(m.se)) tl_str_printf(out, " \xc2\xb1 %.2g", m.se);
}

static const char *count_text(const struct tl_steer_report *r, double n)
{
    const char *text = n >= 0 && n < 1e15 ? tl_arena_printf(&r->run->arena, "%.0f", n) : NULL;
    return text ? text : "\xe2\x80\x93";
}

/* ---- head ---- */

static void head(struct tl_str *out, const struct tl_steer_report *r)
{
    const char *reward = tl_report_reward_name(r->run, false), *model = tl_report_config(r->run, "model"),
               *begun = tl_report_value_text(&r->run->arena, tl_json_get(r->run->about, "started"));
    tl_str_append(out, "<header><h1>");
    tl_html_text_cut(out, r->run->name, 120);
    tl_str_append(out, "</h1><p>steered to <b>");
    tl_html_text_cut(out, reward, 200);
    tl_str_append(out, "</b>, from ");
    tl_html_text_cut(out, tl_path_base(model), 100);
    tl_str_printf(out, "; %zu particles a prompt, potential ", r->k);
    tl_html_text_cut(out, tl_report_config(r->run, "potential"), 20);
    tl_str_append(out, ", lambda ");
    tl_html_text_cut(out, tl_report_config(r->run, "lambda"), 20);
    if (tl_steer_report_setting(r, "guide") > 0) {
        tl_str_append(out, ", guided by ");
        tl_html_text_cut(out, tl_report_config(r->run, "guide"), 20);
    }
    tl_str_append(out, "</p><p><span class=\"state\">");
    tl_html_text(out, tl_steer_report_state(r));
    tl_str_append(out, "</span> <span class=\"dim\">");
    if (*begun) {
        tl_str_append(out, "begun ");
        tl_html_text_cut(out, begun, 40);
    }
    tl_str_append(out, "</span></p></header>\n");
}

/* ---- tiles ---- */

static void change_tile(struct tl_str *out, const struct tl_steer_report *r, const char *title,
                        const char *of, struct tl_steer_mean before, struct tl_steer_mean after,
                        struct tl_steer_mean change)
{
    tl_str_printf(out,
                  "<div class=\"card tile %s\"><h3>%s</h3><p class=\"dim\">%s</p><p class=\"big\">%.4f "
                  "<span>\xe2\x86\x92</span> %.4f</p><p>",
                  direction(r, change), title, of, before.mean, after.mean);
    tl_steer_report_difference(out, r, change);
    tl_str_append(out, "</p></div>\n");
}

static void tile(struct tl_str *out, const char *title, const char *value, const char *note)
{
    tl_str_printf(
        out, "<div class=\"card tile\"><h3>%s</h3><p class=\"big\">%s</p><p class=\"dim\">%s</p></div>\n",
        title, value, note);
}

static void tiles(struct tl_str *out, const struct tl_steer_report *r)
{
    const struct tl_steer_report_totals *t = &r->totals;
    const struct tl_steer_comparison *c = &r->comparison;
    char value[80], note[120];
    tl_str_append(out, "<section><div class=\"tiles\">\n");
    if (c->n && !r->is_plain) {
        change_tile(out, r, "Best particle", "beside the best plain sample of equal cost", c->best_of,
                    c->best, c->best_best_of);
        change_tile(out, r, "Best particle", "beside one plain sample", c->base, c->best, c->best_base);
    } else if (c->n) {
        change_tile(out, r, "Best of the plain samples", "beside one of them", c->base, c->best,
                    c->best_base);
    } else {
        snprintf(value, sizeof value, "%.4f", t->best.mean);
        tile(out, "Best particle", value, "mean reward over prompts");
    }
    snprintf(value, sizeof value, "%.4g", t->log_z.mean);
    tile(out, "log Z", value, "mean over prompts");
    if (t->events) {
        snprintf(value, sizeof value, "%.2f <span>of %zu</span>", t->ess, r->k);
        snprintf(note, sizeof note, "resampled at %.0f %% of scored steps; %.2f of %zu starts left",
                 100 * (double)t->resampled / (double)t->events, t->survivors, r->k);
        tile(out, "Effective sample size", value, note);
    }
    tl_str_append(out, "</div></section>\n");
}

/* ---- steered beside plain ---- */

struct line {
    const char *name;
    struct tl_steer_mean mean, base, best_of; /* itself; less those, paired; NaN: not told */
    double network, reward;
};

static void compare_row(struct tl_str *out, const struct tl_steer_report *r, const struct line *l)
{
    tl_str_printf(out, "<tr><th>%s</th><td>", l->name);
    tl_steer_report_mean(out, l->mean);
    const struct tl_steer_mean differences[] = {l->base, l->best_of};
    for (size_t i = 0; i < 2; i++) {
        tl_str_append(out, "</td><td>");
        if (isfinite(differences[i].mean)) tl_steer_report_difference(out, r, differences[i]);
    }
    tl_str_printf(out, "</td><td>%s</td><td>%s</td></tr>\n", count_text(r, l->network),
                  count_text(r, l->reward));
}

static void comparison(struct tl_str *out, const struct tl_steer_report *r)
{
    const struct tl_steer_comparison *c = &r->comparison;
    const struct tl_steer_report_totals *t = &r->totals;
    const struct tl_steer_mean none = {NAN, NAN};
    if (c->n == 0) return;
    double n = (double)c->n, each = t->plain_reward / n;
    const struct line lines[] = {{"one plain sample", c->base, none, none, t->plain_network / (each * n), 1},
                                 {NULL, c->best_of, c->best_of_base, none, t->plain_network / n, each},
                                 {"one particle, drawn by its weight", c->weighted, c->weighted_base, none,
                                  t->network / (double)r->n, t->reward / (double)r->n},
                                 {"the best particle", c->best, c->best_base, c->best_best_of,
                                  t->network / (double)r->n, t->reward / (double)r->n}};
    size_t shown = r->is_plain ? 2 : 4;
    tl_str_printf(out,
                  "<section><h2>At equal network evaluations</h2><p class=\"dim\">Mean over %zu prompt%s; "
                  "differences are paired by prompt; \xc2\xb1 is one standard error over prompts%s.%s</p>"
                  "<div class=\"wide\"><table class=\"compare\">\n<tr><th></th><th>reward</th><th>less one "
                  "plain sample</th><th>less best plain</th><th>network evaluations a prompt</th><th>reward "
                  "evaluations a prompt</th></tr>\n",
                  c->n, c->n == 1 ? "" : "s", c->n < 2 ? ", which one prompt has not" : "",
                  r->is_plain ? " Nothing steers this run: its particles are plain samples."
                              : " The first plain samples start from the particles' own noise.");
    for (size_t i = 0; i < shown; i++) {
        struct line l = lines[i];
        char name[60];
        snprintf(name, sizeof name, "best of %.3g plain samples", each);
        if (!l.name) l.name = name;
        compare_row(out, r, &l);
    }
    tl_str_append(out, "</table></div></section>\n");
}

/* ---- prompts ---- */

static void prompt_row(struct tl_str *out, const struct tl_steer_report *r,
                       const struct tl_steer_report_row *row)
{
    double ess = 0;
    size_t resampled = 0;
    for (size_t e = 0; e < row->n_events; e++) {
        ess += row->events[e].ess;
        resampled += row->events[e].resampled;
    }
    tl_str_append(out, "<tr><th><bdi>");
    tl_html_text_cut(out, row->prompt, 120);
    tl_str_append(out, "</bdi></th>");
    if (r->comparison.n && row->has_pair)
        tl_str_printf(out, "<td>%.4f</td><td>%.4f</td>", row->pair.base, row->pair.best_of);
    else if (r->comparison.n)
        tl_str_append(out, "<td></td><td></td>");
    tl_str_printf(out, "<td>%.4f</td><td><b>%.4f</b></td><td>%.4g</td>", row->pair.weighted, row->pair.best,
                  row->log_z);
    if (row->n_events)
        tl_str_printf(out, "<td>%.2f</td><td>%zu of %zu</td></tr>\n", ess / (double)row->n_events, resampled,
                      row->n_events);
    else
        tl_str_append(out, "<td></td><td></td></tr>\n");
}

static void prompts(struct tl_str *out, const struct tl_steer_report *r)
{
    bool folded = r->n > UNFOLDED;
    tl_str_printf(out, folded ? "<details><summary>All prompts (%zu)</summary>" : "<section><h2>Prompts</h2>",
                  r->n);
    tl_str_append(out, "<div class=\"wide\"><table class=\"compare\">\n<tr><th>prompt</th>");
    if (r->comparison.n) tl_str_append(out, "<th>one plain sample</th><th>best plain sample</th>");
    tl_str_append(out, "<th>particle by weight</th><th>best particle</th><th>log Z</th><th>mean ESS</th>"
                       "<th>resampled</th></tr>\n");
    for (size_t i = 0; i < r->n && i < MOST_TABLE; i++) prompt_row(out, r, &r->rows[i]);
    tl_str_append(out, "</table></div>");
    if (r->n > MOST_TABLE)
        tl_str_printf(out, "<p class=\"dim\">%zu more in steer.jsonl.</p>", r->n - MOST_TABLE);
    tl_str_append(out, folded ? "</details>\n" : "</section>\n");
}

/* ---- cost ---- */

static void fact(struct tl_str *out, const char *name, const char *value)
{
    if (!value || !*value) return;
    tl_str_printf(out, "<tr><th>%s</th><td>", name);
    tl_html_text_cut(out, value, 400);
    tl_str_append(out, "</td></tr>\n");
}

static void seconds_facts(struct tl_str *out, const struct tl_steer_report *r)
{
    static const char *const works[][2] = {{"network", "network"},
                                           {"rewards", "decoding and rewards"},
                                           {"sampler", "noise, steps, prompts"},
                                           {"particles", "weights, resampling"},
                                           {"files", "files"}};
    struct tl_arena *a = &r->run->arena;
    const cJSON *totals = tl_json_get(r->summary, "totals"),
                *seconds = tl_json_get(totals ? totals : r->run->about, "seconds");
    double total = 0, value;
    for (size_t i = 0; i < 5; i++)
        if (tl_json_double(seconds, works[i][0], 0, &value, NULL)) total += value;
    if (!(total > 0)) return;
    fact(out, "time", tl_report_duration(a, total));
    for (size_t i = 0; i < 5; i++)
        if (tl_json_double(seconds, works[i][0], 0, &value, NULL))
            fact(out, works[i][1],
                 tl_arena_printf(a, "%s, %.1f %%", tl_report_duration(a, value), 100 * value / total));
    if (tl_json_double(totals, "overhead", NAN, &value, NULL) && isfinite(value))
        fact(out, "beside network and rewards", tl_arena_printf(a, "%.1f %% of the time", 100 * value));
    if (tl_json_double(totals, "seconds_per_sample", NAN, &value, NULL) && isfinite(value))
        fact(out, "a picture", tl_report_duration(a, value));
}

static void cost(struct tl_str *out, const struct tl_steer_report *r)
{
    struct tl_arena *a = &r->run->arena;
    const struct tl_steer_report_totals *t = &r->totals;
    const cJSON *settings = tl_json_get(r->summary, "settings"),
                *device = tl_json_get(r->run->about, "device"),
                *resumes = tl_json_get(r->run->about, "resumes");
    double plain;
    tl_str_append(out, "<section><h2>Cost</h2><table class=\"facts\">\n");
    fact(out, "network evaluations", count_text(r, t->network));
    fact(out, "reward evaluations", count_text(r, t->reward));
    seconds_facts(out, r);
    if (!r->is_plain && t->plain_network > 0)
        fact(out, "plain samples beside them",
             tl_arena_printf(a, "%.0f network and %.0f reward evaluations", t->plain_network,
                             t->plain_reward));
    if (tl_json_double(r->run->about, "plain_seconds", 0, &plain, NULL) && plain > 0)
        fact(out, "their time", tl_report_duration(a, plain));
    fact(out, "sampler", tl_report_value_text(a, tl_json_get(settings, "sampler")));
    fact(out, "intermediate rewards",
         tl_report_value_text(a, tl_json_get(settings, "intermediate_reward_path")));
    const char *name = tl_report_value_text(a, tl_json_get(device, "name")),
               *description = tl_report_value_text(a, tl_json_get(device, "description"));
    fact(out, "device", *description ? tl_arena_printf(a, "%s (%s)", name, description) : name);
    if (cJSON_GetArraySize(resumes) > 0)
        fact(out, "resumed", tl_arena_printf(a, "%d times", cJSON_GetArraySize(resumes)));
    fact(out, "tiller", tl_report_value_text(a, tl_json_get(r->run->about, "version")));
    if (r->run->n_bad_lines)
        fact(out, "passed over",
             tl_arena_printf(a, "%zu damaged lines or files of the run", r->run->n_bad_lines));
    tl_str_append(out, "</table></section>\n");
}

void tl_steer_report_page(struct tl_str *out, struct tl_steer_report *r)
{
    struct tl_str look = {0}, script = {0};
    tl_steer_report_style(&look);
    tl_str_printf(&script, "%s%s", tl_svg_script, tl_report_script);
    const char *title = tl_arena_printf(&r->run->arena, "%s: steered", r->run->name);
    if (title && !look.failed && !script.failed) {
        tl_html_begin(out, title, look.data, script.data);
        head(out, r);
        if (r->n) {
            tiles(out, r);
            comparison(out, r);
            tl_steer_report_trees(out, r);
            tl_steer_report_charts(out, r);
            prompts(out, r);
        }
        cost(out, r);
        tl_report_settings(out, r->run);
        tl_str_append(out, "<footer>Written by tiller report from the run's folder; one file, nothing is "
                           "loaded from elsewhere.</footer>\n");
        tl_html_end(out, script.data);
    } else {
        out->failed = true;
    }
    tl_str_finish(&look);
    tl_str_finish(&script);
}
