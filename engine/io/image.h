/* Pictures as 8-bit samples, and the files they come from and go to.
 *
 * Loading sniffs the content (only TGA, which has no magic, goes by its extension) and gives RGB as Pillow's
 * convert("RGB") does: palettes looked up, grey repeated, 16 bits cut to the upper 8 bits (also in grey PNG,
 * which Pillow clips at 255), alpha dropped and not composited, gamma, colour profiles and EXIF orientation
 * not applied. PNG, JPEG, WebP (still), BMP, TGA, binary PNM, GIF (first frame). At most 64 Mpx, checked
 * before memory is taken. TL_BAD_INPUT names the file and the reason. */
#ifndef TL_IO_IMAGE_H
#define TL_IO_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

#include "base/arena.h"

enum { TL_IMAGE_MAX_PIXELS = 64 * 1024 * 1024 };

/* Rows from the top, [height][width][channels], no padding. A zeroed struct is a valid empty one. */
struct tl_image {
    int width, height, channels;
    uint8_t *px; /* owns */
};

/* Zeroed pixels; 1 to 4 channels. */
bool tl_image_init(struct tl_image *image, int width, int height, int channels, struct tl_err *err);
void tl_image_finish(struct tl_image *image);

/* Always 3 channels. On failure *out is left empty. */
bool tl_image_load(const char *path, struct tl_image *out, struct tl_err *err);
/* `what` names the bytes in messages; its extension decides about TGA. */
bool tl_image_decode(const void *data, size_t n, const char *what, struct tl_image *out, struct tl_err *err);

/* Text in a PNG: A1111's settings stand under "parameters". Keys 1 to 79 bytes of printable ASCII, values
 * UTF-8. */
struct tl_png_text {
    const char *key, *value;
};

/* 8-bit PNG of 1 (grey) or 3 (RGB) channels. Texts go in as tEXt where Latin-1 can hold them, else as iTXt,
 * before the pixels. The same input gives the same bytes. The file write is atomic; the encode's result is
 * freed by the caller. */
bool tl_image_save_png(const char *path, const struct tl_image *image, const struct tl_png_text *texts,
                       size_t n_texts, struct tl_err *err);
bool tl_image_encode_png(const struct tl_image *image, const struct tl_png_text *texts, size_t n_texts,
                         uint8_t **out, size_t *out_n, struct tl_err *err);

/* The texts of a PNG (tEXt, zTXt, iTXt, before or after the pixels), as UTF-8 in the arena, in the file's
 * order. */
bool tl_image_png_texts(const char *path, struct tl_arena *arena, struct tl_png_text **out, size_t *out_n,
                        struct tl_err *err);

#endif
