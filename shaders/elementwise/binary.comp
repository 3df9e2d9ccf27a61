#version 450
// y = a op b with broadcasting. A lane makes four neighbours along the innermost axis; the host merges axes that step
// alike (RANK is what is left, innermost first), so that equal shapes are one axis and need no division.
#extension GL_GOOGLE_include_directive : require
#include "lib/lanes.glsl"
layout(constant_id = 1) const int KIND = 0; // enum tl_binary
layout(constant_id = 2) const int RANK = 1;
layout(constant_id = 3) const int VEC = 1;    // innermost axis and steps are multiples of 4, or all is one axis
layout(constant_id = 4) const int A_STEP = 1; // along the innermost axis: 1, or 0 where the operand is repeated
layout(constant_id = 5) const int B_STEP = 1;
struct Axis { uint size, mul, shift; int a, b; };
layout(push_constant) uniform Push {
    Axis axis[5];  // axis[0].size: lanes along the innermost axis
    uint first, n; // lanes
    int inner, out_first;
} p;
layout(binding = 0) uniform textureBuffer a;
layout(binding = 1) uniform textureBuffer b;
RESULT(2, y_one, y_four)

vec4 operand(textureBuffer t, int step_, int e, int valid)
{
    return step_ == 0 ? vec4(texelFetch(t, e).x) : fetch4(t, VEC != 0, e, valid);
}

vec4 combine(vec4 u, vec4 v)
{
    if (KIND == 0) return u + v;
    if (KIND == 1) return u - v;
    if (KIND == 2) return u * v;
    if (KIND == 3) return u / v;
    if (KIND == 4) return mix(v, u, greaterThan(u, v));
    if (KIND == 5) return mix(v, u, lessThan(u, v));
    return mix(vec4(0.0), vec4(1.0), greaterThanEqual(u, v));
}

void main()
{
    const uint lane = flat_lane();
    if (lane >= p.n) return;
    uint rest = p.first + lane, row = 0, col = rest;
    int at_a = 0, at_b = 0;
    if (RANK > 1) {
        row = divide(rest, uvec2(p.axis[0].mul, p.axis[0].shift));
        col = rest - row * p.axis[0].size;
        rest = row;
    }
#define WALK(k)                                                                                                        \
    if (RANK > k) {                                                                                                    \
        const uint up = RANK > k + 1 ? divide(rest, uvec2(p.axis[k].mul, p.axis[k].shift)) : 0;                        \
        const int i = int(rest - up * p.axis[k].size);                                                                 \
        at_a += i * p.axis[k].a;                                                                                       \
        at_b += i * p.axis[k].b;                                                                                       \
        rest = up;                                                                                                     \
    }
    WALK(1) WALK(2) WALK(3) WALK(4)
    const int c = 4 * int(col), valid = min(4, p.inner - c);
    const vec4 u = operand(a, A_STEP, at_a + A_STEP * c, valid), v = operand(b, B_STEP, at_b + B_STEP * c, valid);
    STORE4(y_one, y_four, VEC != 0, int(row) * p.inner + c - p.out_first, combine(u, v), valid)
}
