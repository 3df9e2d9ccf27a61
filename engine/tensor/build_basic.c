/* Builders and shape rules of elementwise, shape-changing and bookkeeping ops. */
#include "tensor/build.h"

tl_val tl_fill(struct tl_graph *g, struct tl_shape shape, float value)
{
    return tl_node_any(g, TL_OP_FILL, NULL, 0, &shape, 1, (union tl_attr){.fill = {value}});
}

tl_val tl_unary(struct tl_graph *g, enum tl_unary kind, tl_val x, float a, float b)
{
    if (!tl_build_have(g, "unary", x)) return TL_NONE;
    struct tl_shape shape = *tl_shape_of(g, x);
    return tl_node_any(g, TL_OP_UNARY, &x, 1, &shape, 1, (union tl_attr){.unary = {(int32_t)kind, a, b}});
}

tl_val tl_unary_grad(struct tl_graph *g, enum tl_unary kind, tl_val x, tl_val dy, float a, float b)
{
    if (!tl_build_have(g, "unary_grad", x) || !tl_build_same(g, "unary_grad", x, dy)) return TL_NONE;
    tl_val in[2] = {x, dy};
    struct tl_shape shape = *tl_shape_of(g, x);
    return tl_node_any(g, TL_OP_UNARY_GRAD, in, 2, &shape, 1,
                       (union tl_attr){.unary = {(int32_t)kind, a, b}});
}

tl_val tl_binary(struct tl_graph *g, enum tl_binary kind, tl_val a, tl_val b)
{
    if (!tl_build_have(g, "binary", a) || !tl_build_have(g, "binary", b)) return TL_NONE;
    const struct tl_shape *sa = tl_shape_of(g, a), *sb = tl_shape_of(g, b);
    struct tl_shape out = *sa;
    bool fits = sa->rank == sb->rank;
    for (int i = 0; fits && i < sa->rank; i++) {
        fits = sa->dim[i] == sb->dim[i] || sa->dim[i] == 1 || sb->dim[i] == 1;
        if (sa->dim[i] == 1) out.dim[i] = sb->dim[i];
    }
    if (!fits) return tl_build_fail2(g, "binary", a, b);
    tl_val in[2] = {a, b};
    return tl_node_any(g, TL_OP_BINARY, in, 2, &out, 1, (union tl_attr){.binary = {(int32_t)kind}});
}

static bool real(enum tl_dtype dtype)
{
    return dtype == TL_F32 || tl_dtype_half(dtype);
}

tl_val tl_cast(struct tl_graph *g, tl_val x, enum tl_dtype dtype)
{
    if (!tl_build_have(g, "cast", x)) return TL_NONE;
    enum tl_dtype from = g->values[x].dtype;
    if (from == dtype) return x;
    if (!real(from) || !real(dtype)) {
        tl_graph_fail(g, "cast of %s to %s: only f32, f16 and bf16 become each other", tl_dtype_name(from),
                      tl_dtype_name(dtype));
        return TL_NONE;
    }
    struct tl_shape shape = *tl_shape_of(g, x);
    tl_val y = tl_node_any(g, TL_OP_CAST, &x, 1, &shape, 1,
                           (union tl_attr){.cast = {(int32_t)from, (int32_t)dtype}});
    if (y >= 0) g->values[y].dtype = dtype;
    return y;
}

static bool broadcasts(const struct tl_shape *small, const struct tl_shape *large)
{
    if (small->rank != large->rank) return false;
    for (int i = 0; i < small->rank; i++)
        if (small->dim[i] != large->dim[i] && small->dim[i] != 1) return false;
    return true;
}

tl_val tl_reduce_sum(struct tl_graph *g, tl_val x, struct tl_shape shape)
{
    if (!tl_build_have(g, "reduce_sum", x)) return TL_NONE;
    if (!broadcasts(&shape, tl_shape_of(g, x))) return tl_build_fail_to(g, "reduce_sum", x, &shape);
    if (tl_shape_equal(&shape, tl_shape_of(g, x))) return x;
    return tl_node_any(g, TL_OP_REDUCE_SUM, &x, 1, &shape, 1, (union tl_attr){0});
}

tl_val tl_broadcast(struct tl_graph *g, tl_val x, struct tl_shape shape)
{
    if (!tl_build_have(g, "broadcast", x)) return TL_NONE;
    if (!broadcasts(tl_shape_of(g, x), &shape)) return tl_build_fail_to(g, "broadcast", x, &shape);
    if (tl_shape_equal(&shape, tl_shape_of(g, x))) return x;
    return tl_node_any(g, TL_OP_BROADCAST, &x, 1, &shape, 1, (union tl_attr){0});
}

tl_val tl_reshape(struct tl_graph *g, tl_val x, struct tl_shape shape)
{
    if (!tl_build_have(g, "reshape", x)) return TL_NONE;
    if (!tl_shape_valid(&shape) || tl_shape_count(&shape) != tl_shape_count(tl_shape_of(g, x)))
        return tl_build_fail_to(g, "reshape", x, &shape);
    if (tl_shape_equal(&shape, tl_shape_of(g, x))) return x;
    enum tl_dtype dtype = g->values[x].dtype;
    tl_val y = tl_node_any(g, TL_OP_RESHAPE, &x, 1, &shape, 1, (union tl_attr){0});
    if (y < 0) return TL_NONE;
    g->values[y].alias = x;
    g->values[y].dtype = dtype;
    return y;
}

tl_val tl_permute(struct tl_graph *g, tl_val x, const int32_t *axes)
{
    if (!tl_build_have(g, "permute", x)) return TL_NONE;
    const struct tl_shape *s = tl_shape_of(g, x);
    struct tl_shape out = *s;
    union tl_attr attr = {0};
    unsigned seen = 0;
    for (int i = 0; i < s->rank; i++) {
        if (axes[i] < 0 || axes[i] >= s->rank || (seen >> axes[i] & 1))
            return tl_build_fail(g, "permute", x, "bad axes");
        seen |= 1u << axes[i];
        out.dim[i] = s->dim[axes[i]];
        attr.permute.axis[i] = axes[i];
    }
    return tl_node_any(g, TL_OP_PERMUTE, &x, 1, &out, 1, attr);
}

tl_val tl_slice(struct tl_graph *g, tl_val x, int axis, int64_t start, int64_t len)
{
    if (!tl_build_have(g, "slice", x)) return TL_NONE;
    struct tl_shape out = *tl_shape_of(g, x);
    if (axis < 0 || axis >= out.rank || start < 0 || len < 1 || start > out.dim[axis] - len)
        return tl_build_fail(g, "slice", x, "outside the axis");
    if (start == 0 && len == out.dim[axis]) return x;
    out.dim[axis] = len;
    return tl_node_any(g, TL_OP_SLICE, &x, 1, &out, 1, (union tl_attr){.slice = {axis, (int32_t)start}});
}

tl_val tl_concat(struct tl_graph *g, tl_val a, tl_val b, int axis)
{
    if (!tl_build_have(g, "concat", a) || !tl_build_have(g, "concat", b)) return TL_NONE;
    const struct tl_shape *sa = tl_shape_of(g, a), *sb = tl_shape_of(g, b);
    struct tl_shape out = *sa;
    bool fits = sa->rank == sb->rank && axis >= 0 && axis < sa->rank;
    for (int i = 0; fits && i < sa->rank; i++) fits = i == axis || sa->dim[i] == sb->dim[i];
    if (!fits) return tl_build_fail2(g, "concat", a, b);
    out.dim[axis] += sb->dim[axis];
    tl_val in[2] = {a, b};
    return tl_node_any(g, TL_OP_CONCAT, in, 2, &out, 1, (union tl_attr){.concat = {axis}});
}

tl_val tl_pad(struct tl_graph *g, tl_val x, int axis, int64_t before, int64_t after)
{
    if (!tl_build_have(g, "pad", x)) return TL_NONE;
    struct tl_shape out = *tl_shape_of(g, x);
    if (axis < 0 || axis >= out.rank || before < 0 || after < 0)
        return tl_build_fail(g, "pad", x, "bad axis or amount");
    if (before == 0 && after == 0) return x;
    out.dim[axis] += before + after;
    return tl_node_any(g, TL_OP_PAD, &x, 1, &out, 1, (union tl_attr){.pad = {axis, (int32_t)before}});
}

tl_val tl_upsample(struct tl_graph *g, tl_val x, int64_t height, int64_t width)
{
    if (!tl_build_have(g, "upsample", x)) return TL_NONE;
    struct tl_shape out = *tl_shape_of(g, x);
    if (out.rank != 4 || height < out.dim[1] || width < out.dim[2])
        return tl_build_fail(g, "upsample", x, "needs [N,h,w,C] and a larger size");
    out.dim[1] = height;
    out.dim[2] = width;
    return tl_node_any(g, TL_OP_UPSAMPLE, &x, 1, &out, 1, (union tl_attr){0});
}

tl_val tl_sum_all(struct tl_graph *g, tl_val x)
{
    if (!tl_build_have(g, "sum_all", x)) return TL_NONE;
    tl_val flat = tl_reshape(g, x, tl_shape2(1, tl_shape_count(tl_shape_of(g, x))));
    return tl_reshape(g, tl_reduce_sum(g, flat, tl_shape2(1, 1)), tl_shape1(1));
}

tl_val tl_mean_all(struct tl_graph *g, tl_val x)
{
    if (!tl_build_have(g, "mean_all", x)) return TL_NONE;
    double n = (double)tl_shape_count(tl_shape_of(g, x));
    return tl_scale(g, tl_sum_all(g, x), (float)(1.0 / n));
}

/* An in-place node: its output is dst's storage. */
static tl_val in_place(struct tl_graph *g, enum tl_op op, const tl_val *in, int n_in)
{
    for (int i = 0; i < n_in; i++)
        if (!tl_build_have(g, tl_op_name(op), in[i])) return TL_NONE;
    struct tl_shape shape = *tl_shape_of(g, in[0]);
    tl_val y = tl_node_any(g, op, in, n_in, &shape, 1, (union tl_attr){0});
    if (y >= 0) g->values[y].alias = in[0];
    return y;
}

tl_val tl_accumulate(struct tl_graph *g, tl_val dst, tl_val src)
{
    if (!tl_build_have(g, "accumulate", dst) || !tl_build_same(g, "accumulate", dst, src)) return TL_NONE;
    return in_place(g, TL_OP_ACCUMULATE, (tl_val[]){dst, src}, 2);
}

tl_val tl_adamw(struct tl_graph *g, tl_val p, tl_val grad, tl_val m, tl_val v, tl_val hyper)
{
    if (!tl_build_have(g, "adamw", p) || !tl_build_same(g, "adamw", p, grad) ||
        !tl_build_same(g, "adamw", p, m) || !tl_build_same(g, "adamw", p, v))
        return TL_NONE;
    return in_place(g, TL_OP_ADAMW, (tl_val[]){p, grad, m, v, hyper}, 5);
}

tl_val tl_lerp(struct tl_graph *g, tl_val dst, tl_val src, tl_val weight)
{
    if (!tl_build_have(g, "lerp", dst) || !tl_build_same(g, "lerp", dst, src)) return TL_NONE;
    return in_place(g, TL_OP_LERP, (tl_val[]){dst, src, weight}, 3);
}

tl_val tl_sum_squares(struct tl_graph *g, tl_val x)
{
    if (!tl_build_have(g, "sum_squares", x)) return TL_NONE;
    struct tl_shape one = tl_shape1(1);
    return tl_node_any(g, TL_OP_SUM_SQUARES, &x, 1, &one, 1, (union tl_attr){0});
}
