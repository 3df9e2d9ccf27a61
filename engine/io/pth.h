/* PyTorch checkpoints (.pth, .pt, .bin, .ckpt) as files of tensors: the zip layout and the older one. Inside
 * of safetensors.c, whose readers open them; what can be had of them is what safetensors.h says.
 *
 *   pth.c          the two layouts: where the pickle and the storages are
 *   pth_storage.c  storages: found by key, sizes checked
 *   pth_tensor.c   a rebuilt tensor: its view of a storage checked, gathered where it is not row-major
 *   pth_names.c    which part of the object is the state dict, and the names of its tensors
 *
 * Nothing is executed (see pickle.h). Tensors below values of unknown classes are not taken; one warning
 * names the first. A view that is not row-major is copied once, all others lie in the file. */
#ifndef TL_IO_PTH_H
#define TL_IO_PTH_H

#include "io/pickle.h"
#include "io/st_file.h"
#include "io/zip.h"

/* Whether the bytes begin like a checkpoint of either layout, or like another pickle or tar file, which the
 * reader then refuses by name. */
bool tl_pth_is(const uint8_t *data, size_t n);

/* Fills tensors and memory of a file whose bytes are set. On failure the caller closes the file. */
bool tl_pth_read(struct tl_st_file *file, struct tl_err *err);

/* ---- inside ---- */

struct tl_pth_type {
    const char *name;       /* "FloatStorage" or "float32" */
    unsigned bytes;         /* of an element */
    enum tl_st_dtype dtype; /* TL_ST_N_DTYPES: known by size only */
};

struct tl_pth_storage {
    const struct tl_pth_type *type; /* NULL: an untyped one, in bytes */
    const uint8_t *data;
    uint64_t n; /* elements; bytes of an untyped one */
};

/* A storage of the older layout, by key. */
struct tl_pth_part {
    const char *key; /* in the pickle */
    uint32_t key_len;
    unsigned item; /* bytes of an element */
    const uint8_t *data;
    uint64_t bytes;
};

struct tl_pth {
    struct tl_st_file *file;
    struct tl_err *err;
    struct tl_pickle pickle; /* owns; of the object */
    /* Zip layout. */
    struct tl_zip *zip; /* owns; NULL: the older layout */
    char prefix[TL_ST_MAX_NAME];
    const uint8_t **unpacked; /* owns; content of entries that were asked for */
    uint64_t unpack_left;     /* bytes that may yet be unpacked */
    /* Older layout. */
    struct tl_pth_part *parts; /* owns; by key */
    size_t n_parts;
    uint64_t gather_left; /* bytes of views that may yet be gathered */
};

/* Type of a storage class ("FloatStorage") or of a dtype ("float32"); NULL where unknown. */
const struct tl_pth_type *tl_pth_type_of(const struct tl_pickle *p, const struct tl_pickle_value *name);
bool tl_pth_is_untyped(const struct tl_pickle *p, const struct tl_pickle_value *name);

/* Finds and checks what a persistent id names. *out_known is false, without an error, for an unknown type. */
bool tl_pth_storage_of(struct tl_pth *pth, const struct tl_pickle_value *persid, struct tl_pth_storage *out,
                       bool *out_known);

/* Older layout: lists the storages behind the pickles, whose keys are in `keys` in the file's order. */
bool tl_pth_list_parts(struct tl_pth *pth, const struct tl_pickle *keys, size_t at);

/* Whether the value is a call that makes a tensor or a Parameter. */
bool tl_pth_is_tensor(const struct tl_pth *pth, const struct tl_pickle_value *v);

/* Fills all but the name. *out_known is false, without an error, for a type that we have no name for. */
bool tl_pth_tensor(struct tl_pth *pth, const struct tl_pickle_value *v, const char *name,
                   struct tl_st_tensor *out, bool *out_known);

/* From object to file: chooses the state dict, names its tensors, sorts them. */
bool tl_pth_take(struct tl_pth *pth);

#endif
