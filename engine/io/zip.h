/* Zip archives in memory, over libzip. Entries become bytes in memory; nothing is ever unpacked to a path, so
 * their names are names only.
 *
 * Stored entries are found in the caller's bytes and not copied. For that an entry must be where the central
 * directory and its local header both say it is; others are read (and their CRC-32 checked) by libzip. Bytes
 * of entries that are not copied are NOT checked against their CRC-32. */
#ifndef TL_IO_ZIP_H
#define TL_IO_ZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

#include "base/arena.h"

enum { TL_ZIP_MAX_ENTRIES = 1000000 };

/* Whether the bytes begin with an entry of a zip archive. */
bool tl_zip_is(const uint8_t *data, size_t n);

struct tl_zip;
/* The bytes must outlive the archive and all that is read from it. TL_BAD_INPUT. */
struct tl_zip *tl_zip_open(const uint8_t *data, size_t n, const char *what, struct tl_err *err);
void tl_zip_close(struct tl_zip **zip);

size_t tl_zip_count(const struct tl_zip *zip);
const char *tl_zip_name(const struct tl_zip *zip, size_t i); /* raw bytes; valid until the close */
uint64_t tl_zip_size(const struct tl_zip *zip, size_t i);    /* of the content */
bool tl_zip_find(const struct tl_zip *zip, const char *name, size_t *out_i);

/* The content where it lies in the archive's own bytes, of any size; NULL where it has to be unpacked. */
const uint8_t *tl_zip_stored(const struct tl_zip *zip, size_t i);

/* Content of an entry of at most `limit` bytes: in the archive's own bytes, or in the arena. Sizes that
 * deflate cannot reach are refused before memory is taken. */
bool tl_zip_read(const struct tl_zip *zip, size_t i, uint64_t limit, struct tl_arena *arena,
                 const uint8_t **out, struct tl_err *err);

/* The first bytes of an entry's content, n or all there are: *out_n. */
bool tl_zip_peek(const struct tl_zip *zip, size_t i, uint8_t *out, size_t n, size_t *out_n,
                 struct tl_err *err);

struct tl_zip_item {
    const char *name;
    const void *data;
    size_t n;
};
/* Atomic; the same items give the same bytes. TL_OUTPUT. */
bool tl_zip_write(const char *path, const struct tl_zip_item *items, size_t n, bool deflate,
                  struct tl_err *err);

#endif
