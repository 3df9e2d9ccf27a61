#version 450
// y = (x - mean) * scale + beta, then silu.
#extension GL_GOOGLE_include_directive : require
#include "norm/group_norm.glsl"
layout(binding = 0) uniform textureBuffer x;
layout(binding = 1) uniform textureBuffer table;
layout(binding = 2) uniform textureBuffer beta;
RESULT(3, y_one, y_four)

void main()
{
    CHANNELS
    const vec4 mean = fetch4(table, VEC != 0, n * 2 * p.c + c, valid), scale = fetch4(table, VEC != 0, (n * 2 + 1) * p.c + c, valid);
    const vec4 shift = fetch4(beta, VEC != 0, c, valid);
    int r = row_begin;
    do {
        vec4 z = (fetch4(x, VEC != 0, at, valid) - mean) * scale + shift;
        if (SILU != 0) z *= tl_sigmoid4(z);
        STORE4(y_one, y_four, VEC != 0, at - p.out_first, z, valid)
        at += p.c;
        r++;
    } while (r < row_end);
}
