#include "io/safetensors.h"

#include <math.h>
#include <string.h>

#include "base/half.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are read as they lie in the file");

static bool refuse(const struct tl_st_tensor *t, struct tl_err *err)
{
    return tl_err_set(err, TL_BAD_INPUT,
                      "%.200s: values of type %s are not supported; convert the file to F32, F16 or BF16",
                      t->name, tl_st_dtype_name(t->dtype));
}

/* memcpy: tensors lie at any offset. */
#define CONVERT(type, expression)                                                                            \
    for (size_t i = 0; i < n; i++) {                                                                         \
        type v;                                                                                              \
        memcpy(&v, p + i * sizeof v, sizeof v);                                                              \
        out[i] = (expression);                                                                               \
    }                                                                                                        \
    return true

bool tl_st_slice_f32(const struct tl_st_tensor *t, uint64_t first, size_t n, float *out, struct tl_err *err)
{
    if (first > t->n || n > t->n - first) {
        return tl_err_set(err, TL_FAIL, "%.200s: slice beyond the tensor's %llu elements", t->name,
                          (unsigned long long)t->n);
    }
    const uint8_t *p = t->data + first * (tl_st_dtype_bits(t->dtype) / 8);
    switch (t->dtype) {
    case TL_ST_F32:
        if (n) memcpy(out, p, n * sizeof *out);
        return true;
    case TL_ST_F16:
        CONVERT(uint16_t, tl_f16_to_f32(v));
    case TL_ST_BF16:
        CONVERT(uint16_t, tl_bf16_to_f32(v));
    case TL_ST_F64:
        CONVERT(double, (float)v);
    case TL_ST_F8_E5M2:
        CONVERT(uint8_t, tl_f8_e5m2_to_f32(v));
    case TL_ST_F8_E4M3:
        CONVERT(uint8_t, tl_f8_e4m3_to_f32(v));
    case TL_ST_BOOL:
        CONVERT(uint8_t, v ? 1.0f : 0.0f);
    case TL_ST_U8:
        CONVERT(uint8_t, (float)v);
    case TL_ST_I8:
        CONVERT(int8_t, (float)v);
    case TL_ST_U16:
        CONVERT(uint16_t, (float)v);
    case TL_ST_I16:
        CONVERT(int16_t, (float)v);
    case TL_ST_U32:
        CONVERT(uint32_t, (float)v);
    case TL_ST_I32:
        CONVERT(int32_t, (float)v);
    case TL_ST_U64:
        CONVERT(uint64_t, (float)v);
    case TL_ST_I64:
        CONVERT(int64_t, (float)v);
    default:
        return refuse(t, err);
    }
}

bool tl_st_to_f32(const struct tl_st_tensor *t, float *out, struct tl_err *err)
{
    return tl_st_slice_f32(t, 0, (size_t)t->n, out, err);
}

static bool from_double(double v, int64_t *out)
{
    if (!(v >= -0x1p63 && v < 0x1p63) || v != trunc(v)) return false;
    *out = (int64_t)v;
    return true;
}

#define LOAD(type)                                                                                           \
    type v;                                                                                                  \
    memcpy(&v, t->data + i * sizeof v, sizeof v)

/* Element i as an integer; false where it is none or does not fit. */
static bool element(const struct tl_st_tensor *t, uint64_t i, int64_t *out)
{
    switch (t->dtype) {
    case TL_ST_BOOL:
        *out = t->data[i] != 0;
        return true;
    case TL_ST_U8:
        *out = t->data[i];
        return true;
    case TL_ST_I8:
        *out = (int8_t)t->data[i];
        return true;
    case TL_ST_U16: {
        LOAD(uint16_t);
        *out = v;
        return true;
    }
    case TL_ST_I16: {
        LOAD(int16_t);
        *out = v;
        return true;
    }
    case TL_ST_U32: {
        LOAD(uint32_t);
        *out = v;
        return true;
    }
    case TL_ST_I32: {
        LOAD(int32_t);
        *out = v;
        return true;
    }
    case TL_ST_U64: {
        LOAD(uint64_t);
        *out = (int64_t)v;
        return v <= INT64_MAX;
    }
    case TL_ST_I64: {
        LOAD(int64_t);
        *out = v;
        return true;
    }
    case TL_ST_F64: {
        LOAD(double);
        return from_double(v, out);
    }
    default: {
        float v;
        return tl_st_slice_f32(t, i, 1, &v, NULL) && from_double((double)v, out);
    }
    }
}

static bool not_whole(const struct tl_st_tensor *t, uint64_t i, const char *type, struct tl_err *err)
{
    float v = 0;
    if (!tl_st_slice_f32(t, i, 1, &v, err)) return false;
    return tl_err_set(err, TL_BAD_INPUT, "%.200s: element %llu (%.9g) is not a whole number that fits %s",
                      t->name, (unsigned long long)i, (double)v, type);
}

bool tl_st_to_i64(const struct tl_st_tensor *t, int64_t *out, struct tl_err *err)
{
    for (uint64_t i = 0; i < t->n; i++) {
        if (!element(t, i, &out[i])) return not_whole(t, i, "64 bits", err);
    }
    return true;
}

bool tl_st_to_i32(const struct tl_st_tensor *t, int32_t *out, struct tl_err *err)
{
    for (uint64_t i = 0; i < t->n; i++) {
        int64_t v;
        if (!element(t, i, &v) || v < INT32_MIN || v > INT32_MAX) return not_whole(t, i, "32 bits", err);
        out[i] = (int32_t)v;
    }
    return true;
}
