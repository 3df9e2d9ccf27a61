/* How a picture of any size becomes one of a given size for training. */
#ifndef TL_IO_RESIZE_COVER_H
#define TL_IO_RESIZE_COVER_H

#include <stdbool.h>

#include <tiller/err.h>

#include "io/image.h"

/* Scaled by Lanczos, keeping its proportions, until it just covers width x height; then the middle. A picture
 * of that size already is copied. *out is made. TL_BAD_INPUT for one so narrow that the scaled picture would
 * pass TL_IMAGE_MAX_PIXELS. */
bool tl_resize_cover(const struct tl_image *in, int width, int height, struct tl_image *out,
                     struct tl_err *err);

#endif
