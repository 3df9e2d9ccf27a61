/* Element types and shapes. Tensors are dense and row-major: the last axis is contiguous, nothing is padded.
 * Channels-last everywhere: pictures [N,H,W,C], tokens [N,T,C]. Sequences are pictures of height 1.
 * (The design's first picture padded the last axis to 4; dense storage won: reshapes, slices and host copies
 * stay plain, and the kernels pick a vec4 variant where the last axis divides by 4.) */
#ifndef TL_TENSOR_SHAPE_H
#define TL_TENSOR_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TL_RANK_MAX = 5 };

/* Storage types. F16 and BF16 are for storage only: a value of theirs is read through the op `cast`, all
 * arithmetic is in F32. F32 is double in the cpu device's f64 mode, the others stay what they are. */
enum tl_dtype { TL_F32, TL_F16, TL_BF16, TL_I32, TL_U8, TL_N_DTYPES };

struct tl_shape {
    int rank; /* 1 .. TL_RANK_MAX */
    int64_t dim[TL_RANK_MAX];
};

static inline struct tl_shape tl_shape1(int64_t a)
{
    return (struct tl_shape){1, {a}};
}

static inline struct tl_shape tl_shape2(int64_t a, int64_t b)
{
    return (struct tl_shape){2, {a, b}};
}

static inline struct tl_shape tl_shape3(int64_t a, int64_t b, int64_t c)
{
    return (struct tl_shape){3, {a, b, c}};
}

static inline struct tl_shape tl_shape4(int64_t a, int64_t b, int64_t c, int64_t d)
{
    return (struct tl_shape){4, {a, b, c, d}};
}

static inline int64_t tl_shape_count(const struct tl_shape *s)
{
    int64_t n = 1;
    for (int i = 0; i < s->rank; i++) n *= s->dim[i];
    return n;
}

/* Product of all axes but the last. */
static inline int64_t tl_shape_rows(const struct tl_shape *s)
{
    return tl_shape_count(s) / s->dim[s->rank - 1];
}

static inline int64_t tl_shape_last(const struct tl_shape *s)
{
    return s->dim[s->rank - 1];
}

static inline bool tl_shape_equal(const struct tl_shape *a, const struct tl_shape *b)
{
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

size_t tl_dtype_bytes(enum tl_dtype dtype);
const char *tl_dtype_name(enum tl_dtype dtype);

static inline bool tl_dtype_half(enum tl_dtype dtype)
{
    return dtype == TL_F16 || dtype == TL_BF16;
}

/* On a device whose F32 elements have real_bytes. */
static inline size_t tl_dtype_device_bytes(enum tl_dtype dtype, size_t real_bytes)
{
    return dtype == TL_F32 ? real_bytes : tl_dtype_bytes(dtype);
}

/* Positive dims, rank in range, and count * element size fits size_t and int64_t. */
bool tl_shape_valid(const struct tl_shape *s);

/* "[2,16,16,64]" into text; returns text. */
const char *tl_shape_text(const struct tl_shape *s, char text[96]);

#endif
