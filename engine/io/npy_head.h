/* The header of a .npy array, shared by the readers and writers of .npy and .npz only. */
#ifndef TL_IO_NPY_HEAD_H
#define TL_IO_NPY_HEAD_H

#include "base/str.h"
#include "io/npy.h"

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

/* Header and data of an item as numpy.save lays them out. TL_OUTPUT. */
bool tl_npy_put(struct tl_str *out, const struct tl_npy_item *item, struct tl_err *err);

#endif
