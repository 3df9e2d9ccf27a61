/* fill, unary, unary_grad, binary, accumulate, lerp, adamw. */
#include <string.h>

#include "tensor/vulkan_call.h"

bool tl_vulkan_fill(struct tl_vulkan_call *call, struct tl_err *err)
{
    if (!call->program) return true;
    uint32_t bits;
    memcpy(&bits, &call->attr->fill.value, sizeof bits);
    return tl_gpu_program_fill(call->program, call->out[0], bits, err);
}

/* In fours; the last may be partial. Windows of a result that the device can bind. */
struct fours {
    int64_t n, window;
};

static struct fours fours_of(const struct tl_vulkan_call *call)
{
    int64_t limit = tl_vulkan_limit(call) / 4;
    return (struct fours){tl_gpu_ceil_div(tl_shape_count(call->out_shape[0]), 4),
                          limit - limit % (TL_GPU_ALIGN / 16)};
}

/* n fours of an operand or a result from the first on. */
static struct tl_gpu_slice part(struct tl_gpu_slice s, int64_t first, int64_t n)
{
    s.offset += (uint64_t)first * 16;
    s.bytes = (uint64_t)n * 16;
    return tl_gpu_texels(s, true);
}

/* shaders/elementwise/unary.comp */
struct unary_push {
    uint32_t n;
    float a, b;
};

static bool run_unary(struct tl_vulkan_call *call, const char *kernel, struct tl_err *err)
{
    struct fours f = fours_of(call);
    if (!tl_vulkan_fits(call, err)) return false;
    for (int64_t first = 0; first < f.n; first += f.window) {
        int64_t n = tl_gpu_min(f.window, f.n - first);
        const struct unary_push push = {(uint32_t)n, call->attr->unary.a, call->attr->unary.b};
        const struct tl_gpu_slice dy = call->n_in > 1 ? call->in[1] : call->in[0];
        const struct tl_vulkan_launch launch = {
            .kernel = kernel,
            .spec = {(uint32_t)call->attr->unary.kind},
            .n_spec = 1,
            .bind = {part(call->in[0], first, n), part(dy, first, n), part(call->out[0], first, n)},
            .n_bind = 3,
            .push = &push,
            .push_bytes = sizeof push,
            .lanes = n,
            .bytes = 48.0 * (double)n,
        };
        if (!tl_vulkan_run(call, &launch, err)) return false;
    }
    return true;
}

bool tl_vulkan_unary(struct tl_vulkan_call *call, struct tl_err *err)
{
    return run_unary(call, "unary", err);
}

bool tl_vulkan_unary_grad(struct tl_vulkan_call *call, struct tl_err *err)
{
    return run_unary(call, "unary_grad", err);
}

/* shaders/elementwise/binary.comp */
struct binary_axis {
    uint32_t size, mul, shift;
    int32_t a, b;
};

struct binary_push {
    struct binary_axis axis[5];
    uint32_t first, n;
    int32_t inner, out_first;
};

/* All in fours where the innermost axis is, or where there is only one: the padding is nobody's. */
static bool binary_vec(const struct tl_vulkan_walk *w)
{
    if (w->rank == 1) return true;
    if (w->dim[w->rank - 1] % 4) return false;
    for (int i = 0; i < w->rank - 1; i++)
        for (int k = 0; k < 2; k++)
            if (w->step[w->rank - 1][k] == 1 && w->step[i][k] % 4) return false;
    return true;
}

static void binary_axes(const struct tl_vulkan_walk *w, struct binary_push *push)
{
    for (int i = 0; i < w->rank; i++) {
        int from = w->rank - 1 - i;
        int64_t size = i == 0 ? tl_gpu_ceil_div(w->dim[from], 4) : w->dim[from];
        struct tl_vulkan_divisor d = tl_vulkan_divisor(size);
        push->axis[i] = (struct binary_axis){(uint32_t)size, d.mul, d.shift, (int32_t)w->step[from][0],
                                             (int32_t)w->step[from][1]};
    }
    push->inner = (int32_t)w->dim[w->rank - 1];
}

bool tl_vulkan_binary(struct tl_vulkan_call *call, struct tl_err *err)
{
    const struct tl_shape *y = call->out_shape[0];
    int64_t step[2][TL_RANK_MAX], count = tl_shape_count(y);
    if (!tl_vulkan_fits(call, err)) return false;
    for (int k = 0; k < 2; k++) tl_vulkan_dense_steps(call->in_shape[k], step[k]);
    struct tl_vulkan_walk w = {0};
    for (int i = 0; i < y->rank; i++) tl_vulkan_walk_axis(&w, y->dim[i], step[0][i], step[1][i]);
    tl_vulkan_walk_end(&w);
    struct binary_push push = {0};
    binary_axes(&w, &push);
    const bool vec = binary_vec(&w);
    const int64_t lanes_row = push.axis[0].size, lanes = count / push.inner * lanes_row;
    /* A window holds whole rows, or whole fours of the only one. */
    const int64_t unit = w.rank == 1 ? TL_GPU_ALIGN / 16 : lanes_row,
                  unit_elements = w.rank == 1 ? TL_GPU_ALIGN / 4 : push.inner;
    const int64_t window = tl_vulkan_limit(call) / unit_elements * unit;
    if (window == 0)
        return tl_err_set(err, TL_DEVICE, "a row of %d numbers is larger than the device binds", push.inner);
    const int64_t *last = w.step[w.rank - 1];
    for (int64_t first = 0; first < lanes; first += window) {
        int64_t n = tl_gpu_min(window, lanes - first), begin = first / unit * unit_elements;
        push.first = (uint32_t)first;
        push.n = (uint32_t)n;
        struct tl_vulkan_launch launch = {
            .kernel = "binary",
            .spec = {(uint32_t)call->attr->binary.kind, (uint32_t)w.rank, vec, last[0] != 0, last[1] != 0},
            .n_spec = 5,
            .bind = {tl_gpu_texels(call->in[0], vec && last[0]), tl_gpu_texels(call->in[1], vec && last[1]),
                     tl_vulkan_window(call->out[0], begin,
                                      tl_gpu_min(tl_gpu_ceil_div(n, unit) * unit_elements, count - begin),
                                      &push.out_first)},
            .n_bind = 3,
            .push = &push,
            .push_bytes = sizeof push,
            .lanes = n,
            .bytes = 48.0 * (double)n,
        };
        if (!tl_vulkan_run(call, &launch, err)) return false;
    }
    return true;
}

/* shaders/elementwise/update.comp */
struct update_push {
    uint32_t n;
    int32_t left;
};

/* In place over the whole of writes[0]: `reads` and `writes` are as long as that, `numbers` are a few. */
struct update {
    const char *kernel;
    struct tl_gpu_slice reads[4], numbers, writes[3];
    int n_reads, n_writes;
};

static bool run_update(struct tl_vulkan_call *call, const struct update *u, struct tl_err *err)
{
    struct fours f = fours_of(call);
    int64_t count = tl_shape_count(call->out_shape[0]);
    if (!tl_vulkan_fits(call, err)) return false;
    for (int64_t first = 0; first < f.n; first += f.window) {
        int64_t n = tl_gpu_min(f.window, f.n - first);
        const struct update_push push = {(uint32_t)n, (int32_t)(count - 4 * first)};
        struct tl_vulkan_launch launch = {
            .kernel = u->kernel,
            .spec = {count % 4 != 0},
            .n_spec = 1,
            .n_bind = u->n_reads + 1 + u->n_writes,
            .push = &push,
            .push_bytes = sizeof push,
            .lanes = n,
            .bytes = 16.0 * (double)(n * (u->n_reads + u->n_writes)),
        };
        for (int i = 0; i < u->n_reads; i++) launch.bind[i] = part(u->reads[i], first, n);
        launch.bind[u->n_reads] = tl_gpu_texels(u->numbers, true);
        for (int i = 0; i < u->n_writes; i++) launch.bind[u->n_reads + 1 + i] = part(u->writes[i], first, n);
        if (!tl_vulkan_run(call, &launch, err)) return false;
    }
    return true;
}

bool tl_vulkan_accumulate(struct tl_vulkan_call *call, struct tl_err *err)
{
    const struct update u = {.kernel = "accumulate",
                             .reads = {call->in[0], call->in[1]},
                             .n_reads = 2,
                             .writes = {call->out[0]},
                             .n_writes = 1};
    return run_update(call, &u, err);
}

bool tl_vulkan_lerp(struct tl_vulkan_call *call, struct tl_err *err)
{
    const struct update u = {.kernel = "lerp",
                             .reads = {call->in[0], call->in[1]},
                             .n_reads = 2,
                             .numbers = call->in[2],
                             .writes = {call->out[0]},
                             .n_writes = 1};
    return run_update(call, &u, err);
}

bool tl_vulkan_adamw(struct tl_vulkan_call *call, struct tl_err *err)
{
    const struct update u = {.kernel = "adamw",
                             .reads = {call->in[0], call->in[1], call->in[2], call->in[3]},
                             .n_reads = 4,
                             .numbers = call->in[4],
                             .writes = {call->out[0], call->in[2], call->in[3]},
                             .n_writes = 3};
    return run_update(call, &u, err);
}
