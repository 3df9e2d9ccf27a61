/* One vector register of floats, by the compiler's vector types: 16 lanes with AVX-512, 8 with AVX, else 4.
 */
#ifndef TL_TENSOR_CPU_FAST_VEC_H
#define TL_TENSOR_CPU_FAST_VEC_H

#include <stdint.h>
#include <string.h>

#if defined __AVX512F__
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

/* The first n lanes, 1 <= n <= TL_VEC; the others read as zero and are not touched. */
static inline tl_vec tl_vec_load_part(const float *p, int n)
{
#if defined __AVX512F__
    return (tl_vec)_mm512_maskz_loadu_ps((__mmask16)(0xffffu >> (16 - n)), p);
#else
    tl_vec v = {0};
    for (int i = 0; i < n; i++) v[i] = p[i];
    return v;
#endif
}

static inline void tl_vec_store_part(float *p, tl_vec v, int n)
{
#if defined __AVX512F__
    _mm512_mask_storeu_ps(p, (__mmask16)(0xffffu >> (16 - n)), (__m512)v);
#else
    for (int i = 0; i < n; i++) p[i] = v[i];
#endif
}

static inline tl_vec tl_vec_select(tl_veci mask, tl_vec a, tl_vec b)
{
    return (tl_vec)(((tl_veci)a & mask) | ((tl_veci)b & ~mask));
}

static inline tl_vec tl_vec_max(tl_vec a, tl_vec b)
{
    return tl_vec_select(a > b, a, b);
}

/* tl_expf of base/tl_math.h, by lanes. */
static inline tl_vec tl_vec_exp(tl_vec x)
{
    tl_vec high = tl_vec_splat(88.37f), low = tl_vec_splat(-87.33f);
    x = tl_vec_select(x > high, high, x);
    x = tl_vec_select(x < low, low, x);
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

static inline float tl_vec_max_lane(tl_vec v)
{
    float t[TL_VEC];
    memcpy(t, &v, sizeof v);
    for (int w = TL_VEC / 2; w > 0; w /= 2)
        for (int i = 0; i < w; i++) t[i] = t[i] > t[i + w] ? t[i] : t[i + w];
    return t[0];
}

#endif
