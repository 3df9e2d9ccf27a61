/* What the convolutions of the cpu share: one axis of a pass, and how pictures are cut into bands.
 *
 * A pass takes a picture to a picture: output pixel j of an axis sees input pixels j * stride + first + t *
 * step, t < taps, and lies at place out_first + j * out_step. A forward convolution is one pass; a data
 * gradient is one for each residue of the stride. */
#ifndef TL_TENSOR_CPU_FAST_CONV_H
#define TL_TENSOR_CPU_FAST_CONV_H

#include "tensor/cpu_fast.h"

struct tl_conv_axis {
    int64_t in, n; /* input and output pixels */
    int64_t stride, first, step, taps;
    int64_t w_first, w_step; /* tap t is row w_first + t * w_step of the kernel */
    int64_t out_first, out_step;
};

/* Input pixels that n output pixels span. */
static inline int64_t tl_conv_span(const struct tl_conv_axis *a, int64_t n)
{
    return (n - 1) * a->stride + (a->taps - 1) * a->step + 1;
}

/* axis: 0 vertical, 1 horizontal. */
struct tl_conv_axis tl_conv_axis_forward(const struct tl_conv *conv, int axis, int64_t in, int64_t out,
                                         int64_t kernel);

/* Output rows [p0, p1) of samples [s0, s1): all rows where there is more than one sample. Bands depend on
 * shapes only. */
struct tl_conv_band {
    int64_t s0, s1, p0, p1;
};
struct tl_conv_bands {
    int64_t n, samples, rows; /* of the output; rows of one picture */
    int64_t per_band, n_bands;
    bool whole; /* per_band counts samples, else rows; n_bands is per sample then */
};
struct tl_conv_bands tl_conv_bands_plan(int64_t samples, int64_t rows, int64_t row_pixels,
                                        int64_t pixels_wanted);
struct tl_conv_band tl_conv_band_at(const struct tl_conv_bands *b, int64_t i);

/* Copies what rows p0 .. p1 - 1 of a band see through taps [t0, t1) of v, channels [c0, c1) of `channels`,
 * zero-padded: dst[sample][row][tl_conv_span(h, h->n)][c1 - c0]. Returns the rows per sample. */
int64_t tl_conv_copy_band(float *dst, const float *src, const struct tl_conv_axis *v,
                          const struct tl_conv_axis *h, int64_t channels, const struct tl_conv_band *band,
                          const int64_t taps[2], const int64_t chan[2]);

#endif
