/* Reverse mode over a graph: needs, order, recomputation; the rules of the single ops are in grad_rules.c. */
#include "tensor/grad.h"

#include <stdlib.h>
#include <string.h>

void tl_grad_add(struct tl_backward *b, tl_val v, tl_val cotangent)
{
    if (cotangent < 0 || !tl_grad_needs(b, v)) return;
    b->cot[v] = b->cot[v] < 0 ? cotangent : tl_add(b->g, b->cot[v], cotangent);
}

/* A param through cast, perhaps reshaped. */
static bool is_cast_param(const struct tl_graph *g, tl_val v)
{
    while (g->values[v].node >= 0 && g->nodes[g->values[v].node].op == TL_OP_RESHAPE)
        v = g->nodes[g->values[v].node].in[0];
    if (g->values[v].node < 0) return false;
    const struct tl_node *n = &g->nodes[g->values[v].node];
    return n->op == TL_OP_CAST && g->values[n->in[0]].role == TL_ROLE_PARAM;
}

tl_val tl_grad_saved(struct tl_backward *b, tl_val v)
{
    struct tl_graph *g = b->g;
    if (v < 0 || v >= b->n_values) return v;
    if (b->saved[v] != TL_NONE) return b->saved[v];
    if (!is_cast_param(g, v)) return v;
    const struct tl_node n = g->nodes[g->values[v].node];
    if (n.op == TL_OP_CAST) return tl_cast(g, n.in[0], g->values[v].dtype);
    const struct tl_shape shape = g->values[v].shape;
    return tl_reshape(g, tl_grad_saved(b, n.in[0]), shape);
}

static bool param_wanted(const struct tl_backward_params *p, const struct tl_value *v)
{
    if (v->role != TL_ROLE_PARAM || v->set >= TL_SET_GRADS || !(p->param_sets >> v->set & 1)) return false;
    return !p->want || p->want(p->user, v->name);
}

static void mark_needs(struct tl_backward *b)
{
    struct tl_graph *g = b->g;
    for (tl_val v = 0; v < b->n_values; v++) b->needs[v] = param_wanted(b->params, &g->values[v]);
    for (int i = 0; i < b->params->n_wrt; i++) b->needs[b->params->wrt[i]] = true;
    for (int32_t i = 0; i < g->n_nodes; i++) {
        const struct tl_node *n = &g->nodes[i];
        bool any = false;
        for (int k = 0; k < n->n_in; k++) any |= tl_grad_needs(b, n->in[k]);
        if (any && tl_grad_rules[n->op])
            for (int k = 0; k < n->n_out; k++) b->needs[n->out[k]] = true;
    }
}

/* Appends copies of the segment's nodes, whose operands from outside the segment are the kept originals, and
 * points `saved` at the copies. What the rules then do not read is dropped with the other dead nodes. Params
 * in another dtype are tl_grad_saved's. */
static void recompute(struct tl_backward *b, int32_t segment, int32_t n_nodes)
{
    struct tl_graph *g = b->g;
    for (int32_t i = 0; i < n_nodes; i++) {
        if (g->nodes[i].segment != segment || is_cast_param(g, g->nodes[i].out[0])) continue;
        struct tl_node n = g->nodes[i];
        tl_val in[TL_MAX_IN];
        struct tl_shape shapes[TL_MAX_OUT];
        for (int k = 0; k < n.n_in; k++) in[k] = tl_grad_saved(b, n.in[k]);
        for (int k = 0; k < n.n_out; k++) shapes[k] = g->values[n.out[k]].shape;
        tl_val first = tl_node_any(g, n.op, in, n.n_in, shapes, n.n_out, n.attr);
        if (first < 0) return;
        for (int k = 0; k < n.n_out; k++) {
            tl_val from = n.out[k], to = first + k;
            g->values[to].dtype = g->values[from].dtype;
            if (g->values[from].alias >= 0) g->values[to].alias = in[0]; /* reshape and in-place ops */
            b->saved[from] = to;
        }
    }
}

static void walk_back(struct tl_backward *b)
{
    struct tl_graph *g = b->g;
    int32_t n_nodes = g->n_nodes, recomputed = 0;
    for (int32_t i = n_nodes - 1; i >= 0 && g->err.code == TL_OK; i--) {
        struct tl_node n = g->nodes[i]; /* a copy: builders move the array */
        if (!tl_grad_rules[n.op]) continue;
        tl_val dout[TL_MAX_OUT] = {TL_NONE, TL_NONE, TL_NONE};
        bool any_out = false, any_in = false;
        for (int k = 0; k < n.n_out; k++) {
            dout[k] = b->cot[n.out[k]];
            any_out |= dout[k] >= 0;
        }
        for (int k = 0; k < n.n_in; k++) any_in |= tl_grad_needs(b, n.in[k]);
        if (!any_out || !any_in) continue;
        if (n.segment && n.segment != recomputed) {
            recompute(b, n.segment, n_nodes);
            recomputed = n.segment;
        }
        tl_grad_rules[n.op](b, &n, dout);
    }
}

/* Weight gradients go into the persistent tensor of the same name, set + TL_SET_GRADS. */
static void deliver(struct tl_backward *b)
{
    struct tl_graph *g = b->g;
    for (tl_val v = 0; v < b->n_values && g->err.code == TL_OK; v++) {
        struct tl_value p = g->values[v];
        if (!param_wanted(b->params, &p) || b->cot[v] < 0) continue;
        tl_val dst = tl_param(g, p.set + TL_SET_GRADS, (enum tl_layout)p.layout, p.shape, "%s", p.name);
        tl_accumulate(g, dst, b->cot[v]);
    }
    for (int i = 0; i < b->params->n_wrt; i++) {
        tl_val v = b->params->wrt[i];
        b->params->out_wrt[i] = b->cot[v] >= 0 ? b->cot[v] : tl_fill(g, g->values[v].shape, 0);
    }
}

bool tl_graph_backward(struct tl_graph *g, const struct tl_backward_params *params)
{
    if (g->err.code != TL_OK) return false;
    if (g->segment) return tl_graph_fail(g, "backward inside a segment");
    size_t n = (size_t)g->n_values;
    struct tl_backward b = {.g = g,
                            .params = params,
                            .n_values = g->n_values,
                            .needs = calloc(n, sizeof(bool)),
                            .cot = malloc(n * sizeof(tl_val)),
                            .saved = malloc(n * sizeof(tl_val))};
    if (!b.needs || !b.cot || !b.saved) {
        tl_err_set(&g->err, TL_FAIL, "out of memory in the backward pass");
        goto end;
    }
    for (size_t i = 0; i < n; i++) b.cot[i] = b.saved[i] = TL_NONE;
    mark_needs(&b);
    for (int i = 0; i < params->n_outputs; i++) tl_grad_add(&b, params->outputs[i], params->cotangents[i]);
    walk_back(&b);
    deliver(&b);
end:
    free(b.needs);
    free(b.cot);
    free(b.saved);
    return g->err.code == TL_OK;
}
