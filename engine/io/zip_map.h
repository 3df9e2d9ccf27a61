/* Where the stored entries of a zip archive lie. Inside of zip.c. */
#ifndef TL_IO_ZIP_MAP_H
#define TL_IO_ZIP_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The central directory, an entry at a time. */
struct tl_zip_walk {
    const uint8_t *data;
    uint64_t n;       /* of the file */
    uint64_t at, end; /* the rest of the directory */
    uint64_t begin;   /* of the directory: entries lie in front of it */
    uint64_t entries;
};

struct tl_zip_place {
    const char *name; /* in the directory, without a NUL */
    size_t name_len;
    unsigned method;
    uint64_t packed, size;
    uint64_t offset; /* of the packed bytes; UINT64_MAX where local header and directory disagree */
};

/* False where there is no directory that can be trusted. */
bool tl_zip_walk_begin(struct tl_zip_walk *w, const uint8_t *data, uint64_t n);
bool tl_zip_walk_next(struct tl_zip_walk *w, struct tl_zip_place *out);

#endif
