/* Elementary functions by whole vectors: the polynomials of base/tl_math.h, a few ulp
 * from exact. */
#ifndef TL_TENSOR_CPU_FAST_VEC_MATH_H
#define TL_TENSOR_CPU_FAST_VEC_MATH_H

#include "tensor/cpu_fast_vec.h"

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

/* 1 / x for 1 <= x < infinity: an estimate and one Newton step where the machine has them, since a division
 * costs as much as an exp. */
static inline tl_vec tl_vec_recip(tl_vec x)
{
#ifdef TL_VEC_AVX512
    tl_vec r = (tl_vec)_mm512_rcp14_ps((__m512)x);
    return r * (2.0f - x * r);
#else
    return 1.0f / x;
#endif
}

static inline tl_vec tl_vec_sigmoid(tl_vec x)
{
    return tl_vec_recip(1.0f + tl_vec_exp(-x));
}

#endif
