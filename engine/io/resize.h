/* Separable resampling with Pillow's filters: antialiased, the support grows with the reduction.
 *
 * The 8-bit variant gives Pillow's bytes (22-bit fixed point, horizontal pass first, rounded to 8 bits
 * between the passes; specs clip 5.2). The float variant gives the floats of Pillow's mode F: sums in double,
 * rounded to float after each pass, never clipped. A pass that keeps its size is skipped. */
#ifndef TL_IO_RESIZE_H
#define TL_IO_RESIZE_H

#include <stdbool.h>

#include <tiller/err.h>

#include "io/image.h"

/* The numbers are Pillow's `resample`, as in preprocessor_config.json. */
enum tl_resize_filter {
    TL_RESIZE_LANCZOS = 1,
    TL_RESIZE_BILINEAR = 2,
    TL_RESIZE_BICUBIC = 3, /* a = -0.5 */
    TL_RESIZE_BOX = 4,
};

/* *out is made; it may not be `in`. */
bool tl_resize_image(const struct tl_image *in, int width, int height, enum tl_resize_filter filter,
                     struct tl_image *out, struct tl_err *err);

/* The short side becomes `edge`, the long one edge * long / short, truncated. */
bool tl_resize_shortest(const struct tl_image *in, int edge, enum tl_resize_filter filter,
                        struct tl_image *out, struct tl_err *err);

/* Middle width x height at offset (size - crop) div 2, floored; where the picture is smaller, zeros round it.
 */
bool tl_resize_center_crop(const struct tl_image *in, int width, int height, struct tl_image *out,
                           struct tl_err *err);
/* The same with the corner at (left, top), which may be negative. */
bool tl_resize_crop(const struct tl_image *in, int left, int top, int width, int height, struct tl_image *out,
                    struct tl_err *err);

/* in [h][w][channels] to out [out_h][out_w][channels], floats. */
bool tl_resize_floats(const float *in, int w, int h, int channels, int out_w, int out_h,
                      enum tl_resize_filter filter, float *out, struct tl_err *err);

/* One axis as a sparse matrix: output x = sum over k < count[x] of weight[x * most + k] * input[first[x] +
 * k]. Also what a differentiable resize is built of. */
struct tl_resize_axis {
    int n_in, n_out, most;
    int *first, *count; /* [n_out]; owns */
    double *weight;     /* [n_out][most], each row sums to 1; owns */
};
bool tl_resize_axis_init(struct tl_resize_axis *axis, int n_in, int n_out, enum tl_resize_filter filter,
                         struct tl_err *err);
void tl_resize_axis_finish(struct tl_resize_axis *axis);

#endif
