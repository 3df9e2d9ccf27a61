#version 450
// Matrix product for GPUs, see lib/tile_shared.glsl and matmul/gemm.glsl.
#extension GL_GOOGLE_include_directive : require
#include "matmul/gemm.glsl"
#include "lib/operands_shared.glsl"
#ifdef OP_TN
#define A_ALONG_K 0
#else
#define A_ALONG_K 1
#endif
#ifdef OP_NT
#define B_ALONG_K 1
#else
#define B_ALONG_K 0
#endif
Place s;

vec4 load_a(int row, int k)
{
#if A_ALONG_K
    return read_a(s.a + row * p.lda + k, row < p.M ? s.k_end - k : 0);
#else
    return read_a(s.a + k * p.lda + row, k < s.k_end ? p.M - row : 0);
#endif
}

vec4 load_b(int col, int k)
{
#if B_ALONG_K
    return read_b(s.b + col * p.ldb + k, col < p.N ? s.k_end - k : 0);
#else
    return read_b(s.b + k * p.ldb + col, k < s.k_end ? p.N - col : 0);
#endif
}

void store(int row, int col, vec4 v)
{
    if (row < p.M) write_out(v, p.alpha, s.c + row * p.ldc + col, s.d + row * p.ldd + col, p.bias_offset + col,
                              p.N - col);
}

#include "lib/tile_shared.glsl"

void main()
{
    s = place(int(gl_WorkGroupID.z));
    run_tile(int(gl_WorkGroupID.y) * TILE, int(gl_WorkGroupID.x) * TILE, s.k_begin, s.k_end);
}
