#include "io/image_codec.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/checked.h"
#include "io/file.h"

enum { MOST_FILE = 256 << 20 };

bool tl_image_init(struct tl_image *image, int width, int height, int channels, struct tl_err *err)
{
    *image = (struct tl_image){0};
    size_t n;
    if (width < 1 || height < 1 || channels < 1 || channels > 4 ||
        !tl_checked_mul((size_t)width, (size_t)height, &n) || n > TL_IMAGE_MAX_PIXELS) {
        return tl_err_set(err, TL_BAD_INPUT,
                          "picture of %d x %d, %d channels: between 1 and 67108864 pixels, 1 to 4 "
                          "channels are possible",
                          width, height, channels);
    }
    image->px = calloc(n, (size_t)channels);
    if (!image->px)
        return tl_err_set(err, TL_BAD_INPUT, "out of memory for a picture of %d x %d", width, height);
    image->width = width;
    image->height = height;
    image->channels = channels;
    return true;
}

void tl_image_finish(struct tl_image *image)
{
    free(image->px);
    *image = (struct tl_image){0};
}

bool tl_image_begin(struct tl_image *out, uint64_t width, uint64_t height, const char *what,
                    struct tl_err *err)
{
    if (width > TL_IMAGE_MAX_PIXELS || height > TL_IMAGE_MAX_PIXELS) {
        return tl_err_set(err, TL_BAD_INPUT, "%s: picture larger than 64 Mpx", what);
    }
    return tl_image_init(out, (int)width, (int)height, 3, err) || tl_err_add(err, "%s", what);
}

typedef bool decoder(const uint8_t *data, size_t n, const char *what, struct tl_image *out,
                     struct tl_err *err);

static bool starts(const uint8_t *data, size_t n, const char *magic, size_t len)
{
    return n >= len && memcmp(data, magic, len) == 0;
}

static decoder *sniff(const uint8_t *data, size_t n, const char *what)
{
    if (starts(data, n, "\x89PNG\r\n\x1a\n", 8)) return tl_image_png_decode;
    if (starts(data, n, "\xff\xd8\xff", 3)) return tl_image_jpeg_decode;
    if (n >= 12 && starts(data, n, "RIFF", 4) && memcmp(data + 8, "WEBP", 4) == 0)
        return tl_image_webp_decode;
    if (starts(data, n, "BM", 2) || starts(data, n, "GIF87a", 6) || starts(data, n, "GIF89a", 6)) {
        return tl_image_stb_decode;
    }
    if (n >= 3 && data[0] == 'P' && (data[1] == '5' || data[1] == '6')) return tl_image_pnm_decode;
    if (strcasecmp(tl_path_extension(what), "tga") == 0) return tl_image_stb_decode;
    return NULL;
}

bool tl_image_decode(const void *data, size_t n, const char *what, struct tl_image *out, struct tl_err *err)
{
    *out = (struct tl_image){0};
    decoder *decode = sniff(data, n, what);
    if (!decode) {
        return tl_err_set(err, TL_BAD_INPUT,
                          n ? "%s: not a picture that can be read (PNG, JPEG, WebP, BMP, TGA, "
                              "binary PNM or GIF by its content)"
                            : "%s: not a picture, the file is empty",
                          what);
    }
    struct tl_image image = {0};
    if (!decode(data, n, what, &image, err)) {
        tl_image_finish(&image);
        return false;
    }
    *out = image;
    return true;
}

bool tl_image_load(const char *path, struct tl_image *out, struct tl_err *err)
{
    *out = (struct tl_image){0};
    size_t n;
    uint8_t *data = tl_file_read(path, MOST_FILE, &n, err);
    bool ok = data && tl_image_decode(data, n, path, out, err);
    free(data);
    return ok;
}
