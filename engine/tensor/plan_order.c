/* Which nodes run, and in which order. Graph order is a valid one: consumers come behind their producers.
 *
 * Only additions into persistent tensors move. Reverse mode appends them behind everything, and with the
 * product fused into them they would keep every layer's activations and cotangents alive until then; so each
 * runs as soon as what it reads is there. */
#include <stdlib.h>
#include <string.h>

#include "tensor/plan.h"

static bool is_addition(const struct tl_node *n)
{
    return n->op == TL_OP_ACCUMULATE || n->accumulate;
}

/* Ops that change persistent memory run although nobody reads their result. */
static bool has_effect(const struct tl_node *n)
{
    return n->op == TL_OP_ADAMW || n->op == TL_OP_LERP || is_addition(n);
}

void tl_graph_live(const struct tl_graph *g, bool *live)
{
    memset(live, 0, (size_t)g->n_nodes * sizeof *live);
    for (int32_t i = g->n_nodes - 1; i >= 0; i--) {
        const struct tl_node *n = &g->nodes[i];
        if (has_effect(n)) live[i] = true;
        for (int k = 0; k < n->n_out; k++) live[i] |= g->values[n->out[k]].output;
        if (!live[i]) continue;
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k] >= 0 && g->values[n->in[k]].node >= 0) live[g->values[n->in[k]].node] = true;
    }
}

struct ordering {
    const struct tl_graph *g;
    bool *live;
    int32_t *behind; /* per node: itself, or for an addition the unmoved node behind which it runs, or -1 */
    int32_t *first, *next, *last; /* additions behind a node (+ 1), a list in graph order */
    int32_t *added;               /* per value: behind of the last addition into it, or -1 */
    /* Per set of persistent tensors: behind which node its tensors were last changed, and touched by anything
     * but additions. */
    int32_t changed[TL_N_SETS], touched[TL_N_SETS];
};

static void raise(int32_t *at, int32_t to)
{
    if (to > *at) *at = to;
}

/* The persistent tensor behind a value, or NULL. */
static const struct tl_value *param_of(const struct tl_graph *g, tl_val v)
{
    const struct tl_value *x = v >= 0 ? &g->values[tl_graph_storage(g, v)] : NULL;
    return x && x->role == TL_ROLE_PARAM ? x : NULL;
}

static int32_t earliest(const struct ordering *o, const struct tl_node *n)
{
    int32_t at = -1;
    for (int k = 0; k < n->n_in; k++) {
        if (n->in[k] < 0) continue;
        const struct tl_value *p = param_of(o->g, n->in[k]);
        if (o->g->values[n->in[k]].node >= 0) raise(&at, o->behind[o->g->values[n->in[k]].node]);
        if (p && tl_graph_storage(o->g, n->in[k]) != tl_graph_storage(o->g, n->out[0]))
            raise(&at, o->changed[p->set]);
    }
    tl_val dst = tl_graph_storage(o->g, n->out[0]);
    raise(&at, o->added[dst]);
    if (o->g->values[dst].role == TL_ROLE_PARAM) raise(&at, o->touched[o->g->values[dst].set]);
    return at;
}

static void note(struct ordering *o, int32_t i)
{
    const struct tl_node *n = &o->g->nodes[i];
    bool addition = is_addition(n);
    for (int k = 0; k < n->n_in && !addition; k++) {
        const struct tl_value *p = param_of(o->g, n->in[k]);
        if (p) raise(&o->touched[p->set], i);
        if (p && has_effect(n)) raise(&o->changed[p->set], i);
    }
    if (!addition) return;
    tl_val dst = tl_graph_storage(o->g, n->out[0]);
    raise(&o->added[dst], o->behind[i]);
    if (o->g->values[dst].role == TL_ROLE_PARAM) raise(&o->changed[o->g->values[dst].set], o->behind[i]);
}

static int32_t emit(const struct ordering *o, int32_t *order)
{
    int32_t n = 0;
    for (int32_t i = -1; i < o->g->n_nodes; i++) {
        if (i >= 0 && o->live[i] && o->behind[i] == i) order[n++] = i;
        for (int32_t a = o->first[i + 1]; a >= 0; a = o->next[a]) order[n++] = a;
    }
    return n;
}

static int32_t arrange(struct ordering *o, int32_t *order)
{
    int32_t n_nodes = o->g->n_nodes;
    for (int s = 0; s < TL_N_SETS; s++) o->changed[s] = o->touched[s] = -1;
    for (int32_t i = 0; i <= n_nodes; i++) o->first[i] = o->last[i] = -1;
    for (tl_val v = 0; v < o->g->n_values; v++) o->added[v] = -1;
    for (int32_t i = 0; i < n_nodes; i++) {
        o->behind[i] = i;
        if (!o->live[i]) continue;
        if (is_addition(&o->g->nodes[i])) {
            int32_t at = o->behind[i] = earliest(o, &o->g->nodes[i]), end = o->last[at + 1];
            if (end < 0)
                o->first[at + 1] = i;
            else
                o->next[end] = i;
            o->last[at + 1] = i;
            o->next[i] = -1;
        }
        note(o, i);
    }
    return emit(o, order);
}

int32_t *tl_graph_order(const struct tl_graph *g, int32_t *out_n)
{
    size_t n = (size_t)g->n_nodes + 1;
    struct ordering o = {.g = g,
                         .live = calloc(n, sizeof *o.live),
                         .behind = malloc(n * sizeof(int32_t)),
                         .first = malloc(n * sizeof(int32_t)),
                         .next = malloc(n * sizeof(int32_t)),
                         .last = malloc(n * sizeof(int32_t)),
                         .added = malloc(((size_t)g->n_values + 1) * sizeof(int32_t))};
    int32_t *order = malloc(n * sizeof *order);
    *out_n = 0;
    if (order && o.live && o.behind && o.first && o.next && o.last && o.added) {
        tl_graph_live(g, o.live);
        *out_n = arrange(&o, order);
    } else {
        free(order);
        order = NULL;
    }
    free(o.live);
    free(o.behind);
    free(o.first);
    free(o.next);
    free(o.last);
    free(o.added);
    return order;
}
