/* Checks shared by the builders. Each failing one marks the graph and returns TL_NONE or false. */
#ifndef TL_TENSOR_BUILD_H
#define TL_TENSOR_BUILD_H

#include "tensor/graph.h"

bool tl_build_have(struct tl_graph *g, const char *op, tl_val v);
bool tl_build_same(struct tl_graph *g, const char *op, tl_val a, tl_val b); /* equal shapes */
tl_val tl_build_fail(struct tl_graph *g, const char *op, tl_val v, const char *why);
tl_val tl_build_fail2(struct tl_graph *g, const char *op, tl_val a, tl_val b);
tl_val tl_build_fail_to(struct tl_graph *g, const char *op, tl_val v, const struct tl_shape *to);

#endif
