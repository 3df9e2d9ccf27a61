/* embedding and its gradient, sinusoid, random_normal. */
#include <math.h>

#include "tensor/vulkan_call.h"

/* shaders/lookup/embedding.comp */
struct embedding_push {
    uint32_t first, n, lanes_c, mul, shift;
    int32_t c, n_rows, out_first;
};

bool tl_vulkan_embedding(struct tl_vulkan_call *call, struct tl_err *err)
{
    const int64_t n_ids = tl_shape_count(call->in_shape[0]), rows = call->in_shape[1]->dim[0],
                  c = call->in_shape[1]->dim[1];
    const int64_t lanes_c = tl_gpu_ceil_div(c, 4);
    const bool vec = c % 4 == 0;
    const struct tl_vulkan_divisor d = tl_vulkan_divisor(lanes_c);
    int64_t window;
    if (!tl_vulkan_fits(call, err) || !tl_vulkan_rows_a_launch(call, c, &window, err)) return false;
    for (int64_t first = 0; first < n_ids; first += window) {
        const int64_t n = tl_gpu_min(window, n_ids - first);
        struct embedding_push push = {(uint32_t)(first * lanes_c),
                                      (uint32_t)(n * lanes_c),
                                      (uint32_t)lanes_c,
                                      d.mul,
                                      d.shift,
                                      (int32_t)c,
                                      (int32_t)rows,
                                      0};
        const struct tl_gpu_slice out = tl_vulkan_window(call->out[0], first * c, n * c, &push.out_first);
        const struct tl_vulkan_launch launch = {
            .kernel = "embedding",
            .spec = {vec},
            .n_spec = 1,
            .bind = {tl_vulkan_ints(call->in[0]), tl_gpu_texels(call->in[1], vec), out},
            .n_bind = 3,
            .push = &push,
            .push_bytes = sizeof push,
            .lanes = n * lanes_c,
            .bytes = 8.0 * (double)(n * c),
        };
        if (!tl_vulkan_run(call, &launch, err)) return false;
    }
    return true;
}

/* shaders/lookup/embedding_chain.comp; an invocation looks at so many places at most */
enum { LOOK = 50000 };

struct chain_push {
    int32_t n, begin, end, n_rows;
};

static bool run_chain(struct tl_vulkan_call *call, struct tl_gpu_slice links, struct tl_gpu_slice heads,
                      struct tl_err *err)
{
    const int64_t n = tl_shape_count(call->in_shape[0]);
    for (int64_t begin = 0; begin < n; begin += LOOK) {
        const struct chain_push push = {(int32_t)n, (int32_t)begin, (int32_t)tl_gpu_min(begin + LOOK, n),
                                        (int32_t)call->out_shape[0]->dim[0]};
        const struct tl_vulkan_launch launch = {
            .kernel = "embedding_chain",
            .bind = {tl_vulkan_ints(call->in[0]), links, heads},
            .n_bind = 3,
            .push = &push,
            .push_bytes = sizeof push,
            .lanes = n,
            .bytes = (double)n * (double)(push.end - push.begin),
        };
        if (!tl_vulkan_run(call, &launch, err)) return false;
    }
    return true;
}

/* shaders/lookup/embedding_grad.comp */
struct embedding_grad_push {
    uint32_t n, lanes_c, mul, shift;
    int32_t c, first_row, end_row, out_shift;
};

bool tl_vulkan_embedding_grad(struct tl_vulkan_call *call, struct tl_err *err)
{
    const int64_t n = tl_shape_count(call->in_shape[0]), rows = call->out_shape[0]->dim[0],
                  c = call->out_shape[0]->dim[1];
    const int64_t lanes_c = tl_gpu_ceil_div(c, 4);
    const bool vec = c % 4 == 0;
    const struct tl_vulkan_divisor d = tl_vulkan_divisor(lanes_c);
    const struct tl_gpu_slice links = tl_vulkan_scratch(call, n), heads = tl_vulkan_scratch(call, n);
    int64_t window;
    if (!tl_vulkan_fits(call, err) || !tl_vulkan_rows_a_launch(call, c, &window, err) ||
        !run_chain(call, links, heads, err))
        return false;
    if (!call->accumulate && call->program &&
        !tl_gpu_program_fill(call->program, tl_gpu_first(call->out[0], rows * c), 0, err))
        return false;
    for (int64_t first = 0; first < rows; first += window) {
        const int64_t end = tl_gpu_min(first + window, rows);
        int32_t begin;
        const struct tl_gpu_slice out = tl_vulkan_window(call->out[0], first * c, (end - first) * c, &begin);
        const struct embedding_grad_push push = {(uint32_t)(n * lanes_c),
                                                 (uint32_t)lanes_c,
                                                 d.mul,
                                                 d.shift,
                                                 (int32_t)c,
                                                 (int32_t)first,
                                                 (int32_t)end,
                                                 (int32_t)(first * c) - begin};
        const struct tl_vulkan_launch launch = {
            .kernel = "embedding_grad",
            .spec = {vec},
            .n_spec = 1,
            .bind = {tl_vulkan_ints(call->in[0]), tl_vulkan_ints(links), tl_vulkan_ints(heads),
                     tl_gpu_texels(call->in[1], vec), out},
            .n_bind = 5,
            .push = &push,
            .push_bytes = sizeof push,
            .lanes = n * lanes_c,
            .bytes = 8.0 * (double)(n * c),
        };
        if (!tl_vulkan_run(call, &launch, err)) return false;
    }
    return true;
}

/* shaders/lookup/sinusoid.comp */
struct sinusoid_push {
    int32_t n, dim, sin_at;
    float slope;
};

bool tl_vulkan_sinusoid(struct tl_vulkan_call *call, struct tl_err *err)
{
    const union tl_attr *a = call->attr;
    const int64_t n = tl_shape_rows(call->out_shape[0]), dim = tl_shape_last(call->out_shape[0]),
                  half = dim / 2;
    const double slope =
        -log((double)a->sinusoid.max_period) / ((double)half - (double)a->sinusoid.freq_shift);
    const struct sinusoid_push push = {(int32_t)n, (int32_t)dim,
                                       a->sinusoid.flip_sin_to_cos ? (int32_t)half : 0, (float)slope};
    const struct tl_vulkan_launch launch = {
        .kernel = "sinusoid",
        .bind = {tl_gpu_texels(call->in[0], false), call->out[0]},
        .n_bind = 2,
        .push = &push,
        .push_bytes = sizeof push,
        .lanes = n * half,
        .bytes = 8.0 * (double)(n * dim),
    };
    return tl_vulkan_fits(call, err) && tl_vulkan_run(call, &launch, err);
}

/* shaders/lookup/random_normal.comp */
struct random_push {
    uint32_t first, n, lanes_sample, mul, shift;
    int32_t len, out_first;
};

bool tl_vulkan_random_normal(struct tl_vulkan_call *call, struct tl_err *err)
{
    const struct tl_shape *y = call->out_shape[0];
    const int64_t n = y->dim[0], len = tl_shape_count(y) / n, lanes_sample = tl_gpu_ceil_div(len, 4);
    int64_t window;
    const struct tl_vulkan_divisor d = tl_vulkan_divisor(lanes_sample);
    if (!tl_vulkan_fits(call, err) || !tl_vulkan_rows_a_launch(call, len, &window, err)) return false;
    for (int64_t first = 0; first < n; first += window) {
        const int64_t now = tl_gpu_min(window, n - first);
        struct random_push push = {(uint32_t)(first * lanes_sample),
                                   (uint32_t)(now * lanes_sample),
                                   (uint32_t)lanes_sample,
                                   d.mul,
                                   d.shift,
                                   (int32_t)len,
                                   0};
        const struct tl_gpu_slice out =
            tl_vulkan_window(call->out[0], first * len, now * len, &push.out_first);
        const struct tl_vulkan_launch launch = {
            .kernel = "random_normal",
            .spec = {len % 4 == 0},
            .n_spec = 1,
            .bind = {tl_vulkan_ints(call->in[0]), out},
            .n_bind = 2,
            .push = &push,
            .push_bytes = sizeof push,
            .lanes = now * lanes_sample,
            .bytes = 16.0 * (double)(now * len),
        };
        if (!tl_vulkan_run(call, &launch, err)) return false;
    }
    return true;
}
