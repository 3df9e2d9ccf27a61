/* Elementary functions as short polynomials, the same text as shaders/lib/math.glsl: Vulkan's own sin, cos,
 * log may be off by 2^-11, and random normals must agree between devices. All are branch-free, so that
 * compilers vectorise loops over them. Errors are against the exact value, measured over the stated range by
 * tests/base/test_rng.c. Sources: Cephes (Moshier) coefficients for log, exp, sin, cos; Abramowitz-Stegun is
 * NOT used for erf. */
#ifndef TL_BASE_TL_MATH_H
#define TL_BASE_TL_MATH_H

#include <stdint.h>
#include <string.h>

static inline float tl_bits_to_float(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline uint32_t tl_float_to_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

/* log(x) for normal positive x; <= 2 ulp. */
static inline float tl_logf(float x)
{
    uint32_t bits = tl_float_to_bits(x);
    int32_t e = (int32_t)(bits >> 23) - 126; /* x = m * 2^e, m in [0.5, 1) */
    float m = tl_bits_to_float((bits & 0x007fffffu) | 0x3f000000u);
    int32_t small = m < 0.70710678f; /* then m *= 2, e -= 1: m in [sqrt(1/2), sqrt(2)) */
    e -= small;
    m = small ? m + m : m;
    float f = m - 1.0f, z = f * f, fe = (float)e;
    float y = 7.0376836292e-2f;
    y = y * f - 1.1514610310e-1f;
    y = y * f + 1.1676998740e-1f;
    y = y * f - 1.2420140846e-1f;
    y = y * f + 1.4249322787e-1f;
    y = y * f - 1.6668057665e-1f;
    y = y * f + 2.0000714765e-1f;
    y = y * f - 2.4999993993e-1f;
    y = y * f + 3.3333331174e-1f;
    y = y * f * z;
    y = y + fe * -2.12194440e-4f;
    y = y - 0.5f * z;
    return (f + y) + fe * 0.693359375f;
}

/* exp(x), clamped to the finite range of float; <= 2 ulp inside [-87, 88]. */
static inline float tl_expf(float x)
{
    x = x > 88.37f ? 88.37f : x;
    x = x < -87.33f ? -87.33f : x;
    float k = x * 1.44269504088896341f;
    float n = (k + 12582912.0f) - 12582912.0f; /* round to nearest */
    float r = x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    float z = r * r;
    float y = 1.9875691500e-4f;
    y = y * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * z + r + 1.0f;
    return y * tl_bits_to_float((uint32_t)((int32_t)n + 127) << 23);
}

/* sin and cos of 2*pi*u for u in [0, 1]: exact range reduction to eighths, for Box-Muller. */
static inline void tl_sincos_turn(float u, float *out_sin, float *out_cos)
{
    float q = (u * 4.0f + 12582912.0f) - 12582912.0f; /* nearest quarter turn */
    float r = (u - q * 0.25f) * 6.28318530717958648f; /* in [-pi/4, pi/4] */
    float z = r * r;
    float s = ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * r + r;
    float c = ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z -
              0.5f * z + 1.0f;
    int32_t k = (int32_t)q & 3;
    float ss = (k & 1) ? c : s, cc = (k & 1) ? s : c;
    *out_sin = (k & 2) ? -ss : ss;
    *out_cos = (k == 1 || k == 2) ? -cc : cc;
}

/* sin and cos of x radians, |x| up to about 1e4: three-part reduction by pi/2. */
static inline void tl_sincosf(float x, float *out_sin, float *out_cos)
{
    float q = (x * 0.636619772367581343f + 12582912.0f) - 12582912.0f;
    float r = x - q * 1.5703125f;
    r = r - q * 4.837512969970703125e-4f;
    r = r - q * 7.549789948768648e-8f;
    float z = r * r;
    float s = ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * r + r;
    float c = ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z -
              0.5f * z + 1.0f;
    int32_t k = (int32_t)q & 3;
    float ss = (k & 1) ? c : s, cc = (k & 1) ? s : c;
    *out_sin = (k & 2) ? -ss : ss;
    *out_cos = (k == 1 || k == 2) ? -cc : cc;
}

#endif
