/* One vector register of floats, by the compiler's vector types: 16 lanes with AVX-512, 8 with AVX, else 4.
 */
#ifndef TL_TENSOR_CPU_FAST_VEC_H
#define TL_TENSOR_CPU_FAST_VEC_H

#include <stdint.h>
#include <string.h>

#if defined __AVX512F__ && defined __AVX512DQ__
#include <immintrin.h>
enum { TL_VEC = 16, TL_VEC_REGISTERS = 32 };
#elif defined __AVX__
enum { TL_VEC = 8, TL_VEC_REGISTERS = 16 };
#else
enum { TL_VEC = 4, TL_VEC_REGISTERS = 16 };
#endif

typedef float tl_vec __attribute__((vector_size(TL_VEC * sizeof(float))));
typedef int32_t tl_veci __attribute__((vector_size(TL_VEC * sizeof(int32_t))));

static inline tl_vec tl_vec_load(const float *p)
{
    tl_vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void tl_vec_store(float *p, tl_vec v)
{
    memcpy(p, &v, sizeof v);
}

static inline tl_vec tl_vec_splat(float x)
{
    return x - (tl_vec){0};
}

/* 0, 1, 2, ... */
static inline tl_veci tl_vec_lanes(void)
{
#if defined __AVX512F__ && defined __AVX512DQ__
    return (tl_veci){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#elif defined __AVX__
    return (tl_veci){0, 1, 2, 3, 4, 5, 6, 7};
#else
    return (tl_veci){0, 1, 2, 3};
#endif
}

/* The first n lanes, 1 <= n <= TL_VEC; the others read as zero and are not touched. */
static inline tl_vec tl_vec_load_part(const float *p, int n)
{
#if defined __AVX512F__ && defined __AVX512DQ__
    return (tl_vec)_mm512_maskz_loadu_ps((__mmask16)(0xffffu >> (16 - n)), p);
#else
    tl_vec v = {0};
    for (int i = 0; i < n; i++) v[i] = p[i];
    return v;
#endif
}

static inline void tl_vec_store_part(float *p, tl_vec v, int n)
{
#if defined __AVX512F__ && defined __AVX512DQ__
    _mm512_mask_storeu_ps(p, (__mmask16)(0xffffu >> (16 - n)), (__m512)v);
#else
    for (int i = 0; i < n; i++) p[i] = v[i];
#endif
}

static inline tl_vec tl_vec_select(tl_veci mask, tl_vec a, tl_vec b)
{
#if defined __AVX512F__ && defined __AVX512DQ__
    return (tl_vec)_mm512_mask_blend_ps(_mm512_movepi32_mask((__m512i)mask), (__m512)b, (__m512)a);
#else
    return (tl_vec)(((tl_veci)a & mask) | ((tl_veci)b & ~mask));
#endif
}

static inline tl_vec tl_vec_max(tl_vec a, tl_vec b)
{
#if defined __AVX512F__ && defined __AVX512DQ__
    return (tl_vec)_mm512_max_ps((__m512)a, (__m512)b);
#else
    return tl_vec_select(a > b, a, b);
#endif
}

static inline tl_vec tl_vec_min(tl_vec a, tl_vec b)
{
#if defined __AVX512F__ && defined __AVX512DQ__
    return (tl_vec)_mm512_min_ps((__m512)a, (__m512)b);
#else
    return tl_vec_select(a < b, a, b);
#endif
}

/* tl_expf of base/tl_math.h, by lanes. */
static inline tl_vec tl_vec_exp(tl_vec x)
{
    x = tl_vec_max(tl_vec_min(x, tl_vec_splat(88.37f)), tl_vec_splat(-87.33f));
    tl_vec n = (x * 1.44269504088896341f + 12582912.0f) - 12582912.0f; /* nearest whole number */
    tl_vec r = x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    tl_vec z = r * r;
    tl_vec y = 1.9875691500e-4f * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * z + r + 1.0f;
    return y * (tl_vec)((__builtin_convertvector(n, tl_veci) + 127) << 23);
}

/* Sum of the lanes, in a fixed order. */
static inline float tl_vec_sum(tl_vec v)
{
    float t[TL_VEC], s = 0;
    memcpy(t, &v, sizeof v);
    for (int w = TL_VEC / 2; w > 0; w /= 2)
        for (int i = 0; i < w; i++) t[i] += t[i + w];
    return s + t[0];
}

/* A square of TL_VEC x TL_VEC, its rows in r, turned: halves, quarters, ... change places. */
static inline __attribute__((always_inline)) void tl_vec_transpose(tl_vec r[TL_VEC])
{
#pragma GCC unroll 4
    for (int w = TL_VEC / 2; w > 0; w /= 2) {
        tl_veci high = ((tl_vec_lanes() & w) != 0) & (TL_VEC - w);
        tl_veci from_a = tl_vec_lanes() + high, from_b = from_a + w;
#pragma GCC unroll 16
        for (int i = 0; i < TL_VEC; i++) {
            if (i & w) continue;
            tl_vec a = r[i], b = r[i + w];
            r[i] = __builtin_shuffle(a, b, from_a);
            r[i + w] = __builtin_shuffle(a, b, from_b);
        }
    }
}

static inline float tl_vec_max_lane(tl_vec v)
{
    float t[TL_VEC];
    memcpy(t, &v, sizeof v);
    for (int w = TL_VEC / 2; w > 0; w /= 2)
        for (int i = 0; i < w; i++) t[i] = t[i] > t[i + w] ? t[i] : t[i + w];
    return t[0];
}

#endif
