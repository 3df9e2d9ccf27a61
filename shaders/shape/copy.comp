#version 450
// Copies a box of numbers between two strided places: broadcast (step 0), permute, slice, concat, pad. A lane copies
// four neighbours along the innermost axis. The host merges axes that step alike; axis[0] is the innermost.
#extension GL_GOOGLE_include_directive : require
#include "lib/lanes.glsl"
layout(constant_id = 1) const int RANK = 1;
layout(constant_id = 2) const int IN_VEC = 1;  // innermost input step 1, all in fours
layout(constant_id = 3) const int OUT_VEC = 1; // innermost output step 1, all in fours
struct Axis { uint size, mul, shift; int from, to; };
layout(push_constant) uniform Push {
    Axis axis[5]; // axis[0].size: lanes along the innermost axis
    uint n;       // lanes
    int inner, from_first, to_first;
} p;
layout(binding = 0) uniform textureBuffer x;
RESULT(1, y_one, y_four)

void main()
{
    const uint lane = flat_lane();
    if (lane >= p.n) return;
    uint rest = lane, col = lane;
    int from = p.from_first, to = p.to_first;
    if (RANK > 1) {
        rest = divide(lane, uvec2(p.axis[0].mul, p.axis[0].shift));
        col = lane - rest * p.axis[0].size;
    }
#define WALK(k)                                                                                                        \
    if (RANK > k) {                                                                                                    \
        const uint up = RANK > k + 1 ? divide(rest, uvec2(p.axis[k].mul, p.axis[k].shift)) : 0;                        \
        const int i = int(rest - up * p.axis[k].size);                                                                 \
        from += i * p.axis[k].from;                                                                                    \
        to += i * p.axis[k].to;                                                                                        \
        rest = up;                                                                                                     \
    }
    WALK(1) WALK(2) WALK(3) WALK(4)
    const int c = 4 * int(col), valid = min(4, p.inner - c), step_ = p.axis[0].from;
    vec4 v;
    if (IN_VEC != 0) {
        v = texelFetch(x, (from + c) >> 2);
    } else {
        from += c * step_;
        const int last = valid - 1;
        v = vec4(texelFetch(x, from).x, texelFetch(x, from + min(1, last) * step_).x, texelFetch(x, from + min(2, last) * step_).x,
                 texelFetch(x, from + min(3, last) * step_).x);
    }
    STORE4(y_one, y_four, OUT_VEC != 0, to + c, v, valid)
}
