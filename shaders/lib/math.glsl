// Elementary functions: the text of engine/base/tl_math.h and engine/tensor/cpu_plain_math.h, so that devices agree to
// rounding. Vulkan's own log, sin and cos may be off by 2^-11. `precise` keeps drivers from fusing or reordering what
// the host does step by step (range reductions, and all that random normals need).
#define TL_INFINITY uintBitsToFloat(0x7f800000u)
#define TL_NAN uintBitsToFloat(0x7fc00000u)

// log(x) for normal positive x; 2 ulp.
float tl_logf(float x)
{
    const uint bits = floatBitsToUint(x);
    int e = int(bits >> 23) - 126;
    precise float m = uintBitsToFloat((bits & 0x007fffffu) | 0x3f000000u);
    const bool small = m < 0.70710678;
    e -= small ? 1 : 0;
    m = small ? m + m : m;
    precise float f = m - 1.0, z = f * f, fe = float(e);
    precise float y = 7.0376836292e-2;
    y = y * f - 1.1514610310e-1;
    y = y * f + 1.1676998740e-1;
    y = y * f - 1.2420140846e-1;
    y = y * f + 1.4249322787e-1;
    y = y * f - 1.6668057665e-1;
    y = y * f + 2.0000714765e-1;
    y = y * f - 2.4999993993e-1;
    y = y * f + 3.3333331174e-1;
    y = y * f * z;
    y = y + fe * -2.12194440e-4;
    y = y - 0.5 * z;
    precise float sum = (f + y) + fe * 0.693359375;
    return sum;
}

// Right also for 0 (-inf), infinity, negative numbers (NaN) and denormals.
float tl_log(float x)
{
    const float tiny = x < 1.17549435e-38 ? 1.0 : 0.0;
    float y = tl_logf(x * (1.0 + tiny * 16777215.0)) - tiny * 16.6355323;
    y = x > 3.4028234e38 ? x : y;
    y = x == 0.0 ? -TL_INFINITY : y;
    return x >= 0.0 ? y : TL_NAN;
}

// exp(x), clamped to the finite range of float; 2 ulp.
#define TL_EXP(name, Float, Int, from_bits)                                                                            \
    Float name(Float x)                                                                                                \
    {                                                                                                                  \
        x = clamp(x, Float(-87.33), Float(88.37));                                                                     \
        precise Float n = roundEven(x * 1.44269504088896341);                                                          \
        precise Float r = x - n * 0.693359375;                                                                         \
        r = r - n * -2.12194440e-4;                                                                                    \
        Float y = Float(1.9875691500e-4);                                                                              \
        y = y * r + 1.3981999507e-3;                                                                                   \
        y = y * r + 8.3334519073e-3;                                                                                   \
        y = y * r + 4.1665795894e-2;                                                                                   \
        y = y * r + 1.6666665459e-1;                                                                                   \
        y = y * r + 5.0000001201e-1;                                                                                   \
        y = y * (r * r) + r + 1.0;                                                                                     \
        return y * from_bits((Int(n) + 127) << 23);                                                                    \
    }
TL_EXP(tl_exp, float, int, intBitsToFloat)
TL_EXP(tl_exp4, vec4, ivec4, intBitsToFloat)

float tl_sigmoid(float x)
{
    return 1.0 / (1.0 + tl_exp(-x));
}

vec4 tl_sigmoid4(vec4 x)
{
    return 1.0 / (1.0 + tl_exp4(-x));
}

float tl_erf(float x)
{
    const float t = abs(x), s = x * x;
    float near = 7.889116022769747e-5;
    near = near * s - 8.020840141885616e-4;
    near = near * s + 5.189535197480039e-3;
    near = near * s - 2.6854444507057616e-2;
    near = near * s + 1.128360017379179e-1;
    near = near * s - 3.761262713565898e-1;
    near = near * s + 1.283791659136422e-1;
    near = near * x + x;
    const float u = min(t, 4.0);
    float far = 2.1018234059100354e-4;
    far = far * u - 3.1831196423163953e-3;
    far = far * u + 2.2786094441035538e-2;
    far = far * u - 1.050966829552894e-1;
    far = far * u - 6.358463880418218e-1;
    far = far * u - 1.128475580627461;
    far = 1.0 - tl_exp(far * u);
    return t > 1.0 ? (x < 0.0 ? -far : far) : near;
}

float tl_tanh(float x)
{
    const float t = abs(x), s = x * x;
    float near = -5.720811400240728e-3;
    near = near * s + 2.065379764560956e-2;
    near = near * s - 5.3744428630355716e-2;
    near = near * s + 1.3331501732510345e-1;
    near = near * s - 3.333328428128553e-1;
    near = near * s * x + x;
    const float far = 1.0 - 2.0 / (tl_exp(t + t) + 1.0);
    return t > 0.62 ? (x < 0.0 ? -far : far) : near;
}

// sin (x) and cos (y) of r in [-pi/4, pi/4], turned by k quarters.
vec2 tl_sincos_quarter(float r, int k)
{
    precise float z = r * r;
    precise float s = ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1) * z * r + r;
    precise float c = ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2) * z * z - 0.5 * z + 1.0;
    const bool odd = (k & 1) != 0;
    const float ss = odd ? c : s, cc = odd ? s : c;
    return vec2((k & 2) != 0 ? -ss : ss, k == 1 || k == 2 ? -cc : cc);
}

// Of 2 pi u, u in [0, 1].
vec2 tl_sincos_turn(float u)
{
    precise float q = roundEven(u * 4.0);
    precise float r = (u - q * 0.25) * 6.28318530717958648;
    return tl_sincos_quarter(r, int(q) & 3);
}

// Of x radians, |x| up to about 1e4.
vec2 tl_sincos(float x)
{
    precise float q = roundEven(x * 0.636619772367581343);
    precise float r = x - q * 1.5703125;
    r = r - q * 4.837512969970703125e-4;
    r = r - q * 7.549789948768648e-8;
    return tl_sincos_quarter(r, int(q) & 3);
}
