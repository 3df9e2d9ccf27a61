/* Errors: one value that gathers what went wrong, where, and what to try.
 *
 * Every fallible function returns bool (or NULL) and takes `struct tl_err *` last. The first cause is
 * kept; each level that unwinds may add one clause in front of it ("loading unet: conv_in.weight: ...").
 * `err` may be NULL where the caller does not care. Codes are the exit codes of the program.
 * Not thread-safe: an error belongs to one call chain.
 */
#ifndef TILLER_ERR_H
#define TILLER_ERR_H

#include <stdbool.h>

enum tl_code {
    TL_OK = 0,
    TL_FAIL = 1,      /* anything that has no code of its own */
    TL_USAGE = 2,     /* command line or config */
    TL_PARTIAL = 3,   /* done, but some inputs were skipped */
    TL_BAD_INPUT = 4, /* model, weights, data: unreadable, corrupt, unsupported */
    TL_OUTPUT = 5,    /* cannot write; disk full */
    TL_DEVICE = 6,    /* device missing, out of memory, lost */
    TL_PLUGIN = 7,    /* an external reward failed */
    TL_NUMERIC = 8,   /* non-finite loss, gradient or reward */
    TL_BUSY = 9,      /* the run folder is locked by another process */
    TL_INTERRUPTED = 130,
};

struct tl_err {
    enum tl_code code;
    char text[1024]; /* UTF-8, one line, cut if longer; control characters become "?" */
};

/* Records a failure unless one is recorded already. Always returns false, so `return tl_err_set(...)`. */
bool tl_err_set(struct tl_err *err, enum tl_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "clause: " in front of the recorded text. Always returns false. */
bool tl_err_add(struct tl_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Clears for reuse. */
void tl_err_clear(struct tl_err *err);

#endif
