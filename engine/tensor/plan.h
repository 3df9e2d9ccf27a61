/* Which nodes run, in which order, and where every temporary lies in one arena.
 *
 * Dead nodes are dropped, patterns are fused (fuse.c), lifetimes are computed, and storage is given first-fit
 * by falling size; a value of an elementwise node may take over its operand's storage when that dies there.
 * Inputs and outputs keep theirs for the whole run. Deterministic: the same graph gives the same plan. */
#ifndef TL_TENSOR_PLAN_H
#define TL_TENSOR_PLAN_H

#include "tensor/graph.h"

struct tl_plan {
    int32_t *order; /* node numbers in running order */
    int32_t n_order;
    size_t *offset; /* per value, in bytes: where its storage begins in the arena; SIZE_MAX where it has none
                       (params, dead) */
    size_t bytes;   /* of the arena */
    size_t real_bytes;
};

enum { TL_PLAN_ALIGN = 256 };

/* real_bytes: size of a TL_F32 element on the device (8 in the oracle's f64 mode). May rewrite g (fusion,
 * dead nodes). */
bool tl_plan_make(struct tl_graph *g, size_t real_bytes, bool fuse, struct tl_plan *out, struct tl_err *err);
void tl_plan_finish(struct tl_plan *plan);

/* Storage of a value: follows aliases to the value that owns it. */
tl_val tl_graph_storage(const struct tl_graph *g, tl_val v);
size_t tl_value_bytes(const struct tl_graph *g, tl_val v, size_t real_bytes);

/* Per node: whether an output or an effect needs it. */
void tl_graph_live(const struct tl_graph *g, bool *live);

/* The live nodes in running order, n of them; the caller frees. NULL: out of memory. */
int32_t *tl_graph_order(const struct tl_graph *g, int32_t *out_n);

/* Rewrites named patterns in place; called by tl_plan_make. */
void tl_graph_fuse(struct tl_graph *g);

#endif
