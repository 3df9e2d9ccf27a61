#include <tiller/registry.h>

#include "cli.h"

static const struct tl_option options[] = {{0}};
static char no_params;

static enum tl_code run(const struct cli_call *call, struct tl_err *err)
{
    char *text = tl_registry_print(call->n_args ? call->args[0] : NULL, call->common->json, err);
    return cli_print_owned(text, err) ? TL_OK : err->code;
}

const struct cli_verb cli_list = {
    .name = "list",
    .help = "tells which models, samplers, rewards, methods there are",
    .args = "[TABLE]",
    .required = "",
    .min_args = 0,
    .max_args = 1,
    .examples = "tiller list\n"
                "tiller list models\n"
                "tiller list --json samplers\n",
    .options = options,
    .params = &no_params,
    .run = run,
};
