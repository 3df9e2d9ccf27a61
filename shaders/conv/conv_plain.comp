#version 450
// One output per invocation, any shape: the reference that the fast convolutions are compared with.
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 8, local_size_y = 4) in;
layout(constant_id = 3) const int HAS_BIAS = 0;
layout(constant_id = 4) const int HAS_ADD = 0;
layout(constant_id = 5) const int ACCUMULATE = 0;
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) readonly buffer W { float w[]; };
layout(binding = 2) buffer Out { float y[]; };
layout(binding = 3) readonly buffer Bias { float bias[]; };
layout(binding = 4) readonly buffer Add { float add[]; };
#ifdef OP_WGRAD
#include "conv/wgrad.glsl"
#else
#include "conv/conv.glsl"
#endif

void store(float sum, int at, int col)
{
    sum *= p.alpha;
    if (HAS_BIAS != 0) sum += bias[col];
    if (HAS_ADD != 0) sum += add[at];
    if (ACCUMULATE != 0) sum += y[at];
    y[at] = sum;
}

#ifdef OP_WGRAD
void main()
{
    const int col = int(gl_GlobalInvocationID.x), m = int(gl_GlobalInvocationID.y);
    if (m >= p.M || col >= p.NC) return;
    const int tap = m / p.CI, ci = m % p.CI;
    const int begin = p.first_row + int(gl_WorkGroupID.z) * p.rows_part, end = min(p.n_rows, begin + p.rows_part);
    float sum = 0.0;
    for (int row = begin; row < end; row++) {
        const int image = row / p.OH;
        const int ih = (row % p.OH) * p.stride_y + (tap / p.KW) * p.dilation_y - p.pad_y;
        for (int ow = 0; ow < p.OW; ow++) {
            const int iw = ow * p.stride_x + (tap % p.KW) * p.dilation_x - p.pad_x;
            if (uint(ih) < uint(p.H) && uint(iw) < uint(p.W))
                sum += x[((image * p.H + ih) * p.W + iw) * p.CI + ci] * w[(row * p.OW + ow) * p.NC + col];
        }
    }
    store(sum, int(gl_WorkGroupID.z) * p.split_stride + m * p.NC + col, col);
}
#else
void main()
{
    const int col = int(gl_GlobalInvocationID.x), m = p.m0 + int(gl_GlobalInvocationID.y);
    if (m >= p.M || col >= p.NC) return;
    const Pixel q = pixel_of(m);
    float sum = 0.0;
    for (int u = 0; u < p.n_u; u++) {
        const int sy = q.i * p.step_y + u * p.tap_y + p.y0;
        for (int v = 0; v < p.n_v; v++) {
            const int sx = q.j * p.step_x + v * p.tap_x + p.x0;
            if (uint(sy) >= uint(p.SY) || uint(sx) >= uint(p.SX)) continue;
            const int tap = (p.kh0 + u * p.kh_step) * p.KW + p.kw0 + v * p.kw_step;
            for (int k = 0; k < p.SC; k++) {
#ifdef OP_DGRAD
                const int at = (tap * p.NC + col) * p.SC + k;
#else
                const int at = (tap * p.SC + k) * p.NC + col;
#endif
                sum += x[((q.n * p.SY + sy) * p.SX + sx) * p.SC + k] * w[at];
            }
        }
    }
    store(sum, output_at(q) + col, col);
}
#endif
