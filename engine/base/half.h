/* Half-precision formats as bits: IEEE binary16 (f16), bfloat16, and the two float8 formats that can be read.
 * Narrowing rounds to nearest even, overflows to infinity, keeps the sign, and keeps NaN a (quiet) NaN. */
#ifndef TL_BASE_HALF_H
#define TL_BASE_HALF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/tl_math.h"

static inline float tl_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, magnitude = h & 0x7fffu;
    if (magnitude >= 0x7c00u) return tl_bits_to_float(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
    /* Below 2^-14 the value is m * 2^-24: no subnormal floats on the way, which flush-to-zero modes would
     * lose. */
    float f = magnitude < 0x400u ? tl_bits_to_float(0x38800000u + (magnitude << 13)) - 0x1p-14f
                                 : tl_bits_to_float(0x38000000u + (magnitude << 13));
    return tl_bits_to_float(sign | tl_float_to_bits(f));
}

static inline uint16_t tl_f32_to_f16(float f)
{
    uint32_t bits = tl_float_to_bits(f), sign = bits >> 16 & 0x8000u, a = bits & 0x7fffffffu;
    if (a > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (a >> 13 & 0x3ffu));
    if (a >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* 65520 and more round to infinity */
    if (a < 0x38800000u) {                                   /* below 2^-14: subnormal, unit 2^-24 */
        /* Adding 0.5 leaves a float whose unit is 2^-24, so the addition itself rounds to nearest even. */
        float r = tl_bits_to_float(a) + 0.5f;
        return (uint16_t)(sign | (tl_float_to_bits(r) - 0x3f000000u));
    }
    uint32_t odd = a >> 13 & 1u;
    return (uint16_t)(sign | ((a - 0x38000000u + 0xfffu + odd) >> 13));
}

static inline float tl_bf16_to_f32(uint16_t h)
{
    return tl_bits_to_float((uint32_t)h << 16);
}

static inline uint16_t tl_f32_to_bf16(float f)
{
    uint32_t bits = tl_float_to_bits(f);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* A double as a float that rounds to the same f16 or bf16: to odd, so that the second rounding sees what the
 * first cut off. */
static inline float tl_f64_to_f32_odd(double x)
{
    float f = (float)x;
    if (!((double)f > x || (double)f < x)) return f; /* exact, or NaN */
    uint32_t bits = tl_float_to_bits(f);
    bool away = x > 0 ? (double)f > x : (double)f < x;
    return tl_bits_to_float((bits - (away ? 1u : 0u)) | 1u);
}

/* e5m2 is the upper byte of an f16. */
static inline float tl_f8_e5m2_to_f32(uint8_t b)
{
    return tl_f16_to_f32((uint16_t)(b << 8));
}

/* e4m3, the "fn" variant: bias 7, no infinities, S.1111.111 is NaN. */
static inline float tl_f8_e4m3_to_f32(uint8_t b)
{
    uint32_t sign = (uint32_t)(b & 0x80u) << 24, magnitude = b & 0x7fu;
    if (magnitude == 0x7fu) return tl_bits_to_float(sign | 0x7fc00000u);
    float f = magnitude < 8u ? tl_bits_to_float(0x3c800000u + (magnitude << 20)) - 0x1p-6f
                             : tl_bits_to_float(0x3c000000u + (magnitude << 20));
    return tl_bits_to_float(sign | tl_float_to_bits(f));
}

/* Whole arrays; in and out may not overlap. */
void tl_half_from_f32(const float *in, size_t n, uint16_t *out);
void tl_half_to_f32(const uint16_t *in, size_t n, float *out);
void tl_half_bf16_from_f32(const float *in, size_t n, uint16_t *out);
void tl_half_bf16_to_f32(const uint16_t *in, size_t n, float *out);

#endif
