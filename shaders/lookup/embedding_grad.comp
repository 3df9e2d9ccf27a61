#version 450
// dtable[id] (+)= the rows of dy along the id's chain, in order. Four columns a lane; only heads of chains work.
#extension GL_GOOGLE_include_directive : require
#include "lib/lanes.glsl"
layout(constant_id = 1) const int VEC = 1;
layout(push_constant) uniform Push { uint n, lanes_c, mul, shift; int c, first_row, end_row, out_shift; } p; // row `first_row` is bound at `out_shift`
layout(binding = 0) uniform itextureBuffer ids;
layout(binding = 1) uniform itextureBuffer links;
layout(binding = 2) uniform itextureBuffer heads;
layout(binding = 3) uniform textureBuffer dy;
RESULT(4, y_one, y_four)

void main()
{
    const uint lane = flat_lane();
    if (lane >= p.n) return;
    const uint i = divide(lane, uvec2(p.mul, p.shift));
    const int c = 4 * int(lane - i * p.lanes_c), valid = min(4, p.c - c), id = texelFetch(ids, int(i)).x;
    if (texelFetch(heads, int(i)).x == 0 || id < p.first_row || id >= p.end_row) return;
    vec4 sum = vec4(0.0);
    for (int k = int(i); k >= 0; k = texelFetch(links, k).x) sum += fetch4(dy, VEC != 0, k * p.c + c, valid);
    const int to = (id - p.first_row) * p.c + c + p.out_shift; // the table was cleared, or holds what is added to
    if (VEC != 0) sum += y_four[to >> 2];
    else
        for (int q = 0; q < 4; q++)
            if (q < valid) sum[q] += y_one[to + q];
    STORE4(y_one, y_four, VEC != 0, to, sum, valid)
}
