#include "io/st_file.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    unsigned bits;
} dtypes[TL_ST_N_DTYPES] = {
    [TL_ST_BOOL] = {"BOOL", 8},
    [TL_ST_F4] = {"F4", 4},
    [TL_ST_F6_E2M3] = {"F6_E2M3", 6},
    [TL_ST_F6_E3M2] = {"F6_E3M2", 6},
    [TL_ST_U8] = {"U8", 8},
    [TL_ST_I8] = {"I8", 8},
    [TL_ST_F8_E5M2] = {"F8_E5M2", 8},
    [TL_ST_F8_E4M3] = {"F8_E4M3", 8},
    [TL_ST_F8_E8M0] = {"F8_E8M0", 8},
    [TL_ST_F8_E4M3FNUZ] = {"F8_E4M3FNUZ", 8},
    [TL_ST_F8_E5M2FNUZ] = {"F8_E5M2FNUZ", 8},
    [TL_ST_I16] = {"I16", 16},
    [TL_ST_U16] = {"U16", 16},
    [TL_ST_F16] = {"F16", 16},
    [TL_ST_BF16] = {"BF16", 16},
    [TL_ST_I32] = {"I32", 32},
    [TL_ST_U32] = {"U32", 32},
    [TL_ST_F32] = {"F32", 32},
    [TL_ST_C64] = {"C64", 64},
    [TL_ST_F64] = {"F64", 64},
    [TL_ST_I64] = {"I64", 64},
    [TL_ST_U64] = {"U64", 64},
};

const char *tl_st_dtype_name(enum tl_st_dtype dtype)
{
    return (unsigned)dtype < TL_ST_N_DTYPES ? dtypes[dtype].name : "?";
}

unsigned tl_st_dtype_bits(enum tl_st_dtype dtype)
{
    return (unsigned)dtype < TL_ST_N_DTYPES ? dtypes[dtype].bits : 0;
}

bool tl_st_shape_bytes(const uint64_t *shape, unsigned rank, enum tl_st_dtype dtype, uint64_t *out_n,
                       uint64_t *out_bytes, bool *out_whole)
{
    uint64_t n = 1, bits;
    for (unsigned i = 0; i < rank; i++) {
        if (__builtin_mul_overflow(n, shape[i], &n)) return false;
    }
    if (__builtin_mul_overflow(n, (uint64_t)tl_st_dtype_bits(dtype), &bits)) return false;
    *out_n = n;
    *out_bytes = bits / 8;
    *out_whole = bits % 8 == 0;
    return true;
}

bool tl_st_has_shape(const struct tl_st_tensor *t, unsigned rank, ...)
{
    bool same = t->rank == rank;
    va_list args;
    va_start(args, rank);
    for (unsigned i = 0; same && i < rank; i++) {
        int d = va_arg(args, int);
        same = d >= 0 && t->shape[i] == (uint64_t)d;
    }
    va_end(args);
    return same;
}

char *tl_st_shape_text(const struct tl_st_tensor *t, char *out, size_t size)
{
    size_t used = 0;
    snprintf(out, size, "[");
    for (unsigned i = 0; i < t->rank; i++) {
        used = strlen(out);
        snprintf(out + used, size - used, i ? ", %llu" : "%llu", (unsigned long long)t->shape[i]);
    }
    used = strlen(out);
    snprintf(out + used, size - used, "]");
    return out;
}

const char *tl_st_foreign_format(const uint8_t *data, size_t n)
{
    static const struct {
        const char *magic;
        size_t len;
        const char *text;
    } formats[] = {
        {"GGUF", 4, "this is a GGUF file; the diffusers or transformers folder of the model is needed"},
        {"\x89HDF", 4, "this is an HDF5 file; convert it to safetensors"},
        {"version https://git-lfs", 23, "this is a git-lfs pointer, not the weights; run `git lfs pull`"},
        {"<!DOCTYPE", 9, "this is a web page; the download went wrong"},
        {"<html", 5, "this is a web page; the download went wrong"},
    };
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (n >= formats[i].len && memcmp(data, formats[i].magic, formats[i].len) == 0)
            return formats[i].text;
    }
    return NULL;
}
