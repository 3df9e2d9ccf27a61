#version 450
// Per channel and chunk: sums of dz * xhat and of dz, where dz is the cotangent in front of silu.
#extension GL_GOOGLE_include_directive : require
#include "norm/group_norm.glsl"
layout(binding = 0) uniform textureBuffer x;
layout(binding = 1) uniform textureBuffer stats;
layout(binding = 2) uniform textureBuffer gamma;
layout(binding = 3) uniform textureBuffer beta;
layout(binding = 4) uniform textureBuffer dy;
RESULT(5, part_one, part_four)

void main()
{
    CHANNELS
    vec4 mean, rstd;
    for (int i = 0; i < 4; i++) {
        const int s = 2 * (n * p.groups + (c + min(i, valid - 1)) / p.width);
        mean[i] = texelFetch(stats, s).x;
        rstd[i] = texelFetch(stats, s + 1).x;
    }
    const vec4 g = fetch4(gamma, VEC != 0, c, valid), b = fetch4(beta, VEC != 0, c, valid);
    vec4 sum = vec4(0.0), sum_x = vec4(0.0);
    int r = row_begin;
    do {
        const vec4 xhat = (fetch4(x, VEC != 0, at, valid) - mean) * rstd;
        vec4 dz = fetch4(dy, VEC != 0, at, valid);
        if (SILU != 0) dz *= silu_slope(xhat * g + b);
        sum += dz;
        sum_x += dz * xhat;
        at += p.c;
        r++;
    } while (r < row_end);
    const int to = (n * p.n_chunks + chunk) * 2 * p.c + c;
    STORE4(part_one, part_four, VEC != 0, to, sum_x, valid)
    STORE4(part_one, part_four, VEC != 0, to + p.c, sum, valid)
}
