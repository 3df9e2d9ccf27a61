#version 450
// Nearest neighbour: y[n,p,q,c] = x[n, p h / H, q w / W, c]; with GRAD dx sums what was copied. Four channels a lane.
#extension GL_GOOGLE_include_directive : require
#include "lib/lanes.glsl"
layout(constant_id = 1) const int VEC = 1;
layout(push_constant) uniform Push {
    uint first, n; // lanes; results count from lane `first`
    int c, small_h, small_w, large_h, large_w, out_first;
    uint lanes_c;
    uvec2 by_c, by_w, by_h;         // of the result
    uvec2 by_large_h, by_large_w;
    uvec2 by_small_h, by_small_w;
} p;
layout(binding = 0) uniform textureBuffer x;
RESULT(1, y_one, y_four)

void main()
{
    const uint lane = flat_lane();
    if (lane >= p.n) return;
#ifdef GRAD
    const uint h = p.small_h, w = p.small_w;
#else
    const uint h = p.large_h, w = p.large_w;
#endif
    const uint pixel = divide(p.first + lane, p.by_c), line = divide(pixel, p.by_w), sample_ = divide(line, p.by_h);
    const int c = 4 * int(p.first + lane - pixel * p.lanes_c), valid = min(4, p.c - c);
    const uint col = pixel - line * w, row = line - sample_ * h;
#ifdef GRAD
    // The lines of dy that came from line `row` are those from ceil(row H / h) on.
    const uint r0 = divide(row * p.large_h + p.small_h - 1, p.by_small_h), r1 = divide((row + 1) * p.large_h + p.small_h - 1, p.by_small_h);
    const uint c0 = divide(col * p.large_w + p.small_w - 1, p.by_small_w), c1 = divide((col + 1) * p.large_w + p.small_w - 1, p.by_small_w);
    vec4 v = vec4(0.0);
    for (uint r = r0; r < r1; r++) {
        int at = int((sample_ * p.large_h + r) * p.large_w + c0) * p.c + c;
        for (uint q = c0; q < c1; q++, at += p.c) v += fetch4(x, VEC != 0, at, valid);
    }
#else
    const uint r = divide(row * p.small_h, p.by_large_h), q = divide(col * p.small_w, p.by_large_w);
    const vec4 v = fetch4(x, VEC != 0, int((sample_ * p.small_h + r) * p.small_w + q) * p.c + c, valid);
#endif
    STORE4(y_one, y_four, VEC != 0, int(pixel) * p.c + c - p.out_first, v, valid)
}
