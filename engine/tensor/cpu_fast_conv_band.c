#include "tensor/cpu_fast_conv.h"

struct tl_conv_axis tl_conv_axis_forward(const struct tl_conv *conv, int axis, int64_t in, int64_t out,
                                         int64_t kernel)
{
    struct tl_conv_axis a = {.in = in, .n = out, .taps = kernel, .w_step = 1, .out_step = 1};
    a.stride = tl_cpu_fast_max(conv->stride[axis], 1);
    a.step = tl_cpu_fast_max(conv->dilation[axis], 1);
    a.first = -conv->pad[axis];
    return a;
}

struct tl_conv_bands tl_conv_bands_plan(int64_t samples, int64_t rows, int64_t row_pixels,
                                        int64_t pixels_wanted)
{
    struct tl_conv_bands b = {.samples = samples, .rows = rows};
    b.whole = rows * row_pixels <= pixels_wanted;
    if (b.whole) {
        int64_t n = tl_cpu_fast_ceil(samples, tl_cpu_fast_max(pixels_wanted / (rows * row_pixels), 1));
        b.per_band = tl_cpu_fast_ceil(samples, n);
        b.n_bands = tl_cpu_fast_ceil(samples, b.per_band);
        b.n = b.n_bands;
    } else {
        int64_t n = tl_cpu_fast_ceil(rows, tl_cpu_fast_max(pixels_wanted / row_pixels, 1));
        b.per_band = tl_cpu_fast_ceil(rows, n);
        b.n_bands = tl_cpu_fast_ceil(rows, b.per_band);
        b.n = b.n_bands * samples;
    }
    return b;
}

struct tl_conv_band tl_conv_band_at(const struct tl_conv_bands *b, int64_t i)
{
    if (b->whole)
        return (struct tl_conv_band){i * b->per_band, tl_cpu_fast_min((i + 1) * b->per_band, b->samples), 0,
                                     b->rows};
    int64_t s = i / b->n_bands, p = i % b->n_bands * b->per_band;
    return (struct tl_conv_band){s, s + 1, p, tl_cpu_fast_min(p + b->per_band, b->rows)};
}

static void zero(float *dst, int64_t n)
{
    memset(dst, 0, (size_t)n * sizeof *dst);
}

/* Columns first .. first + n - 1 of one picture row, or NULL for a row outside. */
static void copy_row(float *dst, const float *row, int64_t first, int64_t n, int64_t width, int64_t channels,
                     const int64_t chan[2])
{
    int64_t c = chan[1] - chan[0];
    int64_t begin = tl_cpu_fast_min(tl_cpu_fast_max(-first, 0), n),
            end = tl_cpu_fast_max(tl_cpu_fast_min(width - first, n), begin);
    if (!row) begin = end = n;
    zero(dst, begin * c);
    if (c == channels && end > begin) {
        memcpy(dst + begin * c, row + (first + begin) * c, (size_t)((end - begin) * c) * sizeof *dst);
    } else {
        for (int64_t q = begin; q < end; q++)
            memcpy(dst + q * c, row + (first + q) * channels + chan[0], (size_t)c * sizeof *dst);
    }
    zero(dst + end * c, (n - end) * c);
}

int64_t tl_conv_copy_band(float *dst, const float *src, const struct tl_conv_axis *v,
                          const struct tl_conv_axis *h, int64_t channels, const struct tl_conv_band *band,
                          const int64_t taps[2], const int64_t chan[2])
{
    int64_t n_rows = (band->p1 - band->p0 - 1) * v->stride + (taps[1] - taps[0] - 1) * v->step + 1;
    int64_t n_cols = tl_conv_span(h, h->n), top = band->p0 * v->stride + v->first + taps[0] * v->step;
    for (int64_t s = band->s0; s < band->s1; s++)
        for (int64_t r = 0; r < n_rows; r++, dst += n_cols * (chan[1] - chan[0])) {
            bool inside = top + r >= 0 && top + r < v->in;
            copy_row(dst, inside ? src + (s * v->in + top + r) * h->in * channels : NULL, h->first, n_cols,
                     h->in, channels, chan);
        }
    return n_rows;
}
