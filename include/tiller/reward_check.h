/* Whether a program speaks the protocol of external rewards (tools/rewards/README.md): what
 * `tiller reward check` does. */
#ifndef TILLER_REWARD_CHECK_H
#define TILLER_REWARD_CHECK_H

#include <stdbool.h>

#include <tiller/job.h>

struct tl_reward_check_params {
    const char *reward; /* "exec:COMMAND[,KEY=VALUE...]", also exec-set: or the command alone */
    bool json;          /* JSON (schema "tiller.reward_check/1") instead of text */
};

/* Starts the program, asks it small pictures and sounds of our own, and tells a row a check: check, result
 * (ok, failed, skipped), detail. Text that the caller frees; *out_passed: no check has failed. NULL with
 * TL_USAGE where there is no such program, TL_INTERRUPTED. */
char *tl_reward_check(const struct tl_reward_check_params *params, const struct tl_job *job, bool *out_passed,
                      struct tl_err *err);

#endif
