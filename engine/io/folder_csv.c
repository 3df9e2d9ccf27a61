#include "io/folder_csv.h"

#include <string.h>

#include "base/str.h"

enum { MOST_FIELDS = 256 };

bool tl_csv_begin(struct tl_csv *csv, const char *text, size_t n, const char *what, struct tl_err *err)
{
    csv->next_line = 1;
    return tl_text_lines_begin(&csv->text, text, n, what, err);
}

/* A quoted field; *p is behind its first quote and comes to stand behind its last. */
static bool take_quoted(struct tl_csv *csv, const char **p, struct tl_str *out, struct tl_err *err)
{
    const char *end = csv->text.end;
    for (const char *q = *p; q < end; q++) {
        if (*q == '\n') csv->next_line++;
        if (*q != '"') continue;
        tl_str_append_n(out, *p, (size_t)(q - *p));
        if (q + 1 < end && q[1] == '"') {
            tl_str_append(out, "\"");
            *p = ++q + 1;
            continue;
        }
        *p = q + 1;
        if (*p == end || **p == ',' || **p == '\n' || (**p == '\r' && (*p + 1 == end || (*p)[1] == '\n')))
            return true;
        return tl_err_set(err, TL_BAD_INPUT,
                          "%s: line %zu: text behind a closing quote; a quote in a quoted field is \"\"",
                          csv->text.what, csv->next_line);
    }
    return tl_err_set(err, TL_BAD_INPUT, "%s: line %zu: a quoted field that never ends", csv->text.what,
                      csv->text.line);
}

static void take_plain(struct tl_csv *csv, const char **p, struct tl_str *out)
{
    const char *q = *p;
    while (q < csv->text.end && *q != ',' && *q != '\n') q++;
    size_t n = (size_t)(q - *p);
    if (n && q[-1] == '\r' && (q == csv->text.end || *q == '\n')) n--;
    tl_str_append_n(out, *p, n);
    *p = q;
}

static void skip_blank_lines(struct tl_csv *csv)
{
    struct tl_text_lines *t = &csv->text;
    while (t->p < t->end && (*t->p == '\n' || (*t->p == '\r' && t->p + 1 < t->end && t->p[1] == '\n'))) {
        t->p += *t->p == '\r' ? 2 : 1;
        csv->next_line++;
    }
    t->line = csv->next_line;
}

bool tl_csv_next(struct tl_csv *csv, struct tl_arena *arena, const char *const **out_fields, size_t *out_n,
                 struct tl_err *err)
{
    const char *fields[MOST_FIELDS], *p;
    struct tl_str field = {0};
    size_t n = 0;
    bool ok = true, more = true;
    skip_blank_lines(csv);
    for (p = csv->text.p; ok && more && p < csv->text.end;) {
        tl_str_clear(&field);
        if (n == MOST_FIELDS) {
            ok = tl_err_set(err, TL_BAD_INPUT, "%s: line %zu: more than %d fields", csv->text.what,
                            csv->text.line, MOST_FIELDS);
        } else if (*p == '"') {
            p++;
            ok = take_quoted(csv, &p, &field, err);
        } else {
            take_plain(csv, &p, &field);
        }
        if (!ok) break;
        fields[n] = tl_text_keep(arena, field.data ? field.data : "", field.len);
        ok = (!field.failed && fields[n++]) || tl_err_set(err, TL_FAIL, "out of memory");
        more = p < csv->text.end && *p == ',';
        if (more && ++p == csv->text.end &&
            n < MOST_FIELDS) { /* a last, empty field at the end of the text */
            fields[n] = "";
            n++;
        }
    }
    if (p < csv->text.end && *p == '\r') p++;
    if (p < csv->text.end && *p == '\n') {
        p++;
        csv->next_line++;
    }
    csv->text.p = p;
    *out_n = ok ? n : 0;
    *out_fields = ok && n ? tl_arena_copy(arena, fields, n * sizeof *fields) : NULL;
    tl_str_finish(&field);
    return ok && (n == 0 || *out_fields || tl_err_set(err, TL_FAIL, "out of memory"));
}
