#include <string.h>

#include <tiller/reward_check.h>

#include "cli.h"

static const struct tl_option options[] = {{0}};
static char no_params;

static enum tl_code run(const struct cli_call *call, struct tl_err *err)
{
    bool passed;
    if (strcmp(call->args[0], "check") != 0)
        return tl_err_set(err, TL_USAGE, "reward knows check, not '%.80s'; see tiller reward -h",
                          call->args[0]),
               TL_USAGE;
    struct tl_reward_check_params params = {.reward = call->args[1], .json = call->common->json};
    if (!cli_print_owned(tl_reward_check(&params, &call->job, &passed, err), err)) return err->code;
    return passed ? TL_OK
                  : (tl_err_set(err, TL_PLUGIN, "%.300s does not keep to the protocol; the report says where",
                                call->args[1]),
                     TL_PLUGIN);
}

const struct cli_verb cli_reward = {
    .name = "reward",
    .help = "checks whether a program of yours speaks the protocol of external rewards",
    .args = "check exec:COMMAND",
    .required = "",
    .min_args = 2,
    .max_args = 2,
    .examples = "tiller reward check exec:tools/rewards/reward.py\n"
                "tiller reward check 'exec:python3 judge.py --model small,start=120,timeout=300'\n"
                "tiller score 'exec:./judge.py,workers=2' out/\n"
                "tiller train --method prdp ... --reward exec:./judge.py\n",
    .notes =
        "COMMAND is cut into words as a shell does (quotes, \\), but no shell runs. Settings may follow:\n"
        "  ,timeout=S   seconds for an answer (120)         ,workers=N  processes (1)\n"
        "  ,start=S     seconds for the handshake (30)      ,retries=N  times that a batch is sent again "
        "(3)\n"
        "  ,memory=MIB  data of a process at most (none)    ,log=FILE   standard error (a file that goes)\n"
        "A program that misbehaves ends in exit code 7. tools/rewards/README.md tells the protocol.\n",
    .options = options,
    .params = &no_params,
    .can_pause = true,
    .run = run,
};
