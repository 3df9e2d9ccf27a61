/* Builders and shape rules of the ops that networks are made of. */
#include "tensor/build.h"

bool tl_build_have(struct tl_graph *g, const char *op, tl_val v)
{
    if (g->err.code != TL_OK) return false;
    return v >= 0 && v < g->n_values ? true : tl_graph_fail(g, "%s: an operand is missing", op);
}

bool tl_build_same(struct tl_graph *g, const char *op, tl_val a, tl_val b)
{
    if (!tl_build_have(g, op, b)) return false;
    if (tl_shape_equal(tl_shape_of(g, a), tl_shape_of(g, b))) return true;
    tl_build_fail2(g, op, a, b);
    return false;
}

tl_val tl_build_fail(struct tl_graph *g, const char *op, tl_val v, const char *why)
{
    char text[96];
    tl_graph_fail(g, "%s of %s: %s", op, tl_shape_text(tl_shape_of(g, v), text), why);
    return TL_NONE;
}

tl_val tl_build_fail2(struct tl_graph *g, const char *op, tl_val a, tl_val b)
{
    char text[2][96];
    const char *name = g->values[b].name ? g->values[b].name : g->values[a].name;
    tl_graph_fail(g, "%s: shapes %s and %s do not go together%s%s", op,
                  tl_shape_text(tl_shape_of(g, a), text[0]), tl_shape_text(tl_shape_of(g, b), text[1]),
                  name ? " at " : "", name ? name : "");
    return TL_NONE;
}

tl_val tl_build_fail_to(struct tl_graph *g, const char *op, tl_val v, const struct tl_shape *to)
{
    char text[2][96];
    tl_graph_fail(g, "%s: %s cannot become %s", op, tl_shape_text(tl_shape_of(g, v), text[0]),
                  tl_shape_text(to, text[1]));
    return TL_NONE;
}

/* Trailing TL_NONE operands are cut off, so that n_in says how many there are. */
static tl_val node(struct tl_graph *g, enum tl_op op, const tl_val *in, int n_in, const struct tl_shape *out,
                   int n_out, union tl_attr attr)
{
    while (n_in > 0 && in[n_in - 1] == TL_NONE) n_in--;
    return tl_node_any(g, op, in, n_in, out, n_out, attr);
}

tl_val tl_gemm(struct tl_graph *g, tl_val a, tl_val b, tl_val bias, tl_val add, bool ta, bool tb)
{
    if (!tl_build_have(g, "gemm", a) || !tl_build_have(g, "gemm", b)) return TL_NONE;
    const struct tl_shape *sa = tl_shape_of(g, a), *sb = tl_shape_of(g, b);
    int r = sa->rank;
    if ((r != 2 && r != 3) || sb->rank != r || (r == 3 && sa->dim[0] != sb->dim[0]))
        return tl_build_fail2(g, "gemm", a, b);
    int64_t m = sa->dim[ta ? r - 1 : r - 2], k = sa->dim[ta ? r - 2 : r - 1];
    int64_t kb = sb->dim[tb ? r - 1 : r - 2], n = sb->dim[tb ? r - 2 : r - 1];
    if (k != kb) return tl_build_fail2(g, "gemm", a, b);
    struct tl_shape out = r == 2 ? tl_shape2(m, n) : tl_shape3(sa->dim[0], m, n);
    if (bias >= 0 && (tl_shape_of(g, bias)->rank != 1 || tl_shape_of(g, bias)->dim[0] != n))
        return tl_build_fail2(g, "gemm bias", b, bias);
    if (add >= 0 && !tl_shape_equal(tl_shape_of(g, add), &out))
        return tl_build_fail_to(g, "gemm add", add, &out);
    tl_val in[4] = {a, b, bias, add};
    return node(g, TL_OP_GEMM, in, 4, &out, 1, (union tl_attr){.gemm = {ta, tb}});
}

static struct tl_conv conv_defaults(struct tl_conv c)
{
    for (int i = 0; i < 2; i++) {
        if (c.stride[i] == 0) c.stride[i] = 1;
        if (c.dilation[i] == 0) c.dilation[i] = 1;
    }
    return c;
}

/* Output size along one axis, or 0 where the kernel does not fit. */
static int64_t conv_size(const struct tl_conv *c, int axis, int64_t in, int64_t kernel)
{
    int64_t span = in + c->pad[axis] + c->pad[axis + 2] - (int64_t)c->dilation[axis] * (kernel - 1) - 1;
    return span < 0 || c->stride[axis] < 1 ? 0 : span / c->stride[axis] + 1;
}

static bool conv_shape(const struct tl_conv *c, const struct tl_shape *x, const struct tl_shape *w,
                       struct tl_shape *out)
{
    if (x->rank != 4 || w->rank != 4 || x->dim[3] != w->dim[2]) return false;
    *out = tl_shape4(x->dim[0], conv_size(c, 0, x->dim[1], w->dim[0]), conv_size(c, 1, x->dim[2], w->dim[1]),
                     w->dim[3]);
    return out->dim[1] > 0 && out->dim[2] > 0;
}

tl_val tl_conv2d(struct tl_graph *g, tl_val x, tl_val w, tl_val bias, tl_val add, struct tl_conv conv)
{
    if (!tl_build_have(g, "conv2d", x) || !tl_build_have(g, "conv2d", w)) return TL_NONE;
    conv = conv_defaults(conv);
    struct tl_shape out;
    if (!conv_shape(&conv, tl_shape_of(g, x), tl_shape_of(g, w), &out))
        return tl_build_fail2(g, "conv2d", x, w);
    if (bias >= 0 && (tl_shape_of(g, bias)->rank != 1 || tl_shape_of(g, bias)->dim[0] != out.dim[3]))
        return tl_build_fail2(g, "conv2d bias", w, bias);
    if (add >= 0 && !tl_shape_equal(tl_shape_of(g, add), &out))
        return tl_build_fail_to(g, "conv2d add", add, &out);
    tl_val in[4] = {x, w, bias, add};
    return node(g, TL_OP_CONV2D, in, 4, &out, 1, (union tl_attr){.conv = conv});
}

tl_val tl_conv2d_dx(struct tl_graph *g, tl_val dy, tl_val w, struct tl_conv conv, struct tl_shape x_shape)
{
    if (!tl_build_have(g, "conv2d_dx", dy) || !tl_build_have(g, "conv2d_dx", w)) return TL_NONE;
    conv = conv_defaults(conv);
    struct tl_shape y;
    if (!conv_shape(&conv, &x_shape, tl_shape_of(g, w), &y) || !tl_shape_equal(&y, tl_shape_of(g, dy)))
        return tl_build_fail2(g, "conv2d_dx", dy, w);
    tl_val in[2] = {dy, w};
    return tl_node_any(g, TL_OP_CONV2D_DX, in, 2, &x_shape, 1, (union tl_attr){.conv = conv});
}

tl_val tl_conv2d_dw(struct tl_graph *g, tl_val x, tl_val dy, struct tl_conv conv, struct tl_shape w_shape)
{
    if (!tl_build_have(g, "conv2d_dw", x) || !tl_build_have(g, "conv2d_dw", dy)) return TL_NONE;
    conv = conv_defaults(conv);
    struct tl_shape y;
    if (!conv_shape(&conv, tl_shape_of(g, x), &w_shape, &y) || !tl_shape_equal(&y, tl_shape_of(g, dy)))
        return tl_build_fail2(g, "conv2d_dw", x, dy);
    tl_val in[2] = {x, dy};
    return tl_node_any(g, TL_OP_CONV2D_DW, in, 2, &w_shape, 1, (union tl_attr){.conv = conv});
}

static bool channel_vector(struct tl_graph *g, const char *op, tl_val x, tl_val v)
{
    if (!tl_build_have(g, op, v)) return false;
    const struct tl_shape *s = tl_shape_of(g, v);
    if (s->rank == 1 && s->dim[0] == tl_shape_last(tl_shape_of(g, x))) return true;
    tl_build_fail2(g, op, x, v);
    return false;
}

tl_val tl_group_norm(struct tl_graph *g, tl_val x, tl_val gamma, tl_val beta, int groups, float eps,
                     bool silu)
{
    if (!tl_build_have(g, "group_norm", x)) return TL_NONE;
    const struct tl_shape *s = tl_shape_of(g, x);
    if (s->rank < 2 || groups < 1 || tl_shape_last(s) % groups)
        return tl_build_fail(g, "group_norm", x, "channels do not divide into the groups");
    if (!channel_vector(g, "group_norm", x, gamma) || !channel_vector(g, "group_norm", x, beta))
        return TL_NONE;
    struct tl_shape out[2] = {*s, tl_shape3(s->dim[0], groups, 2)};
    tl_val in[3] = {x, gamma, beta};
    return tl_node_any(g, TL_OP_GROUP_NORM, in, 3, out, 2, (union tl_attr){.norm = {groups, silu, eps}});
}

tl_val tl_layer_norm(struct tl_graph *g, tl_val x, tl_val gamma, tl_val beta, float eps)
{
    if (!tl_build_have(g, "layer_norm", x)) return TL_NONE;
    if ((gamma < 0) != (beta < 0)) return tl_build_fail(g, "layer_norm", x, "gamma without beta");
    if (gamma >= 0 &&
        (!channel_vector(g, "layer_norm", x, gamma) || !channel_vector(g, "layer_norm", x, beta)))
        return TL_NONE;
    struct tl_shape out[2] = {*tl_shape_of(g, x), tl_shape2(tl_shape_rows(tl_shape_of(g, x)), 2)};
    tl_val in[3] = {x, gamma, beta};
    return node(g, TL_OP_LAYER_NORM, in, 3, out, 2, (union tl_attr){.norm = {.eps = eps}});
}

static tl_val same_shape(struct tl_graph *g, enum tl_op op, tl_val x)
{
    if (!tl_build_have(g, tl_op_name(op), x)) return TL_NONE;
    struct tl_shape shape = *tl_shape_of(g, x);
    return tl_node_any(g, op, &x, 1, &shape, 1, (union tl_attr){0});
}

tl_val tl_softmax(struct tl_graph *g, tl_val x)
{
    return same_shape(g, TL_OP_SOFTMAX, x);
}

tl_val tl_log_softmax(struct tl_graph *g, tl_val x)
{
    return same_shape(g, TL_OP_LOG_SOFTMAX, x);
}

tl_val tl_attention(struct tl_graph *g, tl_val q, tl_val k, tl_val v, tl_val mask, int heads, float scale,
                    bool causal)
{
    if (!tl_build_have(g, "attention", q) || !tl_build_have(g, "attention", k) ||
        !tl_build_same(g, "attention", k, v))
        return TL_NONE;
    const struct tl_shape *sq = tl_shape_of(g, q), *sk = tl_shape_of(g, k);
    if (sq->rank != 3 || sk->rank != 3 || sq->dim[0] != sk->dim[0] || sq->dim[2] != sk->dim[2] ||
        (causal && sq->dim[1] != sk->dim[1]))
        return tl_build_fail2(g, "attention", q, k);
    if (heads < 1 || sq->dim[2] % heads)
        return tl_build_fail(g, "attention", q, "channels do not divide into the heads");
    if (mask >= 0) {
        const struct tl_shape *sm = tl_shape_of(g, mask);
        if (sm->rank != 2 || sm->dim[0] != sk->dim[0] || sm->dim[1] != sk->dim[1])
            return tl_build_fail2(g, "attention mask", k, mask);
    }
    struct tl_shape out[2] = {*sq, tl_shape3(sq->dim[0], heads, sq->dim[1])};
    tl_val in[4] = {q, k, v, mask};
    return node(g, TL_OP_ATTENTION, in, 4, out, 2, (union tl_attr){.attention = {heads, causal, scale}});
}

tl_val tl_geglu(struct tl_graph *g, tl_val x)
{
    if (!tl_build_have(g, "geglu", x)) return TL_NONE;
    struct tl_shape out = *tl_shape_of(g, x);
    if (tl_shape_last(&out) % 2) return tl_build_fail(g, "geglu", x, "odd width");
    out.dim[out.rank - 1] /= 2;
    return tl_node_any(g, TL_OP_GEGLU, &x, 1, &out, 1, (union tl_attr){0});
}

tl_val tl_embedding(struct tl_graph *g, tl_val ids, tl_val table)
{
    if (!tl_build_have(g, "embedding", ids) || !tl_build_have(g, "embedding", table)) return TL_NONE;
    struct tl_shape out = *tl_shape_of(g, ids);
    if (g->values[ids].dtype != TL_I32 || tl_shape_of(g, table)->rank != 2 || out.rank >= TL_RANK_MAX)
        return tl_build_fail2(g, "embedding", ids, table);
    out.dim[out.rank++] = tl_shape_of(g, table)->dim[1];
    tl_val in[2] = {ids, table};
    return tl_node_any(g, TL_OP_EMBEDDING, in, 2, &out, 1, (union tl_attr){0});
}

tl_val tl_sinusoid(struct tl_graph *g, tl_val t, int64_t dim, bool flip_sin_to_cos, float freq_shift,
                   float max_period)
{
    if (!tl_build_have(g, "sinusoid", t)) return TL_NONE;
    if (tl_shape_of(g, t)->rank != 1 || dim < 2)
        return tl_build_fail(g, "sinusoid", t, "needs [N] and a width of 2 or more");
    struct tl_shape out = tl_shape2(tl_shape_of(g, t)->dim[0], dim);
    return tl_node_any(g, TL_OP_SINUSOID, &t, 1, &out, 1,
                       (union tl_attr){.sinusoid = {flip_sin_to_cos, freq_shift, max_period}});
}

tl_val tl_random_normal(struct tl_graph *g, tl_val key, struct tl_shape shape)
{
    if (!tl_build_have(g, "random_normal", key)) return TL_NONE;
    const struct tl_shape *s = tl_shape_of(g, key);
    if (g->values[key].dtype != TL_I32 || s->rank != 2 || s->dim[1] != 5 || s->dim[0] != shape.dim[0])
        return tl_build_fail_to(g, "random_normal", key, &shape);
    return tl_node_any(g, TL_OP_RANDOM_NORMAL, &key, 1, &shape, 1, (union tl_attr){0});
}
