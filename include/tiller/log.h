/* Logging by callback: the library never prints. The default sink drops everything.
 * Set the sink once, before other threads use the library; the sink itself must be thread-safe.
 */
#ifndef TILLER_LOG_H
#define TILLER_LOG_H

enum tl_log_level {
    TL_LOG_ERROR,
    TL_LOG_WARN,
    TL_LOG_INFO,
    TL_LOG_DEBUG,
    TL_LOG_NOTE /* what a person who did not ask for more is to read, too: a plan, the answer to --dry-run */
};

typedef void (*tl_log_fn)(void *user, enum tl_log_level level, const char *text);

void tl_log_set(tl_log_fn fn, void *user);

void tl_log(enum tl_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
