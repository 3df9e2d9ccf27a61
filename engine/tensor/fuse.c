/* Rewrites of a finished graph (forward and backward together), by name:
 *   residual    add(x, gemm|conv2d) -> the product with x as its `add` operand
 *   gradient    accumulate(dst, gemm|conv2d_dw|reduce_sum|embedding_grad) -> the product adds into dst
 * The consumer's node becomes the product, so that everything it reads is there already; the old product is
 * dead. */
#include <stdlib.h>

#include "tensor/plan.h"

static bool count_uses(const struct tl_graph *g, int32_t *uses)
{
    bool *live = calloc((size_t)g->n_nodes + 1, sizeof *live);
    if (!live) return false;
    tl_graph_live(g, live);
    for (int32_t i = 0; i < g->n_nodes; i++) {
        const struct tl_node *n = &g->nodes[i];
        for (int k = 0; live[i] && k < n->n_in; k++)
            if (n->in[k] >= 0) uses[n->in[k]]++;
    }
    free(live);
    return true;
}

/* The node that makes v, read once and nowhere else, or NULL. */
static const struct tl_node *sole_producer(const struct tl_graph *g, const int32_t *uses, tl_val v)
{
    const struct tl_value *x = &g->values[v];
    if (x->node < 0 || x->output || uses[v] != 1) return NULL;
    return &g->nodes[x->node];
}

static bool residual(struct tl_graph *g, const int32_t *uses, struct tl_node *add)
{
    if (add->op != TL_OP_BINARY || add->attr.binary.kind != TL_BINARY_ADD) return false;
    if (!tl_shape_equal(tl_shape_of(g, add->in[0]), tl_shape_of(g, add->in[1])) || add->in[0] == add->in[1])
        return false;
    for (int k = 1; k >= 0; k--) {
        const struct tl_node *p = sole_producer(g, uses, add->in[k]);
        if (!p || (p->op != TL_OP_GEMM && p->op != TL_OP_CONV2D) || p->in[3] >= 0 || p->accumulate) continue;
        tl_val other = add->in[1 - k];
        add->op = p->op;
        add->attr = p->attr;
        for (int i = 0; i < 3; i++) add->in[i] = p->in[i];
        add->in[3] = other;
        add->n_in = 4;
        return true;
    }
    return false;
}

static bool gradient(struct tl_graph *g, const int32_t *uses, struct tl_node *acc)
{
    if (acc->op != TL_OP_ACCUMULATE) return false;
    tl_val src = acc->in[1];
    const struct tl_node *p = sole_producer(g, uses, src);
    while (p && p->op == TL_OP_RESHAPE) {
        src = p->in[0];
        p = sole_producer(g, uses, src);
    }
    if (!p || p->accumulate) return false;
    if (p->op != TL_OP_GEMM && p->op != TL_OP_CONV2D_DW && p->op != TL_OP_REDUCE_SUM &&
        p->op != TL_OP_EMBEDDING_GRAD)
        return false;
    g->values[acc->out[0]].shape = g->values[src].shape; /* the kernel's own view of the same elements */
    acc->op = p->op;
    acc->attr = p->attr;
    acc->n_in = p->n_in;
    for (int i = 0; i < TL_MAX_IN; i++) acc->in[i] = p->in[i];
    acc->accumulate = true;
    return true;
}

void tl_graph_fuse(struct tl_graph *g)
{
    if (g->err.code != TL_OK) return;
    int32_t *uses = calloc((size_t)g->n_values + 1, sizeof *uses);
    if (!uses || !count_uses(g, uses)) {
        free(uses);
        return; /* slower, not wrong */
    }
    for (int32_t i = 0; i < g->n_nodes; i++) residual(g, uses, &g->nodes[i]);
    for (int32_t i = 0; i < g->n_nodes; i++) gradient(g, uses, &g->nodes[i]);
    free(uses);
}
