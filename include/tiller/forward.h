/* One component run on tensors from a file, with gradients on request.
 *
 * The input's tensors are named after the arguments of the Python class's `forward` and laid out as PyTorch
 * has them; the output's after the fields of its result. With a cotangent (tensors named and shaped like
 * outputs) the file also gets grad.NAME for each name of `wrt`: the gradient of the sum of output times
 * cotangent, weights in their file's layout. */
#ifndef TILLER_FORWARD_H
#define TILLER_FORWARD_H

#include <tiller/job.h>

struct tl_forward_params {
    const char *folder;    /* config.json beside weights */
    const char *input;     /* safetensors */
    const char *output;    /* safetensors; written whole or not at all */
    const char *method;    /* "encode", "decode", "forward"; NULL: the class's first */
    const char *cotangent; /* safetensors; NULL: no gradients */
    const char *wrt; /* exact names of inputs or weights, comma-separated; NULL: none. Goes with cotangent */
    int dtype;       /* weights are kept in: 0 f32, 1 f16, 2 bf16 */
    bool json;       /* the report as JSON (schema "tiller.forward/1") */
};

/* Writes params->output and returns a report that the caller frees. Codes: TL_USAGE for names that do not
 * fit, TL_BAD_INPUT for files, TL_OUTPUT, TL_DEVICE. */
char *tl_forward_file(const struct tl_forward_params *params, const struct tl_job *job, struct tl_err *err);

#endif
