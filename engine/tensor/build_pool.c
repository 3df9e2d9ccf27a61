/* Builders and shape rule of the poolings. */
#include "tensor/build.h"

/* Output size along one axis, or 0 where the window does not fit. Padding smaller than the kernel means that
 * every window holds a pixel. */
static int64_t pool_size(const struct tl_window *w, int axis, int64_t in)
{
    int32_t k = w->kernel[axis], before = w->pad[axis], after = w->pad[axis + 2];
    if (k < 1 || w->stride[axis] < 1 || before < 0 || after < 0 || before >= k || after >= k) return 0;
    int64_t span = in + before + after - k;
    return span < 0 ? 0 : span / w->stride[axis] + 1;
}

static tl_val pool(struct tl_graph *g, enum tl_op op, tl_val x, struct tl_window window, bool count_pad)
{
    if (!tl_build_have(g, tl_op_name(op), x)) return TL_NONE;
    struct tl_shape out = *tl_shape_of(g, x);
    if (out.rank != 4) return tl_build_fail(g, tl_op_name(op), x, "needs [N,H,W,C]");
    for (int axis = 0; axis < 2; axis++) {
        if (window.stride[axis] == 0) window.stride[axis] = window.kernel[axis];
        out.dim[axis + 1] = pool_size(&window, axis, out.dim[axis + 1]);
        if (out.dim[axis + 1] < 1)
            return tl_build_fail(g, tl_op_name(op), x,
                                 "the window does not fit, or its padding is not smaller than it");
    }
    return tl_node_any(g, op, &x, 1, &out, 1, (union tl_attr){.pool = {window, count_pad}});
}

tl_val tl_max_pool(struct tl_graph *g, tl_val x, struct tl_window window)
{
    return pool(g, TL_OP_MAX_POOL, x, window, false);
}

tl_val tl_avg_pool(struct tl_graph *g, tl_val x, struct tl_window window, bool count_pad)
{
    return pool(g, TL_OP_AVG_POOL, x, window, count_pad);
}
