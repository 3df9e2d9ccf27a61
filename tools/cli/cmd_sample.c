#include <tiller/sample.h>

#include <stdlib.h>

#include "cli.h"

static struct tl_sample_params params;

static enum tl_code run(const struct cli_call *call, struct tl_err *err)
{
    params.json = call->common->json;
    bool whole;
    char *report = tl_sample(&params, &call->job, &whole, err);
    cli_progress_end();
    bool ok = report && ((call->common->quiet && !params.json) || cli_print(report, err));
    free(report);
    if (!ok) return err->code;
    return whole ? TL_OK : TL_PARTIAL;
}

const struct cli_verb cli_sample = {
    .name = "sample",
    .help = "draws pictures for prompts",
    .args = "",
    .required = "--model FOLDER --prompt TEXT -o FOLDER",
    .examples =
        "tiller sample --model assets/models/shapes --prompt \"a red circle above a blue square\" -n 16 "
        "--seed 7 -o out/\n"
        "tiller sample --model sd15/ --prompts prompts.txt --steps 30 --negative-prompt blurry -o out/\n"
        "tiller sample --model sd15/ --prompt \"a cat\" --lora run/lora@0.8 --grid grid.png -o out/\n",
    .options = tl_sample_options,
    .params = &params,
    .can_pause = true,
    .run = run,
};
