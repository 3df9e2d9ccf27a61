/* Files of named tensors: a mapped reader of safetensors and of PyTorch checkpoints (told apart by content),
 * a streaming writer of safetensors, and the sharded set of a component folder.
 *
 * A file is checked whole when it is opened (offsets, shapes, sizes, names), so afterwards every tensor's
 * `data` spans exactly `bytes` readable bytes. Own limits: header 100 MB, 200,000 tensors, rank 8, names 512
 * bytes; duplicate names are refused. Values are not checked. Do not shorten a file while it is mapped:
 * writers of this program replace files by renaming, which is safe. Errors of content are TL_BAD_INPUT, of
 * writing TL_OUTPUT.
 *
 * Of a PyTorch checkpoint (zip layout or the older one) the state dict is taken: the root, or the first of
 * state_dict, model_state_dict, model, params_ema, ema, net, generator; nested dicts join with ".", a
 * "module." that all names have goes. Nothing in it is executed; values of unknown classes are left out with
 * a warning. It has no metadata, and tensors may share bytes. */
#ifndef TL_IO_SAFETENSORS_H
#define TL_IO_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

enum { TL_ST_MAX_RANK = 8, TL_ST_MAX_NAME = 512, TL_ST_MAX_TENSORS = 200000, TL_ST_MAX_HEADER = 100000000 };

/* In the reference implementation's order: the writer sorts by it. F4, F6, C64, the scale and FNUZ formats
 * are known by name only: such tensors can be listed and copied, converting them fails. */
enum tl_st_dtype {
    TL_ST_BOOL,
    TL_ST_F4,
    TL_ST_F6_E2M3,
    TL_ST_F6_E3M2,
    TL_ST_U8,
    TL_ST_I8,
    TL_ST_F8_E5M2,
    TL_ST_F8_E4M3,
    TL_ST_F8_E8M0,
    TL_ST_F8_E4M3FNUZ,
    TL_ST_F8_E5M2FNUZ,
    TL_ST_I16,
    TL_ST_U16,
    TL_ST_F16,
    TL_ST_BF16,
    TL_ST_I32,
    TL_ST_U32,
    TL_ST_F32,
    TL_ST_C64,
    TL_ST_F64,
    TL_ST_I64,
    TL_ST_U64,
    TL_ST_N_DTYPES
};
const char *tl_st_dtype_name(enum tl_st_dtype dtype); /* as in files: "F32" */
unsigned tl_st_dtype_bits(enum tl_st_dtype dtype);

struct tl_st_tensor {
    const char *name; /* UTF-8; borrowed from the file, as all pointers here */
    enum tl_st_dtype dtype;
    unsigned rank;                  /* 0: a scalar of one element */
    uint64_t shape[TL_ST_MAX_RANK]; /* outermost first; a 0 is legal */
    uint64_t n;                     /* elements */
    uint64_t bytes;
    const uint8_t
        *data; /* little-endian, row-major; NOT aligned in general; valid until the file is closed */
};

struct tl_st_meta {
    const char *key, *value;
};

/* ---- one file ---- */
struct tl_st_file;

struct tl_st_file *tl_st_open(const char *path, struct tl_err *err);
/* Over bytes that the caller keeps alive; `what` names them in messages. */
struct tl_st_file *tl_st_open_memory(const void *data, size_t n, const char *what, struct tl_err *err);
void tl_st_close(struct tl_st_file **file);

/* "safetensors" or "pytorch". */
const char *tl_st_format(const struct tl_st_file *file);

/* See tl_st_set_let_go. */
void tl_st_let_go(const struct tl_st_file *file);

size_t tl_st_count(const struct tl_st_file *file);
const struct tl_st_tensor *tl_st_at(const struct tl_st_file *file, size_t i); /* in byte order of names */
const struct tl_st_tensor *tl_st_find(const struct tl_st_file *file, const char *name); /* NULL if absent */
size_t tl_st_meta_count(const struct tl_st_file *file);
struct tl_st_meta tl_st_meta_at(const struct tl_st_file *file, size_t i);
const char *tl_st_meta_find(const struct tl_st_file *file, const char *key); /* NULL if absent */

/* ---- values: out has room for t->n elements ---- */

/* Any number type, booleans as 0 and 1. Doubles and large integers round to nearest. */
bool tl_st_to_f32(const struct tl_st_tensor *t, float *out, struct tl_err *err);
/* Integers and booleans, and floats that are whole numbers; fails on a value that does not fit. */
bool tl_st_to_i32(const struct tl_st_tensor *t, int32_t *out, struct tl_err *err);
bool tl_st_to_i64(const struct tl_st_tensor *t, int64_t *out, struct tl_err *err);
/* Elements first .. first + n - 1 only, so that a large tensor can be converted in pieces. */
bool tl_st_slice_f32(const struct tl_st_tensor *t, uint64_t first, size_t n, float *out, struct tl_err *err);

/* Whether the shape is the given one: tl_st_has_shape(t, 2, 320, 1280). */
bool tl_st_has_shape(const struct tl_st_tensor *t, unsigned rank, ...); /* dimensions as int */
/* "[320, 4, 3, 3]" into out; returns out. */
char *tl_st_shape_text(const struct tl_st_tensor *t, char *out, size_t size);

/* ---- writing ---- */
struct tl_st_item {
    const char *name;       /* unique within the file */
    enum tl_st_dtype dtype; /* as stored */
    unsigned rank;
    uint64_t shape[TL_ST_MAX_RANK];
    const void *data; /* elements of the stored type; NULL: asked from params.fetch when its turn comes */
    bool from_f32;    /* data is float, converted on the way: dtype F32, F16 or BF16 */
};

struct tl_st_write_params {
    const struct tl_st_meta
        *meta; /* besides {"format":"pt"}, which is always written, unless it has a "format" */
    size_t n_meta;
    bool no_format; /* leave "format" out */
    /* Elements of items[i], valid until the next call; NULL with err set ends the write. */
    const void *(*fetch)(void *user, size_t i, struct tl_err *err);
    void *user;
};

/* Byte-identical to the reference writer's file (dtype descending, then name; metadata in key order; header
 * padded to a multiple of 8). Atomic; memory besides the header does not grow with the data. `params` may be
 * NULL. */
bool tl_st_write(const char *path, const struct tl_st_item *items, size_t n,
                 const struct tl_st_write_params *params, struct tl_err *err);

/* ---- a component folder ---- */
struct tl_st_set;

/* `base` is "diffusion_pytorch_model" (diffusers) or "model" (transformers). Takes
 * BASE.safetensors.index.json and its shards if there is one, else BASE.safetensors, else the same of
 * PyTorch's form: BASE.bin.index.json, BASE.bin, where "model" is called "pytorch_model"; with a variant
 * ("fp16") only that variant's. One lookup over all. */
struct tl_st_set *tl_st_set_open(const char *folder, const char *base, const char *variant,
                                 struct tl_err *err);
/* Of one file. */
struct tl_st_set *tl_st_set_open_file(const char *path, struct tl_err *err);
void tl_st_set_close(struct tl_st_set **set);

/* Tells the system that what was read of the files need not stay in this process's memory: a large set would
 * otherwise count beside the weights that were made of it. Data stays valid; reading it again reads the files
 * again. */
void tl_st_set_let_go(const struct tl_st_set *set);

size_t tl_st_set_count(const struct tl_st_set *set);
const struct tl_st_tensor *tl_st_set_at(const struct tl_st_set *set, size_t i); /* in byte order of names */
const struct tl_st_tensor *tl_st_set_find(const struct tl_st_set *set, const char *name);
const char *tl_st_set_meta_find(const struct tl_st_set *set, const char *key); /* first file that has it */
size_t tl_st_set_files(const struct tl_st_set *set);
const char *tl_st_set_path(const struct tl_st_set *set, size_t i); /* for hashes and messages */
const struct tl_st_file *tl_st_set_file(const struct tl_st_set *set, size_t i);

#endif
