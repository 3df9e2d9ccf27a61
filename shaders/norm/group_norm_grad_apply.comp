#version 450
// dx = rstd * (dz * gamma - mean(dz gamma) - xhat * mean(dz gamma xhat))
#extension GL_GOOGLE_include_directive : require
#include "norm/group_norm.glsl"
layout(binding = 0) uniform textureBuffer x;
layout(binding = 1) uniform textureBuffer table;
layout(binding = 2) uniform textureBuffer gamma;
layout(binding = 3) uniform textureBuffer beta;
layout(binding = 4) uniform textureBuffer dy;
RESULT(5, dx_one, dx_four)

void main()
{
    CHANNELS
    const int t = n * 4 * p.c + c;
    const vec4 mean = fetch4(table, VEC != 0, t, valid), rstd = fetch4(table, VEC != 0, t + p.c, valid);
    const vec4 mean_dz = fetch4(table, VEC != 0, t + 2 * p.c, valid), mean_dzx = fetch4(table, VEC != 0, t + 3 * p.c, valid);
    const vec4 g = fetch4(gamma, VEC != 0, c, valid), b = fetch4(beta, VEC != 0, c, valid);
    int r = row_begin;
    do {
        const vec4 xhat = (fetch4(x, VEC != 0, at, valid) - mean) * rstd;
        vec4 dz = fetch4(dy, VEC != 0, at, valid);
        if (SILU != 0) dz *= silu_slope(xhat * g + b);
        STORE4(dx_one, dx_four, VEC != 0, at - p.out_first, rstd * (dz * g - mean_dz - xhat * mean_dzx), valid)
        at += p.c;
        r++;
    } while (r < row_end);
}
