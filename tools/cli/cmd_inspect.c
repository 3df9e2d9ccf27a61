#include <tiller/inspect.h>

#include "cli.h"

static struct tl_inspect_params params;

static const struct tl_option options[] = {
    TL_OPTION_BOOL(struct tl_inspect_params, brief, 0, "brief", NULL, "leave out the list of tensors"),
    {0},
};

static enum tl_code run(const struct cli_call *call, struct tl_err *err)
{
    bool whole;
    params.path = call->args[0];
    params.json = call->common->json;
    if (!cli_print_owned(tl_inspect(&params, &whole, err), err)) return err->code;
    return whole ? TL_OK : TL_PARTIAL;
}

const struct cli_verb cli_inspect = {
    .name = "inspect",
    .help = "tells what is in a safetensors file, a model, a run, a picture",
    .args = "FILE_OR_FOLDER",
    .required = "",
    .min_args = 1,
    .max_args = 1,
    .examples = "tiller inspect run/lora/pytorch_lora_weights.safetensors\n"
                "tiller inspect assets/models/shapes\n"
                "tiller inspect --json out/00000.png\n",
    .options = options,
    .params = &params,
    .run = run,
};
