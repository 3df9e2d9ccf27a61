#version 450
// y[i] = table[ids[i]], zeros for an id outside. Four columns a lane.
#extension GL_GOOGLE_include_directive : require
#include "lib/lanes.glsl"
layout(constant_id = 1) const int VEC = 1;
layout(push_constant) uniform Push { uint first, n, lanes_c, mul, shift; int c, n_rows, out_first; } p; // n lanes from `first` on
layout(binding = 0) uniform itextureBuffer ids;
layout(binding = 1) uniform textureBuffer table;
RESULT(2, y_one, y_four)

void main()
{
    const uint lane = flat_lane();
    if (lane >= p.n) return;
    const uint i = divide(p.first + lane, uvec2(p.mul, p.shift));
    const int c = 4 * int(p.first + lane - i * p.lanes_c), valid = min(4, p.c - c), id = texelFetch(ids, int(i)).x;
    const bool inside = id >= 0 && id < p.n_rows;
    vec4 v = fetch4(table, VEC != 0, (inside ? id : 0) * p.c + c, valid);
    v = inside ? v : vec4(0.0);
    STORE4(y_one, y_four, VEC != 0, int(i) * p.c + c - p.out_first, v, valid)
}
