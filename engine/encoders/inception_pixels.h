/* Pictures for InceptionV3: to 299x299 and the network's range, as the tools that compute FID do it. They
 * differ, and so do their numbers: a FID of one kind must not be held against one of another. */
#ifndef TL_ENCODERS_INCEPTION_PIXELS_H
#define TL_ENCODERS_INCEPTION_PIXELS_H

#include "io/image.h"

enum tl_inception_resize {
    TL_INCEPTION_FID,   /* pytorch-fid: bilinear without antialias, pixel centres at halves; 2 x / 255 - 1 */
    TL_INCEPTION_CLEAN, /* clean-fid: Pillow's antialiased bicubic on floats, clipped to 0..255;
                           (x - 128) / 128 */
    TL_INCEPTION_TF,    /* torch-fidelity, and TensorFlow's own FID: TF 1's bilinear without antialias, pixel
                           centres at whole numbers; (x - 128) / 128 */
    TL_INCEPTION_TORCHMETRICS, /* torchmetrics 1.9: antialiased bilinear on floats; (x - 128) / 128. Older
                                  ones, and antialias=False, are TF */
    TL_INCEPTION_NONE,         /* must be 299x299 already; as FID */
    TL_INCEPTION_RESIZES
};

const char *tl_inception_resize_name(enum tl_inception_resize how); /* "fid", ... */
/* In words, for settings. */
const char *tl_inception_resize_text(enum tl_inception_resize how);
/* TL_USAGE that names what there is. */
bool tl_inception_resize_parse(const char *name, enum tl_inception_resize *out, struct tl_err *err);

/* rgb of 3 channels to out [299][299][3]. */
bool tl_inception_pixels(const struct tl_image *rgb, enum tl_inception_resize how, float *out,
                         struct tl_err *err);

#endif
