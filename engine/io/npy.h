/* numpy's files: .npy (one array) and .npz (a zip of named arrays). Nothing in them is executed: object
 * arrays are refused.
 *
 * Read: versions 1 to 3, C and Fortran order (given in C order), little-endian f2 f4 f8 i1-i8 u1-u8 bool, and
 * texts (<U, S) of no axes. Written: f4 and f8 in C order, and texts; the same arrays give the same bytes.
 * Errors of content are TL_BAD_INPUT, of writing TL_OUTPUT. */
#ifndef TL_IO_NPY_H
#define TL_IO_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

enum { TL_NPY_MAX_RANK = 8, TL_NPY_MAX_NAME = 255, TL_NPY_MAX_TEXT = 1 << 20 };

/* What values are wanted as; whole numbers beyond 2^24 or 2^53 round to nearest. */
enum tl_npy_as { TL_NPY_F32, TL_NPY_F64 };

struct tl_npy {
    unsigned rank; /* 0: one value */
    uint64_t shape[TL_NPY_MAX_RANK];
    size_t n;     /* values; 0 is legal */
    char type[8]; /* as the file has it: "<f4" */
    float *f32;   /* owns; set if TL_NPY_F32 was asked for, else NULL; row-major */
    double *f64;  /* owns; the same with TL_NPY_F64 */
};
void tl_npy_finish(struct tl_npy *a); /* an empty or finished one is fine */

/* *out is overwritten, and empty on failure. */
bool tl_npy_read(const char *path, enum tl_npy_as as, struct tl_npy *out, struct tl_err *err);
/* The same of bytes in memory; `what` names them in messages. */
bool tl_npy_parse(const uint8_t *data, size_t n, const char *what, enum tl_npy_as as, struct tl_npy *out,
                  struct tl_err *err);

/* One array to write: exactly one of the three is set. A text becomes an array of no axes of type <U. */
struct tl_npy_item {
    const char *name; /* in .npz; "mu" becomes the entry mu.npy */
    unsigned rank;
    uint64_t shape[TL_NPY_MAX_RANK];
    const float *f32;
    const double *f64;
    const char *text; /* UTF-8 */
};

/* Atomic. The name of the item is not used. */
bool tl_npy_write(const char *path, const struct tl_npy_item *item, struct tl_err *err);

/* ---- .npz ---- */
struct tl_npz;

struct tl_npz *tl_npz_open(const char *path, struct tl_err *err);
struct tl_npz *tl_npz_open_memory(const uint8_t *data, size_t n, const char *what, struct tl_err *err);
void tl_npz_close(struct tl_npz **npz);

size_t tl_npz_count(const struct tl_npz *npz);
/* Names without ".npy"; valid until the file is closed. */
const char *tl_npz_name(const struct tl_npz *npz, size_t i);
bool tl_npz_has(const struct tl_npz *npz, const char *name);
bool tl_npz_read(struct tl_npz *npz, const char *name, enum tl_npy_as as, struct tl_npy *out,
                 struct tl_err *err);
/* UTF-8; the caller frees. */
char *tl_npz_read_text(struct tl_npz *npz, const char *name, struct tl_err *err);

/* Atomic; deflated as numpy.savez_compressed, or stored. Names are unique. */
bool tl_npz_write(const char *path, const struct tl_npy_item *items, size_t n, bool deflate,
                  struct tl_err *err);

#endif
