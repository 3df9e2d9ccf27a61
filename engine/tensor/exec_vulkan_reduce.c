/* reduce_sum, sum_squares: sums in two or more stages of fixed order, no atomics. */
#include "tensor/vulkan_call.h"

/* A lane sums at most MOST terms, so that float sums stay short and llvmpipe's loops far from their end. */
enum { LEAST = 64, MOST = 2048, MOST_TURNS = 30000, CPU_BUSY = 512, GPU_BUSY = 1 << 15 };

struct reduce_axis {
    uint32_t size;
    int32_t step;
};

/* shaders/reduce/reduce.comp */
struct reduce_push {
    struct reduce_axis keep[3], fold[3];
    uint32_t n, n_lanes, n_fold, chunk;
    int32_t stride;
};

static int64_t walk_count(const struct tl_vulkan_walk *w)
{
    int64_t n = 1;
    for (int i = 0; i < w->rank; i++) n *= w->dim[i];
    return n;
}

/* The innermost axis has step 1, and all is in fours: `w` is the walk with that axis, `other` is the other
 * one. */
static bool in_fours(const struct tl_vulkan_walk *w, const struct tl_vulkan_walk *other)
{
    int last = w->rank - 1;
    if (w->step[last][0] != 1 || w->dim[last] % 4) return false;
    for (int i = 0; i < last; i++)
        if (w->step[i][0] % 4) return false;
    for (int i = 0; i < other->rank; i++)
        if (other->step[i][0] % 4 && other->dim[i] > 1) return false;
    return true;
}

static void reduce_axes(const struct tl_vulkan_walk *w, bool vec, struct reduce_axis axes[3])
{
    for (int i = 0; i < 3; i++) {
        int from = w->rank - 1 - i;
        axes[i] = from >= 0 ? (struct reduce_axis){(uint32_t)w->dim[from], (int32_t)w->step[from][0]}
                            : (struct reduce_axis){1, 0};
    }
    if (!vec) return;
    axes[0].size /= 4;
    axes[0].step *= 4;
}

/* The walk of the chunks [n_chunks][n_out] that a stage leaves. */
static struct tl_vulkan_sum next_stage(const struct tl_vulkan_sum *s, struct tl_gpu_slice part,
                                       int64_t n_chunks, int64_t n_out)
{
    struct tl_vulkan_sum next = {.x = part, .y = s->y, .accumulate = s->accumulate};
    tl_vulkan_walk_axis(&next.keep, n_out, 1, 0);
    tl_vulkan_walk_axis(&next.fold, n_chunks, n_out, 0);
    tl_vulkan_walk_end(&next.keep);
    tl_vulkan_walk_end(&next.fold);
    return next;
}

/* Terms a lane sums: enough lanes to keep the device busy, and sums over chunks that it can bind. */
static int64_t chunk_of(const struct tl_vulkan_call *call, int64_t n_fold, int64_t n_lanes, int64_t n_out)
{
    int64_t chunk = tl_gpu_ceil_div(n_fold * n_lanes, call->cpu ? CPU_BUSY : GPU_BUSY);
    chunk = chunk < LEAST ? LEAST : chunk > MOST ? MOST : chunk;
    const int64_t most_chunks = tl_vulkan_limit(call) / n_out;
    if (most_chunks > 0 && tl_gpu_ceil_div(n_fold, chunk) > most_chunks)
        chunk = tl_gpu_ceil_div(n_fold, most_chunks);
    return chunk;
}

bool tl_vulkan_sum(struct tl_vulkan_call *call, const struct tl_vulkan_sum *s, struct tl_err *err)
{
    const bool keep_vec = in_fours(&s->keep, &s->fold), fold_vec = !keep_vec && in_fours(&s->fold, &s->keep);
    const int64_t n_out = walk_count(&s->keep), n_lanes = keep_vec ? n_out / 4 : n_out;
    const int64_t n_fold = walk_count(&s->fold) / (fold_vec ? 4 : 1);
    const int64_t chunk = chunk_of(call, n_fold, n_lanes, n_out), n_chunks = tl_gpu_ceil_div(n_fold, chunk);
    if (n_chunks * n_out > tl_vulkan_limit(call) || chunk > MOST_TURNS)
        return tl_err_set(err, TL_DEVICE, "sums: %lld results are more than the device binds",
                          (long long)n_out);
    struct tl_gpu_slice to = s->y;
    if (n_chunks > 1) to = tl_vulkan_scratch(call, n_chunks * n_out);
    struct reduce_push push = {.n = (uint32_t)(n_lanes * n_chunks),
                               .n_lanes = (uint32_t)n_lanes,
                               .n_fold = (uint32_t)n_fold,
                               .chunk = (uint32_t)chunk,
                               .stride = (int32_t)n_out};
    reduce_axes(&s->keep, keep_vec, push.keep);
    reduce_axes(&s->fold, fold_vec, push.fold);
    const struct tl_vulkan_launch launch = {
        .kernel = "reduce",
        .spec = {keep_vec, fold_vec, s->square, n_chunks == 1 && s->accumulate},
        .n_spec = 4,
        .bind = {tl_gpu_texels(s->x, keep_vec || fold_vec), tl_gpu_first(to, n_chunks * n_out)},
        .n_bind = 2,
        .push = &push,
        .push_bytes = sizeof push,
        .lanes = n_lanes * n_chunks,
        .bytes = 4.0 * (double)(n_out * walk_count(&s->fold)),
    };
    if (!tl_vulkan_run(call, &launch, err)) return false;
    if (n_chunks == 1) return true;
    struct tl_vulkan_sum next = next_stage(s, to, n_chunks, n_out);
    return tl_vulkan_sum(call, &next, err);
}

bool tl_vulkan_sum_rows(struct tl_vulkan_call *call, struct tl_gpu_slice x, int64_t rows, int64_t c,
                        struct tl_gpu_slice y, bool accumulate, struct tl_err *err)
{
    struct tl_vulkan_sum s = {.x = x, .y = y, .accumulate = accumulate};
    tl_vulkan_walk_axis(&s.keep, c, 1, 0);
    tl_vulkan_walk_axis(&s.fold, rows, c, 0);
    tl_vulkan_walk_end(&s.keep);
    tl_vulkan_walk_end(&s.fold);
    return tl_vulkan_sum(call, &s, err);
}

bool tl_vulkan_reduce_sum(struct tl_vulkan_call *call, struct tl_err *err)
{
    const struct tl_shape *x = call->in_shape[0], *y = call->out_shape[0];
    int64_t step[TL_RANK_MAX];
    struct tl_vulkan_sum s = {.x = call->in[0], .y = call->out[0], .accumulate = call->accumulate};
    tl_vulkan_dense_steps(x, step);
    for (int i = 0; i < x->rank; i++)
        tl_vulkan_walk_axis(y->dim[i] == x->dim[i] ? &s.keep : &s.fold, x->dim[i], step[i], 0);
    tl_vulkan_walk_end(&s.keep);
    tl_vulkan_walk_end(&s.fold);
    return tl_vulkan_fits(call, err) && tl_vulkan_sum(call, &s, err);
}

/* In windows: a store may be longer than a texel view. Their sums lie PART elements apart. */
bool tl_vulkan_sum_squares(struct tl_vulkan_call *call, struct tl_err *err)
{
    enum { PART = TL_GPU_ALIGN / 4 };
    const int64_t count = tl_shape_count(call->in_shape[0]), window = tl_vulkan_limit(call) / PART * PART;
    const int64_t n_windows = tl_gpu_ceil_div(count, window);
    if (!tl_vulkan_fits(call, err)) return false;
    struct tl_gpu_slice parts = n_windows > 1 ? tl_vulkan_scratch(call, n_windows * PART) : call->out[0];
    for (int64_t i = 0; i < n_windows; i++) {
        const int64_t n = tl_gpu_min(window, count - i * window);
        struct tl_vulkan_sum s = {.x = call->in[0], .y = parts, .square = true};
        s.x.offset += (uint64_t)(i * window) * 4;
        s.x.bytes = (uint64_t)tl_gpu_ceil_div(n, 4) * 16;
        s.y.offset += (uint64_t)(i * PART) * 4;
        s.y.bytes = 16;
        tl_vulkan_walk_axis(&s.fold, n, 1, 0);
        tl_vulkan_walk_end(&s.keep);
        tl_vulkan_walk_end(&s.fold);
        if (!tl_vulkan_sum(call, &s, err)) return false;
    }
    if (n_windows == 1) return true;
    struct tl_vulkan_sum all = {.x = parts, .y = call->out[0]};
    tl_vulkan_walk_axis(&all.fold, n_windows, PART, 0);
    tl_vulkan_walk_end(&all.keep);
    return tl_vulkan_sum(call, &all, err);
}
