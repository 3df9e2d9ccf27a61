#include <math.h>
#include <string.h>

#include "run/listing.h"
#include "run/run_folder.h"
#include "run/score_row.h"

/* ---- for programs ---- */

static void add_or_null(cJSON *row, const char *key, const char *text)
{
    if (text && *text)
        tl_listing_text(row, key, text);
    else if (row)
        cJSON_AddNullToObject(row, key);
}

/* JSON knows no infinity and no NaN: such an end is null. */
static void add_pair(cJSON *row, const char *key, double low, double high)
{
    cJSON *pair = tl_listing_array(row, key);
    const double ends[] = {low, high};
    for (int i = 0; i < 2; i++) {
        cJSON *x = isfinite(ends[i]) ? cJSON_CreateNumber(ends[i]) : cJSON_CreateNull();
        if (!(pair && x && cJSON_AddItemToArray(pair, x))) cJSON_Delete(x);
    }
}

static void add_sides(const struct tl_score_row *r, cJSON *sides)
{
    for (size_t k = 0; k < r->n_sides; k++) {
        cJSON *side = tl_listing_row(sides);
        tl_listing_text(side, "path", r->sides[k].path);
        if (r->sides[k].n) tl_listing_count(side, "n", r->sides[k].n);
        if (r->sides[k].rows) tl_listing_count(side, "rows", r->sides[k].rows);
    }
}

static void add_skipped(const struct tl_score_row *r, cJSON *rows)
{
    for (size_t i = 0; i < r->n_skipped; i++) {
        cJSON *row = tl_listing_row(rows);
        tl_listing_text(row, "folder", r->skipped[i].folder);
        tl_listing_text(row, "file", r->skipped[i].file);
        tl_listing_text(row, "reason", r->skipped[i].reason);
    }
}

/* An ensemble's members: their own scores, unweighted. */
static void add_members(const struct tl_score_row *r, cJSON *rows)
{
    for (size_t k = 0; k < r->n_parts; k++) {
        const struct tl_score_member *m = &r->members[k];
        cJSON *row = tl_listing_row(rows);
        tl_listing_text(row, "reward", m->spec);
        tl_listing_number(row, "value", m->value);
        add_or_null(row, "encoder", m->encoder);
        add_or_null(row, "encoder_sha256", m->sha256);
        add_or_null(row, "flavour", m->flavour);
        add_pair(row, "range", m->low, m->high);
    }
}

static void add_row(const struct tl_score_row *r, cJSON *array)
{
    cJSON *row = tl_listing_row(array);
    tl_listing_text(row, "metric", r->metric);
    tl_listing_number(row, "value", r->value);
    tl_listing_count(row, "n", r->n);
    add_pair(row, "interval", r->low, r->high);
    add_or_null(row, "interval_method", isfinite(r->low) ? r->interval : NULL);
    cJSON *seed = r->is_drawn ? tl_run_seed_json(r->seed) : cJSON_CreateNull();
    if (!(row && seed && cJSON_AddItemToObject(row, "seed", seed))) cJSON_Delete(seed);
    add_or_null(row, "error", r->failed);
    add_or_null(row, "encoder", r->encoder);
    add_or_null(row, "encoder_sha256", r->sha256);
    add_or_null(row, "flavour", r->flavour);
    cJSON *settings = tl_listing_object(row, "settings");
    if (r->encoder_settings) tl_listing_text(settings, "encoder", r->encoder_settings);
    if (r->settings) tl_listing_text(settings, "metric", r->settings);
    for (size_t k = 0; k < r->n_numbers; k++) tl_listing_number(row, r->numbers[k].key, r->numbers[k].value);
    if (r->is_reward) {
        tl_listing_number(row, "weight", r->weight);
        add_pair(row, "range", r->range_low, r->range_high);
    }
    add_sides(r, tl_listing_array(row, "sets"));
    if (r->members) add_members(r, tl_listing_array(row, "members"));
    add_skipped(r, tl_listing_array(row, "skipped"));
    cJSON *notes = tl_listing_array(row, "warnings");
    for (size_t k = 0; k < r->n_notes; k++) {
        cJSON *text = cJSON_CreateString(r->notes[k]);
        if (!(notes && text && cJSON_AddItemToArray(notes, text))) cJSON_Delete(text);
    }
}

static char *print_json(const struct tl_score_row *rows, size_t n, struct tl_err *err)
{
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; i < n; i++) add_row(&rows[i], array);
    char *text = array ? tl_json_print(array, true, err) : NULL;
    if (!text) tl_err_set(err, TL_FAIL, "out of memory");
    cJSON_Delete(array);
    return text;
}

/* ---- for people ---- */

static void list_value(const struct tl_score_row *r, bool many, cJSON *array)
{
    cJSON *row = tl_listing_row(array);
    tl_listing_text(row, "metric", r->metric);
    tl_listing_text(row, "flavour", r->flavour && *r->flavour ? r->flavour : "-");
    if (many) tl_listing_text(row, "folder", r->sides[r->n_sides - 1].path);
    if (r->failed)
        tl_listing_text(row, "value", "failed");
    else
        tl_listing_format(row, "value", "%.5g", r->value);
    tl_listing_count(row, "n", r->n);
    if (isfinite(r->low))
        tl_listing_format(row, "95 % interval", "%.5g to %.5g", r->low, r->high);
    else
        tl_listing_text(row, "95 % interval", "n/a");
    if (r->is_reward) tl_listing_format(row, "range", "%.4g to %.4g", r->range_low, r->range_high);
}

static void list_members(const struct tl_score_row *r, cJSON *rows)
{
    for (size_t k = 0; k < r->n_parts; k++) {
        cJSON *row = tl_listing_row(rows);
        tl_listing_text(row, "member", r->members[k].spec);
        tl_listing_format(row, "value", "%.5g", r->members[k].value);
        tl_listing_format(row, "range", "%.4g to %.4g", r->members[k].low, r->members[k].high);
    }
}

static void list_sides(const struct tl_score_row *rows, size_t n, cJSON *out)
{
    const struct tl_score_row *r = &rows[0];
    for (size_t i = 1; i < n && r->failed; i++) r = &rows[i];
    if (r->n_sides == 2 && r->sides[0].n)
        tl_listing_format(out, "reference", "%s (%zu)", r->sides[0].path, r->sides[0].n);
    else if (r->n_sides == 2)
        tl_listing_text(out, "reference", r->sides[0].path);
    if (n == 1) tl_listing_text(out, "folder", r->sides[r->n_sides - 1].path);
}

static void list_notes(const struct tl_score_row *rows, size_t n, cJSON *out)
{
    size_t n_notes = 0;
    for (size_t i = 0; i < n; i++) n_notes += rows[i].n_notes + (rows[i].failed != NULL);
    cJSON *array = n_notes ? tl_listing_array(out, "warnings") : NULL;
    for (size_t i = 0; i < n; i++)
        if (rows[i].failed) {
            cJSON *row = tl_listing_row(array);
            if (n > 1) tl_listing_text(row, "folder", rows[i].sides[rows[i].n_sides - 1].path);
            tl_listing_text(row, "warning", rows[i].failed);
        }
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < rows[i].n_notes; k++) {
            cJSON *row = tl_listing_row(array);
            if (n > 1) tl_listing_text(row, "folder", rows[i].sides[rows[i].n_sides - 1].path);
            tl_listing_text(row, "warning", rows[i].notes[k]);
        }
}

/* Files that every value of a job leaves out (those of the reference) are told once. */
static void list_skipped(const struct tl_score_row *rows, size_t n, cJSON *out)
{
    cJSON *array = NULL;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < rows[i].n_skipped; k++) {
            const struct tl_score_skip *s = &rows[i].skipped[k];
            if (i && rows[i].n_sides == 2 && strcmp(s->folder, rows[i].sides[0].path) == 0) continue;
            if (!array) array = tl_listing_array(out, "skipped");
            cJSON *row = tl_listing_row(array);
            tl_listing_text(row, "file", s->file);
            tl_listing_text(row, "reason", s->reason);
        }
}

static char *print_text(const struct tl_score_row *rows, size_t n, const char *csv, struct tl_err *err)
{
    const struct tl_score_row *r = &rows[0];
    for (size_t i = 1; i < n && r->failed; i++) r = &rows[i]; /* one that has a value speaks for the job */
    cJSON *out = cJSON_CreateObject(), *scores = tl_listing_array(out, "scores");
    for (size_t i = 0; i < n; i++) list_value(&rows[i], n > 1, scores);
    if (r->members) list_members(r, tl_listing_array(out, "members, combined as they are"));
    if (r->is_reward) tl_listing_text(out, "reward", r->spec);
    if (r->is_reward && r->weight != 1) tl_listing_number(out, "weight", r->weight);
    list_sides(rows, n, out);
    if (r->encoder && *r->encoder && !r->is_reward) tl_listing_text(out, "encoder", r->encoder);
    tl_listing_text(out, "encoder sha256", r->sha256 && *r->sha256 ? r->sha256 : NULL);
    tl_listing_text(out, "encoder settings", r->encoder_settings);
    tl_listing_text(out, "metric settings", r->settings);
    if (isfinite(r->low) && r->interval) tl_listing_text(out, "interval", r->interval);
    if (r->is_drawn) tl_listing_format(out, "seed", "%llu", (unsigned long long)r->seed);
    for (size_t k = 0; n == 1 && k < r->n_numbers; k++)
        tl_listing_format(out, r->numbers[k].key, "%.6g", r->numbers[k].value);
    tl_listing_text(out, "csv", csv);
    list_notes(rows, n, out);
    list_skipped(rows, n, out);
    return tl_listing_print(out, "tiller.score/1", false, err);
}

char *tl_score_report(const struct tl_score_row *rows, size_t n, const char *csv, bool json,
                      struct tl_err *err)
{
    return json ? print_json(rows, n, err) : print_text(rows, n, csv, err);
}
