#version 450
// x [rows, 2f]: y = x[:f] * gelu(x[f:]); with GRAD dx. Grid: x columns in fours, y chunks of rows.
#extension GL_GOOGLE_include_directive : require
#include "lib/lanes.glsl"
#include "lib/math.glsl"
layout(constant_id = 1) const int VEC = 1; // f is a multiple of 4
layout(push_constant) uniform Push { int rows, f, chunk, first, shift; } p; // row `first` is written at `shift`
layout(binding = 0) uniform textureBuffer x;
layout(binding = 1) uniform textureBuffer dy;
RESULT(2, y_one, y_four)

vec4 normal_cdf(vec4 v)
{
    v *= 0.70710678118654752;
    return 0.5 * (1.0 + vec4(tl_erf(v.x), tl_erf(v.y), tl_erf(v.z), tl_erf(v.w)));
}

void main()
{
    const int c = 4 * int(gl_GlobalInvocationID.x), valid = min(4, p.f - c);
    if (c >= p.f) return;
    int r = int(gl_WorkGroupID.y) * p.chunk;
    const int end = min(r + p.chunk, p.rows);
    do {
        const int row = p.first + r, at = row * 2 * p.f + c;
        const vec4 u = fetch4(x, VEC != 0, at, valid), g = fetch4(x, VEC != 0, at + p.f, valid);
        const vec4 cdf = normal_cdf(g);
#ifdef GRAD
        const vec4 d = fetch4(dy, VEC != 0, row * p.f + c, valid);
        const int to = r * 2 * p.f + c + p.shift;
        STORE4(y_one, y_four, VEC != 0, to, d * (g * cdf), valid)
        STORE4(y_one, y_four, VEC != 0, to + p.f, d * u * (cdf + g * (0.39894228040143268 * tl_exp4(-0.5 * g * g))), valid)
#else
        STORE4(y_one, y_four, VEC != 0, r * p.f + c + p.shift, u * (g * cdf), valid)
#endif
        r++;
    } while (r < end);
}
