/* Records of a TensorBoard event file: bytes appended to a string, written by whoever owns the file.
 *
 *     record = length u64 | masked CRC-32C of the length u32 | payload | masked CRC-32C of the payload u32
 *
 * little-endian, no file header; the payload is an Event of tensorflow's event.proto in protobuf's wire
 * format. A file begins with tl_tb_version. Values are the old-style ones (simple_value, image), which every
 * reader takes. Times are seconds since 1970. Out of memory marks `out` failed. */
#ifndef TL_IO_TB_EVENTS_H
#define TL_IO_TB_EVENTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

uint32_t tl_tb_crc32c(const void *bytes, size_t n);
/* As records have it: rotated right by 15, plus 0xA282EAD8. */
uint32_t tl_tb_masked_crc(const void *bytes, size_t n);

/* "brain.Event:2", the first record of a file. */
void tl_tb_version(struct tl_str *out, double time);

/* SessionLog START: what earlier files of the folder hold from `step` on is no longer so, and TensorBoard
 * drops it. The second record of a file that goes on where a checkpoint was. */
void tl_tb_restart(struct tl_str *out, double time, int64_t step);

struct tl_tb_scalar {
    const char *tag;
    float value;
};
/* One event with n values. */
void tl_tb_scalars(struct tl_str *out, double time, int64_t step, const struct tl_tb_scalar *scalars,
                   size_t n);

struct tl_tb_image {
    const char *tag;
    int width, height, channels; /* 1 grey, 3 RGB, 4 RGBA */
    const void *png;             /* the file's bytes */
    size_t n_bytes;
};
void tl_tb_image(struct tl_str *out, double time, int64_t step, const struct tl_tb_image *image);

#endif
