/* How much a graph computes and moves: what a time is compared with. */
#include <stdlib.h>

#include "run/bench_rows.h"
#include "tensor/plan.h"

static double count(const struct tl_graph *g, tl_val v)
{
    return (double)tl_shape_count(tl_shape_of(g, v));
}

/* Multiplications and additions of the ops that have many an element; the others count one an element. */
static double node_flops(const struct tl_graph *g, const struct tl_node *n)
{
    const struct tl_shape *a = tl_shape_of(g, n->in[0]), *b = n->n_in > 1 ? tl_shape_of(g, n->in[1]) : a;
    switch (n->op) {
    case TL_OP_GEMM: {
        int last = a->rank - 1;
        return 2 * count(g, n->out[0]) * (double)(n->attr.gemm.ta ? a->dim[last - 1] : a->dim[last]);
    }
    case TL_OP_CONV2D: /* an output element: kh * kw * I products */
        return 2 * count(g, n->out[0]) * (double)(b->dim[0] * b->dim[1] * b->dim[2]);
    case TL_OP_CONV2D_DX:
        return 2 * count(g, n->in[0]) * (double)(b->dim[0] * b->dim[1] * b->dim[2]);
    case TL_OP_CONV2D_DW: {
        const struct tl_shape *w = tl_shape_of(g, n->out[0]);
        return 2 * count(g, n->in[1]) * (double)(w->dim[0] * w->dim[1] * w->dim[2]);
    }
    case TL_OP_ATTENTION: /* two products of [T,C] and [S,C] */
        return 4 * count(g, n->in[0]) * (double)b->dim[1];
    case TL_OP_ATTENTION_GRAD: /* five */
        return 10 * count(g, n->in[0]) * (double)b->dim[1];
    default:
        return count(g, n->out[0]);
    }
}

static double node_bytes(const struct tl_graph *g, const struct tl_node *n)
{
    double bytes = 0;
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] >= 0) bytes += 4 * count(g, n->in[i]);
    for (int i = 0; i < n->n_out; i++) bytes += 4 * count(g, n->out[i]);
    return bytes;
}

void tl_bench_work(const struct tl_graph *g, double *out_flops, double *out_bytes)
{
    bool *live = calloc((size_t)g->n_nodes + 1, sizeof *live);
    *out_flops = *out_bytes = 0;
    if (!live) return;
    tl_graph_live(g, live);
    for (int32_t i = 0; i < g->n_nodes; i++) {
        const struct tl_node *n = &g->nodes[i];
        if (!live[i] || n->op == TL_OP_RESHAPE || n->n_in == 0) continue;
        *out_flops += node_flops(g, n);
        *out_bytes += node_bytes(g, n);
    }
    free(live);
}
