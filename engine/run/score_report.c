#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "io/file.h"
#include "io/json.h"
#include "metrics/stats.h"
#include "run/listing.h"
#include "run/score_parts.h"

static const double level = 0.95;

struct summary {
    struct tl_reward_about about;
    double mean, low, high;
};

static bool summarise(const struct tl_score_work *w, struct summary *out, struct tl_err *err)
{
    double *x = calloc(w->n_scored, sizeof *x);
    size_t n = 0;
    if (!x) return tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t i = 0; i < w->n; i++)
        if (!w->entries[i].skipped) x[n++] = w->entries[i].score;
    struct tl_stats_bootstrap_params p = {.seed = w->job->seed, .level = level};
    out->mean = tl_stats_mean(x, n);
    bool ok = tl_stats_bootstrap(x, n, &p, &out->low, &out->high, err);
    free(x);
    if (!ok || !tl_reward_set_about_term(w->reward, 0, &out->about, err)) return false;
    double low = out->about.low * out->about.weight, high = out->about.high * out->about.weight;
    out->about.low = fmin(low, high);
    out->about.high = fmax(low, high);
    return true;
}

static double part_mean(const struct tl_score_work *w, size_t k)
{
    double sum = 0;
    for (size_t i = 0; i < w->n; i++)
        if (!w->entries[i].skipped) sum += w->entries[i].parts[k];
    return sum / (double)w->n_scored;
}

/* ---- for programs ---- */

static void add_or_null(cJSON *row, const char *key, const char *text)
{
    if (text && *text)
        tl_listing_text(row, key, text);
    else
        cJSON_AddNullToObject(row, key);
}

/* JSON knows no infinity: a side without a limit is null. */
static void add_pair(cJSON *row, const char *key, double low, double high)
{
    cJSON *pair = tl_listing_array(row, key);
    const double ends[] = {low, high};
    for (int i = 0; i < 2; i++) {
        cJSON *x = isfinite(ends[i]) ? cJSON_CreateNumber(ends[i]) : cJSON_CreateNull();
        if (!(pair && x && cJSON_AddItemToArray(pair, x))) cJSON_Delete(x);
    }
}

static void add_skipped(const struct tl_score_work *w, cJSON *rows)
{
    for (size_t i = 0; i < w->n; i++) {
        if (!w->entries[i].skipped) continue;
        cJSON *row = tl_listing_row(rows);
        tl_listing_text(row, "file", w->entries[i].name);
        tl_listing_text(row, "reason", w->entries[i].skipped);
    }
    for (size_t i = 0; i < w->folder.n_strays; i++) { /* "FILE: line N: ..." */
        const char *text = w->folder.strays[i], *end = strstr(text, ": line ");
        struct tl_str file = {0};
        tl_str_append_n(&file, text, end ? (size_t)(end - text) : strlen(text));
        cJSON *row = tl_listing_row(rows);
        tl_listing_text(row, "file", file.data);
        tl_listing_text(row, "reason", text);
        tl_str_finish(&file);
    }
}

/* An ensemble's members: their own scores, unweighted. */
static bool add_members(const struct tl_score_work *w, cJSON *rows, struct tl_err *err)
{
    struct tl_reward_about about;
    for (size_t k = 0; k < w->n_parts; k++) {
        if (!tl_reward_set_about(w->reward, k, &about, err)) return false;
        cJSON *row = tl_listing_row(rows);
        tl_listing_text(row, "reward", about.spec);
        tl_listing_number(row, "value", part_mean(w, k));
        add_or_null(row, "encoder", about.encoder);
        add_or_null(row, "encoder_sha256", about.sha256);
        add_or_null(row, "flavour", about.variant);
        add_pair(row, "range", about.low, about.high);
    }
    return true;
}

static char *print_json(const struct tl_score_work *w, const struct summary *s, struct tl_err *err)
{
    cJSON *array = cJSON_CreateArray(), *row = tl_listing_row(array);
    tl_listing_text(row, "metric", s->about.info->name);
    tl_listing_number(row, "value", s->mean);
    tl_listing_count(row, "n", w->n_scored);
    add_pair(row, "interval", s->low, s->high);
    add_or_null(row, "encoder", s->about.encoder);
    add_or_null(row, "encoder_sha256", s->about.sha256);
    add_or_null(row, "flavour", s->about.variant);
    tl_listing_number(row, "weight", s->about.weight);
    add_pair(row, "range", s->about.low, s->about.high);
    bool ok = w->n_parts == 1 || add_members(w, tl_listing_array(row, "members"), err);
    add_skipped(w, tl_listing_array(row, "skipped"));
    char *text = ok && row ? tl_json_print(array, true, err) : NULL;
    if (!text) tl_err_set(err, TL_FAIL, "out of memory");
    cJSON_Delete(array);
    return text;
}

/* ---- for people ---- */

static bool list_members(const struct tl_score_work *w, cJSON *rows, struct tl_err *err)
{
    struct tl_reward_about about;
    for (size_t k = 0; k < w->n_parts; k++) {
        if (!tl_reward_set_about(w->reward, k, &about, err)) return false;
        cJSON *row = tl_listing_row(rows);
        tl_listing_text(row, "member", about.spec);
        tl_listing_format(row, "value", "%.5g", part_mean(w, k));
        tl_listing_format(row, "range", "%.4g to %.4g", about.low, about.high);
    }
    return true;
}

static char *print_text(const struct tl_score_work *w, const struct summary *s, struct tl_err *err)
{
    cJSON *out = cJSON_CreateObject(), *row = tl_listing_row(tl_listing_array(out, "scores"));
    tl_listing_text(row, "metric", s->about.info->name);
    tl_listing_text(row, "flavour", s->about.variant ? s->about.variant : "-");
    tl_listing_format(row, "value", "%.5g", s->mean);
    tl_listing_count(row, "n", w->n_scored);
    tl_listing_format(row, "95 % interval", "%.5g to %.5g", s->low, s->high);
    tl_listing_format(row, "range", "%.4g to %.4g", s->about.low, s->about.high);
    if (w->n_parts > 1 && !list_members(w, tl_listing_array(out, "members, combined as they are"), err)) {
        cJSON_Delete(out);
        return NULL;
    }
    tl_listing_text(out, "reward", s->about.spec);
    if (s->about.weight != 1) tl_listing_number(out, "weight", s->about.weight);
    tl_listing_text(out, "folder", w->params->folder);
    tl_listing_text(out, "encoder sha256", *s->about.sha256 ? s->about.sha256 : NULL);
    tl_listing_text(out, "csv", w->params->csv);
    if (w->n_scored < w->n || w->folder.n_strays) add_skipped(w, tl_listing_array(out, "skipped"));
    return tl_listing_print(out, "tiller.score/1", false, err);
}

char *tl_score_report(const struct tl_score_work *w, struct tl_err *err)
{
    struct summary s;
    if (!summarise(w, &s, err)) return NULL;
    return w->params->json ? print_json(w, &s, err) : print_text(w, &s, err);
}

/* ---- for spreadsheets ---- */

/* RFC 4180: quoted, quotes doubled. */
static void add_quoted(struct tl_str *out, const char *text)
{
    tl_str_append(out, "\"");
    for (const char *quote; (quote = strchr(text, '"')) != NULL; text = quote + 1) {
        tl_str_append_n(out, text, (size_t)(quote - text));
        tl_str_append(out, "\"\"");
    }
    tl_str_append(out, text);
    tl_str_append(out, "\"");
}

/* The shortest number that reads back the same, '.' in any locale. */
static bool add_number(struct tl_str *out, double x, struct tl_err *err)
{
    cJSON *number = cJSON_CreateNumber(x);
    char *text = number ? tl_json_print(number, false, err) : NULL;
    if (text) tl_str_append(out, text);
    free(text);
    cJSON_Delete(number);
    return text || tl_err_set(err, TL_FAIL, "out of memory");
}

/* An ensemble has a column for each member. */
static bool add_heading(const struct tl_score_work *w, struct tl_str *out, struct tl_err *err)
{
    struct tl_reward_about about;
    tl_str_append(out, "file,prompt,score");
    for (size_t k = 0; w->n_parts > 1 && k < w->n_parts; k++) {
        if (!tl_reward_set_about(w->reward, k, &about, err)) return false;
        tl_str_append(out, ",");
        add_quoted(out, about.spec);
    }
    tl_str_append(out, "\n");
    return true;
}

bool tl_score_write_csv(const struct tl_score_work *w, struct tl_err *err)
{
    struct tl_str out = {0};
    bool ok = add_heading(w, &out, err);
    for (size_t i = 0; ok && i < w->n; i++) {
        const struct tl_score_entry *e = &w->entries[i];
        if (e->skipped) continue;
        add_quoted(&out, e->name);
        tl_str_append(&out, ",");
        add_quoted(&out, e->prompt ? e->prompt : "");
        tl_str_append(&out, ",");
        ok = add_number(&out, e->score, err);
        for (size_t k = 0; ok && w->n_parts > 1 && k < w->n_parts; k++) {
            tl_str_append(&out, ",");
            ok = add_number(&out, e->parts[k], err);
        }
        tl_str_append(&out, "\n");
    }
    ok = ok && (!out.failed || tl_err_set(err, TL_FAIL, "out of memory"));
    ok = ok && tl_file_write(w->params->csv, out.data, out.len, err);
    tl_str_finish(&out);
    return ok;
}
