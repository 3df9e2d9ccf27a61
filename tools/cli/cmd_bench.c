#include <tiller/bench.h>

#include "cli.h"

static struct {
    bool list;
} params;

static const struct tl_option options[] = {
    {"list", 0, TL_OPTION_TYPE_BOOL, 0, NULL, 0, 0, NULL, NULL, "name the benchmarks and end", 0},
    {0},
};

static enum tl_code run(const struct cli_call *call, struct tl_err *err)
{
    struct tl_bench_params bench = {.names = call->args, .n_names = call->n_args, .json = call->common->json};
    char *text = params.list ? tl_bench_list(bench.json, err) : tl_bench(&bench, &call->job, err);
    cli_progress_end();
    return cli_print_owned(text, err) ? TL_OK : err->code;
}

const struct cli_verb cli_bench = {
    .name = "bench",
    .help = "times kernels and whole steps against the device's measured peak",
    .args = "[NAME ...]",
    .required = "",
    .min_args = 0,
    .max_args = 64,
    .examples = "tiller bench\n"
                "tiller bench --device vulkan gemm_nn_1024 conv3x3_fwd\n"
                "tiller bench --json unet_train_step\n",
    .options = options,
    .params = &params,
    .can_pause = true,
    .run = run,
};
