#include "run/listing_text.h"

#include <math.h>
#include <string.h>

enum { MOST_CELL = 400, MOST_VALUE = 4000, MOST_COLUMNS = 16, STEP = 2 };

/* ---- one value on one line ---- */

/* The length in characters, for columns: continuation bytes do not count. */
static size_t width_of(const char *text)
{
    size_t n = 0;
    for (; text && *text; text++) n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

static void pad(struct tl_str *out, size_t have, size_t want)
{
    for (; have < want; have++) tl_str_append(out, " ");
}

/* Appends without anything that a terminal would act on; a line end is followed by `indent` spaces, or
 * becomes a space where indent is negative. */
static void append_safe(struct tl_str *out, const char *text, int indent)
{
    size_t n = 0, most = indent < 0 ? MOST_CELL : MOST_VALUE;
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (++n > most && (*p & 0xC0) != 0x80) {
            tl_str_printf(out, " ... (%zu bytes)", strlen(text));
            return;
        }
        if (*p == '\n') {
            tl_str_append(out, indent < 0 ? " " : "\n");
            if (indent > 0) pad(out, 0, (size_t)indent);
        } else if (*p == '\t') {
            tl_str_append(out, " ");
        } else if (*p < 0x20 || *p == 0x7F) {
            tl_str_printf(out, "\\x%02x", *p);
        } else if (*p == 0xC2 && p[1] >= 0x80 && p[1] < 0xA0) { /* C1 controls */
            tl_str_printf(out, "\\x%02x", *++p);
        } else {
            tl_str_append_n(out, p, 1);
        }
    }
}

static void append_scaled(struct tl_str *out, double x, double step, const char *const *units)
{
    int i = 0;
    for (; x >= step && units[i + 1]; i++) x /= step;
    tl_str_printf(out, i == 0 ? "%.0f%s" : "%.2f%s", x, units[i]);
}

static void append_number(struct tl_str *out, const char *key, double x)
{
    static const char *const bytes[] = {" B", " KiB", " MiB", " GiB", " TiB", NULL};
    static const char *const counts[] = {"", " k", " M", " G", NULL};
    if (key && tl_str_ends(key, "bytes"))
        append_scaled(out, x, 1024, bytes);
    else if (key && strcmp(key, "parameters") == 0)
        append_scaled(out, x, 1000, counts);
    else if (x == floor(x) && fabs(x) < 9007199254740992.0)
        tl_str_printf(out, "%.0f", x);
    else
        tl_str_printf(out, "%.6g", x);
}

static void append_value(struct tl_str *out, const char *key, const cJSON *v, int indent)
{
    if (cJSON_IsString(v)) {
        append_safe(out, v->valuestring, indent);
    } else if (cJSON_IsNumber(v)) {
        append_number(out, key, v->valuedouble);
    } else if (cJSON_IsBool(v)) {
        tl_str_append(out, cJSON_IsTrue(v) ? "yes" : "no");
    } else if (cJSON_IsArray(v) && v->child) {
        for (const cJSON *e = v->child; e; e = e->next) {
            append_value(out, key, e, -1);
            if (e->next) tl_str_append(out, ", ");
        }
    } else if (cJSON_IsArray(v) || cJSON_IsObject(v)) {
        tl_str_append(out, v->child ? "{...}" : "none");
    } else {
        tl_str_append(out, "-");
    }
}

/* ---- tables ---- */

struct column {
    const char *key;
    size_t width;
    bool right; /* numbers stand at the right */
};

/* Remarks are long and read best at the end. */
static void move_note_last(struct column *columns, int n)
{
    for (int k = 0; k + 1 < n; k++) {
        if (strcmp(columns[k].key, "note") != 0) continue;
        struct column note = columns[k];
        columns[k] = columns[k + 1];
        columns[k + 1] = note;
    }
}

/* The columns in the order in which the rows first name them. */
static int find_columns(const cJSON *rows, struct column *columns)
{
    int n = 0;
    for (const cJSON *row = rows->child; row; row = row->next)
        for (const cJSON *cell = row->child; cell; cell = cell->next) {
            int k = 0;
            while (k < n && strcmp(columns[k].key, cell->string) != 0) k++;
            if (k == MOST_COLUMNS) continue;
            if (k == n)
                columns[n++] = (struct column){cell->string, width_of(cell->string), cJSON_IsNumber(cell)};
            struct tl_str text = {0};
            append_value(&text, cell->string, cell, -1);
            if (width_of(text.data) > columns[k].width) columns[k].width = width_of(text.data);
            tl_str_finish(&text);
        }
    move_note_last(columns, n);
    return n;
}

/* row NULL: the heading. No spaces at the end of the line. */
static void print_row(struct tl_str *out, const struct column *columns, int n, const cJSON *row, int indent)
{
    size_t owed = (size_t)indent;
    for (int k = 0; k < n; k++) {
        struct tl_str text = {0};
        const cJSON *cell = row ? cJSON_GetObjectItemCaseSensitive(row, columns[k].key) : NULL;
        if (!row)
            tl_str_append(&text, columns[k].key);
        else if (cell)
            append_value(&text, columns[k].key, cell, -1);
        size_t gap = columns[k].width - width_of(text.data);
        if (columns[k].right) owed += gap;
        if (text.len) {
            pad(out, 0, owed);
            tl_str_append(out, text.data);
            owed = 0;
        }
        owed += columns[k].right ? (size_t)STEP : gap + STEP;
        tl_str_finish(&text);
    }
    tl_str_append(out, "\n");
}

static void print_table(struct tl_str *out, const cJSON *rows, int indent)
{
    struct column columns[MOST_COLUMNS];
    int n = find_columns(rows, columns);
    print_row(out, columns, n, NULL, indent);
    for (const cJSON *row = rows->child; row; row = row->next) print_row(out, columns, n, row, indent);
}

/* ---- the tree ---- */

static bool is_table(const cJSON *v)
{
    return cJSON_IsArray(v) && v->child && cJSON_IsObject(v->child);
}

static bool has_blocks(const cJSON *object)
{
    for (const cJSON *v = object->child; v; v = v->next)
        if (is_table(v) || (cJSON_IsObject(v) && v->child)) return true;
    return false;
}

static void print_object(struct tl_str *out, const cJSON *object, int indent)
{
    size_t width = 0;
    for (const cJSON *v = object->child; v; v = v->next)
        if (!is_table(v) && !(cJSON_IsObject(v) && v->child) && width_of(v->string) > width)
            width = width_of(v->string);
    for (const cJSON *v = object->child; v; v = v->next) {
        bool table = is_table(v), block = cJSON_IsObject(v) && v->child;
        if ((table || block) && indent == 0 && out->len) tl_str_append(out, "\n");
        pad(out, 0, (size_t)indent);
        append_safe(out, v->string, -1);
        if (!table && !block) {
            pad(out, width_of(v->string), width + STEP);
            append_value(out, v->string, v, indent + (int)width + STEP);
            tl_str_append(out, "\n");
            continue;
        }
        tl_str_append(out, "\n");
        bool flat = table;
        for (const cJSON *row = v->child; flat && row; row = row->next) flat = !has_blocks(row);
        if (block)
            print_object(out, v, indent + STEP);
        else if (flat)
            print_table(out, v, indent + STEP);
        else
            for (const cJSON *row = v->child; row; row = row->next) {
                print_object(out, row, indent + STEP);
                if (row->next) tl_str_append(out, "\n");
            }
    }
}

void tl_listing_print_text(struct tl_str *out, const cJSON *tree)
{
    print_object(out, tree, 0);
}
