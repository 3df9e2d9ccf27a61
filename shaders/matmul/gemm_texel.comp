#version 450
// Matrix product for CPU drivers: 16 x 32 outputs a workgroup of 8 lanes, see lib/tile_texel.glsl.
// A_VEC, B_VEC: the operand's last axis, stride and offsets are multiples of 4 and its view is RGBA32F, else R32F.
// K_TAIL: K is no multiple of 4. PAIR: every part of K has an even number of steps of four, so a turn takes two.
#extension GL_GOOGLE_include_directive : require
#include "lib/tile_texel.glsl"
#include "matmul/gemm.glsl"
layout(constant_id = 0) const int A_VEC = 1;
layout(constant_id = 1) const int B_VEC = 1;
layout(constant_id = 6) const int K_TAIL = 0;
layout(constant_id = 7) const int PAIR = 1;
layout(binding = 0) uniform textureBuffer a;
layout(binding = 1) uniform textureBuffer b;
#include "lib/epilogue_texel.glsl"

#define FETCH_A(at, valid) fetch4(a, A_VEC != 0, at, valid)
#define FETCH_B(at, valid) fetch4(b, B_VEC != 0, at, valid)

void main()
{
    const int lane = int(gl_LocalInvocationID.x);
    const int row0 = int(gl_WorkGroupID.y) * TILE_ROWS;
    const int col = int(gl_WorkGroupID.x) * TILE_COLS + 4 * lane;
    const Place s = place(int(gl_WorkGroupID.z));
    // Lanes past the last column work on it again and store nothing.
    const int n_cols = p.N - col;
    const int col_in = min(col, (p.N - 1) & ~3);
    const int cols_in = min(4, p.N - col_in);
    vec4 a0, a1, b0, b1, b2, b3;
    EACH_ROW(DECLARE_ROW)
    int k = s.k_begin;

    // Four rows of B from k on, this lane's columns.
    int b_at = s.b + k * p.ldb + col_in;
#define LOAD_B                                                                                                         \
    b0 = FETCH_B(b_at, cols_in);                                                                                       \
    if (K_TAIL != 0) {                                                                                                 \
        const int last = s.k_end - 1 - k;                                                                              \
        b1 = FETCH_B(b_at + min(1, last) * p.ldb, cols_in);                                                            \
        b2 = FETCH_B(b_at + min(2, last) * p.ldb, cols_in);                                                            \
        b3 = FETCH_B(b_at + min(3, last) * p.ldb, cols_in);                                                            \
        b1 = last >= 1 ? b1 : vec4(0.0);                                                                               \
        b2 = last >= 2 ? b2 : vec4(0.0);                                                                               \
        b3 = last >= 3 ? b3 : vec4(0.0);                                                                               \
    } else {                                                                                                           \
        b1 = FETCH_B(b_at + p.ldb, cols_in);                                                                           \
        b2 = FETCH_B(b_at + 2 * p.ldb, cols_in);                                                                       \
        b3 = FETCH_B(b_at + 3 * p.ldb, cols_in);                                                                       \
    }                                                                                                                  \
    b_at += 4 * p.ldb;

#if defined(OP_TN)
    const int row_in = min(row0 + 4 * (lane & 3), (p.M - 1) & ~3);
    const int rows_in = min(4, p.M - row_in);
    const int k_lane = lane >> 2;
    int a_at = s.a + row_in + (k + k_lane) * p.lda;
#define STEP                                                                                                           \
    {                                                                                                                  \
        if (K_TAIL != 0) {                                                                                             \
            const int last = s.k_end - 1 - k - k_lane;                                                                 \
            a0 = FETCH_A(a_at + min(0, last) * p.lda, rows_in);                                                        \
            a1 = FETCH_A(a_at + min(2, last) * p.lda, rows_in);                                                        \
            a0 = last >= 0 ? a0 : vec4(0.0);                                                                           \
            a1 = last >= 2 ? a1 : vec4(0.0);                                                                           \
        } else {                                                                                                       \
            a0 = FETCH_A(a_at, rows_in);                                                                               \
            a1 = FETCH_A(a_at + 2 * p.lda, rows_in);                                                                   \
        }                                                                                                              \
        a_at += 4 * p.lda;                                                                                             \
        LOAD_B                                                                                                         \
        k += 4;                                                                                                        \
        MAC_TRANS                                                                                                      \
    }
#else
    const int a_row0 = s.a + min(row0 + lane, p.M - 1) * p.lda;
    const int a_row1 = s.a + min(row0 + lane + 8, p.M - 1) * p.lda;
#if defined(OP_NT)
    const int b_row0 = s.b + col_in * p.ldb;
    const int b_row1 = s.b + min(col_in + 1, p.N - 1) * p.ldb;
    const int b_row2 = s.b + min(col_in + 2, p.N - 1) * p.ldb;
    const int b_row3 = s.b + min(col_in + 3, p.N - 1) * p.ldb;
#define STEP                                                                                                           \
    {                                                                                                                  \
        const int left = s.k_end - k;                                                                                  \
        a0 = FETCH_A(a_row0 + k, left);                                                                                \
        a1 = FETCH_A(a_row1 + k, left);                                                                                \
        const vec4 t0 = FETCH_B(b_row0 + k, left);                                                                     \
        const vec4 t1 = FETCH_B(b_row1 + k, left);                                                                     \
        const vec4 t2 = FETCH_B(b_row2 + k, left);                                                                     \
        const vec4 t3 = FETCH_B(b_row3 + k, left);                                                                     \
        TRANSPOSE_B(t0, t1, t2, t3)                                                                                    \
        k += 4;                                                                                                        \
        MAC_ROWS                                                                                                       \
    }
#else
#define STEP                                                                                                           \
    {                                                                                                                  \
        a0 = FETCH_A(a_row0 + k, s.k_end - k);                                                                         \
        a1 = FETCH_A(a_row1 + k, s.k_end - k);                                                                         \
        LOAD_B                                                                                                         \
        k += 4;                                                                                                        \
        MAC_ROWS                                                                                                       \
    }
#endif
#endif
    // The condition stands at the end: llvmpipe copies all 64 sums again at every exit test in front.
    do {
        STEP
        if (PAIR != 0) STEP
    } while (k < s.k_end);

    if (n_cols <= 0) return;
    const vec4 bias4 = load_bias(p.bias_offset + col_in, cols_in);
    const int at = s.c + row0 * p.ldc + col, add_at = s.d + row0 * p.ldd + col;
#define STORE(r)                                                                                                       \
    if (row0 + r < p.M) store_row(c##r, p.alpha, at + r * p.ldc, add_at + r * p.ldd, bias4, n_cols);
    EACH_ROW(STORE)
}
