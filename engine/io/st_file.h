/* The inside of an open file of tensors, shared by the readers' own files only. */
#ifndef TL_IO_ST_FILE_H
#define TL_IO_ST_FILE_H

#include "base/arena.h"
#include "io/map.h"
#include "io/safetensors.h"

struct tl_st_file {
    char *what;           /* owns; path or name, for messages */
    struct tl_map map;    /* owns; empty over the caller's memory */
    const uint8_t *bytes; /* the whole file */
    size_t n_bytes;
    const char *format; /* "safetensors" */
    char *pool;         /* owns; safetensors: all unescaped strings, each with its NUL */
    size_t pool_used;
    struct tl_arena own;          /* owns; names and values that do not lie in the file */
    struct tl_st_tensor *tensors; /* owns; sorted by name */
    size_t n_tensors;
    struct tl_st_meta *meta; /* owns; sorted by key */
    size_t n_meta;
};

/* Reads and checks everything; fills pool, tensors, meta. On failure the caller closes the file. */
bool tl_st_header_read(struct tl_st_file *file, struct tl_err *err);

/* Whether the first 8 bytes can be the length of a header that is in the file. Checked before the marks of
 * other formats: a header of 640 bytes begins like a pickle. */
bool tl_st_header_fits(const uint8_t *data, size_t n);

/* Elements x bits / 8 of a shape, with every overflow refused; false leaves the outputs alone. `out_whole` is
 * false where the bits do not fill whole bytes. */
bool tl_st_shape_bytes(const uint64_t *shape, unsigned rank, enum tl_st_dtype dtype, uint64_t *out_n,
                       uint64_t *out_bytes, bool *out_whole);

/* Name of the format if the bytes are a well-known other one, with what to do about it; else NULL. */
const char *tl_st_foreign_format(const uint8_t *data, size_t n);

#endif
