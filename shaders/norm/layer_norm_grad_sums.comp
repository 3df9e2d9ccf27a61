#version 450
// Per chunk of rows: parts [chunks][2][c] = sums of dy * xhat and of dy. Grid: x channels in fours, y chunks.
#extension GL_GOOGLE_include_directive : require
#include "lib/lanes.glsl"
layout(constant_id = 1) const int VEC = 1;
layout(push_constant) uniform Push { int rows, c, chunk; } p;
layout(binding = 0) uniform textureBuffer x;
layout(binding = 1) uniform textureBuffer stats;
layout(binding = 2) uniform textureBuffer dy;
RESULT(3, part_one, part_four)

void main()
{
    const int c = 4 * int(gl_GlobalInvocationID.x), valid = min(4, p.c - c);
    if (c >= p.c) return;
    int r = int(gl_WorkGroupID.y) * p.chunk;
    const int end = min(r + p.chunk, p.rows);
    vec4 sum = vec4(0.0), sum_x = vec4(0.0);
    do {
        const vec4 d = fetch4(dy, VEC != 0, r * p.c + c, valid);
        sum += d;
        sum_x += d * ((fetch4(x, VEC != 0, r * p.c + c, valid) - texelFetch(stats, 2 * r).x) * texelFetch(stats, 2 * r + 1).x);
        r++;
    } while (r < end);
    const int to = int(gl_WorkGroupID.y) * 2 * p.c + c;
    STORE4(part_one, part_four, VEC != 0, to, sum_x, valid)
    STORE4(part_one, part_four, VEC != 0, to + p.c, sum, valid)
}
