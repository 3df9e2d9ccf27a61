/* One component run on tensors that a file holds, with gradients on request: parity with the Python classes
 * as a command. */
#ifndef TL_MODELS_FORWARD_H
#define TL_MODELS_FORWARD_H

#include "base/arena.h"
#include "io/safetensors.h"
#include "models/component.h"

struct tl_forward_call {
    struct tl_component *component;
    const char *method; /* NULL: the class's first */
    const struct tl_st_file
        *input; /* tensors named after the arguments of the Python forward, in PyTorch's order */
    const struct tl_st_file *cotangent; /* named and shaped like outputs; NULL: no gradients */
    const char *cotangent_prefix;       /* "" or, where one file holds everything, "cot." */
    const char *const *wrt; /* inputs or weights (names as in the weights' file) whose gradient is wanted */
    int n_wrt;
};

/* Tensors in PyTorch's order: the outputs, then "grad.NAME" for each of wrt. */
struct tl_forward_result {
    struct tl_st_item *items; /* F32 */
    int n_items;
    size_t arena_bytes; /* of the plan: what the call needed besides the weights */
    struct tl_arena arena;
};

bool tl_forward(const struct tl_forward_call *call, struct tl_forward_result *out, struct tl_err *err);
void tl_forward_result_finish(struct tl_forward_result *result);

#endif
