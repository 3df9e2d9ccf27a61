#include <string.h>

#include "nn/layer_inner.h"
#include "nn/lora.h"

tl_val tl_layer_weight(struct tl_nn *nn, enum tl_layout layout, struct tl_shape shape, const char *name,
                       const char *end)
{
    return tl_cast(nn->g, tl_param_typed(nn->g, nn->set, layout, nn->dtype, shape, "%s%s", name, end),
                   TL_F32);
}

/* scale * (x A) B + y, where the layer carries an adapter; x, y are [rows, in] and [rows, out]. */
static tl_val add_lora(struct tl_nn *nn, tl_val x, tl_val y, int64_t in, int64_t out, const char *name)
{
    int r = tl_lora_rank(nn->lora, name);
    if (r <= 0) return y;
    struct tl_graph *g = nn->g;
    if (nn->lora_scale < 0) nn->lora_scale = tl_input(g, "lora_scale", TL_F32, tl_shape2(1, 1));
    tl_val a = tl_param(g, TL_SET_LORA, TL_LAYOUT_LINEAR, tl_shape2(in, r), "%s.lora_A.weight", name);
    tl_val b = tl_param(g, TL_SET_LORA, TL_LAYOUT_LINEAR, tl_shape2(r, out), "%s.lora_B.weight", name);
    tl_val down = tl_mul(g, tl_gemm(g, x, a, TL_NONE, TL_NONE, false, false), nn->lora_scale);
    return tl_gemm(g, down, b, TL_NONE, y, false, false);
}

static tl_val linear(struct tl_nn *nn, tl_val x, int64_t out, bool bias, tl_val add, enum tl_layout layout,
                     const char *name)
{
    struct tl_graph *g = nn->g;
    if (!tl_layer_ok(nn, x)) return TL_NONE;
    struct tl_shape shape = *tl_shape_of(g, x);
    int64_t rows = tl_shape_rows(&shape), in = tl_shape_last(&shape);
    tl_val flat = tl_reshape(g, x, tl_shape2(rows, in));
    tl_val w = tl_layer_weight(nn, layout, tl_shape2(in, out), name, ".weight");
    tl_val b = bias ? tl_layer_weight(nn, TL_LAYOUT_PLAIN, tl_shape1(out), name, ".bias") : TL_NONE;
    tl_val residual = add >= 0 ? tl_reshape(g, add, tl_shape2(rows, out)) : TL_NONE;
    tl_val y = tl_gemm(g, flat, w, b, residual, false, false);
    y = add_lora(nn, flat, y, in, out, name);
    shape.dim[shape.rank - 1] = out;
    return tl_reshape(g, y, shape);
}

tl_val tl_nn_linear(struct tl_nn *nn, tl_val x, int64_t out, bool bias, const char *fmt, ...)
{
    TL_LAYER_NAME(name, fmt);
    return linear(nn, x, out, bias, TL_NONE, TL_LAYOUT_LINEAR, name);
}

tl_val tl_nn_linear_add(struct tl_nn *nn, tl_val x, int64_t out, bool bias, tl_val add, const char *fmt, ...)
{
    TL_LAYER_NAME(name, fmt);
    return linear(nn, x, out, bias, add, TL_LAYOUT_LINEAR, name);
}

tl_val tl_nn_conv1x1(struct tl_nn *nn, tl_val x, int64_t out, bool bias, const char *fmt, ...)
{
    TL_LAYER_NAME(name, fmt);
    return linear(nn, x, out, bias, TL_NONE, TL_LAYOUT_LINEAR4, name);
}

tl_val tl_nn_group_norm(struct tl_nn *nn, tl_val x, int groups, float eps, bool silu, const char *fmt, ...)
{
    TL_LAYER_NAME(name, fmt);
    if (!tl_layer_ok(nn, x)) return TL_NONE;
    struct tl_shape c = tl_shape1(tl_shape_last(tl_shape_of(nn->g, x)));
    tl_val gamma = tl_layer_weight(nn, TL_LAYOUT_PLAIN, c, name, ".weight");
    tl_val beta = tl_layer_weight(nn, TL_LAYOUT_PLAIN, c, name, ".bias");
    return tl_group_norm(nn->g, x, gamma, beta, groups, eps, silu);
}

tl_val tl_nn_layer_norm(struct tl_nn *nn, tl_val x, float eps, const char *fmt, ...)
{
    TL_LAYER_NAME(name, fmt);
    if (!tl_layer_ok(nn, x)) return TL_NONE;
    struct tl_shape c = tl_shape1(tl_shape_last(tl_shape_of(nn->g, x)));
    tl_val gamma = tl_layer_weight(nn, TL_LAYOUT_PLAIN, c, name, ".weight");
    tl_val beta = tl_layer_weight(nn, TL_LAYOUT_PLAIN, c, name, ".bias");
    return tl_layer_norm(nn->g, x, gamma, beta, eps);
}

tl_val tl_nn_weight(struct tl_nn *nn, struct tl_shape shape, const char *fmt, ...)
{
    TL_LAYER_NAME(name, fmt);
    return tl_layer_weight(nn, TL_LAYOUT_PLAIN, shape, name, "");
}

tl_val tl_nn_normalize(struct tl_nn *nn, tl_val x)
{
    struct tl_graph *g = nn->g;
    if (!tl_layer_ok(nn, x)) return TL_NONE;
    struct tl_shape one = *tl_shape_of(g, x);
    one.dim[one.rank - 1] = 1;
    tl_val norm =
        tl_unary(g, TL_UNARY_SQRT, tl_reduce_sum(g, tl_unary(g, TL_UNARY_SQUARE, x, 0, 0), one), 0, 0);
    return tl_binary(g, TL_BINARY_DIV, x, norm);
}

static const struct {
    const char *name;
    int kind; /* -1: x itself */
} activations[] = {
    {"silu", TL_UNARY_SILU},
    {"swish", TL_UNARY_SILU},
    {"gelu", TL_UNARY_GELU},
    {"gelu_new", TL_UNARY_GELU_TANH},
    {"gelu_pytorch_tanh", TL_UNARY_GELU_TANH},
    {"relu", TL_UNARY_RELU},
    {"quick_gelu", TL_UNARY_QUICK_GELU},
    {"tanh", TL_UNARY_TANH},
    {"linear", -1},
    {"identity", -1},
};

static int activation_find(const char *name)
{
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++)
        if (strcmp(activations[i].name, name) == 0) return (int)i;
    return -1;
}

bool tl_nn_activation_known(const char *name)
{
    return activation_find(name) >= 0;
}

tl_val tl_nn_activation(struct tl_nn *nn, tl_val x, const char *name)
{
    int i = activation_find(name);
    if (i < 0) {
        tl_graph_fail(nn->g, "activation '%s' is not known", name);
        return TL_NONE;
    }
    return activations[i].kind < 0 ? x : tl_unary(nn->g, (enum tl_unary)activations[i].kind, x, 0, 0);
}

void tl_nn_block_begin(struct tl_nn *nn)
{
    if (nn->checkpoint) tl_segment_begin(nn->g);
}

void tl_nn_block_end(struct tl_nn *nn)
{
    if (nn->checkpoint) tl_segment_end(nn->g);
}
