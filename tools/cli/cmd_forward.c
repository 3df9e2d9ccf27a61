#include <tiller/forward.h>

#include <stdlib.h>

#include "cli.h"

static struct tl_forward_params params;

static const char *const dtypes[] = {"f32", "f16", "bf16", NULL};

static const struct tl_option options[] = {
    TL_OPTION_STRING(struct tl_forward_params, input, 'i', "input", NULL, "FILE",
                     "safetensors with the arguments of the Python class's forward, by name"),
    TL_OPTION_STRING(struct tl_forward_params, output, 'o', "output", NULL, "FILE",
                     "safetensors to write: the fields of its result, by name"),
    TL_OPTION_STRING(struct tl_forward_params, method, 0, "method", NULL, "NAME",
                     "encode or decode of an AutoencoderKL; else forward"),
    TL_OPTION_STRING(struct tl_forward_params, cotangent, 0, "cotangent", NULL, "FILE",
                     "safetensors named and shaped like outputs: adds gradients"),
    TL_OPTION_STRING(struct tl_forward_params, wrt, 0, "wrt", NULL, "NAME,NAME",
                     "inputs or weights whose gradient of sum(output * cotangent) is written as grad.NAME"),
    TL_OPTION_ENUM(struct tl_forward_params, dtype, 0, "dtype", "f32", dtypes,
                   "what weights are kept in; everything is computed in f32"),
    {0},
};

static enum tl_code run(const struct cli_call *call, struct tl_err *err)
{
    params.folder = call->args[0];
    params.json = call->common->json;
    if (!params.input) return tl_err_set(err, TL_USAGE, "forward needs --input FILE"), TL_USAGE;
    if (!params.output) return tl_err_set(err, TL_USAGE, "forward needs -o FILE"), TL_USAGE;
    char *report = tl_forward_file(&params, &call->job, err);
    bool ok = report && ((call->common->quiet && !params.json) || cli_print(report, err));
    free(report);
    return ok ? TL_OK : err->code;
}

const struct cli_verb cli_forward = {
    .name = "forward",
    .help = "runs one component on tensors from a file, with gradients on request",
    .args = "COMPONENT_DIR",
    .required = "--input FILE -o FILE",
    .min_args = 1,
    .max_args = 1,
    .examples = "tiller forward model/unet --input in.safetensors -o out.safetensors\n"
                "tiller forward model/vae --method decode --input z.safetensors -o picture.safetensors\n"
                "tiller forward model/unet --input in.safetensors -o out.safetensors --cotangent "
                "c.safetensors --wrt sample,conv_in.weight\n",
    .options = options,
    .params = &params,
    .run = run,
};
