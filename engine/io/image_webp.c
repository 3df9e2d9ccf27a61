/* Still WebP through libwebp; alpha is dropped. */
#include "io/image_codec.h"

#include <webp/decode.h>

bool tl_image_webp_decode(const uint8_t *data, size_t n, const char *what, struct tl_image *out,
                          struct tl_err *err)
{
    WebPBitstreamFeatures features;
    if (WebPGetFeatures(data, n, &features) != VP8_STATUS_OK) {
        return tl_err_set(err, TL_BAD_INPUT, "%s: bad WebP: its header cannot be read", what);
    }
    if (features.has_animation) {
        return tl_err_set(err, TL_BAD_INPUT, "%s: animated WebP is not supported; save one frame", what);
    }
    if (!tl_image_begin(out, (uint64_t)features.width, (uint64_t)features.height, what, err)) return false;
    size_t stride = 3 * (size_t)out->width;
    if (WebPDecodeRGBInto(data, n, out->px, stride * (size_t)out->height, (int)stride)) return true;
    tl_image_finish(out);
    return tl_err_set(err, TL_BAD_INPUT, "%s: bad WebP: damaged or cut short", what);
}
