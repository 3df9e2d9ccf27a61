#version 450
// Sums x over the folded axes, a chunk of the fold a lane: y[chunk][output]. The host runs it again over the chunks until
// one is left. Axes, innermost first, are those kept and those folded, merged where they step alike; fixed order.
#extension GL_GOOGLE_include_directive : require
#include "lib/lanes.glsl"
layout(constant_id = 1) const int KEEP_VEC = 0; // the innermost kept axis has step 1 and all is in fours: four outputs a lane
layout(constant_id = 2) const int FOLD_VEC = 0; // the innermost folded axis has step 1 and all is in fours: four terms a turn
layout(constant_id = 3) const int SQUARE = 0;
layout(constant_id = 4) const int ACCUMULATE = 0;
struct Axis { uint size; int step_; };
layout(push_constant) uniform Push {
    Axis keep[3], fold[3]; // keep[0] in fours with KEEP_VEC, fold[0] with FOLD_VEC; steps in elements
    uint n, n_lanes;       // lanes: n_lanes for each chunk
    uint n_fold, chunk;    // terms (in fours with FOLD_VEC)
    int stride;            // outputs of a chunk
} p;
layout(binding = 0) uniform textureBuffer x;
RESULT(1, y_one, y_four)

void main()
{
    const uint lane = flat_lane();
    if (lane >= p.n) return;
    const uint chunk = lane / p.n_lanes, o = lane - chunk * p.n_lanes;
    const uint o1 = o / p.keep[0].size, o2 = o1 / p.keep[1].size;
    const int base = int(o - o1 * p.keep[0].size) * p.keep[0].step_ + int(o1 - o2 * p.keep[1].size) * p.keep[1].step_ + int(o2) * p.keep[2].step_;
    uint at = chunk * p.chunk;
    const uint end = min(at + p.chunk, p.n_fold);
    uint i1 = at / p.fold[0].size, i0 = at - i1 * p.fold[0].size, i2 = i1 / p.fold[1].size;
    i1 -= i2 * p.fold[1].size;
    vec4 total = vec4(0.0);
    // Lanes differ in their numbers of turns, so conditions stand in front: llvmpipe 22.3 lets what a loop computed run on
    // in lanes that have left it by a condition at its end.
    while (at < end) { // a run along the innermost folded axis
        const uint n = min(end - at, p.fold[0].size - i0);
        int e = base + int(i0) * p.fold[0].step_ + int(i1) * p.fold[1].step_ + int(i2) * p.fold[2].step_;
        vec4 sum = vec4(0.0);
        for (uint k = 0; k < n; k++) {
            vec4 v;
            if (KEEP_VEC != 0 || FOLD_VEC != 0) v = texelFetch(x, e >> 2);
            else v = vec4(texelFetch(x, e).x, 0.0, 0.0, 0.0);
            sum += SQUARE != 0 ? v * v : v;
            e += p.fold[0].step_;
        }
        total += sum;
        at += n;
        i0 = 0;
        i1++;
        if (i1 == p.fold[1].size) {
            i1 = 0;
            i2++;
        }
    }
    if (KEEP_VEC != 0) {
        const int to = (int(chunk) * p.stride >> 2) + int(o);
        y_four[to] = ACCUMULATE != 0 ? y_four[to] + total : total;
    } else {
        const int to = int(chunk) * p.stride + int(o);
        const float sum = sum4(total);
        y_one[to] = ACCUMULATE != 0 ? y_one[to] + sum : sum;
    }
}
