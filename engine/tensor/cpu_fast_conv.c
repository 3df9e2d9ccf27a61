/* conv2d and conv2d_dx on the cpu, as products over padded bands of pictures (cpu_fast_micro.h): no patches
 * are made, a kernel row's taps and channels lie one behind the other in the band already. 1x1 kernels are
 * plain products. */
#include <stdlib.h>

#include "tensor/cpu_fast_conv.h"

enum { PIECES = 16, PIXELS_MIN = 96, PIXELS_MAX = 768, FAR_FLOATS = 1 << 18, PIXELS_FAR = 256 };

struct pass {
    struct tl_conv_axis v, h;
    struct tl_conv_bands bands;
    const int64_t *seg; /* where a band's taps begin */
    int64_t n_seg, len;
    int64_t groups; /* of panels */
    bool far;       /* weights come from beyond the second-level cache */
    int64_t first_piece;
    size_t packed; /* where its weights begin */
};

/* Kept in the node's cache: shapes do not change. */
struct plan {
    struct pass *passes;
    int64_t n_passes, n_pieces;
    int64_t samples, in_c, out_c, out_h, out_w;
    int64_t kernel_w;
    bool transposed;                  /* the data gradient: weights are read as [kh,kw,out,in] */
    bool direct;                      /* weights are read in place */
    int64_t band_floats, band_pixels; /* the largest */
    size_t packed_floats;
};

struct job {
    const struct plan *plan;
    const float *x, *w, *bias, *add;
    float *y, *packed;
    char *workers;
    size_t worker_bytes;
    bool accumulate;
};

/* Output pixels phase, phase + stride, ... of a data gradient: the taps that reach them, by rising input
 * place. */
static struct tl_conv_axis axis_backward(const struct tl_conv *conv, int axis, int64_t in, int64_t out,
                                         int64_t kernel, int64_t phase)
{
    struct tl_conv_axis f = tl_conv_axis_forward(conv, axis, out, in, kernel);
    struct tl_conv_axis a = {.in = in, .stride = 1, .step = 1, .out_first = phase, .out_step = f.stride};
    a.n = phase < out ? tl_cpu_fast_ceil(out - phase, f.stride) : 0;
    for (int64_t k = kernel - 1; k >= 0; k--) {
        int64_t at = phase - f.first - k * f.step;
        if (at % f.stride != 0) continue;
        at /= f.stride;
        if (a.taps == 0) {
            a.first = at;
            a.w_first = k;
        } else if (a.taps == 1) {
            a.step = at - a.first;
            a.w_step = k - a.w_first;
        }
        a.taps++;
    }
    return a;
}

static void pass_plan(struct plan *p, struct pass *s, int64_t *seg)
{
    s->seg = seg;
    int64_t row = tl_conv_span(&s->h, s->h.n) * p->in_c;
    if (s->v.taps == 0 || s->h.taps == 0) {
        s->n_seg = s->len = 0;
    } else if (s->h.step == 1 || s->h.taps == 1) { /* a kernel row is one segment */
        s->n_seg = s->v.taps;
        s->len = s->h.taps * p->in_c;
        for (int64_t a = 0; a < s->n_seg; a++) seg[a] = a * s->v.step * row;
    } else {
        s->n_seg = s->v.taps * s->h.taps;
        s->len = p->in_c;
        for (int64_t a = 0; a < s->n_seg; a++)
            seg[a] = a / s->h.taps * s->v.step * row + a % s->h.taps * s->h.step * p->in_c;
    }
    int64_t pixels = p->samples * s->v.n * s->h.n;
    int64_t wanted = tl_cpu_fast_min(tl_cpu_fast_max(pixels / (2 * PIECES), PIXELS_MIN), PIXELS_MAX);
    s->far = s->n_seg * s->len * p->out_c >= FAR_FLOATS;
    if (s->far) wanted = tl_cpu_fast_max(wanted, PIXELS_FAR);
    s->bands = tl_conv_bands_plan(p->samples, s->v.n, s->h.n, wanted);
    int64_t macs = pixels * s->n_seg * s->len * p->out_c;
    int64_t pieces = tl_cpu_fast_min(PIECES, macs >> 20);
    s->groups = tl_cpu_fast_min(tl_cpu_fast_max(pieces / s->bands.n, 1), tl_micro_panels(p->out_c));
    s->first_piece = p->n_pieces;
    p->n_pieces += s->bands.n * s->groups;
    s->packed = p->packed_floats;
    p->packed_floats += tl_micro_packed_size(s->n_seg * s->len, p->out_c);
    struct tl_conv_band b = tl_conv_band_at(&s->bands, 0); /* none is larger */
    int64_t n = (b.s1 - b.s0) * (b.p1 - b.p0) * s->h.n;
    p->band_pixels = tl_cpu_fast_max(p->band_pixels, n);
    if (s->n_seg > 0)
        p->band_floats =
            tl_cpu_fast_max(p->band_floats, (b.s1 - b.s0) * tl_conv_span(&s->v, b.p1 - b.p0) * row);
}

/* x and y as the pass sees them: y is what is made. */
static struct plan *plan_create(const struct tl_conv *conv, const struct tl_shape *x,
                                const struct tl_shape *w, const struct tl_shape *y, bool transposed,
                                struct tl_err *err)
{
    int64_t sv = transposed ? tl_cpu_fast_max(conv->stride[0], 1) : 1,
            sh = transposed ? tl_cpu_fast_max(conv->stride[1], 1) : 1;
    int64_t kh = w->dim[0], kw = w->dim[1],
            n = tl_cpu_fast_min(sv, y->dim[1]) * tl_cpu_fast_min(sh, y->dim[2]);
    size_t bytes =
        sizeof(struct plan) + (size_t)n * (sizeof(struct pass) + (size_t)(kh * kw) * sizeof(int64_t));
    struct plan *p = calloc(1, bytes);
    if (!p) {
        tl_err_set(err, TL_FAIL, "out of memory for a convolution's plan");
        return NULL;
    }
    p->passes = (struct pass *)(p + 1);
    p->n_passes = n;
    p->samples = y->dim[0];
    p->in_c = x->dim[3];
    p->out_h = y->dim[1];
    p->out_w = y->dim[2];
    p->out_c = y->dim[3];
    p->kernel_w = kw;
    p->transposed = transposed;
    p->direct = !transposed && p->out_c % TL_VEC == 0;
    int64_t *seg = (int64_t *)(p->passes + n), phases_h = tl_cpu_fast_min(sh, y->dim[2]);
    for (int64_t i = 0; i < n; i++) {
        struct pass *s = &p->passes[i];
        if (transposed) {
            s->v = axis_backward(conv, 0, x->dim[1], y->dim[1], kh, i / phases_h);
            s->h = axis_backward(conv, 1, x->dim[2], y->dim[2], kw, i % phases_h);
        } else {
            s->v = tl_conv_axis_forward(conv, 0, x->dim[1], y->dim[1], kh);
            s->h = tl_conv_axis_forward(conv, 1, x->dim[2], y->dim[2], kw);
        }
        pass_plan(p, s, seg + i * kh * kw);
    }
    return p;
}

/* Weights of one tap into the panels of its pass. */
static void pack_tap(void *arg, size_t i, int worker)
{
    (void)worker;
    const struct job *j = arg;
    const struct plan *p = j->plan;
    const struct pass *s = p->passes;
    int64_t t = (int64_t)i;
    for (; t >= s->v.taps * s->h.taps; s++) t -= s->v.taps * s->h.taps;
    int64_t a = s->v.w_first + t / s->h.taps * s->v.w_step, b = s->h.w_first + t % s->h.taps * s->h.w_step;
    struct tl_micro_pack pack = {.dst = j->packed + s->packed,
                                 .k = s->n_seg * s->len,
                                 .n = p->out_c,
                                 .k0 = t * p->in_c,
                                 .n_k = p->in_c};
    pack.src = j->w + (a * p->kernel_w + b) * p->in_c * p->out_c;
    pack.stride_k = p->transposed ? 1 : p->out_c;
    pack.stride_n = p->transposed ? p->in_c : 1;
    tl_micro_pack(&pack, 0, tl_micro_vectors(p->out_c));
}

static void pack_weights(struct job *j, struct tl_pool *pool)
{
    const struct plan *p = j->plan;
    size_t n = 0;
    for (int64_t i = 0; i < p->n_passes; i++) n += (size_t)(p->passes[i].v.taps * p->passes[i].h.taps);
    if (p->packed_floats < 16384)
        for (size_t i = 0; i < n; i++) pack_tap(j, i, 0);
    else
        tl_pool_run(pool, n, pack_tap, j);
}

/* Output rows [v0, v1) of a picture that see the same vertical taps [t0, t1): those inside the input. */
struct rows {
    int64_t v0, v1, t0, t1;
};

static struct rows rows_from(const struct tl_conv_axis *v, int64_t v0, int64_t end)
{
    struct rows r = {.v0 = v0, .v1 = v0};
    for (; r.v1 < end; r.v1++) {
        int64_t at = r.v1 * v->stride + v->first, t0 = 0, t1 = v->taps;
        while (t0 < t1 && at + t0 * v->step < 0) t0++;
        while (t1 > t0 && at + (t1 - 1) * v->step >= v->in) t1--;
        if (r.v1 == v0) {
            r.t0 = t0;
            r.t1 = t1;
        } else if (t0 != r.t0 || t1 != r.t1) {
            break;
        }
    }
    return r;
}

/* Where pixels of some rows of all pictures of a band begin in the padded band, and in y. */
static int64_t place_pixels(const struct plan *p, const struct pass *s, const struct tl_conv_band *b,
                            const struct rows *some, int64_t *row, int64_t *c_row)
{
    int64_t cols = tl_conv_span(&s->h, s->h.n), rows = tl_conv_span(&s->v, b->p1 - b->p0), i = 0;
    for (int64_t n = b->s0; n < b->s1; n++)
        for (int64_t v = some->v0; v < some->v1; v++) {
            int64_t from = ((n - b->s0) * rows + (v - b->p0) * s->v.stride) * cols;
            int64_t to = (n * p->out_h + s->v.out_first + v * s->v.out_step) * p->out_w + s->h.out_first;
            for (int64_t h = 0; h < s->h.n; h++, i++) {
                row[i] = (from + h * s->h.stride) * p->in_c;
                c_row[i] = (to + h * s->h.out_step) * p->out_c;
            }
        }
    return i;
}

static void conv_piece(void *arg, size_t i, int worker)
{
    const struct job *j = arg;
    const struct plan *p = j->plan;
    int64_t at = (int64_t)i, k = p->n_passes - 1;
    while (p->passes[k].first_piece > at) k--;
    const struct pass *s = &p->passes[k];
    int64_t group = (at - s->first_piece) % s->groups, panels = tl_micro_panels(p->out_c);
    struct tl_conv_band b = tl_conv_band_at(&s->bands, (at - s->first_piece) / s->groups);
    char *memory = j->workers + (size_t)worker * j->worker_bytes;
    float *band = (float *)memory;
    int64_t *row = (int64_t *)(band + tl_cpu_fast_line(p->band_floats)), *c_row = row + p->band_pixels;
    if (s->n_seg > 0)
        tl_conv_copy_band(band, j->x, &s->v, &s->h, p->in_c, &b, (int64_t[2]){0, s->v.taps},
                          (int64_t[2]){0, p->in_c});
    struct tl_micro m = {.n = p->out_c,
                         .a = band,
                         .row = row,
                         .len = s->len,
                         .step = 1,
                         .b_rows = s->n_seg * s->len,
                         .c = j->y,
                         .c_row = c_row,
                         .bias = j->bias,
                         .add = j->add,
                         .accumulate = j->accumulate};
    m.ldb = p->direct ? p->out_c : 0;
    m.panel = panels * group / s->groups;
    m.n_panels = panels * (group + 1) / s->groups - m.panel;
    int64_t segs = s->n_seg / tl_cpu_fast_max(s->v.taps, 1); /* of one vertical tap */
    for (struct rows r = {.v1 = b.p0}; r.v1 < b.p1;) {
        /* Weights that come from afar are read once for all rows, though some rows then see taps of zeros. */
        r = s->far ? (struct rows){b.p0, b.p1, 0, s->v.taps} : rows_from(&s->v, r.v1, b.p1);
        m.m = place_pixels(p, s, &b, &r, row, c_row);
        m.seg = s->seg + r.t0 * segs;
        m.n_seg = (r.t1 - r.t0) * segs;
        m.b_row = r.t0 * segs * s->len;
        m.b = p->direct ? j->w + m.b_row * p->out_c : j->packed + s->packed;
        tl_micro_run(&m);
    }
}

static bool is_product(const struct tl_conv *conv, const struct tl_shape *w)
{
    return w->dim[0] == 1 && w->dim[1] == 1 && conv->stride[0] <= 1 && conv->stride[1] <= 1 &&
           !conv->pad[0] && !conv->pad[1] && !conv->pad[2] && !conv->pad[3];
}

static bool product(const struct tl_cpu_call *call, bool transposed, struct tl_err *err)
{
    struct tl_cpu_fast_product p = {.batch = 1,
                                    .m = tl_shape_rows(call->out_shape[0]),
                                    .n = tl_shape_last(call->out_shape[0]),
                                    .k = tl_shape_last(call->in_shape[0]),
                                    .tb = transposed,
                                    .a = call->in[0],
                                    .b = call->in[1],
                                    .c = call->out[0],
                                    .accumulate = call->accumulate};
    p.bias = transposed ? NULL : call->in[2];
    p.add = transposed ? NULL : call->in[3];
    return tl_cpu_fast_product(call, &p, err);
}

static bool run(const struct tl_cpu_call *call, bool transposed, struct tl_err *err)
{
    if (is_product(&call->attr->conv, call->in_shape[1])) return product(call, transposed, err);
    if (!call->cache->prepared) {
        call->cache->prepared = plan_create(&call->attr->conv, call->in_shape[0], call->in_shape[1],
                                            call->out_shape[0], transposed, err);
        call->cache->destroy = free;
        if (!call->cache->prepared) return false;
    }
    const struct plan *p = call->cache->prepared;
    struct job j = {
        .plan = p, .x = call->in[0], .w = call->in[1], .y = call->out[0], .accumulate = call->accumulate};
    j.bias = transposed ? NULL : call->in[2];
    j.add = transposed ? NULL : call->in[3];
    j.worker_bytes =
        (tl_cpu_fast_line(p->band_floats) + tl_cpu_fast_line(4 * p->band_pixels)) * sizeof(float);
    size_t packed = p->direct ? 0 : (p->packed_floats * sizeof(float) + 63) / 64 * 64;
    char *scratch = tl_cpu_scratch(call, packed + j.worker_bytes * (size_t)tl_pool_threads(call->pool), err);
    if (!scratch) return false;
    j.packed = (float *)scratch;
    j.workers = scratch + packed;
    if (!p->direct) pack_weights(&j, call->pool);
    tl_pool_run(call->pool, (size_t)p->n_pieces, conv_piece, &j);
    return true;
}

bool tl_cpu_fast_conv2d(const struct tl_cpu_call *call, struct tl_err *err)
{
    return run(call, false, err);
}

bool tl_cpu_fast_conv2d_dx(const struct tl_cpu_call *call, struct tl_err *err)
{
    return run(call, true, err);
}
