#include <tiller/err.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool tl_err_set(struct tl_err *err, enum tl_code code, const char *fmt, ...)
{
    if (!err || err->code != TL_OK) return false;
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
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
    char old[sizeof err->text];
    memcpy(old, err->text, sizeof old);
    int n = snprintf(err->text, sizeof err->text, "%s: ", clause);
    size_t used = n < 0 ? 0 : (size_t)n;
    if (used >= sizeof err->text) return false;
    size_t room = sizeof err->text - used - 1, len = strlen(old);
    if (len > room) len = room;
    memcpy(err->text + used, old, len);
    err->text[used + len] = 0;
    return false;
}

void tl_err_clear(struct tl_err *err)
{
    if (!err) return;
    err->code = TL_OK;
    err->text[0] = 0;
}
