#include "gpu/gpu_conv.h"

#include <stdio.h>
#include <stdlib.h>

#include "gpu/gpu_operand.h"
#include "gpu/gpu_reduce.h"

/* shaders/conv/conv.glsl */
struct conv_push {
    int32_t m, i, j;
    int32_t sy, sx, sc;
    int32_t nc;
    int32_t step_y, step_x, tap_y, tap_x, y0, x0;
    int32_t n_u, n_v, kh0, kw0, kh_step, kw_step, kw;
    int32_t oy, ox, out_y, out_x, oy0, ox0;
    int32_t m0, out_first;
    float alpha;
};
_Static_assert(sizeof(struct conv_push) == 116, "conv.glsl");

/* shaders/conv/wgrad.glsl */
struct wgrad_push {
    int32_t m, nc, ci, kw;
    int32_t first_row, n_rows, rows_part, split_stride;
    int32_t oh, ow, h, w;
    int32_t stride_y, stride_x, dilation_y, dilation_x, pad_y, pad_x;
    float alpha;
};
_Static_assert(sizeof(struct wgrad_push) == 76, "wgrad.glsl");

enum op { FWD, DGRAD, WGRAD };
static const char *const op_names[] = {"fwd", "dgrad", "wgrad"};

static const struct {
    const char *name;
    int64_t rows, cols;
    int64_t unroll; /* inner values a loop turn sums, for the cap on turns */
    bool storage;
} variants[] = {
    [TL_GPU_PLAIN] = {"plain", 4, 8, 1, true},
    [TL_GPU_TEXEL] = {"texel", 16, 32, 4, false},
    [TL_GPU_SHARED] = {"shared", 64, 64, 4, true},
};
enum { MAX_TURNS = 60000 };

static enum tl_gpu_variant variant_of(const struct tl_gpu *gpu, const struct tl_gpu_conv *c)
{
    if (c->variant != TL_GPU_AUTO) return c->variant;
    return tl_gpu_facts(gpu)->kind == TL_GPU_CLASS_CPU ? TL_GPU_TEXEL : TL_GPU_SHARED;
}

static struct tl_gpu_conv with_defaults(struct tl_gpu_conv c)
{
    for (int i = 0; i < 2; i++) {
        if (c.shape.stride[i] == 0) c.shape.stride[i] = 1;
        if (c.shape.dilation[i] == 0) c.shape.dilation[i] = 1;
    }
    return c;
}

double tl_gpu_conv_flops(const struct tl_gpu_conv_shape *s)
{
    return 2.0 * (double)(s->n * s->out_h * s->out_w) * (double)(s->kh * s->kw * s->c_in) * (double)s->c_out;
}

static int64_t count_x(const struct tl_gpu_conv_shape *s)
{
    return s->n * s->h * s->w * s->c_in;
}

static int64_t count_y(const struct tl_gpu_conv_shape *s)
{
    return s->n * s->out_h * s->out_w * s->c_out;
}

static int64_t count_w(const struct tl_gpu_conv_shape *s)
{
    return s->kh * s->kw * s->c_in * s->c_out;
}

static bool check_slice(const char *name, const struct tl_gpu_slice *s, int64_t need, struct tl_err *err)
{
    if (s->buffer && s->offset % TL_GPU_ALIGN == 0 && need <= INT32_MAX - 1024 &&
        s->bytes >= (uint64_t)need * 4)
        return true;
    return tl_err_set(
        err, TL_FAIL,
        "convolution: %s needs %lld elements at a multiple of 256 bytes, has %llu bytes at %llu", name,
        (long long)need, (unsigned long long)s->bytes, (unsigned long long)s->offset);
}

static bool check(const struct tl_gpu_conv *c, enum op op, struct tl_err *err)
{
    const struct tl_gpu_conv_shape *s = &c->shape;
    const int64_t sizes[] = {s->n,         s->h,           s->w,          s->c_in, s->out_h,
                             s->out_w,     s->c_out,       s->kh,         s->kw,   s->stride[0],
                             s->stride[1], s->dilation[0], s->dilation[1]};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i] < 1 || sizes[i] > 1 << 24)
            return tl_err_set(err, TL_FAIL, "convolution: a size of %lld", (long long)sizes[i]);
    const int64_t n_add = op == DGRAD ? count_x(s) : count_y(s);
    return check_slice("x", &c->x, count_x(s), err) && check_slice("w", &c->w, count_w(s), err) &&
           check_slice("y", &c->y, count_y(s), err) &&
           (!c->bias.buffer || check_slice("bias", &c->bias, s->c_out, err)) &&
           (!c->add.buffer || check_slice("add", &c->add, n_add, err));
}

static const struct tl_gpu_kernel *kernel_of(struct tl_gpu *gpu, enum op op, enum tl_gpu_variant v,
                                             bool a_vec, bool b_vec, bool out_vec,
                                             const struct tl_gpu_conv *c, bool tail, bool pair,
                                             struct tl_err *err)
{
    const uint32_t spec[] = {a_vec,         b_vec, out_vec, c->bias.buffer != NULL, c->add.buffer != NULL,
                             c->accumulate, tail,  pair};
    char name[64];
    snprintf(name, sizeof name, "conv_%s_%s", op_names[op], variants[v].name);
    return tl_gpu_kernel_get(gpu, name, spec, sizeof spec / sizeof *spec, err);
}

/* What the gather kernels work on, whichever way round. */
struct gather {
    enum op op;
    struct tl_gpu_slice source, weights, out;
    int64_t n_source, n_out; /* elements */
    struct conv_push push;
};

/* Output elements from the first of grid line `first` to the last of line `last` (lines count over n, then
 * i). */
static void window_of(const struct conv_push *p, int64_t first, int64_t last, int64_t *out_begin,
                      int64_t *out_end)
{
    const int64_t y0 = first / p->i * p->oy + first % p->i * p->out_y + p->oy0;
    const int64_t y1 = last / p->i * p->oy + last % p->i * p->out_y + p->oy0;
    *out_begin = y0 * p->ox * p->nc;
    *out_end = (y1 + 1) * p->ox * p->nc;
}

/* Records lines [first, first + n) of the grid, which the device can bind and count. */
static bool record_lines(struct tl_gpu *gpu, struct tl_gpu_program *program, const struct tl_gpu_conv *c,
                         const struct gather *g, int64_t first, int64_t n, struct tl_err *err)
{
    const enum tl_gpu_variant v = variant_of(gpu, c);
    const bool a_vec = g->push.sc % 4 == 0, out_vec = g->push.nc % 4 == 0;
    const struct tl_gpu_kernel *kernel =
        kernel_of(gpu, g->op, v, a_vec, g->op == DGRAD ? a_vec : out_vec, out_vec, c, false,
                  tl_gpu_ceil_div(g->push.sc, 4) % 2 == 0, err);
    if (!kernel) return false;
    int64_t begin, end;
    window_of(&g->push, first, first + n - 1, &begin, &end);
    begin -= begin % (TL_GPU_ALIGN / 4);
    struct tl_gpu_slice out = g->out, add = c->add;
    out.offset += (uint64_t)begin * 4;
    out.bytes = (uint64_t)(end - begin) * 4;
    add.offset += (uint64_t)begin * 4;
    add.bytes = out.bytes;
    struct conv_push push = g->push;
    push.m0 = (int32_t)(first * push.j);
    push.m = (int32_t)((first + n) * push.j);
    push.out_first = (int32_t)begin;
    const struct tl_gpu_slice source = tl_gpu_texels(tl_gpu_first(g->source, g->n_source), a_vec);
    const struct tl_gpu_slice bind[] = {
        source, tl_gpu_texels(tl_gpu_first(g->weights, count_w(&c->shape)), g->op == DGRAD ? a_vec : out_vec),
        out, c->bias.buffer ? tl_gpu_texels(tl_gpu_first(c->bias, push.nc), out_vec) : source,
        c->add.buffer ? tl_gpu_texels(add, out_vec) : source};
    const int64_t rows = n * push.j;
    const struct tl_gpu_dispatch d = {
        .kernel = kernel,
        .bind = bind,
        .n_bind = 5,
        .push = &push,
        .push_bytes = sizeof push,
        .groups = {(uint32_t)tl_gpu_ceil_div(push.nc, variants[v].cols),
                   (uint32_t)tl_gpu_ceil_div(rows, variants[v].rows), 1},
        .work = 2.0 * (double)rows * (double)push.nc * (double)push.n_u * (double)push.n_v * (double)push.sc,
    };
    return tl_gpu_program_dispatch(program, &d, err);
}

static bool record_gather(struct tl_gpu *gpu, struct tl_gpu_program *program, const struct tl_gpu_conv *c,
                          const struct gather *g, struct tl_err *err)
{
    const struct tl_gpu_facts *f = tl_gpu_facts(gpu);
    const enum tl_gpu_variant v = variant_of(gpu, c);
    const int64_t limit = (int64_t)(f->max_storage_bytes / 4) - TL_GPU_ALIGN;
    const int64_t lines = (int64_t)g->push.m / g->push.j;
    const int64_t turns =
        (int64_t)g->push.n_u * g->push.n_v * (tl_gpu_ceil_div(g->push.sc, variants[v].unroll) + 2);
    if (turns > MAX_TURNS || (variants[v].storage && (g->n_source > limit || count_w(&c->shape) > limit)))
        return tl_err_set(err, TL_DEVICE, "convolution: too many taps and channels for one pass");
    for (int64_t first = 0; first < lines;) {
        int64_t n = lines - first, begin, end;
        for (;; n = (n + 1) / 2) {
            window_of(&g->push, first, first + n - 1, &begin, &end);
            bool fits =
                end - begin <= limit && tl_gpu_ceil_div(n * g->push.j, variants[v].rows) <= f->max_groups[1];
            if (fits) break;
            if (n == 1)
                return tl_err_set(err, TL_DEVICE, "convolution: one line is larger than the device binds");
        }
        if (!record_lines(gpu, program, c, g, first, n, err)) return false;
        first += n;
    }
    return true;
}

bool tl_gpu_conv_forward(struct tl_gpu *gpu, struct tl_gpu_program *program, const struct tl_gpu_conv *conv,
                         struct tl_err *err)
{
    const struct tl_gpu_conv c = with_defaults(*conv);
    const struct tl_gpu_conv_shape *s = &c.shape;
    if (!check(&c, FWD, err)) return false;
    const struct gather g = {.op = FWD,
                             .source = c.x,
                             .weights = c.w,
                             .out = c.y,
                             .n_source = count_x(s),
                             .n_out = count_y(s),
                             .push = {.m = (int32_t)(s->n * s->out_h * s->out_w),
                                      .i = (int32_t)s->out_h,
                                      .j = (int32_t)s->out_w,
                                      .sy = (int32_t)s->h,
                                      .sx = (int32_t)s->w,
                                      .sc = (int32_t)s->c_in,
                                      .nc = (int32_t)s->c_out,
                                      .step_y = (int32_t)s->stride[0],
                                      .step_x = (int32_t)s->stride[1],
                                      .tap_y = (int32_t)s->dilation[0],
                                      .tap_x = (int32_t)s->dilation[1],
                                      .y0 = (int32_t)-s->pad[0],
                                      .x0 = (int32_t)-s->pad[1],
                                      .n_u = (int32_t)s->kh,
                                      .n_v = (int32_t)s->kw,
                                      .kh_step = 1,
                                      .kw_step = 1,
                                      .kw = (int32_t)s->kw,
                                      .oy = (int32_t)s->out_h,
                                      .ox = (int32_t)s->out_w,
                                      .out_y = 1,
                                      .out_x = 1,
                                      .alpha = c.alpha}};
    return record_gather(gpu, program, &c, &g, err);
}

static int64_t gcd(int64_t a, int64_t b)
{
    return b ? gcd(b, a % b) : a;
}

/* One axis of the data gradient: for inputs i = residue + stride * t the taps k0, k0 + k_step ... meet them,
 * and tap number u reads output row t + first - u * back. n_taps may be 0: then the gradient is zero there.
 */
enum { NOWHERE = -(1 << 28) };
struct axis {
    int64_t k0, k_step, n_taps, first, back;
};

static struct axis axis_of(int64_t residue, int64_t stride, int64_t dilation, int64_t pad, int64_t k)
{
    const int64_t common = gcd(stride, dilation);
    struct axis a = {.k_step = stride / common, .back = dilation / common};
    while (a.k0 < a.k_step && (residue + pad - a.k0 * dilation) % stride != 0) a.k0++;
    if (a.k0 == a.k_step || a.k0 >= k) return (struct axis){.k_step = 1, .n_taps = 1, .first = NOWHERE};
    a.n_taps = tl_gpu_ceil_div(k - a.k0, a.k_step);
    a.first = (residue + pad - a.k0 * dilation) / stride;
    return a;
}

bool tl_gpu_conv_data_grad(struct tl_gpu *gpu, struct tl_gpu_program *program, const struct tl_gpu_conv *conv,
                           struct tl_err *err)
{
    struct tl_gpu_conv c = with_defaults(*conv);
    const struct tl_gpu_conv_shape *s = &c.shape;
    c.bias = (struct tl_gpu_slice){0};
    if (!check(&c, DGRAD, err)) return false;
    for (int64_t ry = 0; ry < tl_gpu_min(s->stride[0], s->h); ry++)
        for (int64_t rx = 0; rx < tl_gpu_min(s->stride[1], s->w); rx++) {
            const struct axis y = axis_of(ry, s->stride[0], s->dilation[0], s->pad[0], s->kh);
            const struct axis x = axis_of(rx, s->stride[1], s->dilation[1], s->pad[1], s->kw);
            const int64_t rows = tl_gpu_ceil_div(s->h - ry, s->stride[0]);
            const int64_t cols = tl_gpu_ceil_div(s->w - rx, s->stride[1]);
            const struct gather g = {.op = DGRAD,
                                     .source = c.y,
                                     .weights = c.w,
                                     .out = c.x,
                                     .n_source = count_y(s),
                                     .n_out = count_x(s),
                                     .push = {.m = (int32_t)(s->n * rows * cols),
                                              .i = (int32_t)rows,
                                              .j = (int32_t)cols,
                                              .sy = (int32_t)s->out_h,
                                              .sx = (int32_t)s->out_w,
                                              .sc = (int32_t)s->c_out,
                                              .nc = (int32_t)s->c_in,
                                              .step_y = 1,
                                              .step_x = 1,
                                              .tap_y = (int32_t)-y.back,
                                              .tap_x = (int32_t)-x.back,
                                              .y0 = (int32_t)y.first,
                                              .x0 = (int32_t)x.first,
                                              .n_u = (int32_t)y.n_taps,
                                              .n_v = (int32_t)x.n_taps,
                                              .kh0 = (int32_t)y.k0,
                                              .kw0 = (int32_t)x.k0,
                                              .kh_step = (int32_t)y.k_step,
                                              .kw_step = (int32_t)x.k_step,
                                              .kw = (int32_t)s->kw,
                                              .oy = (int32_t)s->h,
                                              .ox = (int32_t)s->w,
                                              .out_y = (int32_t)s->stride[0],
                                              .out_x = (int32_t)s->stride[1],
                                              .oy0 = (int32_t)ry,
                                              .ox0 = (int32_t)rx,
                                              .alpha = c.alpha}};
            if (!record_gather(gpu, program, &c, &g, err)) return false;
        }
    return true;
}

/* Rows of pixels (n, out_h) that one split sums: enough splits to keep the device busy, and no invocation
 * past the cap on loop turns. */
static int64_t rows_a_split(const struct tl_gpu *gpu, const struct tl_gpu_conv *c, bool with_scratch)
{
    const struct tl_gpu_conv_shape *s = &c->shape;
    const enum tl_gpu_variant v = variant_of(gpu, c);
    const int64_t rows = s->n * s->out_h;
    const int64_t turns = tl_gpu_ceil_div(s->out_w, variants[v].unroll) + 2;
    const int64_t cap = turns < MAX_TURNS ? MAX_TURNS / turns : 1;
    const int64_t busy = tl_gpu_facts(gpu)->kind == TL_GPU_CLASS_CPU ? 16 : 256;
    const int64_t tiles = tl_gpu_ceil_div(s->kh * s->kw * s->c_in, variants[v].rows) *
                          tl_gpu_ceil_div(s->c_out, variants[v].cols);
    int64_t splits = 1;
    if (with_scratch && v != TL_GPU_PLAIN && tiles < busy)
        splits = tl_gpu_min(tl_gpu_min(busy / tiles, tl_gpu_ceil_div(rows * s->out_w, 256)), 64);
    return tl_gpu_min(tl_gpu_ceil_div(rows, splits), cap);
}

static int64_t splits_of(const struct tl_gpu *gpu, const struct tl_gpu_conv *c)
{
    return tl_gpu_ceil_div(c->shape.n * c->shape.out_h, rows_a_split(gpu, c, true));
}

uint64_t tl_gpu_conv_scratch(const struct tl_gpu *gpu, const struct tl_gpu_conv *conv)
{
    const struct tl_gpu_conv c = with_defaults(*conv);
    const int64_t splits = splits_of(gpu, &c);
    const uint64_t bytes = (uint64_t)(splits * count_w(&c.shape)) * 4;
    return splits < 2 || bytes > tl_gpu_facts(gpu)->max_storage_bytes ? 0 : bytes;
}

/* Sums rows [first, end) into `out`, one layer for every rows_part of them. */
static bool record_wgrad(struct tl_gpu *gpu, struct tl_gpu_program *program, const struct tl_gpu_conv *c,
                         struct tl_gpu_slice out, int64_t first, int64_t end, int64_t rows_part,
                         struct tl_err *err)
{
    const struct tl_gpu_conv_shape *s = &c->shape;
    const enum tl_gpu_variant v = variant_of(gpu, c);
    const bool x_vec = s->c_in % 4 == 0, dy_vec = s->c_out % 4 == 0;
    /* Two steps of four pixels a loop turn, where every split has an even number of them. */
    const int64_t steps = tl_gpu_ceil_div(s->out_w, 4);
    const bool pair = steps * rows_part % 2 == 0 && steps * ((end - first) % rows_part) % 2 == 0;
    const struct tl_gpu_kernel *kernel =
        kernel_of(gpu, WGRAD, v, x_vec, dy_vec, dy_vec, c, s->out_w % 4 != 0, pair, err);
    if (!kernel) return false;
    const struct tl_gpu_slice x = tl_gpu_texels(tl_gpu_first(c->x, count_x(s)), x_vec);
    const struct tl_gpu_slice dy = tl_gpu_texels(tl_gpu_first(c->y, count_y(s)), dy_vec);
    const int64_t m = s->kh * s->kw * s->c_in, splits = tl_gpu_ceil_div(end - first, rows_part);
    const struct tl_gpu_slice bind[] = {x, dy, tl_gpu_first(out, splits * count_w(s)), x, x};
    const struct wgrad_push push = {.m = (int32_t)m,
                                    .nc = (int32_t)s->c_out,
                                    .ci = (int32_t)s->c_in,
                                    .kw = (int32_t)s->kw,
                                    .first_row = (int32_t)first,
                                    .n_rows = (int32_t)end,
                                    .rows_part = (int32_t)rows_part,
                                    .split_stride = (int32_t)count_w(s),
                                    .oh = (int32_t)s->out_h,
                                    .ow = (int32_t)s->out_w,
                                    .h = (int32_t)s->h,
                                    .w = (int32_t)s->w,
                                    .stride_y = (int32_t)s->stride[0],
                                    .stride_x = (int32_t)s->stride[1],
                                    .dilation_y = (int32_t)s->dilation[0],
                                    .dilation_x = (int32_t)s->dilation[1],
                                    .pad_y = (int32_t)s->pad[0],
                                    .pad_x = (int32_t)s->pad[1],
                                    .alpha = c->alpha};
    const struct tl_gpu_dispatch d = {
        .kernel = kernel,
        .bind = bind,
        .n_bind = 5,
        .push = &push,
        .push_bytes = sizeof push,
        .groups = {(uint32_t)tl_gpu_ceil_div(s->c_out, variants[v].cols),
                   (uint32_t)tl_gpu_ceil_div(m, variants[v].rows), (uint32_t)splits},
        .work = 2.0 * (double)((end - first) * s->out_w) * (double)m * (double)s->c_out};
    return tl_gpu_program_dispatch(program, &d, err);
}

bool tl_gpu_conv_weight_grad(struct tl_gpu *gpu, struct tl_gpu_program *program,
                             const struct tl_gpu_conv *conv, struct tl_err *err)
{
    struct tl_gpu_conv c = with_defaults(*conv);
    const struct tl_gpu_conv_shape *s = &c.shape;
    const struct tl_gpu_facts *f = tl_gpu_facts(gpu);
    c.bias = c.add = (struct tl_gpu_slice){0};
    if (!check(&c, WGRAD, err)) return false;
    const bool storage = variants[variant_of(gpu, &c)].storage;
    const uint64_t largest = (uint64_t)(count_x(s) > count_y(s) ? count_x(s) : count_y(s)) * 4;
    if (s->out_w > (int64_t)MAX_TURNS * variants[variant_of(gpu, &c)].unroll - 64 ||
        (uint64_t)count_w(s) * 4 > f->max_storage_bytes || (storage && largest > f->max_storage_bytes))
        return tl_err_set(err, TL_DEVICE,
                          "convolution: the weight gradient's operands are too large for one pass");
    const int64_t rows = s->n * s->out_h, want = tl_gpu_conv_scratch(gpu, &c) ? splits_of(gpu, &c) : 1;
    if (want > 1 && c.scratch.buffer && c.scratch.bytes >= (uint64_t)(want * count_w(s)) * 4) {
        struct tl_gpu_conv part = c;
        part.alpha = 1;
        part.accumulate = false;
        const struct tl_gpu_reduce sum = {.part = tl_gpu_first(c.scratch, want * count_w(s)),
                                          .rows = s->kh * s->kw * s->c_in,
                                          .cols = s->c_out,
                                          .n_splits = want,
                                          .batch = {1, 1},
                                          .ldc = s->c_out,
                                          .ldd = s->c_out,
                                          .c = tl_gpu_first(c.w, count_w(s)),
                                          .alpha = c.alpha,
                                          .accumulate = c.accumulate};
        return check_slice("scratch", &c.scratch, want * count_w(s), err) &&
               record_wgrad(gpu, program, &part, c.scratch, 0, rows, rows_a_split(gpu, &c, true), err) &&
               tl_gpu_reduce_record(gpu, program, &sum, err);
    }
    /* Without scratch: one dispatch after the other adds to the result. */
    const int64_t part_rows = rows_a_split(gpu, &c, false);
    for (int64_t first = 0; first < rows; first += part_rows) {
        if (!record_wgrad(gpu, program, &c, c.w, first, tl_gpu_min(rows, first + part_rows), part_rows, err))
            return false;
        c.accumulate = true;
    }
    return true;
}
