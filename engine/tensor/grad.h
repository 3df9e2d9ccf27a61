/* Inside of reverse mode: what a gradient rule may ask for and say. */
#ifndef TL_TENSOR_GRAD_H
#define TL_TENSOR_GRAD_H

#include "tensor/graph.h"

struct tl_backward {
    struct tl_graph *g;
    const struct tl_backward_params *params;
    bool *needs;      /* per value of the forward graph: a gradient is wanted through it */
    tl_val *cot;      /* per value: its cotangent so far, TL_NONE = zero */
    tl_val *saved;    /* per value: the recomputed copy to read in the backward pass, or TL_NONE */
    int32_t n_values; /* of the forward graph */
};

/* A rule reads node n (valid until the next builder call: copy what you need) and adds cotangents to its
 * operands. */
typedef void (*tl_grad_rule)(struct tl_backward *b, const struct tl_node *n, const tl_val *dout);

extern const tl_grad_rule tl_grad_rules[TL_N_OPS]; /* NULL: not differentiable */

static inline bool tl_grad_needs(const struct tl_backward *b, tl_val v)
{
    return v >= 0 && b->needs[v];
}

/* The value to read in the backward pass: itself, or its recomputed copy. What is only a param in another
 * dtype is cast anew for each reader, so that no F32 copy of a weight lives from the forward pass to the
 * backward pass. */
tl_val tl_grad_saved(struct tl_backward *b, tl_val v);

void tl_grad_add(struct tl_backward *b, tl_val v, tl_val cotangent);

#endif
