/* A static computation: one step of a network, a loss, an optimiser. Built once for its shapes, never loops.
 *
 * Values are numbered; a node makes one to three values from up to eight. Builders check shapes; a wrong call
 * marks the graph as failed with the first cause and returns TL_NONE, later builders then do nothing: ask
 * tl_graph_ok at the end. A graph owns its nodes and names, and is used from one thread. Executors (exec.h)
 * read it and keep what they need.
 *
 * Persistent tensors (weights, gradients, moments) are `params`: a set number and a name, bound to a tl_store
 * at run time, so that theta, old, reference and EMA weights serve one plan. */
#ifndef TL_TENSOR_GRAPH_H
#define TL_TENSOR_GRAPH_H

#include <tiller/err.h>

#include "tensor/shape.h"

typedef int32_t tl_val;
enum { TL_NONE = -1, TL_MAX_IN = 8, TL_MAX_OUT = 3, TL_N_SETS = 8 };

/* What the sets of a graph are, by convention. Gradients of set s are accumulated in set s + TL_SET_GRADS. */
enum tl_set { TL_SET_BASE = 0, TL_SET_LORA = 1, TL_SET_AUX = 2, TL_SET_GRADS = 4 };

enum tl_op {
#define TL_OP(NAME, name, min_in, max_in, n_out) TL_OP_##NAME,
#include "tensor/ops.def"
#undef TL_OP
    TL_N_OPS
};

enum tl_unary {
#define TL_UNARY(NAME, name, f, df) TL_UNARY_##NAME,
#include "tensor/unary.def"
#undef TL_UNARY
    TL_N_UNARY
};

enum tl_binary {
    TL_BINARY_ADD,
    TL_BINARY_SUB,
    TL_BINARY_MUL,
    TL_BINARY_DIV,
    TL_BINARY_MAX,
    TL_BINARY_MIN,
    TL_BINARY_GE,
    TL_N_BINARY
};

struct tl_conv {
    int32_t stride[2], dilation[2]; /* vertical, horizontal; 0 means 1 */
    int32_t pad[4];                 /* top, left, bottom, right; >= 0 */
};

/* Of a pooling: vertical, horizontal; top left bottom right. */
struct tl_window {
    int32_t kernel[2], stride[2]; /* stride 0 means as the kernel */
    int32_t pad[4];               /* >= 0, smaller than the kernel */
};

union tl_attr {
    struct {
        float value;
    } fill;
    struct {
        int32_t kind; /* enum tl_unary */
        float a, b;
    } unary;
    struct {
        int32_t kind; /* enum tl_binary */
    } binary;
    struct {
        int32_t from, dtype; /* enum tl_dtype */
    } cast;
    struct {
        int32_t axis[TL_RANK_MAX];
    } permute;
    struct {
        int32_t axis, start;
    } slice;
    struct {
        int32_t axis;
    } concat;
    struct {
        int32_t axis, before;
    } pad;
    struct {
        int32_t ta, tb;
    } gemm;
    struct tl_conv conv;
    struct {
        struct tl_window window;
        int32_t count_pad; /* avg_pool */
    } pool;
    struct {
        int32_t groups, silu;
        float eps;
    } norm;
    struct {
        int32_t heads, causal;
        float scale;
    } attention;
    struct {
        int32_t flip_sin_to_cos;
        float freq_shift, max_period;
    } sinusoid;
};

/* How a persistent tensor's kernel order relates to PyTorch's order in files; models/weights converts. */
enum tl_layout {
    TL_LAYOUT_PLAIN,   /* the same */
    TL_LAYOUT_LINEAR,  /* file [out,in] (or [out,in,1,1], [out,in,1]) <-> [in,out] */
    TL_LAYOUT_CONV2D,  /* file [out,in,kh,kw] <-> [kh,kw,in,out] */
    TL_LAYOUT_CONV1D,  /* file [out,in,k] <-> [1,k,in,out] */
    TL_LAYOUT_LINEAR4, /* file [out,in,1,1], written so; otherwise LINEAR */
};

enum tl_role { TL_ROLE_TEMP, TL_ROLE_INPUT, TL_ROLE_PARAM };

struct tl_value {
    struct tl_shape shape;
    enum tl_dtype dtype;
    enum tl_role role;
    int32_t node;   /* producer, -1 for inputs and params */
    int32_t slot;   /* which of the producer's outputs */
    int32_t alias;  /* the value whose storage this one is (reshape, in-place ops), or -1 */
    int32_t set;    /* params */
    int32_t layout; /* params: enum tl_layout */
    bool output;    /* kept until the run ends */
    const char *name;
};

struct tl_node {
    enum tl_op op;
    int32_t n_in, n_out;
    tl_val in[TL_MAX_IN];
    tl_val out[TL_MAX_OUT];
    union tl_attr attr;
    int32_t segment; /* > 0: activations of this segment are recomputed in the backward pass */
    bool accumulate; /* fused: the output is added into the storage that out[0] aliases */
};

struct tl_graph {
    struct tl_node *nodes;
    struct tl_value *values;
    int32_t n_nodes, n_values;
    int32_t cap_nodes, cap_values;
    int32_t segment, n_segments;
    struct tl_err err; /* first cause */
    struct tl_graph_names *names;
};

const char *tl_op_name(enum tl_op op);
const char *tl_unary_name(enum tl_unary kind);
/* -1 where there is none. */
int tl_unary_find(const char *name);

struct tl_graph *tl_graph_create(void); /* NULL: out of memory */
void tl_graph_destroy(struct tl_graph **g);
bool tl_graph_ok(const struct tl_graph *g, struct tl_err *err);
bool tl_graph_fail(struct tl_graph *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline const struct tl_shape *tl_shape_of(const struct tl_graph *g, tl_val v)
{
    return &g->values[v].shape;
}

/* Leaves. Names are copied. A param of the same set and name is the same value (shape and dtype must then
 * agree). */
tl_val tl_input(struct tl_graph *g, const char *name, enum tl_dtype dtype, struct tl_shape shape);
tl_val tl_param(struct tl_graph *g, int set, enum tl_layout layout, struct tl_shape shape, const char *fmt,
                ...) __attribute__((format(printf, 5, 6)));
/* The same in F16 or BF16: read it through tl_cast. tl_param is F32. */
tl_val tl_param_typed(struct tl_graph *g, int set, enum tl_layout layout, enum tl_dtype dtype,
                      struct tl_shape shape, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
tl_val tl_graph_find_input(const struct tl_graph *g, const char *name); /* TL_NONE where there is none */
tl_val tl_graph_find_param(const struct tl_graph *g, int set, const char *name);
/* Keeps v until the run ends, under a name. An output may be read after a run. */
void tl_output(struct tl_graph *g, tl_val v, const char *name);
tl_val tl_graph_find_output(const struct tl_graph *g, const char *name);

/* Marks what is built between begin and end as one block whose activations are recomputed. No nesting. */
void tl_segment_begin(struct tl_graph *g);
void tl_segment_end(struct tl_graph *g);

/* Builders: one a row of ops.def. */
tl_val tl_fill(struct tl_graph *g, struct tl_shape shape, float value);
tl_val tl_unary(struct tl_graph *g, enum tl_unary kind, tl_val x, float a, float b);
tl_val tl_binary(struct tl_graph *g, enum tl_binary kind, tl_val a, tl_val b);
tl_val tl_cast(struct tl_graph *g, tl_val x,
               enum tl_dtype dtype); /* between F32, F16 and BF16; x itself where it has the dtype */
tl_val tl_reduce_sum(struct tl_graph *g, tl_val x, struct tl_shape shape);
tl_val tl_broadcast(struct tl_graph *g, tl_val x, struct tl_shape shape);
tl_val tl_reshape(struct tl_graph *g, tl_val x, struct tl_shape shape);
tl_val tl_permute(struct tl_graph *g, tl_val x, const int32_t *axes);
tl_val tl_slice(struct tl_graph *g, tl_val x, int axis, int64_t start, int64_t len);
tl_val tl_concat(struct tl_graph *g, tl_val a, tl_val b, int axis);
tl_val tl_pad(struct tl_graph *g, tl_val x, int axis, int64_t before, int64_t after);
tl_val tl_upsample(struct tl_graph *g, tl_val x, int64_t height, int64_t width);
tl_val tl_gemm(struct tl_graph *g, tl_val a, tl_val b, tl_val bias, tl_val add, bool ta, bool tb);
tl_val tl_conv2d(struct tl_graph *g, tl_val x, tl_val w, tl_val bias, tl_val add, struct tl_conv conv);
tl_val tl_conv2d_dx(struct tl_graph *g, tl_val dy, tl_val w, struct tl_conv conv, struct tl_shape x_shape);
tl_val tl_conv2d_dw(struct tl_graph *g, tl_val x, tl_val dy, struct tl_conv conv, struct tl_shape w_shape);
/* [N,H,W,C] -> [N,P,Q,C], sizes rounded down as PyTorch does without ceil_mode. count_pad false: the mean of
 * what lies inside x (count_include_pad=False). */
tl_val tl_max_pool(struct tl_graph *g, tl_val x, struct tl_window window);
tl_val tl_avg_pool(struct tl_graph *g, tl_val x, struct tl_window window, bool count_pad);
tl_val tl_group_norm(struct tl_graph *g, tl_val x, tl_val gamma, tl_val beta, int groups, float eps,
                     bool silu);
tl_val tl_layer_norm(struct tl_graph *g, tl_val x, tl_val gamma, tl_val beta, float eps);
tl_val tl_softmax(struct tl_graph *g, tl_val x);
tl_val tl_log_softmax(struct tl_graph *g, tl_val x);
tl_val tl_attention(struct tl_graph *g, tl_val q, tl_val k, tl_val v, tl_val mask, int heads, float scale,
                    bool causal);
tl_val tl_geglu(struct tl_graph *g, tl_val x);
tl_val tl_embedding(struct tl_graph *g, tl_val ids, tl_val table);
tl_val tl_sinusoid(struct tl_graph *g, tl_val t, int64_t dim, bool flip_sin_to_cos, float freq_shift,
                   float max_period);
tl_val tl_random_normal(struct tl_graph *g, tl_val key, struct tl_shape shape);
tl_val tl_accumulate(struct tl_graph *g, tl_val dst, tl_val src);
tl_val tl_sum_squares(struct tl_graph *g, tl_val x);
tl_val tl_adamw(struct tl_graph *g, tl_val p, tl_val grad, tl_val m, tl_val v, tl_val hyper);
tl_val tl_lerp(struct tl_graph *g, tl_val dst, tl_val src, tl_val weight);

/* Gradient ops, for the gradient rules (and tests). Outputs that nobody uses cost nothing but their storage.
 */
tl_val tl_unary_grad(struct tl_graph *g, enum tl_unary kind, tl_val x, tl_val dy, float a, float b);
tl_val tl_node_any(struct tl_graph *g, enum tl_op op, const tl_val *in, int n_in,
                   const struct tl_shape *out_shapes, int n_out,
                   union tl_attr attr); /* first output; the others follow it in number */

/* Short hands made of the above. */
static inline tl_val tl_add(struct tl_graph *g, tl_val a, tl_val b)
{
    return tl_binary(g, TL_BINARY_ADD, a, b);
}

static inline tl_val tl_sub(struct tl_graph *g, tl_val a, tl_val b)
{
    return tl_binary(g, TL_BINARY_SUB, a, b);
}

static inline tl_val tl_mul(struct tl_graph *g, tl_val a, tl_val b)
{
    return tl_binary(g, TL_BINARY_MUL, a, b);
}

static inline tl_val tl_scale(struct tl_graph *g, tl_val x, float a)
{
    return tl_unary(g, TL_UNARY_AFFINE, x, a, 0);
}

static inline tl_val tl_silu(struct tl_graph *g, tl_val x)
{
    return tl_unary(g, TL_UNARY_SILU, x, 0, 0);
}

/* Sum and mean over everything: [1]. */
tl_val tl_sum_all(struct tl_graph *g, tl_val x);
tl_val tl_mean_all(struct tl_graph *g, tl_val x);

/* Reverse mode: appends to g the nodes that carry the cotangents of `outputs` back.
 * - each wanted input's gradient is returned in out_wrt (a zero fill where nothing depends on it);
 * - each param of the sets in param_sets (bit mask) for which want(user, name) holds (NULL: all) gets its
 * gradient added into the param of the same name in set + TL_SET_GRADS. Cotangents and gradients are F32
 * whatever the values are stored as. Only what a wanted gradient needs is built. Segments' activations are
 * recomputed in front of their backward nodes. */
struct tl_backward_params {
    const tl_val *outputs, *cotangents;
    int n_outputs;
    const tl_val *wrt;
    tl_val *out_wrt;
    int n_wrt;
    unsigned param_sets;
    bool (*want)(void *user, const char *name);
    void *user;
};
bool tl_graph_backward(struct tl_graph *g, const struct tl_backward_params *params);

#endif
