#version 450
// Adds the partial sums of a split product in fixed order: out = alpha * sum_s part[s] (+ bias) (+ add) (+ out).
// part is [batch][n_splits][rows][cols], dense. One lane makes four neighbouring columns of a row.
#extension GL_GOOGLE_include_directive : require
#include "lib/tile_texel.glsl"
layout(push_constant) uniform Push {
    int rows, cols, n_splits;
    int ldc, ldd, n_batch0;
    int c0_stride, c1_stride, d0_stride, d1_stride;
    int part_offset, c_offset, d_offset, bias_offset;
    float alpha;
} p;
layout(constant_id = 0) const int PART_VEC = 1;
layout(binding = 0) uniform textureBuffer part;
#include "lib/epilogue_texel.glsl"

void main()
{
    const int col = 4 * int(gl_GlobalInvocationID.x);
    const int row = int(gl_WorkGroupID.y);
    const int batch = int(gl_WorkGroupID.z);
    const int n_cols = p.cols - col;
    if (n_cols <= 0) return;
    const int size = p.rows * p.cols;
    int at = p.part_offset + batch * p.n_splits * size + row * p.cols + col;
    vec4 sum = vec4(0.0);
    for (int s = 0; s < p.n_splits; s++) {
        sum += fetch4(part, PART_VEC != 0, at, min(4, n_cols));
        at += size;
    }
    const int i0 = batch % p.n_batch0, i1 = batch / p.n_batch0;
    store_row(sum, p.alpha, p.c_offset + i0 * p.c0_stride + i1 * p.c1_stride + row * p.ldc + col,
              p.d_offset + i0 * p.d0_stride + i1 * p.d1_stride + row * p.ldd + col, load_bias(p.bias_offset + col, min(4, n_cols)), n_cols);
}
