#version 450
// y = f(x), or with GRAD dx = dy * f'(x), four neighbours a lane. Padding behind the last element may be written.
#extension GL_GOOGLE_include_directive : require
#include "lib/lanes.glsl"
#include "lib/math.glsl"
layout(constant_id = 1) const int KIND = 0;
#include "elementwise/unary.glsl"
layout(push_constant) uniform Push { uint n; float a, b; } p; // n fours
layout(binding = 0) uniform textureBuffer x;
layout(binding = 1) uniform textureBuffer dy;
RESULT(2, y_one, y_four)

void main()
{
    const uint i = flat_lane();
    if (i >= p.n) return;
    const vec4 v = texelFetch(x, int(i));
#ifdef GRAD
    const vec4 d = texelFetch(dy, int(i));
    y_four[i] = d * vec4(unary_slope(v.x, p.a, p.b), unary_slope(v.y, p.a, p.b), unary_slope(v.z, p.a, p.b),
                         unary_slope(v.w, p.a, p.b));
#else
    y_four[i] = vec4(unary(v.x, p.a, p.b), unary(v.y, p.a, p.b), unary(v.z, p.a, p.b), unary(v.w, p.a, p.b));
#endif
}
