#version 450
// y = x as another real type, rounded to nearest even: four neighbours a lane. A half is 16 bits of a word, the first of
// two the lower ones. Padding behind the last element may be written. All by integers: what a device's own half
// conversions do to subnormals, ties and NaN is its own affair, the result here is base/half.h's on every device.
#extension GL_GOOGLE_include_directive : require
#include "lib/lanes.glsl"
const int F32 = 0, F16 = 1, BF16 = 2; // enum tl_dtype
layout(constant_id = 1) const int FROM = F16;
layout(constant_id = 2) const int TO = F32;
layout(push_constant) uniform Push { uint n; } p; // fours
layout(binding = 0) uniform itextureBuffer x;      // words
layout(binding = 1) buffer YTwo { uvec2 y_two[]; };
layout(binding = 1) buffer YFour { uvec4 y_four[]; };

// Below 2^-14 a half is m * 2^-24: (2^-14 + m * 2^-24) - 2^-14.
uvec4 f16_to_bits(uvec4 h)
{
    const uvec4 sign = (h & 0x8000u) << 16, m = h & 0x7fffu;
    const uvec4 small = floatBitsToUint(uintBitsToFloat(0x38800000u + (m << 13)) - 6.103515625e-5);
    const uvec4 f = mix(0x38000000u + (m << 13), small, lessThan(m, uvec4(0x400u)));
    return sign | mix(f, 0x7f800000u | (m & 0x3ffu) << 13, greaterThanEqual(m, uvec4(0x7c00u)));
}

// u + 0.5 of the unit that `shift` cuts off, and to even on a tie
uvec4 round_even(uvec4 u, uvec4 shift)
{
    return (u + ((uvec4(1u) << (shift - 1u)) - 1u) + (u >> shift & 1u)) >> shift;
}

uvec4 bits_to_f16(uvec4 bits)
{
    const uvec4 sign = bits >> 16 & 0x8000u, a = bits & 0x7fffffffu;
    const uvec4 normal = round_even(a - 0x38000000u, uvec4(13u));
    const uvec4 shift = min(126u - min(a >> 23, uvec4(112u)), uvec4(25u)); // a subnormal's unit is 2^-24
    const uvec4 small = round_even((a & 0x7fffffu) | 0x800000u, shift);
    uvec4 h = mix(normal, small, lessThan(a, uvec4(0x38800000u)));
    h = mix(h, uvec4(0x7c00u), greaterThanEqual(a, uvec4(0x477ff000u)));
    h = mix(h, 0x7e00u | (a >> 13 & 0x3ffu), greaterThan(a, uvec4(0x7f800000u)));
    return sign | h;
}

uvec4 bits_to_bf16(uvec4 bits)
{
    const uvec4 rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    return mix(rounded, bits >> 16 | 0x40u, greaterThan(bits & 0x7fffffffu, uvec4(0x7f800000u)));
}

void main()
{
    const uint i = flat_lane();
    if (i >= p.n) return;
    const int at = int(i);
    uvec4 v;
    if (FROM == F32) {
        v = uvec4(texelFetch(x, 4 * at).x, texelFetch(x, 4 * at + 1).x, texelFetch(x, 4 * at + 2).x, texelFetch(x, 4 * at + 3).x);
    } else {
        const uvec2 w = uvec2(texelFetch(x, 2 * at).x, texelFetch(x, 2 * at + 1).x);
        v = uvec4(w.x & 0xffffu, w.x >> 16, w.y & 0xffffu, w.y >> 16);
        v = FROM == F16 ? f16_to_bits(v) : v << 16;
    }
    if (TO == F32) {
        y_four[i] = v;
    } else {
        v = TO == F16 ? bits_to_f16(v) : bits_to_bf16(v);
        y_two[i] = uvec2(v.x | v.y << 16, v.z | v.w << 16);
    }
}
