#include "io/resize_cover.h"

#include <math.h>
#include <string.h>

#include "io/resize.h"

bool tl_resize_cover(const struct tl_image *in, int width, int height, struct tl_image *out,
                     struct tl_err *err)
{
    if (in->width == width && in->height == height) {
        if (!tl_image_init(out, width, height, in->channels, err)) return false;
        memcpy(out->px, in->px, (size_t)width * (size_t)height * (size_t)in->channels);
        return true;
    }
    *out = (struct tl_image){0};
    double scale_w = (double)width / in->width, scale_h = (double)height / in->height,
           scale = scale_w > scale_h ? scale_w : scale_h;
    double wide = floor(in->width * scale + 0.5), tall = floor(in->height * scale + 0.5);
    if (wide * tall > TL_IMAGE_MAX_PIXELS)
        return tl_err_set(err, TL_BAD_INPUT,
                          "a picture of %dx%d cannot be brought to %dx%d: it is too narrow", in->width,
                          in->height, width, height);
    int w = (int)wide, h = (int)tall;
    struct tl_image large = {0};
    bool ok =
        tl_resize_image(in, w < width ? width : w, h < height ? height : h, TL_RESIZE_LANCZOS, &large, err) &&
        tl_resize_center_crop(&large, width, height, out, err);
    tl_image_finish(&large);
    return ok;
}
