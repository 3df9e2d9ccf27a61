/* conv2d_dw on the cpu: dw of one kernel row is (patches of x)^T dy, and a patch's row of taps and channels
 * lies in memory as in dw. Few pixels: pieces are kernel rows and channels. Many pixels and small weights:
 * parts of the pixels, summed in order. */
#include "tensor/cpu_fast_conv.h"

enum { PIECES = 12, BAND_PIXELS = 768, PART_PIXELS = 1024, PARTS_MAX = 16, PARTS_FLOATS = 1 << 20 };

struct dw {
    struct tl_conv_axis v, h;
    struct tl_conv_bands bands;
    int64_t ci, co;
    int64_t n_parts, n_rows, n_chunks; /* of bands, of kernel rows (1 or all), of channels */
    int64_t chunk;                     /* channels */
    const float *x, *dy;
    float *dw, *parts;
    char *workers;
    size_t worker_bytes, band_floats, dy_floats;
    int64_t band_rows;
    bool accumulate;
};

static void plan(struct dw *d, const struct tl_cpu_call *call)
{
    const struct tl_shape *x = call->in_shape[0], *dy = call->in_shape[1], *w = call->out_shape[0];
    d->v = tl_conv_axis_forward(&call->attr->conv, 0, x->dim[1], dy->dim[1], w->dim[0]);
    d->h = tl_conv_axis_forward(&call->attr->conv, 1, x->dim[2], dy->dim[2], w->dim[1]);
    d->ci = x->dim[3];
    d->co = dy->dim[3];
    d->bands = tl_conv_bands_plan(x->dim[0], d->v.n, d->h.n, BAND_PIXELS);
    int64_t pixels = x->dim[0] * d->v.n * d->h.n, count = tl_shape_count(w);
    int64_t most = tl_cpu_fast_min(tl_cpu_fast_min(PARTS_MAX, d->bands.n), PARTS_FLOATS / count);
    d->n_parts = tl_cpu_fast_max(tl_cpu_fast_min(pixels / PART_PIXELS, most), 1);
    d->n_rows = d->n_parts < PIECES && pixels * count > 1 << 20 ? d->v.taps : 1;
    int64_t pieces = tl_cpu_fast_min(PIECES, pixels * count >> 19);
    int64_t chunks = tl_cpu_fast_min(pieces / (d->n_parts * d->n_rows), d->ci / 16);
    d->chunk = tl_cpu_fast_ceil(tl_cpu_fast_ceil(d->ci, tl_cpu_fast_max(chunks, 1)), 8) * 8;
    d->n_chunks = tl_cpu_fast_ceil(d->ci, d->chunk);
    struct tl_conv_band b = tl_conv_band_at(&d->bands, 0);
    struct tl_conv_axis v = d->v;
    if (d->n_rows > 1) v.taps = 1;
    d->band_rows = (b.s1 - b.s0) * (b.p1 - b.p0);
    d->band_floats = tl_cpu_fast_line((b.s1 - b.s0) * tl_conv_span(&v, b.p1 - b.p0) *
                                      tl_conv_span(&d->h, d->h.n) * tl_cpu_fast_min(d->chunk, d->ci));
    d->dy_floats = d->co % TL_VEC ? tl_micro_packed_size(d->band_rows * d->h.n, d->co) : 0;
}

/* What a piece works with besides its band. */
struct piece {
    float *band, *packed, *out;
    int64_t *seg, *c_row;
    int64_t taps[2], chan[2]; /* kernel rows, channels */
    bool accumulate;
};

static void band_run(const struct dw *d, const struct piece *p, const struct tl_conv_band *b)
{
    int64_t c = p->chan[1] - p->chan[0], cols = tl_conv_span(&d->h, d->h.n), n_seg = 0;
    int64_t rows = tl_conv_copy_band(p->band, d->x, &d->v, &d->h, d->ci, b, p->taps, p->chan);
    for (int64_t s = b->s0; s < b->s1; s++)
        for (int64_t r = b->p0; r < b->p1; r++)
            p->seg[n_seg++] = ((s - b->s0) * rows + (r - b->p0) * d->v.stride) * cols * c;
    int64_t pixels = n_seg * d->h.n;
    const float *dy = d->dy + (b->s0 * d->v.n + b->p0) * d->h.n * d->co;
    if (d->dy_floats) {
        struct tl_micro_pack pack = {.dst = p->packed,
                                     .k = pixels,
                                     .n = d->co,
                                     .src = dy,
                                     .stride_k = d->co,
                                     .stride_n = 1,
                                     .n_k = pixels};
        tl_micro_pack(&pack, 0, tl_micro_vectors(d->co));
    }
    int64_t together = d->h.step == 1 ? d->h.taps : 1; /* taps whose channels lie one behind the other */
    for (int64_t a = p->taps[0]; a < p->taps[1]; a++)
        for (int64_t t = 0; t < d->h.taps; t += together) {
            struct tl_micro m = {.m = together * c,
                                 .n = d->co,
                                 .lda = 1,
                                 .seg = p->seg,
                                 .n_seg = n_seg,
                                 .len = d->h.n,
                                 .step = d->h.stride * c,
                                 .b = d->dy_floats ? p->packed : dy,
                                 .ldb = d->dy_floats ? 0 : d->co,
                                 .c_row = p->c_row,
                                 .accumulate = p->accumulate};
            m.a = p->band + ((a - p->taps[0]) * d->v.step * cols + t * d->h.step) * c;
            m.c = p->out + ((a * d->h.taps + t) * d->ci + p->chan[0]) * d->co;
            tl_micro_run(&m);
        }
}

static void dw_piece(void *arg, size_t i, int worker)
{
    const struct dw *d = arg;
    int64_t at = (int64_t)i, chunk = at % d->n_chunks, row = at / d->n_chunks % d->n_rows,
            part = at / d->n_chunks / d->n_rows;
    int64_t count = d->v.taps * d->h.taps * d->ci * d->co;
    struct piece p = {.band = (float *)(d->workers + (size_t)worker * d->worker_bytes)};
    p.packed = p.band + d->band_floats;
    p.seg = (int64_t *)(p.packed + d->dy_floats);
    p.c_row = p.seg + d->band_rows;
    p.out = d->n_parts > 1 ? d->parts + part * count : d->dw;
    p.taps[0] = d->n_rows > 1 ? row : 0;
    p.taps[1] = d->n_rows > 1 ? row + 1 : d->v.taps;
    p.chan[0] = chunk * d->chunk;
    p.chan[1] = tl_cpu_fast_min(p.chan[0] + d->chunk, d->ci);
    int64_t c = p.chan[1] - p.chan[0];
    for (int64_t r = 0; r < d->h.taps * c; r++) p.c_row[r] = (r / c * d->ci + r % c) * d->co;
    p.accumulate = d->n_parts == 1 && d->accumulate;
    for (int64_t b = d->bands.n * part / d->n_parts; b < d->bands.n * (part + 1) / d->n_parts; b++) {
        struct tl_conv_band band = tl_conv_band_at(&d->bands, b);
        band_run(d, &p, &band);
        p.accumulate = true;
    }
}

/* A 1x1 kernel: x^T dy. */
static bool product(const struct tl_cpu_call *call, struct tl_err *err)
{
    struct tl_cpu_fast_product p = {.batch = 1,
                                    .m = tl_shape_last(call->in_shape[0]),
                                    .n = tl_shape_last(call->in_shape[1]),
                                    .k = tl_shape_rows(call->in_shape[1]),
                                    .ta = true,
                                    .a = call->in[0],
                                    .b = call->in[1],
                                    .c = call->out[0],
                                    .accumulate = call->accumulate};
    return tl_cpu_fast_product(call, &p, err);
}

bool tl_cpu_fast_conv2d_dw(const struct tl_cpu_call *call, struct tl_err *err)
{
    const struct tl_conv *conv = &call->attr->conv;
    const struct tl_shape *w = call->out_shape[0];
    if (w->dim[0] == 1 && w->dim[1] == 1 && conv->stride[0] <= 1 && conv->stride[1] <= 1 && !conv->pad[0] &&
        !conv->pad[1] && !conv->pad[2] && !conv->pad[3])
        return product(call, err);
    struct dw d = {.x = call->in[0], .dy = call->in[1], .dw = call->out[0], .accumulate = call->accumulate};
    plan(&d, call);
    int64_t count = tl_shape_count(w);
    size_t tables = (size_t)(d.band_rows + d.h.taps * d.chunk) * sizeof(int64_t);
    d.worker_bytes = (d.band_floats + d.dy_floats) * sizeof(float) + (tables + 63) / 64 * 64;
    size_t parts = d.n_parts > 1 ? tl_cpu_fast_line(d.n_parts * count) * sizeof(float) : 0;
    char *scratch = tl_cpu_scratch(call, parts + d.worker_bytes * (size_t)tl_pool_threads(call->pool), err);
    if (!scratch) return false;
    d.parts = (float *)scratch;
    d.workers = scratch + parts;
    tl_pool_run(call->pool, (size_t)(d.n_parts * d.n_rows * d.n_chunks), dw_piece, &d);
    if (d.n_parts > 1)
        tl_cpu_fast_add_parts(call->pool, d.dw, d.parts, count, d.n_parts, count, d.accumulate);
    return true;
}
