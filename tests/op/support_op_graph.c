/* A case as a graph on a device. */
#include "op/support_ops.h"

#include <stdio.h>
#include <stdlib.h>

static tl_val build_gradient_op(struct tl_graph *g, const struct op_case *c, const tl_val *in)
{
    return tl_node_any(g, c->op, in, op_case_n_in(c), c->out, op_case_n_out(c), c->attr);
}

/* By the builder that users call; gradient ops have none of their own. */
static tl_val build(struct tl_graph *g, const struct op_case *c, const tl_val *in)
{
    const union tl_attr *a = &c->attr;
    switch (c->op) {
    case TL_OP_FILL:
        return tl_fill(g, c->out[0], a->fill.value);
    case TL_OP_UNARY:
        return tl_unary(g, (enum tl_unary)a->unary.kind, in[0], a->unary.a, a->unary.b);
    case TL_OP_UNARY_GRAD:
        return tl_unary_grad(g, (enum tl_unary)a->unary.kind, in[0], in[1], a->unary.a, a->unary.b);
    case TL_OP_BINARY:
        return tl_binary(g, (enum tl_binary)a->binary.kind, in[0], in[1]);
    case TL_OP_CAST:
        return tl_cast(g, in[0], (enum tl_dtype)a->cast.dtype);
    case TL_OP_REDUCE_SUM:
        return tl_reduce_sum(g, in[0], c->out[0]);
    case TL_OP_BROADCAST:
        return tl_broadcast(g, in[0], c->out[0]);
    case TL_OP_RESHAPE:
        return tl_reshape(g, in[0], c->out[0]);
    case TL_OP_PERMUTE:
        return tl_permute(g, in[0], a->permute.axis);
    case TL_OP_SLICE:
        return tl_slice(g, in[0], a->slice.axis, a->slice.start, c->out[0].dim[a->slice.axis]);
    case TL_OP_CONCAT:
        return tl_concat(g, in[0], in[1], a->concat.axis);
    case TL_OP_PAD:
        return tl_pad(g, in[0], a->pad.axis, a->pad.before,
                      c->out[0].dim[a->pad.axis] - c->in[0].shape.dim[a->pad.axis] - a->pad.before);
    case TL_OP_UPSAMPLE:
        return tl_upsample(g, in[0], c->out[0].dim[1], c->out[0].dim[2]);
    case TL_OP_GEMM:
        return tl_gemm(g, in[0], in[1], in[2], in[3], a->gemm.ta, a->gemm.tb);
    case TL_OP_CONV2D:
        return tl_conv2d(g, in[0], in[1], in[2], in[3], a->conv);
    case TL_OP_CONV2D_DX:
        return tl_conv2d_dx(g, in[0], in[1], a->conv, c->out[0]);
    case TL_OP_CONV2D_DW:
        return tl_conv2d_dw(g, in[0], in[1], a->conv, c->out[0]);
    case TL_OP_MAX_POOL:
        return tl_max_pool(g, in[0], a->pool.window);
    case TL_OP_AVG_POOL:
        return tl_avg_pool(g, in[0], a->pool.window, a->pool.count_pad);
    case TL_OP_GROUP_NORM:
        return tl_group_norm(g, in[0], in[1], in[2], a->norm.groups, a->norm.eps, a->norm.silu);
    case TL_OP_LAYER_NORM:
        return tl_layer_norm(g, in[0], in[1], in[2], a->norm.eps);
    case TL_OP_SOFTMAX:
        return tl_softmax(g, in[0]);
    case TL_OP_LOG_SOFTMAX:
        return tl_log_softmax(g, in[0]);
    case TL_OP_ATTENTION:
        return tl_attention(g, in[0], in[1], in[2], in[3], a->attention.heads, a->attention.scale,
                            a->attention.causal);
    case TL_OP_GEGLU:
        return tl_geglu(g, in[0]);
    case TL_OP_EMBEDDING:
        return tl_embedding(g, in[0], in[1]);
    case TL_OP_SINUSOID:
        return tl_sinusoid(g, in[0], c->out[0].dim[1], a->sinusoid.flip_sin_to_cos, a->sinusoid.freq_shift,
                           a->sinusoid.max_period);
    case TL_OP_RANDOM_NORMAL:
        return tl_random_normal(g, in[0], c->out[0]);
    case TL_OP_ACCUMULATE:
        return tl_accumulate(g, in[0], in[1]);
    case TL_OP_SUM_SQUARES:
        return tl_sum_squares(g, in[0]);
    case TL_OP_ADAMW:
        return tl_adamw(g, in[0], in[1], in[2], in[3], in[4]);
    case TL_OP_LERP:
        return tl_lerp(g, in[0], in[1], in[2]);
    default:
        return build_gradient_op(g, c, in);
    }
}

static const char *numbered(char text[16], const char *name, int k)
{
    snprintf(text, 16, "%s%d", name, k);
    return text;
}

static void build_inputs(struct tl_graph *g, const struct op_case *c, tl_val in[TL_MAX_IN])
{
    char name[16];
    for (int k = 0; k < TL_MAX_IN; k++) {
        const struct op_operand *o = &c->in[k];
        in[k] = TL_NONE;
        if (o->data == OP_ABSENT) continue;
        numbered(name, "in", k);
        if (op_in_place(c->op) >> k & 1)
            in[k] = tl_param(g, TL_SET_AUX, TL_LAYOUT_PLAIN, o->shape, "%s", name);
        else
            in[k] = tl_input(g, name, op_is_int(o->data) ? TL_I32 : op_in_dtype(c), o->shape);
    }
}

static void build_backward(struct tl_graph *g, const tl_val *in, tl_val y, unsigned wanted)
{
    char name[16];
    tl_val wrt[TL_MAX_IN], out[TL_MAX_IN], cotangent = tl_input(g, "cotangent", TL_F32, *tl_shape_of(g, y));
    int n = 0, operand[TL_MAX_IN];
    for (int k = 0; k < TL_MAX_IN; k++)
        if (wanted >> k & 1) {
            operand[n] = k;
            wrt[n++] = in[k];
        }
    struct tl_backward_params params = {
        .outputs = &y, .cotangents = &cotangent, .n_outputs = 1, .wrt = wrt, .out_wrt = out, .n_wrt = n};
    if (!tl_graph_backward(g, &params)) return;
    for (int i = 0; i < n; i++) tl_output(g, out[i], numbered(name, "grad", operand[i]));
}

bool op_graph_open(struct op_graph *out, struct tl_device *device, const struct op_case *c, unsigned wanted,
                   struct tl_err *err)
{
    char name[16];
    *out = (struct op_graph){.device = device, .c = c};
    struct tl_graph *g = tl_graph_create();
    if (!g) return tl_err_set(err, TL_FAIL, "out of memory");
    tl_val in[TL_MAX_IN];
    build_inputs(g, c, in);
    tl_val y = build(g, c, in);
    if (y >= 0 && !tl_shape_equal(tl_shape_of(g, y), &c->out[0]))
        tl_graph_fail(g, "the builder's shape is not the case's");
    for (int k = 0; y >= 0 && !op_in_place(c->op) && k < op_case_n_out(c); k++)
        tl_output(g, y + k, numbered(name, "out", k));
    if (y >= 0 && wanted) build_backward(g, in, y, wanted);
    bool ok = tl_graph_ok(g, err);
    if (ok && op_in_place(c->op)) {
        out->layout =
            tl_store_layout_create((const struct tl_graph *const[]){g}, 1, TL_SET_AUX, NULL, NULL, err);
        out->store = out->layout ? tl_store_create(device, out->layout, err) : NULL;
        ok = out->store != NULL;
    }
    if (ok)
        out->exec = tl_exec_create(device, &g, err);
    else
        tl_graph_destroy(&g);
    if (ok && out->exec && (!out->store || tl_exec_bind(out->exec, TL_SET_AUX, out->store, err))) return true;
    op_graph_close(out);
    return false;
}

void op_graph_close(struct op_graph *graph)
{
    tl_exec_destroy(&graph->exec);
    tl_store_destroy(&graph->store);
    tl_store_layout_destroy(&graph->layout);
}

static bool write_param(struct op_graph *graph, const char *name, const double *real, int64_t n,
                        struct tl_err *err)
{
    float *copy = calloc((size_t)n, sizeof *copy);
    if (!copy) return tl_err_set(err, TL_FAIL, "out of memory");
    for (int64_t i = 0; i < n; i++) copy[i] = (float)real[i];
    bool ok = tl_store_write(graph->store, tl_store_layout_find(graph->layout, name), copy, err);
    free(copy);
    return ok;
}

bool op_graph_write(struct op_graph *graph, const struct op_numbers *numbers, struct tl_err *err)
{
    char name[16];
    for (int k = 0; k < op_case_n_in(graph->c); k++) {
        const struct op_operand *o = &graph->c->in[k];
        if (o->data == OP_ABSENT) continue;
        numbered(name, "in", k);
        bool ok;
        if (op_in_place(graph->c->op) >> k & 1)
            ok = write_param(graph, name, numbers->real[k], tl_shape_count(&o->shape), err);
        else if (op_is_int(o->data))
            ok = tl_exec_write(graph->exec, name, numbers->ids[k], err);
        else
            ok = tl_exec_write_f64(graph->exec, name, numbers->real[k], err);
        if (!ok) return false;
    }
    return true;
}

static bool read_param(struct op_graph *graph, const char *name, double *value, int64_t n, struct tl_err *err)
{
    float *copy = calloc((size_t)n, sizeof *copy);
    if (!copy) return tl_err_set(err, TL_FAIL, "out of memory");
    bool ok = tl_store_read(graph->store, tl_store_layout_find(graph->layout, name), copy, err);
    for (int64_t i = 0; i < n; i++) value[i] = copy[i];
    free(copy);
    return ok;
}

bool op_graph_results(struct op_graph *graph, struct op_results *out, struct tl_err *err)
{
    const struct op_case *c = graph->c;
    unsigned changed = op_in_place(c->op);
    char name[16];
    *out = (struct op_results){0};
    for (int k = 0; k < (changed ? TL_MAX_IN : op_case_n_out(c)); k++) {
        if (changed && !(changed >> k & 1)) continue;
        int i = out->n++;
        out->count[i] = tl_shape_count(changed ? &c->in[k].shape : &c->out[k]);
        out->value[i] = calloc((size_t)out->count[i], sizeof *out->value[i]);
        bool ok = changed ? read_param(graph, numbered(name, "in", k), out->value[i], out->count[i], err)
                          : tl_exec_read_f64(graph->exec, numbered(name, "out", k), out->value[i], err);
        if (!ok) {
            op_results_free(out);
            return false;
        }
    }
    return true;
}

bool op_graph_run(struct tl_device *device, const struct op_case *c, const struct op_numbers *numbers,
                  struct op_results *out, struct tl_err *err)
{
    struct op_graph graph;
    *out = (struct op_results){0};
    if (!op_graph_open(&graph, device, c, 0, err)) return false;
    bool ok = op_graph_write(&graph, numbers, err) && tl_exec_run(graph.exec, err) &&
              op_graph_results(&graph, out, err);
    op_graph_close(&graph);
    return ok;
}
