/* What programs say on standard error: a file that a person can read when something went wrong, and that is
 * gone when nothing did. The process's keeper keeps it below a MiB. */
#ifndef TL_REWARDS_EXEC_LOG_H
#define TL_REWARDS_EXEC_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

struct tl_exec_log {
    int fd;
    char *path;   /* owns */
    bool is_ours; /* a temporary one */
    bool stays;   /* when it is closed */
    bool opened;  /* fd is valid */
};

/* path NULL: a new file where temporary files are (TMPDIR, /tmp), else this one, which stays. */
bool tl_exec_log_open(struct tl_exec_log *log, const char *path, struct tl_err *err);
void tl_exec_log_close(struct tl_exec_log *log);

/* What a program said, as much as fits, not cut within a character: out [size]. */
void tl_exec_log_copy(char *out, size_t size, const char *text, size_t n);

/* Records "the program DID ..." with the last line of the log that says something, and where the rest is. */
void tl_exec_log_tell(struct tl_exec_log *log, const char *did, struct tl_err *out);

#endif
