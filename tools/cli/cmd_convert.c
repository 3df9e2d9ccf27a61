#include <tiller/convert.h>

#include <stdlib.h>

#include "cli.h"

static struct tl_convert_params params;

static enum tl_code run(const struct cli_call *call, struct tl_err *err)
{
    params.lora = call->args[0];
    params.json = call->common->json;
    char *report = tl_convert_lora(&params, err);
    bool ok = report && ((call->common->quiet && !params.json) || cli_print(report, err));
    free(report);
    return ok ? TL_OK : err->code;
}

const struct cli_verb cli_convert = {
    .name = "convert",
    .help = "writes a LoRA in another program's form",
    .args = "LORA",
    .required = "--format NAME -o FILE_OR_FOLDER",
    .min_args = 1,
    .max_args = 1,
    .examples = "tiller convert run/lora/pytorch_lora_weights.safetensors --format kohya -o "
                "mine.safetensors --model assets/models/shapes\n"
                "tiller convert downloaded.safetensors --format diffusers -o lora/\n"
                "tiller convert lora/ --format peft --part unet --dtype f16 -o adapter/\n",
    .options = tl_convert_options,
    .params = &params,
    .run = run,
};
