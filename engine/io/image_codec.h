/* What the decoders of image.c have in common; each gives RGB. `what` names the bytes in messages. On failure
 * *out is left as it was, empty. */
#ifndef TL_IO_IMAGE_CODEC_H
#define TL_IO_IMAGE_CODEC_H

#include "io/image.h"

bool tl_image_png_decode(const uint8_t *data, size_t n, const char *what, struct tl_image *out,
                         struct tl_err *err);
bool tl_image_jpeg_decode(const uint8_t *data, size_t n, const char *what, struct tl_image *out,
                          struct tl_err *err);
bool tl_image_webp_decode(const uint8_t *data, size_t n, const char *what, struct tl_image *out,
                          struct tl_err *err);
/* Begins with P5 or P6. */
bool tl_image_pnm_decode(const uint8_t *data, size_t n, const char *what, struct tl_image *out,
                         struct tl_err *err);
/* BMP, TGA, GIF. */
bool tl_image_stb_decode(const uint8_t *data, size_t n, const char *what, struct tl_image *out,
                         struct tl_err *err);

/* Makes RGB pixels after the size from the file was checked against the limit. */
bool tl_image_begin(struct tl_image *out, uint64_t width, uint64_t height, const char *what,
                    struct tl_err *err);

#endif
