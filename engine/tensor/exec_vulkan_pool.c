/* max_pool, avg_pool and their gradients: one kernel that gathers. */
#include "tensor/vulkan_call.h"

/* shaders/shape/pool.comp */
struct pool_push {
    uint32_t first, n;
    int32_t c, h, w, p, q, out_first;
    uint32_t lanes_c;
    int32_t count_pad;
    int32_t kernel[2], stride[2], before[2];
    struct tl_vulkan_divisor by_c, by_w, by_h;
};
_Static_assert(sizeof(struct pool_push) == 88, "pool.comp: pairs at multiples of 8");

/* x and y are the shapes before and after pooling; extra is max_pool_grad's dy. */
static bool run_pool(struct tl_vulkan_call *call, const char *kernel, const struct tl_shape *x,
                     const struct tl_shape *y, struct tl_gpu_slice extra, struct tl_err *err)
{
    const struct tl_window *a = &call->attr->pool.window;
    const struct tl_shape *out = call->out_shape[0];
    const int64_t c = out->dim[3], lanes_c = tl_gpu_ceil_div(c, 4), pixels = tl_shape_rows(out);
    const bool vec = c % 4 == 0;
    int64_t window;
    if (!tl_vulkan_fits(call, err) || !tl_vulkan_rows_a_launch(call, c, &window, err)) return false;
    struct pool_push push = {.c = (int32_t)c,
                             .h = (int32_t)x->dim[1],
                             .w = (int32_t)x->dim[2],
                             .p = (int32_t)y->dim[1],
                             .q = (int32_t)y->dim[2],
                             .lanes_c = (uint32_t)lanes_c,
                             .count_pad = call->attr->pool.count_pad,
                             .kernel = {a->kernel[0], a->kernel[1]},
                             .stride = {a->stride[0], a->stride[1]},
                             .before = {a->pad[0], a->pad[1]},
                             .by_c = tl_vulkan_divisor(lanes_c),
                             .by_w = tl_vulkan_divisor(out->dim[2]),
                             .by_h = tl_vulkan_divisor(out->dim[1])};
    for (int64_t first = 0; first < pixels; first += window) {
        int64_t n = tl_gpu_min(window, pixels - first);
        push.first = (uint32_t)(first * lanes_c);
        push.n = (uint32_t)(n * lanes_c);
        const struct tl_gpu_slice part = tl_vulkan_window(call->out[0], first * c, n * c, &push.out_first);
        const struct tl_vulkan_launch launch = {
            .kernel = kernel,
            .spec = {vec},
            .n_spec = 1,
            .bind = {tl_gpu_texels(call->in[0], vec), part, tl_gpu_texels(extra, vec)},
            .n_bind = extra.buffer ? 3 : 2,
            .push = &push,
            .push_bytes = sizeof push,
            .lanes = n * lanes_c,
            .bytes = 4.0 * (double)(n * c) * (1 + (double)a->kernel[0] * a->kernel[1]),
        };
        if (!tl_vulkan_run(call, &launch, err)) return false;
    }
    return true;
}

bool tl_vulkan_max_pool(struct tl_vulkan_call *call, struct tl_err *err)
{
    return run_pool(call, "max_pool", call->in_shape[0], call->out_shape[0], (struct tl_gpu_slice){0}, err);
}

bool tl_vulkan_max_pool_grad(struct tl_vulkan_call *call, struct tl_err *err)
{
    return run_pool(call, "max_pool_grad", call->in_shape[0], call->in_shape[1], call->in[1], err);
}

bool tl_vulkan_avg_pool(struct tl_vulkan_call *call, struct tl_err *err)
{
    return run_pool(call, "avg_pool", call->in_shape[0], call->out_shape[0], (struct tl_gpu_slice){0}, err);
}

bool tl_vulkan_avg_pool_grad(struct tl_vulkan_call *call, struct tl_err *err)
{
    return run_pool(call, "avg_pool_grad", call->out_shape[0], call->in_shape[0], (struct tl_gpu_slice){0},
                    err);
}
