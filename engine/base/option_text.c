/* Options as text: values, and the help that -h prints. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/option_inner.h"
#include "base/str.h"

enum { COLUMN = 30, WIDTH = 100 };

char *tl_option_text(const struct tl_options *o, const struct tl_option *row)
{
    const void *field = (const char *)o->params + row->offset;
    struct tl_str s = {0};
    char real[32];
    tl_str_append(&s, "");
    switch (row->type) {
    case TL_OPTION_TYPE_INT:
        tl_str_printf(&s, "%d", *(const int *)field);
        break;
    case TL_OPTION_TYPE_REAL:
        tl_option_real_text(*(const double *)field, real);
        tl_str_append(&s, real);
        break;
    case TL_OPTION_TYPE_BOOL:
        tl_str_append(&s, *(const bool *)field ? "true" : "false");
        break;
    case TL_OPTION_TYPE_STRING:
        tl_str_append(&s, *(const char *const *)field ? *(const char *const *)field : "");
        break;
    case TL_OPTION_TYPE_STRINGS: {
        const struct tl_strings *list = field;
        for (size_t i = 0; i < list->n; i++) tl_str_printf(&s, "%s%s", i ? ", " : "", list->items[i]);
        break;
    }
    case TL_OPTION_TYPE_ENUM:
        tl_str_append(&s, row->names[*(const int *)field]);
        break;
    case TL_OPTION_TYPE_SEED:
        tl_str_printf(&s, "%llu", (unsigned long long)*(const uint64_t *)field);
        break;
    }
    if (s.failed) tl_str_finish(&s);
    return s.data;
}

static void names_text(const struct tl_option *row, struct tl_str *out)
{
    for (size_t i = 0; row->names[i]; i++) tl_str_printf(out, "%s%s", i ? "|" : "", row->names[i]);
}

/* "  -o, --out FOLDER" */
static void head_text(const struct tl_option *row, struct tl_str *out)
{
    if (row->letter) {
        tl_str_printf(out, "  -%c, --%s", row->letter, row->name);
    } else {
        tl_str_printf(out, "      --%s", row->name);
    }
    if (row->type == TL_OPTION_TYPE_BOOL) return;
    tl_str_append(out, " ");
    if (row->type == TL_OPTION_TYPE_ENUM && !row->meta) {
        names_text(row, out);
    } else {
        tl_str_append(out, row->meta ? row->meta : "VALUE");
    }
}

/* "what it does (1 to 1000; default 50)" */
static void body_text(const struct tl_option *row, struct tl_str *out)
{
    char limits[80] = "";
    if (row->type == TL_OPTION_TYPE_INT || row->type == TL_OPTION_TYPE_REAL)
        tl_option_limits(row, limits, sizeof limits);
    bool is_off = row->type == TL_OPTION_TYPE_BOOL && row->fallback && !strcmp(row->fallback, "false");
    bool has_default = row->fallback && row->fallback[0] && !is_off;
    tl_str_append(out, row->help);
    if (!limits[0] && !has_default) return;
    tl_str_printf(out, " (%s%s", limits, limits[0] && has_default ? "; " : "");
    if (has_default && row->type == TL_OPTION_TYPE_BOOL) {
        tl_str_printf(out, "on by default; --no-%s", row->name);
    } else if (has_default) {
        tl_str_printf(out, "default %s", row->fallback);
    }
    tl_str_append(out, ")");
}

/* Words from column COLUMN on; a word that is too long stands alone. */
static void wrap(const char *text, size_t column, struct tl_str *out)
{
    if (column + 2 > COLUMN) {
        tl_str_append(out, "\n");
        column = 0;
    }
    tl_str_printf(out, "%*s", (int)(COLUMN - column), "");
    column = COLUMN;
    while (*text) {
        size_t len = strcspn(text, " ");
        if (column > COLUMN && column + 1 + len > WIDTH) {
            tl_str_printf(out, "\n%*s", COLUMN, "");
            column = COLUMN;
        } else if (column > COLUMN) {
            tl_str_append(out, " ");
            column++;
        }
        tl_str_append_n(out, text, len);
        column += len;
        text += len + (text[len] == ' ');
    }
    tl_str_append(out, "\n");
}

char *tl_option_help(const struct tl_option *table)
{
    struct tl_str s = {0}, head = {0}, body = {0};
    tl_str_append(&s, "");
    for (const struct tl_option *row = table; row->name; row++) {
        if (!row->help) continue;
        tl_str_clear(&head);
        tl_str_clear(&body);
        head_text(row, &head);
        body_text(row, &body);
        if (head.failed || body.failed) break;
        tl_str_append(&s, head.data);
        wrap(body.data, head.len, &s);
    }
    if (s.failed || head.failed || body.failed) tl_str_finish(&s);
    tl_str_finish(&head);
    tl_str_finish(&body);
    return s.data;
}
