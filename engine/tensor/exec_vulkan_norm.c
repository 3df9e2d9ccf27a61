/* group_norm, layer_norm and their gradients. */
#include "tensor/vulkan_call.h"

/* shaders/norm/group_norm.glsl */
struct group_push {
    int32_t rows, c, chunk, n_chunks, groups, width;
    int32_t out_first;
    int32_t n_samples, sample_first, chunk_first;
    float eps;
};

/* Rows that a lane goes down: enough chunks to keep the device busy, few enough for the fold. */
enum { CPU_CHUNK = 256, GPU_CHUNK = 32, MOST_CHUNKS = 512, CPU_APPLY = 64, GPU_APPLY = 8 };

static struct group_push group_of(const struct tl_vulkan_call *call)
{
    const struct tl_shape *x = call->in_shape[0];
    struct group_push p = {.n_samples = (int32_t)x->dim[0],
                           .c = (int32_t)tl_shape_last(x),
                           .rows = (int32_t)(tl_shape_rows(x) / x->dim[0]),
                           .groups = call->attr->norm.groups,
                           .eps = call->attr->norm.eps};
    p.width = p.c / p.groups;
    p.chunk = call->cpu ? CPU_CHUNK : GPU_CHUNK;
    int32_t least = (p.rows + MOST_CHUNKS - 1) / MOST_CHUNKS;
    if (p.chunk < least) p.chunk = least;
    if (p.chunk > p.rows) p.chunk = p.rows;
    p.n_chunks = (p.rows + p.chunk - 1) / p.chunk;
    return p;
}

static struct tl_vulkan_launch group_launch(const struct tl_vulkan_call *call, const char *kernel,
                                            const struct group_push *p, int n_reads)
{
    return (struct tl_vulkan_launch){.kernel = kernel,
                                     .spec = {p->c % 4 == 0, call->attr->norm.silu != 0},
                                     .n_spec = 2,
                                     .push = p,
                                     .push_bytes = sizeof *p,
                                     .groups = {tl_gpu_ceil_div(p->c, 4), p->n_chunks, p->n_samples},
                                     .bytes = 4.0 * n_reads * p->n_samples * p->rows * p->c};
}

/* The last pass, in windows that the device can bind: samples, or chunks of one sample. The result is binding
 * `out`. */
static bool group_apply(struct tl_vulkan_call *call, struct tl_vulkan_launch launch, struct group_push p,
                        int out, struct tl_err *err)
{
    const int64_t sample = (int64_t)p.rows * p.c, limit = tl_vulkan_limit(call), n_samples = p.n_samples;
    p.chunk = call->cpu ? CPU_APPLY : GPU_APPLY;
    while (tl_gpu_ceil_div(p.rows, p.chunk) > 60000) p.chunk *= 2;
    while (p.chunk > 1 && (int64_t)p.chunk * p.c > limit) p.chunk /= 2;
    const int64_t n_chunks = tl_gpu_ceil_div(p.rows, p.chunk);
    const int64_t samples = sample <= limit ? tl_gpu_min(n_samples, limit / sample) : 1;
    const int64_t chunks = sample <= limit ? n_chunks : limit / ((int64_t)p.chunk * p.c);
    if (chunks == 0) return tl_err_set(err, TL_DEVICE, "%d channels are more than the device binds", p.c);
    launch.push = &p;
    for (int64_t n = 0; n < n_samples; n += samples)
        for (int64_t k = 0; k < n_chunks; k += chunks) {
            const int64_t now = tl_gpu_min(samples, n_samples - n),
                          now_chunks = tl_gpu_min(chunks, n_chunks - k);
            const int64_t first = n * sample + k * p.chunk * p.c;
            const int64_t end =
                tl_gpu_min((n + now - 1) * sample + (k + now_chunks) * p.chunk * p.c, (n + now) * sample);
            p.sample_first = (int32_t)n;
            p.chunk_first = (int32_t)k;
            launch.bind[out] = tl_vulkan_window(call->out[0], first, end - first, &p.out_first);
            launch.groups[1] = now_chunks;
            launch.groups[2] = now;
            if (!tl_vulkan_run(call, &launch, err)) return false;
        }
    return true;
}

bool tl_vulkan_group_norm(struct tl_vulkan_call *call, struct tl_err *err)
{
    if (!tl_vulkan_fits(call, err)) return false;
    const struct group_push p = group_of(call);
    const bool vec = p.c % 4 == 0;
    const struct tl_gpu_slice x = tl_gpu_texels(call->in[0], vec);
    const struct tl_gpu_slice parts = tl_vulkan_scratch(call, (int64_t)p.n_samples * p.n_chunks * 2 * p.c);
    const struct tl_gpu_slice table = tl_vulkan_scratch(call, (int64_t)p.n_samples * 2 * p.c);
    struct tl_vulkan_launch sums = group_launch(call, "group_norm_sums", &p, 1);
    sums.bind[0] = x;
    sums.bind[1] = parts;
    sums.n_bind = 2;
    sums.spec[1] = 0; /* the same kernel with and without silu */
    struct tl_vulkan_launch fold = group_launch(call, "group_norm_fold", &p, 0);
    fold.bind[0] = tl_gpu_texels(parts, false);
    fold.bind[1] = tl_gpu_texels(call->in[1], false);
    fold.bind[2] = call->out[1];
    fold.bind[3] = table;
    fold.n_bind = 4;
    fold.n_spec = 0;
    fold.lanes = (int64_t)p.n_samples * p.groups;
    struct tl_vulkan_launch apply = group_launch(call, "group_norm_apply", &p, 2);
    apply.bind[0] = x;
    apply.bind[1] = tl_gpu_texels(table, vec);
    apply.bind[2] = tl_gpu_texels(call->in[2], vec);
    apply.n_bind = 4;
    return tl_vulkan_run(call, &sums, err) && tl_vulkan_run(call, &fold, err) &&
           group_apply(call, apply, p, 3, err);
}

bool tl_vulkan_group_norm_grad(struct tl_vulkan_call *call, struct tl_err *err)
{
    if (!tl_vulkan_fits(call, err)) return false;
    const struct group_push p = group_of(call);
    const bool vec = p.c % 4 == 0;
    struct tl_gpu_slice in[5];
    for (int i = 0; i < 5; i++) in[i] = tl_gpu_texels(call->in[i], vec && i != 1);
    const struct tl_gpu_slice parts = tl_vulkan_scratch(call, (int64_t)p.n_samples * p.n_chunks * 2 * p.c);
    const struct tl_gpu_slice table = tl_vulkan_scratch(call, (int64_t)p.n_samples * 4 * p.c);
    struct tl_vulkan_launch sums = group_launch(call, "group_norm_grad_sums", &p, 2);
    for (int i = 0; i < 5; i++) sums.bind[i] = in[i];
    sums.bind[5] = parts;
    sums.n_bind = 6;
    struct tl_vulkan_launch fold = group_launch(call, "group_norm_grad_fold", &p, 0);
    fold.bind[0] = tl_gpu_texels(parts, false);
    fold.bind[1] = in[1];
    fold.bind[2] = tl_gpu_texels(in[2], false);
    fold.bind[3] = table;
    fold.n_bind = 4;
    fold.n_spec = 0;
    fold.lanes = (int64_t)p.n_samples * p.groups;
    struct tl_vulkan_launch apply = group_launch(call, "group_norm_grad_apply", &p, 3);
    apply.bind[0] = in[0];
    apply.bind[1] = tl_gpu_texels(table, vec);
    for (int i = 2; i < 5; i++) apply.bind[i] = in[i];
    apply.n_bind = 6;
    if (!tl_vulkan_run(call, &sums, err)) return false;
    if (call->wanted[1] && !tl_vulkan_sum_rows(call, parts, (int64_t)p.n_samples * p.n_chunks,
                                               2 * (int64_t)p.c, call->out[1], false, err))
        return false;
    return !call->wanted[0] || (tl_vulkan_run(call, &fold, err) && group_apply(call, apply, p, 5, err));
}

/* shaders/norm/layer_norm.comp */
struct layer_push {
    int32_t rows, c, first, shift, stats_shift;
    float eps;
};

/* Rows in windows; the result is binding `out`, and where stats is not -1 so many rows of it binding `stats`.
 */
static bool run_layer(struct tl_vulkan_call *call, struct tl_vulkan_launch launch, int out, int stats,
                      struct tl_err *err)
{
    const int64_t rows = tl_shape_rows(call->in_shape[0]), c = tl_shape_last(call->in_shape[0]);
    int64_t window;
    if (!tl_vulkan_rows_a_launch(call, c < 2 ? 2 : c, &window, err))
        return false; /* the statistics are two a row */
    launch.spec[0] = tl_vulkan_row_share(call, rows, c);
    launch.spec[1] = c % 4 == 0;
    launch.n_spec = 3;
    for (int64_t first = 0; first < rows; first += window) {
        const int64_t n = tl_gpu_min(window, rows - first);
        int32_t begin, stats_begin = 0;
        launch.bind[out] = tl_vulkan_window(call->out[0], first * c, n * c, &begin);
        if (stats >= 0) launch.bind[stats] = tl_vulkan_window(call->out[1], first * 2, n * 2, &stats_begin);
        const struct layer_push push = {.rows = (int32_t)n,
                                        .c = (int32_t)c,
                                        .first = (int32_t)first,
                                        .shift = (int32_t)(first * c) - begin,
                                        .stats_shift = (int32_t)(first * 2) - stats_begin,
                                        .eps = call->attr->norm.eps};
        launch.push = &push;
        launch.push_bytes = sizeof push;
        launch.rows = n;
        launch.bytes = 12.0 * (double)(n * c);
        if (!tl_vulkan_run(call, &launch, err)) return false;
    }
    return true;
}

bool tl_vulkan_layer_norm(struct tl_vulkan_call *call, struct tl_err *err)
{
    const bool vec = tl_shape_last(call->in_shape[0]) % 4 == 0, affine = call->n_in > 1 && call->in_shape[1];
    const struct tl_gpu_slice x = tl_gpu_texels(call->in[0], vec);
    const struct tl_vulkan_launch launch = {
        .kernel = "layer_norm",
        .spec = {0, 0, affine},
        .bind = {x, affine ? tl_gpu_texels(call->in[1], vec) : x,
                 affine ? tl_gpu_texels(call->in[2], vec) : x},
        .n_bind = 5,
    };
    return tl_vulkan_fits(call, err) && run_layer(call, launch, 3, 4, err);
}

/* shaders/norm/layer_norm_grad_sums.comp */
struct layer_sums_push {
    int32_t rows, c, chunk;
};

static bool layer_norm_dgb(struct tl_vulkan_call *call, struct tl_err *err)
{
    const int64_t rows = tl_shape_rows(call->in_shape[0]), c = tl_shape_last(call->in_shape[0]);
    const bool vec = c % 4 == 0;
    int64_t chunk = tl_gpu_ceil_div(rows * tl_gpu_ceil_div(c, 4), call->cpu ? 512 : 1 << 15);
    chunk = chunk < 32 ? 32 : chunk > 1024 ? 1024 : chunk;
    while (tl_gpu_ceil_div(rows, chunk) > 60000) chunk *= 2;
    const int64_t n_chunks = tl_gpu_ceil_div(rows, chunk);
    const struct tl_gpu_slice parts = tl_vulkan_scratch(call, n_chunks * 2 * c);
    const struct layer_sums_push push = {(int32_t)rows, (int32_t)c, (int32_t)chunk};
    const struct tl_vulkan_launch sums = {
        .kernel = "layer_norm_grad_sums",
        .spec = {vec},
        .n_spec = 1,
        .bind = {tl_gpu_texels(call->in[0], vec), tl_gpu_texels(call->in[1], false),
                 tl_gpu_texels(call->in[3], vec), parts},
        .n_bind = 4,
        .push = &push,
        .push_bytes = sizeof push,
        .groups = {tl_gpu_ceil_div(c, 4), n_chunks, 1},
        .bytes = 8.0 * (double)(rows * c),
    };
    return tl_vulkan_run(call, &sums, err) &&
           tl_vulkan_sum_rows(call, parts, n_chunks, 2 * c, call->out[1], false, err);
}

bool tl_vulkan_layer_norm_grad(struct tl_vulkan_call *call, struct tl_err *err)
{
    const bool vec = tl_shape_last(call->in_shape[0]) % 4 == 0, affine = call->in_shape[2] != NULL;
    const struct tl_gpu_slice x = tl_gpu_texels(call->in[0], vec);
    const struct tl_vulkan_launch launch = {
        .kernel = "layer_norm_grad",
        .spec = {0, 0, affine},
        .bind = {x, affine ? tl_gpu_texels(call->in[2], vec) : x, tl_gpu_texels(call->in[1], false),
                 tl_gpu_texels(call->in[3], vec)},
        .n_bind = 5,
    };
    if (!tl_vulkan_fits(call, err)) return false;
    if (call->wanted[1] && !layer_norm_dgb(call, err)) return false;
    return !call->wanted[0] || run_layer(call, launch, 4, -1, err);
}
