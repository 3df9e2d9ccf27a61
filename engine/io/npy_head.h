/* The header of a .npy array, shared by the readers and writers of .npy and .npz only. */
#ifndef TL_IO_NPY_HEAD_H
#define TL_IO_NPY_HEAD_H

#include "base/str.h"
#include "io/npy.h"

enum { TL_NPY_MOST_HEAD = (1 << 16) + 12 }; /* bytes in front of the values, at most */

struct tl_npy_head {
    char type[8];  /* "<f4" */
    char kind;     /* b i u f U S */
    uint32_t item; /* bytes of an element */
    bool fortran;
    unsigned rank;
    uint64_t shape[TL_NPY_MAX_RANK];
    size_t n;
    const uint8_t *data; /* n * item bytes, in the caller's */
};

/* Reads the header and checks that the data behind it is exactly what it describes. */
bool tl_npy_head_read(struct tl_npy_head *head, const uint8_t *data, size_t n, const char *what,
                      struct tl_err *err);

/* The same of the first n_there of the n bytes, which may be fewer than all from TL_NPY_MOST_HEAD on:
 * head->data must not be looked at then. */
bool tl_npy_head_peek(struct tl_npy_head *head, const uint8_t *data, size_t n_there, size_t n,
                      const char *what, struct tl_err *err);

/* Header and data of an item as numpy.save lays them out. TL_OUTPUT. */
bool tl_npy_put(struct tl_str *out, const struct tl_npy_item *item, struct tl_err *err);

#endif
