#include "op/support_op_families.h"

#include <stdlib.h>

struct list {
    struct op_case *table;
    size_t n;
};

static struct op_case *add(struct list *l, enum tl_op op)
{
    if (l->n >= OP_CASES_MAX) abort();
    l->table[l->n] = (struct op_case){.op = op};
    return &l->table[l->n++];
}

static struct op_operand operand(enum op_data data, struct tl_shape shape)
{
    return (struct op_operand){data, shape};
}

static void add_unary(struct list *l)
{
    const struct tl_shape shapes[] = {tl_shape1(1), tl_shape3(3, 5, 17)};
    for (int kind = 0; kind < TL_N_UNARY; kind++)
        for (size_t s = 0; s < 3; s++) {
            if (s == 2 && kind != TL_UNARY_SILU && kind != TL_UNARY_GELU) continue;
            struct tl_shape shape =
                s == 2 ? tl_shape1(40003) : shapes[s]; /* long: more than one piece of work */
            bool positive = kind == TL_UNARY_LOG || kind == TL_UNARY_SQRT || kind == TL_UNARY_RECIP;
            union tl_attr attr = {.unary = {kind, kind == TL_UNARY_CLAMP ? -0.7f : 0.3f, 0.9f}};
            for (int grad = 0; grad < 2; grad++) {
                struct op_case *c = add(l, grad ? TL_OP_UNARY_GRAD : TL_OP_UNARY);
                c->attr = attr;
                c->in[0] = operand(positive ? OP_POSITIVE : OP_APART, shape);
                if (grad) c->in[1] = operand(OP_COTANGENT, shape);
                c->out[0] = shape;
            }
        }
}

static void add_binary(struct list *l)
{
    static const struct tl_shape forms[][3] = {
        {{1, {1}}, {1, {1}}, {1, {1}}},
        {{1, {37}}, {1, {37}}, {1, {37}}},
        {{4, {2, 3, 4, 5}}, {4, {1, 1, 1, 5}}, {4, {2, 3, 4, 5}}},
        {{4, {2, 1, 1, 5}}, {4, {2, 3, 4, 5}}, {4, {2, 3, 4, 5}}},
        {{4, {2, 1, 4, 1}}, {4, {1, 3, 1, 5}}, {4, {2, 3, 4, 5}}},
        {{3, {2, 3, 8}}, {3, {2, 3, 1}}, {3, {2, 3, 8}}},
        {{5, {4, 1, 3, 1, 6}}, {5, {1, 2, 3, 1, 6}}, {5, {4, 2, 3, 1, 6}}},
        {{2, {130, 257}}, {2, {1, 257}}, {2, {130, 257}}},
    };
    for (int kind = 0; kind < TL_N_BINARY; kind++)
        for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
            struct op_case *c = add(l, TL_OP_BINARY);
            c->attr.binary.kind = kind;
            c->in[0] = operand(OP_NORMAL, forms[f][0]);
            c->in[1] = operand(kind == TL_BINARY_DIV ? OP_POSITIVE : OP_NORMAL, forms[f][1]);
            c->out[0] = forms[f][2];
        }
}

static void add_gemm(struct list *l)
{
    static const int64_t sizes[][3] = {{1, 1, 1},    {5, 7, 3},   {1, 33, 16},    {4, 8, 16},
                                       {17, 35, 65}, {70, 1, 31}, {33, 300, 290}, {128, 64, 96}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (size_t form = 0; form < 8; form++) { /* ta, tb, batched */
            int64_t m = sizes[s][0], n = sizes[s][1], k = sizes[s][2];
            bool ta = form & 1, tb = form & 2, batched = form & 4;
            struct op_case *c = add(l, TL_OP_GEMM);
            c->attr.gemm.ta = ta;
            c->attr.gemm.tb = tb;
            struct tl_shape a = ta ? tl_shape3(3, k, m) : tl_shape3(3, m, k),
                            b = tb ? tl_shape3(3, n, k) : tl_shape3(3, k, n);
            struct tl_shape y = tl_shape3(3, m, n);
            if (!batched) {
                a = tl_shape2(a.dim[1], a.dim[2]);
                b = tl_shape2(b.dim[1], b.dim[2]);
                y = tl_shape2(m, n);
            }
            c->in[0] = operand(OP_NORMAL, a);
            c->in[1] = operand(OP_NORMAL, b);
            if ((s + form) % 3 != 0) c->in[2] = operand(OP_NORMAL, tl_shape1(n));
            if ((s + form) % 4 == 1) c->in[3] = operand(OP_NORMAL, y);
            c->out[0] = y;
        }
}

/* x, then kernel, then stride, dilation, padding (top left bottom right) */
struct conv_form {
    int64_t n, h, w, i, o, kh, kw;
    struct tl_conv conv;
    bool bias, add;
};

static const struct conv_form conv_forms[] = {
    {1, 1, 1, 1, 1, 1, 1, {{1, 1}, {1, 1}, {0}}, false, false},
    {2, 5, 7, 3, 5, 3, 3, {{1, 1}, {1, 1}, {1, 1, 1, 1}}, true, false},
    {2, 5, 7, 4, 8, 3, 3, {{2, 2}, {1, 1}, {1, 1, 1, 1}}, true, true},
    {1, 6, 6, 3, 4, 3, 3, {{2, 2}, {1, 1}, {0, 0, 1, 1}}, true, false},
    {1, 9, 8, 2, 3, 5, 3, {{1, 1}, {1, 2}, {2, 1, 0, 3}}, false, true},
    {1, 11, 10, 2, 3, 3, 3, {{1, 1}, {2, 3}, {2, 3, 2, 3}}, true, false},
    {3, 1, 19, 5, 6, 1, 3, {{1, 1}, {1, 1}, {0, 1, 0, 1}}, true, false},
    {3, 1, 19, 5, 6, 1, 4, {{1, 3}, {1, 1}, {0, 2, 0, 0}}, false, false},
    {2, 8, 12, 3, 7, 4, 4, {{4, 4}, {1, 1}, {0}}, false, false},
    {2, 4, 3, 17, 33, 1, 1, {{1, 1}, {1, 1}, {0}}, true, true},
    {1, 2, 2, 6, 5, 3, 3, {{1, 1}, {1, 1}, {1, 1, 1, 1}}, true, false},
    {2, 9, 9, 16, 32, 3, 3, {{1, 1}, {1, 1}, {1, 1, 1, 1}}, true, true},
    {2, 8, 8, 32, 48, 3, 3, {{2, 2}, {1, 1}, {1, 1, 1, 1}}, true, false},
    {1, 7, 5, 3, 2, 2, 3, {{2, 1}, {1, 2}, {1, 0, 0, 2}}, false, false},
    {1, 6, 6, 4, 4, 7, 7, {{1, 1}, {1, 1}, {3, 3, 3, 3}}, true, false},
    {1, 5, 5, 2, 300, 3, 3, {{1, 1}, {1, 1}, {1, 1, 1, 1}}, true, false},
    {1, 12, 12, 40, 64, 3, 3, {{1, 1}, {1, 1}, {1, 1, 1, 1}}, false, false},
};

static int64_t conv_out(const struct tl_conv *c, int axis, int64_t in, int64_t kernel)
{
    return (in + c->pad[axis] + c->pad[axis + 2] - c->dilation[axis] * (kernel - 1) - 1) / c->stride[axis] +
           1;
}

static void add_conv(struct list *l)
{
    for (size_t f = 0; f < sizeof conv_forms / sizeof *conv_forms; f++) {
        const struct conv_form *v = &conv_forms[f];
        struct tl_shape x = tl_shape4(v->n, v->h, v->w, v->i), w = tl_shape4(v->kh, v->kw, v->i, v->o);
        struct tl_shape y =
            tl_shape4(v->n, conv_out(&v->conv, 0, v->h, v->kh), conv_out(&v->conv, 1, v->w, v->kw), v->o);
        struct op_case *c = add(l, TL_OP_CONV2D);
        c->attr.conv = v->conv;
        c->in[0] = operand(OP_NORMAL, x);
        c->in[1] = operand(OP_NORMAL, w);
        if (v->bias) c->in[2] = operand(OP_NORMAL, tl_shape1(v->o));
        if (v->add) c->in[3] = operand(OP_NORMAL, y);
        c->out[0] = y;
        c = add(l, TL_OP_CONV2D_DX);
        c->attr.conv = v->conv;
        c->in[0] = operand(OP_NORMAL, y);
        c->in[1] = operand(OP_NORMAL, w);
        c->out[0] = x;
        c = add(l, TL_OP_CONV2D_DW);
        c->attr.conv = v->conv;
        c->in[0] = operand(OP_NORMAL, x);
        c->in[1] = operand(OP_COTANGENT, y);
        c->out[0] = w;
    }
}

static const struct pool_form {
    struct tl_shape x;
    struct tl_window window;
} pool_forms[] = {
    {{4, {1, 1, 1, 1}}, {{1, 1}, {1, 1}, {0}}},
    {{4, {2, 5, 7, 3}}, {{3, 3}, {1, 1}, {1, 1, 1, 1}}},
    {{4, {2, 9, 8, 4}}, {{3, 3}, {2, 2}, {0}}},
    {{4, {1, 6, 7, 5}}, {{2, 3}, {2, 1}, {1, 2, 0, 1}}},
    {{4, {3, 1, 19, 8}}, {{1, 4}, {1, 3}, {0, 2, 0, 1}}},
    {{4, {1, 8, 8, 130}}, {{2, 2}, {2, 2}, {0}}},
    {{4, {2, 17, 17, 64}}, {{3, 3}, {1, 1}, {1, 1, 1, 1}}},
    {{4, {2, 8, 8, 68}}, {{8, 8}, {8, 8}, {0}}},
    {{4, {1, 7, 9, 2}}, {{2, 2}, {3, 4}, {0, 0, 1, 1}}},
};

static int64_t pool_out(const struct tl_window *w, int axis, int64_t in)
{
    return (in + w->pad[axis] + w->pad[axis + 2] - w->kernel[axis]) / w->stride[axis] + 1;
}

/* max; avg without and with counted padding */
static void add_pool(struct list *l)
{
    for (size_t f = 0; f < sizeof pool_forms / sizeof *pool_forms; f++)
        for (int form = 0; form < 3; form++) {
            const struct pool_form *v = &pool_forms[f];
            struct tl_shape y = v->x;
            for (int axis = 0; axis < 2; axis++)
                y.dim[axis + 1] = pool_out(&v->window, axis, v->x.dim[axis + 1]);
            struct op_case *c = add(l, form == 0 ? TL_OP_MAX_POOL : TL_OP_AVG_POOL);
            c->attr = (union tl_attr){.pool = {v->window, form == 2}};
            c->in[0] = operand(OP_NORMAL, v->x);
            c->out[0] = y;
            struct op_case *d = add(l, form == 0 ? TL_OP_MAX_POOL_GRAD : TL_OP_AVG_POOL_GRAD);
            d->attr = c->attr;
            d->in[0] = form == 0 ? c->in[0] : operand(OP_COTANGENT, y);
            if (form == 0) d->in[1] = operand(OP_COTANGENT, y);
            d->out[0] = v->x;
        }
}

static void add_group_norm(struct list *l)
{
    static const struct {
        struct tl_shape x;
        int groups;
        float eps;
    } forms[] = {
        {{2, {3, 8}}, 2, 1e-5f},           {{3, {2, 5, 6}}, 3, 1e-5f},      {{4, {2, 3, 5, 32}}, 8, 1e-6f},
        {{4, {3, 4, 4, 5}}, 5, 1e-5f},     {{4, {1, 1, 1, 4}}, 4, 1e-3f},   {{4, {2, 8, 8, 64}}, 32, 1e-5f},
        {{4, {1, 40, 60, 64}}, 32, 1e-5f}, {{4, {2, 3, 3, 200}}, 1, 1e-5f},
    };
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++)
        for (int silu = 0; silu < 2; silu++) {
            struct tl_shape x = forms[f].x, channels = tl_shape1(tl_shape_last(&x)),
                            stats = tl_shape3(x.dim[0], forms[f].groups, 2);
            struct op_case *c = add(l, TL_OP_GROUP_NORM);
            c->attr = (union tl_attr){.norm = {forms[f].groups, silu, forms[f].eps}};
            c->in[0] = operand(OP_NORMAL, x);
            c->in[1] = c->in[2] = operand(OP_NORMAL, channels);
            c->out[0] = x;
            c->out[1] = stats;
            struct op_case *d = add(l, TL_OP_GROUP_NORM_GRAD);
            d->attr = c->attr;
            d->in[0] = operand(OP_NORMAL, x);
            d->in[1] = operand(OP_DERIVED, stats);
            d->in[2] = d->in[3] = operand(OP_NORMAL, channels);
            d->in[4] = operand(OP_COTANGENT, x);
            d->out[0] = x;
            d->out[1] = tl_shape2(2, channels.dim[0]);
        }
}

static void add_softmax(struct list *l)
{
    static const struct tl_shape shapes[] = {{1, {1}},     {2, {3, 7}},    {3, {2, 5, 33}},
                                             {2, {4, 64}}, {2, {1, 1000}}, {2, {300, 77}}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int log = 0; log < 2; log++) {
            struct op_case *c = add(l, log ? TL_OP_LOG_SOFTMAX : TL_OP_SOFTMAX);
            c->in[0] = operand(OP_NORMAL, shapes[s]);
            c->out[0] = shapes[s];
            c = add(l, log ? TL_OP_LOG_SOFTMAX_GRAD : TL_OP_SOFTMAX_GRAD);
            c->in[0] = operand(OP_DERIVED, shapes[s]);
            c->in[1] = operand(OP_COTANGENT, shapes[s]);
            c->out[0] = shapes[s];
        }
}

static void add_attention(struct list *l)
{
    static const struct {
        int64_t n, t, s, heads, d;
        bool mask, causal;
    } forms[] = {
        {1, 1, 1, 1, 1, false, false},    {2, 5, 7, 2, 3, false, false},    {1, 16, 16, 4, 8, false, false},
        {2, 6, 9, 2, 4, true, false},     {1, 9, 9, 3, 5, false, true},     {2, 7, 7, 1, 8, true, true},
        {1, 33, 77, 2, 40, true, false},  {2, 64, 64, 2, 32, false, false}, {1, 70, 70, 2, 16, false, true},
        {1, 130, 5, 1, 64, false, false},
    };
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
        int64_t channels = forms[f].heads * forms[f].d;
        struct tl_shape q = tl_shape3(forms[f].n, forms[f].t, channels),
                        k = tl_shape3(forms[f].n, forms[f].s, channels);
        struct tl_shape lse = tl_shape3(forms[f].n, forms[f].heads, forms[f].t);
        for (int grad = 0; grad < 2; grad++) {
            struct op_case *c = add(l, grad ? TL_OP_ATTENTION_GRAD : TL_OP_ATTENTION);
            c->attr = (union tl_attr){.attention = {(int32_t)forms[f].heads, forms[f].causal, 0.4f}};
            c->in[0] = operand(OP_NORMAL, q);
            c->in[1] = c->in[2] = operand(OP_NORMAL, k);
            if (forms[f].mask) c->in[3] = operand(OP_MASK, tl_shape2(forms[f].n, forms[f].s));
            c->out[0] = q;
            c->out[1] = grad ? k : lse;
            if (!grad) continue;
            c->in[4] = operand(OP_DERIVED, q);
            c->in[5] = operand(OP_DERIVED, lse);
            c->in[6] = operand(OP_COTANGENT, q);
            c->out[2] = k;
        }
    }
}

size_t op_families_add(struct op_case *table, size_t n)
{
    struct list l = {table, n};
    add_unary(&l);
    add_binary(&l);
    add_gemm(&l);
    add_conv(&l);
    add_pool(&l);
    add_group_norm(&l);
    add_softmax(&l);
    add_attention(&l);
    return l.n;
}
