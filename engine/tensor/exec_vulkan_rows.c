/* softmax, log_softmax, geglu and their gradients: row by row. */
#include "tensor/vulkan_call.h"

enum kind { SOFTMAX, SOFTMAX_GRAD, LOG_SOFTMAX, LOG_SOFTMAX_GRAD }; /* rows/softmax.comp */

struct softmax_push {
    int32_t rows, c, first, shift;
};

static bool run_softmax(struct tl_vulkan_call *call, enum kind kind, struct tl_err *err)
{
    const int64_t rows = tl_shape_rows(call->in_shape[0]), c = tl_shape_last(call->in_shape[0]);
    const bool vec = c % 4 == 0;
    int64_t window;
    if (!tl_vulkan_fits(call, err) || !tl_vulkan_rows_a_launch(call, c, &window, err)) return false;
    for (int64_t first = 0; first < rows; first += window) {
        const int64_t n = tl_gpu_min(window, rows - first);
        int32_t begin;
        const struct tl_gpu_slice out = tl_vulkan_window(call->out[0], first * c, n * c, &begin);
        const struct softmax_push push = {(int32_t)n, (int32_t)c, (int32_t)first,
                                          (int32_t)(first * c) - begin};
        const struct tl_vulkan_launch launch = {
            .kernel = "softmax",
            .spec = {tl_vulkan_row_share(call, rows, c), vec, kind},
            .n_spec = 3,
            .bind = {tl_gpu_texels(call->in[0], vec), tl_gpu_texels(call->in[call->n_in - 1], vec), out},
            .n_bind = 3,
            .push = &push,
            .push_bytes = sizeof push,
            .rows = n,
            .bytes = 16.0 * (double)(n * c),
        };
        if (!tl_vulkan_run(call, &launch, err)) return false;
    }
    return true;
}

bool tl_vulkan_softmax(struct tl_vulkan_call *call, struct tl_err *err)
{
    return run_softmax(call, SOFTMAX, err);
}

bool tl_vulkan_softmax_grad(struct tl_vulkan_call *call, struct tl_err *err)
{
    return run_softmax(call, SOFTMAX_GRAD, err);
}

bool tl_vulkan_log_softmax(struct tl_vulkan_call *call, struct tl_err *err)
{
    return run_softmax(call, LOG_SOFTMAX, err);
}

bool tl_vulkan_log_softmax_grad(struct tl_vulkan_call *call, struct tl_err *err)
{
    return run_softmax(call, LOG_SOFTMAX_GRAD, err);
}

/* shaders/rows/geglu.comp */
struct geglu_push {
    int32_t rows, f, chunk, first, shift;
};

/* A result row has `width` numbers. */
static bool run_geglu(struct tl_vulkan_call *call, const char *kernel, int64_t f, int64_t width,
                      struct tl_err *err)
{
    const int64_t rows = tl_shape_rows(call->in_shape[0]);
    const bool vec = f % 4 == 0;
    int64_t window, chunk = call->cpu ? 16 : 4;
    if (!tl_vulkan_fits(call, err) || !tl_vulkan_rows_a_launch(call, width, &window, err)) return false;
    while (tl_gpu_ceil_div(tl_gpu_min(window, rows), chunk) > 60000) chunk *= 2;
    for (int64_t first = 0; first < rows; first += window) {
        const int64_t n = tl_gpu_min(window, rows - first);
        int32_t begin;
        const struct tl_gpu_slice out = tl_vulkan_window(call->out[0], first * width, n * width, &begin);
        const struct geglu_push push = {(int32_t)n, (int32_t)f, (int32_t)chunk, (int32_t)first,
                                        (int32_t)(first * width) - begin};
        const struct tl_vulkan_launch launch = {
            .kernel = kernel,
            .spec = {vec},
            .n_spec = 1,
            .bind = {tl_gpu_texels(call->in[0], vec), tl_gpu_texels(call->in[call->n_in - 1], vec), out},
            .n_bind = 3,
            .push = &push,
            .push_bytes = sizeof push,
            .groups = {tl_gpu_ceil_div(f, 4), tl_gpu_ceil_div(n, chunk), 1},
            .bytes = 20.0 * (double)(n * f),
        };
        if (!tl_vulkan_run(call, &launch, err)) return false;
    }
    return true;
}

bool tl_vulkan_geglu(struct tl_vulkan_call *call, struct tl_err *err)
{
    const int64_t f = tl_shape_last(call->out_shape[0]);
    return run_geglu(call, "geglu", f, f, err);
}

bool tl_vulkan_geglu_grad(struct tl_vulkan_call *call, struct tl_err *err)
{
    const int64_t f = tl_shape_last(call->in_shape[1]);
    return run_geglu(call, "geglu_grad", f, 2 * f, err);
}
