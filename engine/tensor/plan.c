#include "tensor/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

tl_val tl_graph_storage(const struct tl_graph *g, tl_val v)
{
    while (g->values[v].alias >= 0) v = g->values[v].alias;
    return v;
}

size_t tl_value_bytes(const struct tl_graph *g, tl_val v, size_t real_bytes)
{
    const struct tl_value *x = &g->values[v];
    return (size_t)tl_shape_count(&x->shape) * tl_dtype_device_bytes(x->dtype, real_bytes);
}

struct life {
    tl_val v;
    int32_t first, last; /* positions in the order; inputs begin at -1, outputs end behind the last */
    size_t bytes, offset;
};

/* Elementwise: element i of the result needs element i of the operands and nothing else. */
static bool elementwise(const struct tl_graph *g, const struct tl_node *n, int operand)
{
    if (n->op != TL_OP_UNARY && n->op != TL_OP_UNARY_GRAD && n->op != TL_OP_BINARY) return false;
    return tl_shape_equal(tl_shape_of(g, n->in[operand]), tl_shape_of(g, n->out[0]));
}

/* Where a value takes over an operand's storage: the operand's storage, else the value itself. */
static void share_storage(const struct tl_graph *g, const struct tl_plan *plan, struct life *life,
                          tl_val *owner)
{
    for (int32_t i = 0; i < plan->n_order; i++) {
        const struct tl_node *n = &g->nodes[plan->order[i]];
        tl_val y = n->out[0];
        if (n->n_out != 1 || g->values[y].alias >= 0 || g->values[y].output) continue;
        for (int k = 0; k < n->n_in; k++) {
            if (!elementwise(g, n, k)) continue;
            tl_val x = owner[tl_graph_storage(g, n->in[k])];
            const struct tl_value *vx = &g->values[x];
            if (vx->role != TL_ROLE_TEMP || vx->output || life[x].last != i || life[x].bytes != life[y].bytes)
                continue;
            owner[y] = x;
            life[x].last = life[y].last;
            break;
        }
    }
}

static int by_size(const void *a, const void *b)
{
    const struct life *x = *(struct life *const *)a, *y = *(struct life *const *)b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    return x->v < y->v ? -1 : x->v > y->v;
}

static int by_offset(const void *a, const void *b)
{
    const struct life *x = *(struct life *const *)a, *y = *(struct life *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* First fit by falling size: each storage goes into the lowest gap between those that live at the same time.
 */
static bool place(struct life **items, int32_t n, size_t *total)
{
    struct life **busy = malloc(((size_t)n + 1) * sizeof *busy);
    if (!busy) return false;
    qsort(items, (size_t)n, sizeof *items, by_size);
    for (int32_t i = 0; i < n; i++) {
        int32_t n_busy = 0;
        for (int32_t j = 0; j < i; j++)
            if (items[j]->first <= items[i]->last && items[i]->first <= items[j]->last)
                busy[n_busy++] = items[j];
        qsort(busy, (size_t)n_busy, sizeof *busy, by_offset);
        size_t at = 0;
        for (int32_t j = 0; j < n_busy; j++) {
            if (busy[j]->offset >= at && busy[j]->offset - at >= items[i]->bytes) break;
            size_t end = busy[j]->offset + busy[j]->bytes;
            if (end > at) at = end;
        }
        items[i]->offset = at;
        size_t end;
        if (!tl_checked_add(at, items[i]->bytes, &end)) {
            free(busy);
            return false;
        }
        if (end > *total) *total = end;
    }
    free(busy);
    return true;
}

static void lifetimes(const struct tl_graph *g, const struct tl_plan *plan, struct life *life)
{
    for (tl_val v = 0; v < g->n_values; v++) life[v] = (struct life){.v = v, .first = INT32_MAX, .last = -1};
    for (int32_t i = 0; i < plan->n_order; i++) {
        const struct tl_node *n = &g->nodes[plan->order[i]];
        for (int k = 0; k < n->n_out; k++) {
            struct life *l = &life[tl_graph_storage(g, n->out[k])];
            if (i < l->first) l->first = i;
            if (i > l->last) l->last = i;
        }
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k] >= 0) {
                struct life *l = &life[tl_graph_storage(g, n->in[k])];
                if (i > l->last) l->last = i;
            }
    }
    for (tl_val v = 0; v < g->n_values; v++) {
        struct life *l = &life[tl_graph_storage(g, v)];
        if (g->values[v].role == TL_ROLE_INPUT)
            *l = (struct life){.v = v, .first = -1, .last = plan->n_order};
        if (g->values[v].output && l->first != INT32_MAX) l->last = plan->n_order;
    }
}

bool tl_plan_make(struct tl_graph *g, size_t real_bytes, bool fuse, struct tl_plan *out, struct tl_err *err)
{
    *out = (struct tl_plan){.real_bytes = real_bytes};
    if (fuse) tl_graph_fuse(g);
    if (!tl_graph_ok(g, err)) return false;
    size_t n = (size_t)g->n_values + 1;
    struct life *life = malloc(n * sizeof *life), **items = malloc(n * sizeof *items);
    tl_val *owner = malloc(n * sizeof *owner);
    out->offset = malloc(n * sizeof *out->offset);
    int32_t n_items = 0;
    if (!life || !items || !owner || !out->offset || !(out->order = tl_graph_order(g, &out->n_order)))
        goto no_memory;
    lifetimes(g, out, life);
    for (tl_val v = 0; v < g->n_values; v++) {
        owner[v] = v;
        if (!tl_checked_align(tl_value_bytes(g, v, real_bytes), TL_PLAN_ALIGN, &life[v].bytes))
            goto no_memory;
    }
    share_storage(g, out, life, owner);
    for (tl_val v = 0; v < g->n_values; v++) {
        const struct tl_value *x = &g->values[v];
        if (x->alias < 0 && owner[v] == v && x->role != TL_ROLE_PARAM && life[v].first != INT32_MAX)
            items[n_items++] = &life[v];
    }
    if (!place(items, n_items, &out->bytes)) goto no_memory;
    for (tl_val v = 0; v < g->n_values; v++) {
        tl_val s = tl_graph_storage(g, v), o = owner[s];
        bool none = g->values[s].role == TL_ROLE_PARAM || life[o].first == INT32_MAX;
        out->offset[v] = none ? SIZE_MAX : life[o].offset;
    }
    free(life);
    free(items);
    free(owner);
    return true;
no_memory:
    free(life);
    free(items);
    free(owner);
    tl_plan_finish(out);
    return tl_err_set(err, TL_FAIL, "out of memory while planning a graph of %d nodes", g->n_nodes);
}

void tl_plan_finish(struct tl_plan *plan)
{
    free(plan->order);
    free(plan->offset);
    *plan = (struct tl_plan){0};
}
