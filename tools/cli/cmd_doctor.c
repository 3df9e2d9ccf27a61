#include <tiller/doctor.h>

#include "cli.h"

static const struct tl_option options[] = {{0}};
static char no_params;

static enum tl_code run(const struct cli_call *call, struct tl_err *err)
{
    bool usable;
    struct tl_doctor_params params = {.json = call->common->json};
    if (!cli_print_owned(tl_doctor(&params, &call->job, &usable, err), err)) return err->code;
    return usable
               ? TL_OK
               : (tl_err_set(err, TL_DEVICE, "%s cannot be used; the report says why", call->common->device),
                  TL_DEVICE);
}

const struct cli_verb cli_doctor = {
    .name = "doctor",
    .help = "shows devices, drivers, limits, features, and which device auto takes and why",
    .args = "",
    .required = "",
    .min_args = 0,
    .max_args = 0,
    .examples = "tiller doctor\n"
                "tiller doctor --device vulkan:0\n"
                "tiller doctor --json\n",
    .options = options,
    .params = &no_params,
    .run = run,
};
