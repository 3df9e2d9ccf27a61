/* Convolutions, batch norm, and both as one. */
#include <string.h>

#include "nn/layer_inner.h"

static struct tl_conv attr_of(const struct tl_nn_conv *c)
{
    struct tl_conv a = {.stride = {c->stride, c->stride_w ? c->stride_w : c->stride}};
    memcpy(a.pad, c->pad, sizeof a.pad);
    return a;
}

static tl_val conv_weight(struct tl_nn *nn, const struct tl_nn_conv *c, int64_t in, int64_t out,
                          const char *name)
{
    struct tl_shape shape = tl_shape4(c->kernel, c->kernel_w ? c->kernel_w : c->kernel, in, out);
    return tl_layer_weight(nn, TL_LAYOUT_CONV2D, shape, name, ".weight");
}

static tl_val conv_bias(struct tl_nn *nn, const struct tl_nn_conv *c, int64_t out, const char *name)
{
    return c->no_bias ? TL_NONE : tl_layer_weight(nn, TL_LAYOUT_PLAIN, tl_shape1(out), name, ".bias");
}

tl_val tl_nn_conv2d(struct tl_nn *nn, tl_val x, int64_t out, struct tl_nn_conv conv, const char *fmt, ...)
{
    TL_LAYER_NAME(name, fmt);
    if (!tl_layer_ok(nn, x)) return TL_NONE;
    tl_val w = conv_weight(nn, &conv, tl_shape_last(tl_shape_of(nn->g, x)), out, name);
    return tl_conv2d(nn->g, x, w, conv_bias(nn, &conv, out, name), TL_NONE, attr_of(&conv));
}

/* What an affine map with running statistics does to a channel: x * scale + shift, [c] each. */
struct norm {
    tl_val scale, shift;
};

static struct norm norm_of(struct tl_nn *nn, int64_t c, float eps, bool affine, const char *name)
{
    struct tl_graph *g = nn->g;
    tl_val mean = tl_layer_weight(nn, TL_LAYOUT_PLAIN, tl_shape1(c), name, ".running_mean");
    tl_val var = tl_layer_weight(nn, TL_LAYOUT_PLAIN, tl_shape1(c), name, ".running_var");
    tl_val root = tl_unary(g, TL_UNARY_SQRT, tl_unary(g, TL_UNARY_AFFINE, var, 1, eps), 0, 0);
    tl_val scale = tl_unary(g, TL_UNARY_RECIP, root, 0, 0), bias = TL_NONE;
    if (affine) {
        scale = tl_mul(g, scale, tl_layer_weight(nn, TL_LAYOUT_PLAIN, tl_shape1(c), name, ".weight"));
        bias = tl_layer_weight(nn, TL_LAYOUT_PLAIN, tl_shape1(c), name, ".bias");
    }
    tl_val moved = tl_mul(g, mean, scale);
    return (struct norm){scale, affine ? tl_binary(g, TL_BINARY_SUB, bias, moved) : tl_scale(g, moved, -1)};
}

/* [c] -> [1, .., c] of a rank */
static tl_val as_last(struct tl_graph *g, tl_val v, int rank)
{
    struct tl_shape shape = {.rank = rank};
    if (v < 0) return TL_NONE;
    for (int i = 0; i < rank; i++) shape.dim[i] = 1;
    shape.dim[rank - 1] = tl_shape_of(g, v)->dim[0];
    return tl_reshape(g, v, shape);
}

tl_val tl_nn_batch_norm(struct tl_nn *nn, tl_val x, float eps, bool affine, const char *fmt, ...)
{
    struct tl_graph *g = nn->g;
    TL_LAYER_NAME(name, fmt);
    if (!tl_layer_ok(nn, x)) return TL_NONE;
    int rank = tl_shape_of(g, x)->rank;
    struct norm n = norm_of(nn, tl_shape_last(tl_shape_of(g, x)), eps, affine, name);
    return tl_add(g, tl_mul(g, x, as_last(g, n.scale, rank)), as_last(g, n.shift, rank));
}

tl_val tl_nn_conv_norm(struct tl_nn *nn, tl_val x, int64_t out, struct tl_nn_conv conv, float eps,
                       const char *conv_name, const char *norm_name, bool relu)
{
    struct tl_graph *g = nn->g;
    if (!tl_layer_ok(nn, x)) return TL_NONE;
    tl_val w = conv_weight(nn, &conv, tl_shape_last(tl_shape_of(g, x)), out, conv_name);
    tl_val bias = conv_bias(nn, &conv, out, conv_name);
    struct norm n = norm_of(nn, out, eps, true, norm_name);
    tl_val shift = bias < 0 ? n.shift : tl_add(g, tl_mul(g, bias, n.scale), n.shift);
    tl_val y = tl_conv2d(g, x, tl_mul(g, w, as_last(g, n.scale, 4)), shift, TL_NONE, attr_of(&conv));
    return relu ? tl_unary(g, TL_UNARY_RELU, y, 0, 0) : y;
}
