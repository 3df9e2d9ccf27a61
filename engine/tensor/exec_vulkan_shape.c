/* broadcast, permute, slice, concat, pad: one strided copy; upsample and its gradient. */
#include "tensor/vulkan_call.h"

/* shaders/shape/copy.comp */
struct copy_axis {
    uint32_t size, mul, shift;
    int32_t from, to;
};

struct copy_push {
    struct copy_axis axis[5];
    uint32_t n;
    int32_t inner, from_first, to_first;
};

/* The box `walk` (steps: from, to) of x goes to y, from and to these elements on. */
struct copy {
    struct tl_gpu_slice x, y;
    struct tl_vulkan_walk walk;
    int64_t from_first, to_first;
};

static int64_t copy_span(const struct tl_vulkan_walk *w)
{
    int64_t n = 1;
    for (int i = 0; i < w->rank; i++) n += (w->dim[i] - 1) * w->step[i][1];
    return n;
}

/* Everything about one side is in fours. */
static bool copy_vec(const struct tl_vulkan_walk *w, int side, int64_t first)
{
    if (w->step[w->rank - 1][side] != 1 || w->dim[w->rank - 1] % 4 || first % 4) return false;
    for (int i = 0; i < w->rank - 1; i++)
        if (w->step[i][side] % 4) return false;
    return true;
}

static bool copy_once(struct tl_vulkan_call *call, const struct copy *c, struct tl_err *err)
{
    const struct tl_vulkan_walk *w = &c->walk;
    struct copy_push push = {.inner = (int32_t)w->dim[w->rank - 1], .from_first = (int32_t)c->from_first};
    int64_t lanes = 1;
    for (int i = 0; i < w->rank; i++) {
        int from = w->rank - 1 - i;
        int64_t size = i == 0 ? tl_gpu_ceil_div(w->dim[from], 4) : w->dim[from];
        struct tl_vulkan_divisor d = tl_vulkan_divisor(size);
        push.axis[i] = (struct copy_axis){(uint32_t)size, d.mul, d.shift, (int32_t)w->step[from][0],
                                          (int32_t)w->step[from][1]};
        lanes *= size;
    }
    push.n = (uint32_t)lanes;
    int32_t begin;
    const struct tl_gpu_slice y = tl_vulkan_window(c->y, c->to_first, copy_span(w), &begin);
    push.to_first = (int32_t)c->to_first - begin;
    const bool in_vec = copy_vec(w, 0, c->from_first), out_vec = copy_vec(w, 1, c->to_first);
    const struct tl_vulkan_launch launch = {
        .kernel = "copy",
        .spec = {(uint32_t)w->rank, in_vec, out_vec},
        .n_spec = 3,
        .bind = {tl_gpu_texels(c->x, in_vec), y},
        .n_bind = 2,
        .push = &push,
        .push_bytes = sizeof push,
        .lanes = lanes,
        .bytes = 32.0 * (double)lanes,
    };
    return tl_vulkan_run(call, &launch, err);
}

/* In halves along the outermost axis until the device can bind what is written. */
static bool run_copy(struct tl_vulkan_call *call, const struct copy *c, struct tl_err *err)
{
    if (copy_span(&c->walk) <= tl_vulkan_limit(call)) return copy_once(call, c, err);
    int axis = 0;
    while (axis < c->walk.rank - 1 && c->walk.dim[axis] < 2) axis++;
    struct copy head = *c, tail = *c;
    int64_t n = c->walk.dim[axis], half = n / 2 - (n / 2 >= 64 ? n / 2 % 64 : 0);
    if (half < 1) return tl_err_set(err, TL_DEVICE, "the result is larger than the device binds");
    head.walk.dim[axis] = half;
    tail.walk.dim[axis] = n - half;
    tail.from_first += half * c->walk.step[axis][0];
    tail.to_first += half * c->walk.step[axis][1];
    return run_copy(call, &head, err) && run_copy(call, &tail, err);
}

bool tl_vulkan_broadcast(struct tl_vulkan_call *call, struct tl_err *err)
{
    const struct tl_shape *y = call->out_shape[0];
    int64_t from[TL_RANK_MAX], to[TL_RANK_MAX];
    struct copy c = {.x = call->in[0], .y = call->out[0]};
    tl_vulkan_dense_steps(call->in_shape[0], from);
    tl_vulkan_dense_steps(y, to);
    for (int i = 0; i < y->rank; i++) tl_vulkan_walk_axis(&c.walk, y->dim[i], from[i], to[i]);
    tl_vulkan_walk_end(&c.walk);
    return tl_vulkan_fits(call, err) && run_copy(call, &c, err);
}

bool tl_vulkan_permute(struct tl_vulkan_call *call, struct tl_err *err)
{
    const struct tl_shape *y = call->out_shape[0];
    int64_t from[TL_RANK_MAX], to[TL_RANK_MAX];
    struct copy c = {.x = call->in[0], .y = call->out[0]};
    tl_vulkan_dense_steps(call->in_shape[0], from);
    tl_vulkan_dense_steps(y, to);
    for (int i = 0; i < y->rank; i++)
        tl_vulkan_walk_axis(&c.walk, y->dim[i], from[call->attr->permute.axis[i]], to[i]);
    tl_vulkan_walk_end(&c.walk);
    return tl_vulkan_fits(call, err) && run_copy(call, &c, err);
}

bool tl_vulkan_transpose(struct tl_vulkan_call *call, struct tl_gpu_slice x, int64_t batch, int64_t rows,
                         int64_t cols, struct tl_gpu_slice y, struct tl_err *err)
{
    struct copy c = {.x = x, .y = y};
    tl_vulkan_walk_axis(&c.walk, batch, rows * cols, rows * cols);
    tl_vulkan_walk_axis(&c.walk, cols, 1, rows);
    tl_vulkan_walk_axis(&c.walk, rows, cols, 1);
    tl_vulkan_walk_end(&c.walk);
    return run_copy(call, &c, err);
}

static int64_t behind(const struct tl_shape *s, int axis)
{
    int64_t n = 1;
    for (int i = axis + 1; i < s->rank; i++) n *= s->dim[i];
    return n;
}

/* Runs of `len` elements, one a row: rows of x are x_row apart, those of y y_row. */
static bool copy_runs(struct tl_vulkan_call *call, struct tl_gpu_slice x, int64_t x_first, int64_t x_row,
                      int64_t y_first, int64_t y_row, int64_t len, struct tl_err *err)
{
    struct copy c = {.x = x, .y = call->out[0], .from_first = x_first, .to_first = y_first};
    tl_vulkan_walk_axis(&c.walk, tl_shape_count(call->out_shape[0]) / y_row, x_row, y_row);
    tl_vulkan_walk_axis(&c.walk, len, 1, 1);
    tl_vulkan_walk_end(&c.walk);
    if (c.walk.step[c.walk.rank - 1][1] !=
        1) { /* single numbers far apart: the kernel's innermost output step is 1 */
        int i = c.walk.rank++;
        c.walk.dim[i] = c.walk.step[i][0] = c.walk.step[i][1] = 1;
    }
    return run_copy(call, &c, err);
}

bool tl_vulkan_slice(struct tl_vulkan_call *call, struct tl_err *err)
{
    const struct tl_shape *x = call->in_shape[0], *y = call->out_shape[0];
    int axis = call->attr->slice.axis;
    int64_t rest = behind(x, axis), len = y->dim[axis] * rest;
    return tl_vulkan_fits(call, err) && copy_runs(call, call->in[0], call->attr->slice.start * rest,
                                                  x->dim[axis] * rest, 0, len, len, err);
}

bool tl_vulkan_concat(struct tl_vulkan_call *call, struct tl_err *err)
{
    int axis = call->attr->concat.axis;
    int64_t len[2], total = 0;
    for (int k = 0; k < 2; k++) {
        len[k] = call->in_shape[k]->dim[axis] * behind(call->in_shape[k], axis);
        total += len[k];
    }
    return tl_vulkan_fits(call, err) && copy_runs(call, call->in[0], 0, len[0], 0, total, len[0], err) &&
           copy_runs(call, call->in[1], 0, len[1], len[0], total, len[1], err);
}

bool tl_vulkan_pad(struct tl_vulkan_call *call, struct tl_err *err)
{
    const struct tl_shape *x = call->in_shape[0], *y = call->out_shape[0];
    int axis = call->attr->pad.axis;
    int64_t rest = behind(x, axis), len = x->dim[axis] * rest;
    if (!tl_vulkan_fits(call, err)) return false;
    if (call->program && !tl_gpu_program_fill(call->program, call->out[0], 0, err)) return false;
    return copy_runs(call, call->in[0], 0, len, call->attr->pad.before * rest, y->dim[axis] * rest, len, err);
}

/* shaders/shape/upsample.comp */
struct upsample_push {
    uint32_t first, n;
    int32_t c, small_h, small_w, large_h, large_w, out_first;
    uint32_t lanes_c, pad;
    struct tl_vulkan_divisor by_c, by_w, by_h, by_large_h, by_large_w, by_small_h, by_small_w;
};
_Static_assert(sizeof(struct upsample_push) == 96, "upsample.comp: uvec2 at multiples of 8");

static bool run_upsample(struct tl_vulkan_call *call, const char *kernel, const struct tl_shape *small,
                         const struct tl_shape *large, struct tl_err *err)
{
    const struct tl_shape *y = call->out_shape[0];
    const int64_t c = y->dim[3], lanes_c = tl_gpu_ceil_div(c, 4), pixels = y->dim[0] * y->dim[1] * y->dim[2];
    const bool vec = c % 4 == 0;
    int64_t window;
    if (!tl_vulkan_fits(call, err) || !tl_vulkan_rows_a_launch(call, c, &window, err)) return false;
    struct upsample_push push = {.c = (int32_t)c,
                                 .small_h = (int32_t)small->dim[1],
                                 .small_w = (int32_t)small->dim[2],
                                 .large_h = (int32_t)large->dim[1],
                                 .large_w = (int32_t)large->dim[2],
                                 .lanes_c = (uint32_t)lanes_c,
                                 .by_c = tl_vulkan_divisor(lanes_c),
                                 .by_w = tl_vulkan_divisor(y->dim[2]),
                                 .by_h = tl_vulkan_divisor(y->dim[1]),
                                 .by_large_h = tl_vulkan_divisor(large->dim[1]),
                                 .by_large_w = tl_vulkan_divisor(large->dim[2]),
                                 .by_small_h = tl_vulkan_divisor(small->dim[1]),
                                 .by_small_w = tl_vulkan_divisor(small->dim[2])};
    for (int64_t first = 0; first < pixels; first += window) {
        int64_t n = tl_gpu_min(window, pixels - first);
        push.first = (uint32_t)(first * lanes_c);
        push.n = (uint32_t)(n * lanes_c);
        const struct tl_gpu_slice out = tl_vulkan_window(call->out[0], first * c, n * c, &push.out_first);
        const struct tl_vulkan_launch launch = {
            .kernel = kernel,
            .spec = {vec},
            .n_spec = 1,
            .bind = {tl_gpu_texels(call->in[0], vec), out},
            .n_bind = 2,
            .push = &push,
            .push_bytes = sizeof push,
            .lanes = n * lanes_c,
            .bytes = 8.0 * (double)(n * c),
        };
        if (!tl_vulkan_run(call, &launch, err)) return false;
    }
    return true;
}

bool tl_vulkan_upsample(struct tl_vulkan_call *call, struct tl_err *err)
{
    return run_upsample(call, "upsample", call->in_shape[0], call->out_shape[0], err);
}

bool tl_vulkan_upsample_grad(struct tl_vulkan_call *call, struct tl_err *err)
{
    return run_upsample(call, "upsample_grad", call->out_shape[0], call->in_shape[0], err);
}
