#version 450
// y[n,...]: Philox normals of the sample's key; an element's number is its index inside the sample. Four a lane.
#extension GL_GOOGLE_include_directive : require
#include "lib/lanes.glsl"
#include "lib/math.glsl"
#include "lib/philox.glsl"
layout(constant_id = 1) const int VEC = 1; // len is a multiple of 4
layout(push_constant) uniform Push { uint first, n, lanes_sample, mul, shift; int len, out_first; } p; // n lanes from `first` on
layout(binding = 0) uniform itextureBuffer keys; // [n,5]
RESULT(1, y_one, y_four)

void main()
{
    const uint lane = flat_lane();
    if (lane >= p.n) return;
    const int sample_ = int(divide(p.first + lane, uvec2(p.mul, p.shift)));
    const uint block = p.first + lane - uint(sample_) * p.lanes_sample;
    const int k = 5 * sample_;
    const RngKey key = RngKey(uint(texelFetch(keys, k).x), uint(texelFetch(keys, k + 1).x), uint(texelFetch(keys, k + 2).x),
                              uint(texelFetch(keys, k + 3).x), uint(texelFetch(keys, k + 4).x));
    const int e = 4 * int(block);
    STORE4(y_one, y_four, VEC != 0, sample_ * p.len + e - p.out_first, tl_rng_normals(key, block), min(4, p.len - e))
}
