/* How many bytes a picture takes as a JPEG file: what Pillow's save(quality=...) writes through libjpeg
 * (baseline, 4:2:0, standard tables, JFIF header), counted without being kept. */
#ifndef TL_REWARDS_JPEG_SIZE_H
#define TL_REWARDS_JPEG_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

/* rgb [height][width][3]; quality 1 to 100. */
bool tl_jpeg_size(const uint8_t *rgb, int width, int height, int quality, size_t *out, struct tl_err *err);

#endif
