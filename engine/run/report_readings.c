/* What the readings say: before and after with their errors, warnings, distributions. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/html.h"
#include "io/svg_axis.h"
#include "io/svg_chart.h"
#include "metrics/stats.h"
#include "run/report_parts.h"

enum { CLAIM = 3 }; /* standard errors below which no change is claimed */

const char *tl_report_set_name(const char *set)
{
    return strcmp(set, "others") == 0    ? "prompts not trained on"
           : strcmp(set, "trained") == 0 ? "trained prompts"
                                         : set;
}

/* "clip:shapes-clip@0.5" of "clip:assets/encoders/shapes-clip@0.5". */
const char *tl_report_reward_name(struct tl_report_run *r, bool held_out)
{
    const cJSON *list = tl_json_get(r->config, held_out ? "eval_reward" : "reward"), *item;
    const char *all = cJSON_IsString(list) ? list->valuestring : "";
    if (!cJSON_IsArray(list)) return all;
    cJSON_ArrayForEach(item, list)
    {
        const char *spec = cJSON_IsString(item) ? item->valuestring : "", *colon = strchr(spec, ':'),
                   *slash = colon ? strrchr(colon, '/') : NULL;
        const char *joined =
            tl_arena_printf(&r->arena, "%s%s%.*s%s", all, *all ? " + " : "",
                            slash ? (int)(colon + 1 - spec) : 0, spec, slash ? slash + 1 : spec);
        all = joined ? joined : all;
    }
    return all;
}

/* ---- changes ---- */

/* A row that calls a change significant by an error that takes pictures of a prompt as independent is held
 * to the error by prompt that the page shows. */
static bool read_change(const cJSON *row, struct tl_report_change *c)
{
    *c = (struct tl_report_change){.final = true};
    double plain = NAN;
    bool ok = tl_json_string(row, "prompts", "", &c->set, NULL) &&
              tl_json_string(row, "reward", "", &c->reward, NULL) &&
              tl_json_double(row, "before", NAN, &c->before, NULL) &&
              tl_json_double(row, "after", NAN, &c->after, NULL) &&
              tl_json_double(row, "change", c->after - c->before, &c->change, NULL) &&
              tl_json_double(row, "se", NAN, &plain, NULL) &&
              tl_json_double(row, "clustered_se", plain, &c->se, NULL) &&
              tl_json_bool(row, "significant", false, &c->significant, NULL);
    if (!ok || !isfinite(c->before) || !isfinite(c->after)) return false;
    c->tested = tl_json_get(row, "significant") != NULL;
    if (isfinite(c->se) && fabs(c->change) < CLAIM * c->se) c->significant = false;
    return true;
}

/* Pairs of the same picture before and after; returns their number. */
static size_t gather(const struct tl_report_run *r, const char *set, bool held_out, double *before,
                     double *after, uint32_t *cluster)
{
    const struct tl_report_reading *first = tl_report_first(r), *last = tl_report_last(r);
    size_t n = 0;
    for (size_t i = 0; first && last && i < last->n; i++) {
        const struct tl_report_sample *b = &last->samples[i], *a = tl_report_pair(first, b);
        if (!a || strcmp(b->set, set) != 0) continue;
        double x = held_out ? a->held_out : a->reward, y = held_out ? b->held_out : b->reward;
        if (!isfinite(x) || !isfinite(y)) continue;
        before[n] = x;
        after[n] = y;
        cluster[n++] = (uint32_t)b->prompt_index;
    }
    return n;
}

static bool measure(const struct tl_report_run *r, const char *set, bool held_out, struct tl_report_change *c)
{
    const struct tl_report_reading *last = tl_report_last(r);
    size_t most = last ? last->n + 1 : 1;
    double *before = malloc(most * sizeof *before), *after = malloc(most * sizeof *after);
    uint32_t *cluster = malloc(most * sizeof *cluster);
    size_t n = before && after && cluster ? gather(r, set, held_out, before, after, cluster) : 0;
    struct tl_stats_paired d;
    bool ok = n > 0;
    if (ok) {
        *c = (struct tl_report_change){.set = set, .reward = held_out ? "held_out" : "trained", .se = NAN};
        c->before = tl_stats_mean(before, n);
        c->after = tl_stats_mean(after, n);
        c->change = c->after - c->before;
        if (tl_stats_paired_difference(after, before, cluster, n, &d, NULL)) {
            c->se = d.clustered_se;
            c->tested = true;
            c->significant = d.mean != 0 && fabs(d.mean) >= CLAIM * d.clustered_se;
        }
    }
    free(before);
    free(after);
    free(cluster);
    return ok;
}

/* The first and the last row where there are no samples. */
static bool of_metrics(const struct tl_report_run *r, const char *set, bool held_out,
                       struct tl_report_change *c)
{
    const struct tl_report_column *column = tl_report_column(
        r, strcmp(set, "others") == 0 ? "eval_others" : "eval_trained", held_out ? "held_out" : "reward");
    if (!column || column->n < 2 || column->x[0] != 0) return false; /* no row of the untouched model */
    *c = (struct tl_report_change){.set = set,
                                   .reward = held_out ? "held_out" : "trained",
                                   .before = column->y[0],
                                   .after = column->y[column->n - 1],
                                   .se = NAN};
    c->change = c->after - c->before;
    return true;
}

/* Prompts not trained on first, the trained reward before the held-out one. */
static void sort_changes(struct tl_report_change *c, size_t n)
{
    for (size_t i = 1; i < n; i++)
        for (size_t k = i; k > 0; k--) {
            int by_set = strcmp(c[k - 1].set, c[k].set), by_reward = strcmp(c[k].reward, c[k - 1].reward);
            if (by_set < 0 || (by_set == 0 && by_reward <= 0)) break;
            struct tl_report_change swap = c[k];
            c[k] = c[k - 1];
            c[k - 1] = swap;
        }
}

size_t tl_report_changes(struct tl_report_run *r, struct tl_report_change out[TL_REPORT_CHANGES])
{
    static const char *const sets[] = {"others", "trained"};
    const cJSON *list = tl_json_get(r->result, "readings"), *row;
    size_t n = 0;
    if (!cJSON_IsArray(list)) list = NULL;
    cJSON_ArrayForEach(row, list)
    {
        if (n < TL_REPORT_CHANGES && read_change(row, &out[n])) n++;
    }
    sort_changes(out, n);
    bool given = n > 0;
    for (size_t i = 0; !given && i < 4; i++) {
        const char *set = sets[i / 2];
        if (measure(r, set, i % 2, &out[n]) || of_metrics(r, set, i % 2, &out[n])) n++;
    }
    return n;
}

/* ---- sections ---- */

static void tile(struct tl_str *out, struct tl_report_run *r, const struct tl_report_change *c)
{
    bool held_out = strcmp(c->reward, "held_out") == 0;
    char before[TL_SVG_LABEL], after[TL_SVG_LABEL];
    tl_svg_number(c->before, false, before);
    tl_svg_number(c->after, false, after);
    const char *kind = !c->significant ? "same" : c->change > 0 ? "up" : "down";
    tl_str_printf(out, "<div class=\"card tile %s\"><h3>%s <span class=\"dim\">", kind,
                  held_out ? "Held-out reward" : "Trained reward");
    tl_html_text_cut(out, tl_report_reward_name(r, held_out), 60);
    tl_str_append(out, "</span></h3><small>");
    tl_html_text_cut(out, tl_report_set_name(c->set), 60);
    tl_str_printf(
        out, "</small><p class=\"big\">%s <span>\xe2\x86\x92</span> %s</p><p><b class=\"delta\">%+.4f</b>",
        before, after, c->change);
    if (isfinite(c->se)) tl_str_printf(out, " \xc2\xb1 %.2g", c->se);
    if (c->tested)
        tl_str_append(out, c->significant ? " \xc2\xb7 significant" : " \xc2\xb7 no significant change");
    tl_str_append(out, "</p></div>\n");
}

/* The trained reward rose and the held-out one fell on the same prompts. */
static bool looks_fooled(const struct tl_report_change *c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++)
            if (strcmp(c[i].set, c[k].set) == 0 && strcmp(c[i].reward, "trained") == 0 &&
                strcmp(c[k].reward, "held_out") == 0 && c[i].significant && c[i].change > 0 &&
                c[k].significant && c[k].change < 0)
                return true;
    return false;
}

/* {"step", "metric", "value"} of methods on rewards, {"step", "loss"} of those on data. */
int64_t tl_report_best(struct tl_report_run *r, double *out_value, const char **out_metric)
{
    const cJSON *reading = tl_json_get(r->about, "best"), *data = tl_json_get(r->about, "best_validation");
    const char *metric = "validation loss";
    int64_t step = -1;
    if (!tl_json_int(reading ? reading : data, "step", -1, &step, NULL)) step = -1;
    if (!tl_json_double(reading ? reading : data, reading ? "value" : "loss", NAN, out_value, NULL))
        *out_value = NAN;
    if (reading) metric = tl_report_value_text(&r->arena, tl_json_get(reading, "metric"));
    *out_metric = strcmp(metric, "held_out") == 0 ? "held-out reward" : metric;
    return step;
}

static void summary(struct tl_str *out, struct tl_report_run *r)
{
    enum { MOST = 1 << 16 };
    size_t n = 0;
    const char *path = tl_path_join_in(&r->arena, r->path, "summary.txt");
    char *text = path && tl_file_exists(path) ? (char *)tl_file_read(path, MOST, &n, NULL) : NULL;
    if (text && n) {
        tl_str_append(out, "<section><h2>Summary</h2><p>");
        tl_html_text_cut(out, text, 4000);
        tl_str_append(out, "</p></section>\n");
    }
    free(text);
}

void tl_report_tiles(struct tl_str *out, struct tl_report_run *r)
{
    struct tl_report_change c[TL_REPORT_CHANGES];
    size_t n = tl_report_changes(r, c);
    if (n == 0) {
        summary(out, r);
        return;
    }
    tl_str_append(out, "<section><h2>Before and after</h2>\n");
    if (looks_fooled(c, n))
        tl_str_append(
            out, "<p class=\"alert\"><b>The trained reward rose while the held-out one fell.</b> That "
                 "is how a fooled reward looks: see the pictures below, and take an earlier "
                 "checkpoint, a smaller learning rate, or a stronger hold on the untouched model.</p>\n");
    tl_str_append(out, "<div class=\"tiles\">\n");
    for (size_t i = 0; i < n; i++) tile(out, r, &c[i]);
    tl_str_append(out, "</div><p class=\"dim\">The same prompts, seeds and noise before and after");
    if (!c[0].final) tl_str_append(out, ", as of the last reading");
    tl_str_printf(out, "; \xc2\xb1 is one standard error%s.</p></section>\n",
                  c[0].tested ? ", pictures of a prompt taken together; significant: at least 3 of them"
                              : "");
}

void tl_report_warnings(struct tl_str *out, struct tl_report_run *r)
{
    enum { SHOWN = 40 };
    if (r->n_warnings == 0) return;
    tl_str_printf(out, "<section><h2>Warnings <span class=\"dim\">%zu</span></h2><ul class=\"warnings\">\n",
                  r->n_warnings);
    for (size_t i = 0; i < r->n_warnings && i < SHOWN; i++) {
        const struct tl_report_warning *w = &r->warnings[i];
        tl_str_append(out, "<li class=\"alert\"><b>");
        tl_html_text_cut(out, *w->kind ? w->kind : "warning", 60);
        tl_str_append(out, "</b>");
        if (w->step >= 0)
            tl_str_printf(out, " <span class=\"dim\">%s %lld</span>", tl_report_unit(r), (long long)w->step);
        tl_str_append(out, " <bdi>");
        tl_html_text_cut(out, w->text, 1000);
        tl_str_append(out, "</bdi></li>\n");
    }
    tl_str_append(out, "</ul>");
    if (r->n_warnings > SHOWN)
        tl_str_printf(out, "<p class=\"dim\">%zu more in warnings.jsonl.</p>", r->n_warnings - SHOWN);
    tl_str_append(out, "</section>\n");
}

/* One histogram: a set's rewards before and after. */
static void histogram(struct tl_str *out, struct tl_report_run *r, const char *set, bool held_out)
{
    const struct tl_report_reading *last = tl_report_last(r);
    double *before = malloc((last->n + 1) * sizeof *before), *after = malloc((last->n + 1) * sizeof *after);
    uint32_t *cluster = malloc((last->n + 1) * sizeof *cluster);
    size_t n = before && after && cluster ? gather(r, set, held_out, before, after, cluster) : 0;
    if (n > 1) {
        const struct tl_svg_sample samples[] = {{"before", before, n, 6}, {"after", after, n, 0}};
        const struct tl_svg_series legend[] = {{.name = "before", .n = 1, .colour = 6},
                                               {.name = "after", .n = 1, .colour = 0}};
        tl_str_printf(out, "<figure class=\"card\"><figcaption><b>%s</b> <span class=\"dim\">",
                      held_out ? "Held-out reward" : "Trained reward");
        tl_html_text_cut(out, tl_report_reward_name(r, held_out), 60);
        tl_str_append(out, "</span><small>");
        tl_html_text_cut(out, tl_report_set_name(set), 60);
        tl_str_printf(out, ", %zu pictures; dashed: means</small></figcaption>", n);
        tl_svg_legend(out, &(struct tl_svg_chart){.series = legend, .n_series = 2});
        tl_svg_histogram(out, held_out ? "held-out reward of a picture" : "reward of a picture", samples, 2);
        tl_str_append(out, "</figure>\n");
    }
    free(before);
    free(after);
    free(cluster);
}

void tl_report_histograms(struct tl_str *out, struct tl_report_run *r)
{
    if (!tl_report_first(r) || !tl_report_last(r)) return;
    tl_str_append(out, "<section><h2>Distribution of rewards</h2><div class=\"charts\">\n");
    for (int i = 0; i < 4; i++) histogram(out, r, i < 2 ? "others" : "trained", i % 2);
    tl_str_append(out, "</div></section>\n");
}
