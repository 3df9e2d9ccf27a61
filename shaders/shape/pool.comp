#version 450
// Pooling of x[n,h,w,c] to y[n,p,q,c]: the largest, or with AVG the mean, of a window; with GRAD what its gradient puts
// on a pixel of x, gathered from the windows that hold it. Four channels a lane.
#extension GL_GOOGLE_include_directive : require
#include "lib/lanes.glsl"
layout(constant_id = 1) const int VEC = 1;
layout(push_constant) uniform Push {
    uint first, n; // lanes; results count from lane `first`
    int c, h, w, p, q, out_first;
    uint lanes_c;
    int count_pad;
    ivec2 kernel, stride, before;
    uvec2 by_c, by_w, by_h; // of the result
} p;
layout(binding = 0) uniform textureBuffer source; // x; avg_pool_grad: dy
RESULT(1, y_one, y_four)
#if defined(GRAD) && !defined(AVG)
layout(binding = 2) uniform textureBuffer cotangent; // dy
#endif

// Rows and columns [xy, zw) of sample's window at (row, col) that lie inside x.
ivec4 part(int row, int col)
{
    const ivec2 begin = ivec2(row, col) * p.stride - p.before;
    return ivec4(max(begin, ivec2(0)), min(begin + p.kernel, ivec2(p.h, p.w)));
}

// A NaN is larger than anything, as in PyTorch.
bvec4 larger(vec4 x, vec4 best)
{
    return equal(ivec4(greaterThan(x, best)) | ivec4(isnan(x)), ivec4(1));
}

#ifdef AVG
float divisor(ivec4 t)
{
    return float(p.count_pad != 0 ? p.kernel.x * p.kernel.y : (t.z - t.x) * (t.w - t.y));
}
#endif

vec4 pixel_of_x(int sample_, int row, int col, int c, int valid)
{
    return fetch4(source, VEC != 0, ((sample_ * p.h + row) * p.w + col) * p.c + c, valid);
}

#ifdef GRAD
// The outputs [begin, end) along an axis whose windows hold input `at`.
ivec2 seen_from(int at, int axis, int n)
{
    const int last = at + p.before[axis], first = last - p.kernel[axis] + 1, step = p.stride[axis];
    return ivec2(first <= 0 ? 0 : (first + step - 1) / step, min(last / step + 1, n));
}
#endif

void main()
{
    const uint lane = flat_lane();
    if (lane >= p.n) return;
    const uint pixel = divide(p.first + lane, p.by_c), line = divide(pixel, p.by_w);
    const int c = 4 * int(p.first + lane - pixel * p.lanes_c), valid = min(4, p.c - c), sample_ = int(divide(line, p.by_h));
#ifdef GRAD
    const int row = int(line) - sample_ * p.h, col = int(pixel - line * uint(p.w));
    const ivec2 rows = seen_from(row, 0, p.p), cols = seen_from(col, 1, p.q);
    vec4 v = vec4(0.0);
    for (int i = rows.x; i < rows.y; i++)
        for (int j = cols.x; j < cols.y; j++) {
            const ivec4 t = part(i, j);
            const int at = ((sample_ * p.p + i) * p.q + j) * p.c + c;
#ifdef AVG
            v += fetch4(source, VEC != 0, at, valid) / divisor(t);
#else
            vec4 best = pixel_of_x(sample_, t.x, t.y, c, valid);
            ivec4 place = ivec4(t.x * p.w + t.y);
            for (int r = t.x; r < t.z; r++)
                for (int q = t.y; q < t.w; q++) {
                    const vec4 x = pixel_of_x(sample_, r, q, c, valid);
                    const bvec4 take = larger(x, best);
                    best = mix(best, x, take);
                    place = mix(place, ivec4(r * p.w + q), take);
                }
            const vec4 dy = fetch4(cotangent, VEC != 0, at, valid);
            v += mix(vec4(0.0), dy, equal(place, ivec4(row * p.w + col)));
#endif
        }
#else
    const ivec4 t = part(int(line) - sample_ * p.p, int(pixel - line * uint(p.q)));
#ifdef AVG
    vec4 v = vec4(0.0);
    for (int r = t.x; r < t.z; r++)
        for (int q = t.y; q < t.w; q++) v += pixel_of_x(sample_, r, q, c, valid);
    v /= divisor(t);
#else
    vec4 v = pixel_of_x(sample_, t.x, t.y, c, valid);
    for (int r = t.x; r < t.z; r++)
        for (int q = t.y; q < t.w; q++) {
            const vec4 x = pixel_of_x(sample_, r, q, c, valid);
            v = mix(v, x, larger(x, v));
        }
#endif
#endif
    STORE4(y_one, y_four, VEC != 0, int(pixel) * p.c + c - p.out_first, v, valid)
}
