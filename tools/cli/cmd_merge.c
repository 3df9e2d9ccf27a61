#include <tiller/merge.h>

#include <stdlib.h>

#include "cli.h"

static struct tl_merge_params params;

static enum tl_code run(const struct cli_call *call, struct tl_err *err)
{
    params.json = call->common->json;
    char *report = tl_merge(&params, &call->job, err);
    bool ok = report && ((call->common->quiet && !params.json) || cli_print(report, err));
    free(report);
    return ok ? TL_OK : err->code;
}

const struct cli_verb cli_merge = {
    .name = "merge",
    .help = "puts LoRAs into a model's weights: a new pipeline folder",
    .args = "",
    .required = "--model FOLDER --lora FILE[@SCALE] -o FOLDER",
    .examples =
        "tiller merge --model assets/models/shapes --lora run/lora/pytorch_lora_weights.safetensors "
        "-o merged/\n"
        "tiller merge --model sd15/ --lora style.safetensors@0.8 --lora detail.safetensors@0.5 --dtype "
        "f16 -o merged/\n",
    .options = tl_merge_options,
    .params = &params,
    .can_pause = true,
    .run = run,
};
