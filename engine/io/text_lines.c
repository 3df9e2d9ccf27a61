#include "io/text_lines.h"

#include <stdio.h>
#include <string.h>

#include "io/utf8.h"

bool tl_text_lines_begin(struct tl_text_lines *lines, const char *text, size_t n, const char *what,
                         struct tl_err *err)
{
    if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        n -= 3;
    }
    *lines = (struct tl_text_lines){.p = text, .end = text + n, .what = what};
    size_t valid = tl_utf8_prefix(text, n), line = 1;
    const char *nul = n ? memchr(text, 0, valid) : NULL;
    if (valid == n && !nul) return true;
    size_t at = nul ? (size_t)(nul - text) : valid;
    for (size_t i = 0; i < at; i++) line += text[i] == '\n';
    return tl_err_set(err, TL_BAD_INPUT,
                      nul ? "%s: line %zu: a NUL byte; a text file in UTF-8 is needed"
                          : "%s: line %zu: not valid UTF-8",
                      what, line);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

void tl_text_trim(const char **text, size_t *n)
{
    while (*n && is_space((*text)[*n - 1])) --*n;
    while (*n && is_space(**text)) {
        ++*text;
        --*n;
    }
}

bool tl_text_lines_next(struct tl_text_lines *lines, const char **out_text, size_t *out_n)
{
    while (lines->p < lines->end) {
        const char *text = lines->p, *newline = memchr(text, '\n', (size_t)(lines->end - text));
        const char *end = newline ? newline : lines->end;
        size_t n = (size_t)(end - text);
        lines->p = newline ? newline + 1 : lines->end;
        lines->line++;
        tl_text_trim(&text, &n);
        if (!n) continue;
        *out_text = text;
        *out_n = n;
        return true;
    }
    return false;
}

char *tl_text_keep(struct tl_arena *arena, const char *text, size_t n)
{
    char *copy = tl_arena_alloc(arena, n + 1, 1);
    if (copy && n) memcpy(copy, text, n);
    return copy;
}

cJSON *tl_text_lines_object(const struct tl_text_lines *lines, const char *text, size_t n, struct tl_err *err)
{
    char where[300];
    snprintf(where, sizeof where, "%.200s: row %zu", lines->what, lines->line);
    cJSON *row = tl_json_parse(text, n, where, err);
    if (!row || cJSON_IsObject(row)) return row;
    cJSON_Delete(row);
    tl_err_set(err, TL_BAD_INPUT, "%s: line %zu: a JSON object expected", lines->what, lines->line);
    return NULL;
}

bool tl_text_caption(const cJSON *row, const char *const *keys, size_t n_keys, struct tl_arena *arena,
                     const char **out, struct tl_err *err)
{
    *out = NULL;
    for (size_t i = 0; i < n_keys; i++) {
        const char *text;
        if (!tl_json_string(row, keys[i], NULL, &text, err)) return false;
        if (!text) continue;
        size_t n = strlen(text);
        tl_text_trim(&text, &n);
        *out = tl_text_keep(arena, text, n);
        return *out != NULL || tl_err_set(err, TL_BAD_INPUT, "out of memory");
    }
    return true;
}
