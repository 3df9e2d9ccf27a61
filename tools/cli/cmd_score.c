#include <tiller/score.h>

#include "cli.h"

static struct tl_score_params params;

static enum tl_code run(const struct cli_call *call, struct tl_err *err)
{
    bool whole;
    params.reward = call->args[0];
    params.folder = call->args[1];
    params.json = call->common->json;
    char *report = tl_score_folder(&params, &call->job, &whole, err);
    cli_progress_end();
    if (!cli_print_owned(report, err)) return err->code;
    return whole ? TL_OK : TL_PARTIAL;
}

const struct cli_verb cli_score = {
    .name = "score",
    .help = "scores the pictures of a folder by a reward",
    .args = "REWARD FOLDER",
    .required = "",
    .min_args = 2,
    .max_args = 2,
    .examples =
        "tiller score clip out/ --encoder assets/encoders/shapes-clip\n"
        "tiller score clip out/ --encoder clip-vit-large-patch14/ --flavour clipscore --csv scores.csv\n"
        "tiller score scene out/ --json\n",
    .options = tl_score_options,
    .params = &params,
    .can_pause = true,
    .run = run,
};
