#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

void tl_str_finish(struct tl_str *s)
{
    free(s->data);
    *s = (struct tl_str){0};
}

void tl_str_clear(struct tl_str *s)
{
    s->len = 0;
    if (s->data) s->data[0] = 0;
}

static bool reserve(struct tl_str *s, size_t extra)
{
    size_t need;
    if (s->failed || !tl_checked_add(s->len, extra, &need) || !tl_checked_add(need, 1, &need)) goto fail;
    if (need <= s->size) return true;
    size_t size = s->size ? s->size : 64;
    while (size < need) size += size / 2;
    char *p = realloc(s->data, size);
    if (!p) goto fail;
    s->data = p;
    s->size = size;
    return true;
fail:
    s->failed = true;
    return false;
}

void tl_str_append_n(struct tl_str *s, const void *bytes, size_t n)
{
    if (!reserve(s, n)) return;
    if (n) memcpy(s->data + s->len, bytes, n);
    s->len += n;
    s->data[s->len] = 0;
}

void tl_str_append(struct tl_str *s, const char *text)
{
    tl_str_append_n(s, text, strlen(text));
}

void tl_str_printf(struct tl_str *s, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n >= 0 && reserve(s, (size_t)n)) {
        vsnprintf(s->data + s->len, (size_t)n + 1, fmt, again);
        s->len += (size_t)n;
    }
    va_end(again);
}

static size_t edit_distance(const char *a, const char *b)
{
    enum { MOST = 63 };
    size_t n = strlen(a), m = strlen(b), row[MOST + 1];
    if (n > MOST || m > MOST) return MOST;
    for (size_t j = 0; j <= m; j++) row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t up = row[j], best = diagonal + (a[i - 1] != b[j - 1]);
            if (up + 1 < best) best = up + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = up;
            row[j] = best;
        }
    }
    return row[m];
}

const char *tl_str_nearest(const char *word, const char *const *candidates, size_t n)
{
    const char *best = NULL;
    size_t limit = strlen(word) / 2 + 1, distance = limit + 1;
    for (size_t i = 0; i < n; i++) {
        size_t d = edit_distance(word, candidates[i]);
        if (d < distance) {
            distance = d;
            best = candidates[i];
        }
    }
    return distance <= limit ? best : NULL;
}

bool tl_str_ends(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && memcmp(text + n - m, suffix, m) == 0;
}
