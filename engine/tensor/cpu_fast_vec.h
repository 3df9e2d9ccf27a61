/* One vector register of floats, by the compiler's vector types: 16 lanes with AVX-512, 8 with AVX, else 4.
 */
#ifndef TL_TENSOR_CPU_FAST_VEC_H
#define TL_TENSOR_CPU_FAST_VEC_H

#include <stdint.h>
#include <string.h>

#if defined __AVX512F__ && defined __AVX512DQ__
#include <immintrin.h>
#define TL_VEC_AVX512
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
#ifdef TL_VEC_AVX512
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
#ifdef TL_VEC_AVX512
    return (tl_vec)_mm512_maskz_loadu_ps((__mmask16)(0xffffu >> (16 - n)), p);
#else
    tl_vec v = {0};
    for (int i = 0; i < n; i++) v[i] = p[i];
    return v;
#endif
}

static inline void tl_vec_store_part(float *p, tl_vec v, int n)
{
#ifdef TL_VEC_AVX512
    _mm512_mask_storeu_ps(p, (__mmask16)(0xffffu >> (16 - n)), (__m512)v);
#else
    for (int i = 0; i < n; i++) p[i] = v[i];
#endif
}

static inline tl_vec tl_vec_select(tl_veci mask, tl_vec a, tl_vec b)
{
#ifdef TL_VEC_AVX512
    return (tl_vec)_mm512_mask_blend_ps(_mm512_movepi32_mask((__m512i)mask), (__m512)b, (__m512)a);
#else
    return (tl_vec)(((tl_veci)a & mask) | ((tl_veci)b & ~mask));
#endif
}

static inline tl_vec tl_vec_max(tl_vec a, tl_vec b)
{
#ifdef TL_VEC_AVX512
    return (tl_vec)_mm512_max_ps((__m512)a, (__m512)b);
#else
    return tl_vec_select(a > b, a, b);
#endif
}

static inline tl_vec tl_vec_min(tl_vec a, tl_vec b)
{
#ifdef TL_VEC_AVX512
    return (tl_vec)_mm512_min_ps((__m512)a, (__m512)b);
#else
    return tl_vec_select(a < b, a, b);
#endif
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
#if defined __clang__ /* has no shuffle by variable lanes */
            for (int l = 0; l < TL_VEC; l++) {
                r[i][l] = from_a[l] < TL_VEC ? a[from_a[l]] : b[from_a[l] - TL_VEC];
                r[i + w][l] = from_b[l] < TL_VEC ? a[from_b[l]] : b[from_b[l] - TL_VEC];
            }
#else
            r[i] = __builtin_shuffle(a, b, from_a);
            r[i + w] = __builtin_shuffle(a, b, from_b);
#endif
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
