/* One gradient rule an op: y = f(x), given dy makes dx out of ordinary nodes. Shapes beside the lines. */
#include "tensor/grad.h"

#define RULE(name) static void name(struct tl_backward *b, const struct tl_node *n, const tl_val *d)

RULE(unary)
{
    tl_val dx;
    if (n->attr.unary.kind == TL_UNARY_AFFINE)
        dx = tl_scale(b->g, d[0], n->attr.unary.a);
    else
        dx = tl_unary_grad(b->g, (enum tl_unary)n->attr.unary.kind, tl_grad_saved(b, n->in[0]), d[0],
                           n->attr.unary.a, n->attr.unary.b);
    tl_grad_add(b, n->in[0], dx);
}

/* Cotangents are F32 whatever the dtype of their value: rounding has slope 1. */
RULE(cast)
{
    tl_grad_add(b, n->in[0], d[0]);
}

/* Sums dy over the axes along which x was repeated. */
static void add_reduced(struct tl_backward *b, tl_val x, tl_val dy)
{
    tl_grad_add(b, x, tl_reduce_sum(b->g, dy, *tl_shape_of(b->g, x)));
}

RULE(binary)
{
    struct tl_graph *g = b->g;
    tl_val x = n->in[0], y = n->in[1], xs = tl_grad_saved(b, x), ys = tl_grad_saved(b, y);
    bool nx = tl_grad_needs(b, x), ny = tl_grad_needs(b, y);
    switch ((enum tl_binary)n->attr.binary.kind) {
    case TL_BINARY_ADD:
        if (nx) add_reduced(b, x, d[0]);
        if (ny) add_reduced(b, y, d[0]);
        break;
    case TL_BINARY_SUB:
        if (nx) add_reduced(b, x, d[0]);
        if (ny) tl_grad_add(b, y, tl_scale(g, tl_reduce_sum(g, d[0], *tl_shape_of(g, y)), -1));
        break;
    case TL_BINARY_MUL:
        if (nx) add_reduced(b, x, tl_mul(g, d[0], ys));
        if (ny) add_reduced(b, y, tl_mul(g, d[0], xs));
        break;
    case TL_BINARY_DIV: { /* z = x / y: dx = dz / y, dy = -dz x / y^2 */
        tl_val q = tl_binary(g, TL_BINARY_DIV, d[0], ys);
        if (nx) add_reduced(b, x, q);
        if (ny) add_reduced(b, y, tl_scale(g, tl_binary(g, TL_BINARY_DIV, tl_mul(g, q, xs), ys), -1));
        break;
    }
    case TL_BINARY_MAX:
    case TL_BINARY_MIN: { /* ties go to the first operand */
        bool max = n->attr.binary.kind == TL_BINARY_MAX;
        tl_val first = tl_binary(g, TL_BINARY_GE, max ? xs : ys, max ? ys : xs);
        if (nx) add_reduced(b, x, tl_mul(g, d[0], first));
        if (ny) add_reduced(b, y, tl_mul(g, d[0], tl_unary(g, TL_UNARY_AFFINE, first, -1, 1)));
        break;
    }
    case TL_BINARY_GE:
    case TL_N_BINARY:
        break; /* piecewise constant */
    }
}

RULE(reduce_sum)
{
    tl_grad_add(b, n->in[0], tl_broadcast(b->g, d[0], *tl_shape_of(b->g, n->in[0])));
}

RULE(broadcast)
{
    add_reduced(b, n->in[0], d[0]);
}

RULE(reshape)
{
    tl_grad_add(b, n->in[0], tl_reshape(b->g, d[0], *tl_shape_of(b->g, n->in[0])));
}

RULE(permute)
{
    int32_t inverse[TL_RANK_MAX] = {0};
    for (int i = 0; i < tl_shape_of(b->g, n->in[0])->rank; i++) inverse[n->attr.permute.axis[i]] = i;
    tl_grad_add(b, n->in[0], tl_permute(b->g, d[0], inverse));
}

RULE(slice)
{
    int axis = n->attr.slice.axis;
    int64_t start = n->attr.slice.start, len = tl_shape_of(b->g, n->out[0])->dim[axis];
    tl_grad_add(b, n->in[0],
                tl_pad(b->g, d[0], axis, start, tl_shape_of(b->g, n->in[0])->dim[axis] - start - len));
}

RULE(concat)
{
    int axis = n->attr.concat.axis;
    int64_t first = tl_shape_of(b->g, n->in[0])->dim[axis], second = tl_shape_of(b->g, n->in[1])->dim[axis];
    if (tl_grad_needs(b, n->in[0])) tl_grad_add(b, n->in[0], tl_slice(b->g, d[0], axis, 0, first));
    if (tl_grad_needs(b, n->in[1])) tl_grad_add(b, n->in[1], tl_slice(b->g, d[0], axis, first, second));
}

RULE(pad)
{
    int axis = n->attr.pad.axis;
    tl_grad_add(b, n->in[0],
                tl_slice(b->g, d[0], axis, n->attr.pad.before, tl_shape_of(b->g, n->in[0])->dim[axis]));
}

RULE(upsample)
{
    struct tl_shape shape = *tl_shape_of(b->g, n->in[0]);
    tl_grad_add(b, n->in[0], tl_node_any(b->g, TL_OP_UPSAMPLE_GRAD, d, 1, &shape, 1, n->attr));
}

/* dbias[n] = sum of dy over everything but the last axis. */
static void add_bias(struct tl_backward *b, tl_val bias, tl_val dy)
{
    if (!tl_grad_needs(b, bias)) return;
    struct tl_graph *g = b->g;
    int64_t rows = tl_shape_rows(tl_shape_of(g, dy)), cols = tl_shape_last(tl_shape_of(g, dy));
    tl_val sum = tl_reduce_sum(g, tl_reshape(g, dy, tl_shape2(rows, cols)), tl_shape2(1, cols));
    tl_grad_add(b, bias, tl_reshape(g, sum, tl_shape1(cols)));
}

/* C = op(A) op(B), op(A)[m,k], op(B)[k,n]: d op(A) = dC op(B)^T, d op(B) = op(A)^T dC; a transposed operand
 * swaps the product. */
RULE(gemm)
{
    struct tl_graph *g = b->g;
    bool ta = n->attr.gemm.ta, tb = n->attr.gemm.tb;
    tl_val a = tl_grad_saved(b, n->in[0]), w = tl_grad_saved(b, n->in[1]);
    if (tl_grad_needs(b, n->in[0]))
        tl_grad_add(b, n->in[0],
                    ta ? tl_gemm(g, w, d[0], TL_NONE, TL_NONE, tb, true)
                       : tl_gemm(g, d[0], w, TL_NONE, TL_NONE, false, !tb));
    if (tl_grad_needs(b, n->in[1]))
        tl_grad_add(b, n->in[1],
                    tb ? tl_gemm(g, d[0], a, TL_NONE, TL_NONE, true, ta)
                       : tl_gemm(g, a, d[0], TL_NONE, TL_NONE, !ta, false));
    add_bias(b, n->in[2], d[0]);
    tl_grad_add(b, n->in[3], d[0]);
}

RULE(conv2d)
{
    struct tl_graph *g = b->g;
    tl_val x = tl_grad_saved(b, n->in[0]), w = tl_grad_saved(b, n->in[1]);
    if (tl_grad_needs(b, n->in[0]))
        tl_grad_add(b, n->in[0], tl_conv2d_dx(g, d[0], w, n->attr.conv, *tl_shape_of(g, n->in[0])));
    if (tl_grad_needs(b, n->in[1]))
        tl_grad_add(b, n->in[1], tl_conv2d_dw(g, x, d[0], n->attr.conv, *tl_shape_of(g, n->in[1])));
    add_bias(b, n->in[2], d[0]);
    tl_grad_add(b, n->in[3], d[0]);
}

/* The transposed convolution: its gradients are the convolution itself and the weight gradient with the roles
 * swapped. */
RULE(conv2d_dx)
{
    struct tl_graph *g = b->g;
    tl_val dy = tl_grad_saved(b, n->in[0]), w = tl_grad_saved(b, n->in[1]);
    if (tl_grad_needs(b, n->in[0]))
        tl_grad_add(b, n->in[0], tl_conv2d(g, d[0], w, TL_NONE, TL_NONE, n->attr.conv));
    if (tl_grad_needs(b, n->in[1]))
        tl_grad_add(b, n->in[1], tl_conv2d_dw(g, d[0], dy, n->attr.conv, *tl_shape_of(g, n->in[1])));
}

RULE(max_pool)
{
    tl_val in[2] = {tl_grad_saved(b, n->in[0]), d[0]};
    struct tl_shape shape = *tl_shape_of(b->g, n->in[0]);
    tl_grad_add(b, n->in[0], tl_node_any(b->g, TL_OP_MAX_POOL_GRAD, in, 2, &shape, 1, n->attr));
}

RULE(avg_pool)
{
    struct tl_shape shape = *tl_shape_of(b->g, n->in[0]);
    tl_grad_add(b, n->in[0], tl_node_any(b->g, TL_OP_AVG_POOL_GRAD, d, 1, &shape, 1, n->attr));
}

/* dgb[2,C] -> dgamma[C], dbeta[C] */
static void add_gamma_beta(struct tl_backward *b, tl_val gamma, tl_val beta, tl_val dgb)
{
    struct tl_graph *g = b->g;
    int64_t c = tl_shape_last(tl_shape_of(g, dgb));
    if (tl_grad_needs(b, gamma))
        tl_grad_add(b, gamma, tl_reshape(g, tl_slice(g, dgb, 0, 0, 1), tl_shape1(c)));
    if (tl_grad_needs(b, beta)) tl_grad_add(b, beta, tl_reshape(g, tl_slice(g, dgb, 0, 1, 1), tl_shape1(c)));
}

RULE(group_norm)
{
    struct tl_graph *g = b->g;
    tl_val in[5] = {tl_grad_saved(b, n->in[0]), tl_grad_saved(b, n->out[1]), tl_grad_saved(b, n->in[1]),
                    tl_grad_saved(b, n->in[2]), d[0]};
    struct tl_shape out[2] = {*tl_shape_of(g, n->in[0]),
                              tl_shape2(2, tl_shape_last(tl_shape_of(g, n->in[0])))};
    tl_val dx = tl_node_any(g, TL_OP_GROUP_NORM_GRAD, in, 5, out, 2, n->attr);
    tl_grad_add(b, n->in[0], dx);
    if (dx >= 0) add_gamma_beta(b, n->in[1], n->in[2], dx + 1);
}

RULE(layer_norm)
{
    struct tl_graph *g = b->g;
    tl_val in[4] = {tl_grad_saved(b, n->in[0]), tl_grad_saved(b, n->out[1]), tl_grad_saved(b, n->in[1]),
                    d[0]};
    struct tl_shape out[2] = {*tl_shape_of(g, n->in[0]),
                              tl_shape2(2, tl_shape_last(tl_shape_of(g, n->in[0])))};
    tl_val dx = tl_node_any(g, TL_OP_LAYER_NORM_GRAD, in, 4, out, 2, n->attr);
    tl_grad_add(b, n->in[0], dx);
    if (dx >= 0 && n->in[1] >= 0) add_gamma_beta(b, n->in[1], n->in[2], dx + 1);
}

static void from_result(struct tl_backward *b, const struct tl_node *n, const tl_val *d, enum tl_op op)
{
    tl_val in[2] = {tl_grad_saved(b, n->out[0]), d[0]};
    struct tl_shape shape = *tl_shape_of(b->g, n->out[0]);
    tl_grad_add(b, n->in[0], tl_node_any(b->g, op, in, 2, &shape, 1, n->attr));
}

RULE(softmax)
{
    from_result(b, n, d, TL_OP_SOFTMAX_GRAD);
}

RULE(log_softmax)
{
    from_result(b, n, d, TL_OP_LOG_SOFTMAX_GRAD);
}

RULE(attention)
{
    struct tl_graph *g = b->g;
    tl_val in[7] = {tl_grad_saved(b, n->in[0]),
                    tl_grad_saved(b, n->in[1]),
                    tl_grad_saved(b, n->in[2]),
                    tl_grad_saved(b, n->in[3]),
                    tl_grad_saved(b, n->out[0]),
                    tl_grad_saved(b, n->out[1]),
                    d[0]};
    struct tl_shape out[3] = {*tl_shape_of(g, n->in[0]), *tl_shape_of(g, n->in[1]),
                              *tl_shape_of(g, n->in[2])};
    tl_val dq = tl_node_any(g, TL_OP_ATTENTION_GRAD, in, 7, out, 3, n->attr);
    for (int k = 0; k < 3 && dq >= 0; k++) tl_grad_add(b, n->in[k], dq + k);
}

RULE(geglu)
{
    tl_val in[2] = {tl_grad_saved(b, n->in[0]), d[0]};
    struct tl_shape shape = *tl_shape_of(b->g, n->in[0]);
    tl_grad_add(b, n->in[0], tl_node_any(b->g, TL_OP_GEGLU_GRAD, in, 2, &shape, 1, n->attr));
}

RULE(embedding)
{
    tl_val in[2] = {n->in[0], d[0]};
    struct tl_shape shape = *tl_shape_of(b->g, n->in[1]);
    if (tl_grad_needs(b, n->in[1]))
        tl_grad_add(b, n->in[1], tl_node_any(b->g, TL_OP_EMBEDDING_GRAD, in, 2, &shape, 1, n->attr));
}

RULE(sum_squares)
{
    struct tl_graph *g = b->g;
    const struct tl_shape s = *tl_shape_of(g, n->in[0]);
    struct tl_shape one = {.rank = s.rank};
    for (int i = 0; i < s.rank; i++) one.dim[i] = 1;
    tl_val two_x = tl_scale(g, tl_grad_saved(b, n->in[0]), 2);
    tl_grad_add(b, n->in[0], tl_mul(g, two_x, tl_reshape(g, d[0], one)));
}

const tl_grad_rule tl_grad_rules[TL_N_OPS] = {
    [TL_OP_UNARY] = unary,
    [TL_OP_BINARY] = binary,
    [TL_OP_REDUCE_SUM] = reduce_sum,
    [TL_OP_BROADCAST] = broadcast,
    [TL_OP_RESHAPE] = reshape,
    [TL_OP_PERMUTE] = permute,
    [TL_OP_SLICE] = slice,
    [TL_OP_CONCAT] = concat,
    [TL_OP_PAD] = pad,
    [TL_OP_UPSAMPLE] = upsample,
    [TL_OP_GEMM] = gemm,
    [TL_OP_CONV2D] = conv2d,
    [TL_OP_CONV2D_DX] = conv2d_dx,
    [TL_OP_MAX_POOL] = max_pool,
    [TL_OP_AVG_POOL] = avg_pool,
    [TL_OP_GROUP_NORM] = group_norm,
    [TL_OP_LAYER_NORM] = layer_norm,
    [TL_OP_SOFTMAX] = softmax,
    [TL_OP_LOG_SOFTMAX] = log_softmax,
    [TL_OP_ATTENTION] = attention,
    [TL_OP_GEGLU] = geglu,
    [TL_OP_EMBEDDING] = embedding,
    [TL_OP_SUM_SQUARES] = sum_squares,
    [TL_OP_CAST] = cast,
};
