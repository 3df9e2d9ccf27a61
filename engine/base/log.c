#include <tiller/log.h>

#include <stdarg.h>
#include <stdio.h>

#include "base/log_mute.h"

static tl_log_fn sink;
static void *sink_user;
static _Thread_local int muted;

void tl_log_mute(bool on)
{
    muted += on ? 1 : -1;
}

void tl_log_set(tl_log_fn fn, void *user)
{
    sink = fn;
    sink_user = user;
}

void tl_log(enum tl_log_level level, const char *fmt, ...)
{
    if (!sink || muted > 0) return;
    char text[2048];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    sink(sink_user, level, text);
}
