#include <tiller/report.h>

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "io/file.h"
#include "run/listing.h"
#include "run/report_parts.h"
#include "run/steer_report.h"

struct report {
    const struct tl_report_params *params;
    struct tl_report_run runs[TL_REPORT_MOST_RUNS];
    struct tl_steer_report steered[TL_REPORT_MOST_RUNS]; /* of the runs, where they are such */
    size_t n, n_steered;
    struct tl_str path; /* of the page */
};

/* Numbers have '.' whatever the program's locale. */
static void render(struct report *r, struct tl_str *page)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0), old = c ? uselocale(c) : (locale_t)0;
    if (r->n_steered == 1)
        tl_steer_report_page(page, &r->steered[0]);
    else if (r->n_steered)
        tl_steer_report_runs(page, r->steered, r->n_steered);
    else if (r->n == 1)
        tl_report_page(page, &r->runs[0]);
    else
        tl_report_compare(page, r->runs, r->n);
    if (!c) return;
    uselocale(old);
    freelocale(c);
}

static bool write_page(struct report *r, struct tl_err *err)
{
    struct tl_str page = {0};
    const struct tl_report_params *p = r->params;
    if (p->out)
        tl_str_append(&r->path, p->out);
    else if (r->n == 1)
        tl_path_join(&r->path, p->runs[0], "report.html");
    else
        tl_str_append(&r->path, "compare.html");
    render(r, &page);
    bool ok = (!page.failed && !r->path.failed) || tl_err_set(err, TL_FAIL, "%s: out of memory", p->runs[0]);
    ok = ok && tl_file_write(r->path.data, page.data, page.len, err);
    tl_str_finish(&page);
    return ok;
}

/* As many as there are runs. */
static bool check_names(const struct tl_report_params *p, struct tl_err *err)
{
    size_t n = 1;
    for (const char *c = p->names ? p->names : ""; *c; c++) n += *c == ',';
    return !p->names || n == p->n_runs ||
           tl_err_set(err, TL_USAGE, "--names gives %zu for %zu runs: one for each, with commas between", n,
                      p->n_runs);
}

static bool give_names(struct report *r, struct tl_err *err)
{
    const char *left = r->params->names;
    for (size_t i = 0; left && i < r->n; i++) {
        size_t len = strcspn(left, ",");
        if (!len) return tl_err_set(err, TL_USAGE, "--names: name %zu is empty", i + 1);
        r->runs[i].name = tl_arena_printf(&r->runs[i].arena, "%.*s", (int)len, left);
        if (!r->runs[i].name) return tl_err_set(err, TL_FAIL, "out of memory");
        left += len + 1;
    }
    return true;
}

/* Folders of the same name get their numbers. */
static void tell_apart(struct report *r)
{
    for (size_t i = 1; i < r->n; i++) {
        size_t twins = 1;
        for (size_t k = 0; k < i; k++) twins += strcmp(tl_path_base(r->runs[k].name), r->runs[i].name) == 0;
        const char *name =
            twins > 1 ? tl_arena_printf(&r->runs[i].arena, "%s (%zu)", r->runs[i].name, twins) : NULL;
        if (name) r->runs[i].name = name;
    }
}

/* Steered runs have pages of their own, and nothing in common with trainings. */
static bool open_run(struct report *r, const char *path, struct tl_err *err)
{
    struct tl_report_run *run = &r->runs[r->n];
    if (!tl_report_load(run, path, err)) return false;
    r->n++;
    bool steered = tl_steer_report_is(run);
    if ((steered && r->n_steered + 1 < r->n) || (!steered && r->n_steered))
        return tl_err_set(err, TL_USAGE, "%s is %s, %s is %s: a page is on one kind of run",
                          r->params->runs[0], steered ? "no steered run" : "a steered run", path,
                          steered ? "a steered run" : "none");
    return !steered || tl_steer_report_load(&r->steered[r->n_steered++], run, err);
}

static bool open_runs(struct report *r, bool *out_whole, struct tl_err *err)
{
    const struct tl_report_params *p = r->params;
    if (p->n_runs < 1 || p->n_runs > TL_REPORT_MOST_RUNS)
        return tl_err_set(err, TL_USAGE, "a report is on 1 to %d runs, not %zu", TL_REPORT_MOST_RUNS,
                          p->n_runs);
    if (!check_names(p, err)) return false;
    for (size_t i = 0; i < p->n_runs; i++) {
        if (!open_run(r, p->runs[i], err)) return false;
        if (r->runs[i].n_bad_lines == 0) continue;
        *out_whole = false;
        tl_log(TL_LOG_WARN, "%s: %zu damaged lines or files passed over", p->runs[i], r->runs[i].n_bad_lines);
    }
    if (!p->names && p->n_runs > 1) tell_apart(r);
    return give_names(r, err) && write_page(r, err);
}

static void close_runs(struct report *r)
{
    for (size_t i = 0; i < r->n_steered; i++) tl_steer_report_unload(&r->steered[i]);
    for (size_t i = 0; i < r->n; i++) tl_report_unload(&r->runs[i]);
    tl_str_finish(&r->path);
}

/* ---- the summary ---- */

static void add_readings(cJSON *row, struct tl_report_run *run)
{
    struct tl_report_change changes[TL_REPORT_CHANGES];
    size_t n = tl_report_changes(run, changes);
    cJSON *list = n ? tl_listing_array(row, "readings") : NULL;
    for (size_t i = 0; i < n; i++) {
        cJSON *one = tl_listing_row(list);
        tl_listing_text(one, "prompts", changes[i].set);
        tl_listing_text(one, "reward", changes[i].reward);
        tl_listing_number(one, "before", changes[i].before);
        tl_listing_number(one, "after", changes[i].after);
        tl_listing_number(one, "change", changes[i].change);
        if (isfinite(changes[i].se)) tl_listing_number(one, "se", changes[i].se);
        if (changes[i].tested) tl_listing_bool(one, "significant", changes[i].significant);
    }
}

static void add_mean(cJSON *row, const char *key, struct tl_steer_mean mean)
{
    cJSON *one = tl_listing_object(row, key);
    tl_listing_number(one, "mean", mean.mean);
    if (isfinite(mean.se)) tl_listing_number(one, "se", mean.se);
}

static void add_steered(cJSON *row, const struct tl_steer_report *r)
{
    tl_listing_text(row, "state", tl_steer_report_state(r));
    tl_listing_count(row, "prompts", r->n);
    if (r->n) add_mean(row, "best", r->totals.best);
    if (r->n) add_mean(row, "weighted", r->totals.weighted);
    if (r->comparison.n == 0) return;
    add_mean(row, "plain", r->comparison.base);
    add_mean(row, "best_of_plain", r->comparison.best_of);
    add_mean(row, "best_minus_best_of_plain", r->comparison.best_best_of);
}

static cJSON *summary(struct report *r)
{
    cJSON *out = cJSON_CreateObject();
    tl_listing_text(out, "report", r->path.data);
    cJSON *rows = tl_listing_array(out, "runs");
    for (size_t i = 0; i < r->n; i++) {
        struct tl_report_run *run = &r->runs[i];
        const char *method = tl_report_config(run, "method");
        cJSON *row = tl_listing_row(rows);
        tl_listing_text(row, "run", run->name);
        tl_listing_text(row, "folder", run->path);
        tl_listing_text(row, "method", *method ? method : NULL);
        if (r->n_steered) {
            add_steered(row, &r->steered[i]);
            if (run->n_bad_lines) tl_listing_count(row, "damaged", run->n_bad_lines);
            continue;
        }
        tl_listing_text(row, "state", tl_report_state(run));
        if (run->last_step >= 0) tl_listing_count(row, "step", (uint64_t)run->last_step);
        tl_listing_count(row, "warnings", run->n_warnings);
        add_readings(row, run);
        if (run->n_bad_lines) tl_listing_count(row, "damaged", run->n_bad_lines);
    }
    return out;
}

char *tl_report(const struct tl_report_params *params, bool *out_whole, struct tl_err *err)
{
    struct report *r = calloc(1, sizeof *r);
    char *text = NULL;
    *out_whole = true;
    if (!r) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    r->params = params;
    if (open_runs(r, out_whole, err))
        text = tl_listing_print(summary(r), "tiller.report/1", params->json, err);
    close_runs(r);
    free(r);
    return text;
}

bool tl_report_write(const char *run_folder, struct tl_err *err)
{
    bool whole;
    char *text = tl_report(&(struct tl_report_params){.runs = &run_folder, .n_runs = 1}, &whole, err);
    free(text);
    return text || tl_err_add(err, "writing the report");
}
