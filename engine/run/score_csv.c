#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "io/file.h"
#include "run/score_row.h"

void tl_score_csv_text(struct tl_str *out, const char *text)
{
    tl_str_append(out, "\"");
    for (const char *quote; (quote = strchr(text, '"')) != NULL; text = quote + 1) {
        tl_str_append_n(out, text, (size_t)(quote - text));
        tl_str_append(out, "\"\"");
    }
    tl_str_append(out, text);
    tl_str_append(out, "\"");
}

bool tl_score_csv_number(struct tl_str *out, double x, struct tl_err *err)
{
    cJSON *number = isfinite(x) ? cJSON_CreateNumber(x) : NULL;
    char *text = number ? tl_json_print(number, false, err) : NULL;
    if (text) tl_str_append(out, text);
    bool ok = text || !isfinite(x) || tl_err_set(err, TL_FAIL, "out of memory");
    free(text);
    cJSON_Delete(number);
    return ok;
}

/* An ensemble has a column for each member. */
static void add_items_heading(const struct tl_score_row *row, bool many, struct tl_str *out)
{
    if (many) tl_str_append(out, "folder,");
    tl_str_append(out, row->is_reward ? "file,prompt,score" : "file,partner,score");
    for (size_t k = 0; row->members && k < row->n_parts; k++) {
        tl_str_append(out, ",");
        tl_score_csv_text(out, row->members[k].spec);
    }
    tl_str_append(out, "\n");
}

static bool add_items(const struct tl_score_row *row, bool many, struct tl_str *out, struct tl_err *err)
{
    for (size_t i = 0; i < row->n_items; i++) {
        const struct tl_score_item *item = &row->items[i];
        if (many) {
            tl_score_csv_text(out, row->sides[row->n_sides - 1].path);
            tl_str_append(out, ",");
        }
        tl_score_csv_text(out, item->file);
        tl_str_append(out, ",");
        tl_score_csv_text(out, item->other ? item->other : "");
        tl_str_append(out, ",");
        if (!tl_score_csv_number(out, item->score, err)) return false;
        for (size_t k = 0; row->members && k < row->n_parts; k++) {
            tl_str_append(out, ",");
            if (!tl_score_csv_number(out, item->parts[k], err)) return false;
        }
        tl_str_append(out, "\n");
    }
    return true;
}

static void add_word(struct tl_str *out, const char *text)
{
    tl_str_append(out, ",");
    tl_score_csv_text(out, text ? text : "");
}

static bool add_value(const struct tl_score_row *row, const struct tl_score_row *extra, struct tl_str *out,
                      struct tl_err *err)
{
    tl_score_csv_text(out, row->metric);
    for (size_t k = 0; k < 2; k++) add_word(out, k < row->n_sides ? row->sides[k].path : "");
    const double numbers[] = {row->value, row->low, row->high};
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
        tl_str_append(out, ",");
        if (!tl_score_csv_number(out, numbers[k], err)) return false;
    }
    tl_str_printf(out, ",%zu,%zu,%zu", row->n, row->sides[0].n, row->n_sides > 1 ? row->sides[1].n : 0);
    add_word(out, row->encoder);
    add_word(out, row->sha256);
    add_word(out, row->flavour);
    add_word(out, row->encoder_settings);
    add_word(out, row->settings);
    tl_str_printf(out, ",%zu,", row->n_skipped);
    if (row->is_drawn) tl_str_printf(out, "%llu", (unsigned long long)row->seed);
    for (size_t k = 0; k < extra->n_numbers; k++) { /* a failed row has none */
        tl_str_append(out, ",");
        for (size_t j = 0; j < row->n_numbers; j++)
            if (strcmp(row->numbers[j].key, extra->numbers[k].key) == 0 &&
                !tl_score_csv_number(out, row->numbers[j].value, err))
                return false;
    }
    add_word(out, row->failed);
    tl_str_append(out, "\n");
    return true;
}

/* extra: the row whose other numbers are columns; all that have a value have the same. */
static bool add_values(const struct tl_score_row *rows, size_t n, struct tl_str *out, struct tl_err *err)
{
    const struct tl_score_row *extra = &rows[0];
    for (size_t i = 0; i < n; i++)
        if (rows[i].n_numbers > extra->n_numbers) extra = &rows[i];
    tl_str_append(out, "metric,first,second,value,low,high,n,n_first,n_second,encoder,encoder_sha256,"
                       "flavour,encoder_settings,settings,skipped,seed");
    for (size_t k = 0; k < extra->n_numbers; k++) tl_str_printf(out, ",%s", extra->numbers[k].key);
    tl_str_append(out, ",error\n");
    for (size_t i = 0; i < n; i++)
        if (!add_value(&rows[i], extra, out, err)) return false;
    return true;
}

bool tl_score_write_csv(const struct tl_score_row *rows, size_t n, const char *path, struct tl_err *err)
{
    struct tl_str out = {0};
    const struct tl_score_row *first = NULL; /* that has items */
    for (size_t i = 0; i < n && !first; i++)
        if (rows[i].items) first = &rows[i];
    bool ok = first || add_values(rows, n, &out, err);
    if (first) add_items_heading(first, n > 1, &out);
    for (size_t i = 0; ok && first && i < n; i++) ok = add_items(&rows[i], n > 1, &out, err);
    ok = ok && (!out.failed || tl_err_set(err, TL_FAIL, "out of memory"));
    ok = ok && tl_file_write(path, out.data, out.len, err);
    tl_str_finish(&out);
    return ok;
}
