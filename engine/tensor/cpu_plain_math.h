/* Elementary functions in float for the plain kernels: branch-free, so that loops over them vectorise, and
 * with fused multiply-adds where the machine has them (ISO C forbids the compiler to fuse by itself; half of
 * the time of an exp is there). Error against the exact value, measured by tests/op/test_cpu_math.c: exp,
 * log, erf and tanh 2 ulp, sigmoid 3 ulp. Coefficients of erf and tanh are least-maximum fits of our own
 * (erf: of log(erfc(t)) / t for t > 1). */
#ifndef TL_TENSOR_CPU_PLAIN_MATH_H
#define TL_TENSOR_CPU_PLAIN_MATH_H

#include <math.h>

#include "base/tl_math.h"

/* a * b + c */
static inline float tl_cpu_madd(float a, float b, float c)
{
#ifdef FP_FAST_FMAF
    return fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

/* tl_expf with fused steps. */
static inline float tl_cpu_expf(float x)
{
    x = x > 88.37f ? 88.37f : x;
    x = x < -87.33f ? -87.33f : x;
    float n = tl_cpu_madd(x, 1.44269504088896341f, 12582912.0f) - 12582912.0f; /* round to nearest */
    float r = tl_cpu_madd(n, -0.693359375f, x);
    r = tl_cpu_madd(n, 2.12194440e-4f, r);
    float y = 1.9875691500e-4f;
    y = tl_cpu_madd(y, r, 1.3981999507e-3f);
    y = tl_cpu_madd(y, r, 8.3334519073e-3f);
    y = tl_cpu_madd(y, r, 4.1665795894e-2f);
    y = tl_cpu_madd(y, r, 1.6666665459e-1f);
    y = tl_cpu_madd(y, r, 5.0000001201e-1f);
    y = tl_cpu_madd(y, r * r, r) + 1.0f;
    return y * tl_bits_to_float((uint32_t)((int32_t)n + 127) << 23);
}

/* Unlike tl_logf right for 0 (-inf), infinity, negative numbers (NaN) and denormals. */
static inline float tl_cpu_logf(float x)
{
    float tiny = x < 1.17549435e-38f ? 1.0f : 0.0f;
    float y = tl_logf(x * (1.0f + tiny * 16777215.0f)) - tiny * 16.6355323f;
    y = x > 3.4028234e38f ? x : y;
    y = x == 0.0f ? -INFINITY : y;
    return x >= 0.0f ? y : NAN;
}

static inline float tl_cpu_erff(float x)
{
    float t = fabsf(x), s = x * x;
    float near = 7.889116022769747e-5f;
    near = tl_cpu_madd(near, s, -8.020840141885616e-4f);
    near = tl_cpu_madd(near, s, 5.189535197480039e-3f);
    near = tl_cpu_madd(near, s, -2.6854444507057616e-2f);
    near = tl_cpu_madd(near, s, 1.128360017379179e-1f);
    near = tl_cpu_madd(near, s, -3.761262713565898e-1f);
    near = tl_cpu_madd(near, s, 1.283791659136422e-1f);
    near = tl_cpu_madd(near, x, x);
    float u = t > 4.0f ? 4.0f : t;
    float far = 2.1018234059100354e-4f;
    far = tl_cpu_madd(far, u, -3.1831196423163953e-3f);
    far = tl_cpu_madd(far, u, 2.2786094441035538e-2f);
    far = tl_cpu_madd(far, u, -1.050966829552894e-1f);
    far = tl_cpu_madd(far, u, -6.358463880418218e-1f);
    far = tl_cpu_madd(far, u, -1.128475580627461f);
    far = 1.0f - tl_cpu_expf(far * u);
    return t > 1.0f ? copysignf(far, x) : near;
}

static inline float tl_cpu_tanhf(float x)
{
    float t = fabsf(x), s = x * x;
    float near = -5.720811400240728e-3f;
    near = tl_cpu_madd(near, s, 2.065379764560956e-2f);
    near = tl_cpu_madd(near, s, -5.3744428630355716e-2f);
    near = tl_cpu_madd(near, s, 1.3331501732510345e-1f);
    near = tl_cpu_madd(near, s, -3.333328428128553e-1f);
    near = tl_cpu_madd(near * s, x, x);
    float far = 1.0f - 2.0f / (tl_cpu_expf(t + t) + 1.0f);
    return t > 0.62f ? copysignf(far, x) : near;
}

static inline float tl_cpu_sigmoidf(float x)
{
    return 1.0f / (1.0f + tl_cpu_expf(-x));
}

static inline float tl_cpu_sinf(float x)
{
    float s, c;
    tl_sincosf(x, &s, &c);
    return s;
}

static inline float tl_cpu_cosf(float x)
{
    float s, c;
    tl_sincosf(x, &s, &c);
    return c;
}

#endif
