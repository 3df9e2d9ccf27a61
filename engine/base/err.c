#include <tiller/err.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Bytes of the UTF-8 character at p, 0 where there is none. Surrogates and overlong forms count as none. */
static size_t character(const unsigned char *p)
{
    if (*p < 0x80) return 1;
    size_t n = *p >= 0xC2 && *p < 0xE0 ? 2 : *p >= 0xE0 && *p < 0xF0 ? 3 : *p >= 0xF0 && *p < 0xF5 ? 4 : 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80) return 0;
    }
    bool bad = (*p == 0xE0 && p[1] < 0xA0) || (*p == 0xED && p[1] > 0x9F) || (*p == 0xF0 && p[1] < 0x90) ||
               (*p == 0xF4 && p[1] > 0x8F);
    return bad ? 0 : n;
}

/* Names and values of hostile files stand in messages: what is no UTF-8, and control characters, which could
 * begin a line or speak to a terminal, become "?". */
static void make_line(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p;) {
        size_t n = character(p);
        bool control = *p < 0x20 || *p == 0x7F || (*p == 0xC2 && p[1] < 0xA0);
        for (size_t i = 0; i < n && control; i++) p[i] = '?';
        if (n == 0) *p = '?';
        p += n ? n : 1;
    }
}

/* A text of `size` bytes that fills its room may end within a character. */
static void cut_clean(char *text, size_t size)
{
    size_t at = strlen(text);
    if (at + 1 < size) return;
    while (at > 0 && at + 4 > size && ((unsigned char)text[at - 1] & 0xC0) == 0x80) at--;
    if (at > 0 && (unsigned char)text[at - 1] >= 0xC0 && character((unsigned char *)text + at - 1) == 0)
        text[at - 1] = 0;
}

bool tl_err_set(struct tl_err *err, enum tl_code code, const char *fmt, ...)
{
    if (!err || err->code != TL_OK) return false;
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    cut_clean(err->text, sizeof err->text);
    make_line(err->text);
    err->code = code;
    return false;
}

bool tl_err_add(struct tl_err *err, const char *fmt, ...)
{
    if (!err || err->code == TL_OK) return false;
    char clause[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(clause, sizeof clause, fmt, args);
    va_end(args);
    cut_clean(clause, sizeof clause);
    make_line(clause);
    char old[sizeof err->text];
    memcpy(old, err->text, sizeof old);
    int n = snprintf(err->text, sizeof err->text, "%s: ", clause);
    size_t used = n < 0 ? 0 : (size_t)n;
    if (used >= sizeof err->text) return false;
    size_t room = sizeof err->text - used - 1, len = strlen(old);
    if (len > room) len = room;
    memcpy(err->text + used, old, len);
    err->text[used + len] = 0;
    cut_clean(err->text, sizeof err->text);
    return false;
}

void tl_err_clear(struct tl_err *err)
{
    if (!err) return;
    err->code = TL_OK;
    err->text[0] = 0;
}
