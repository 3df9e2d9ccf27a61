// Forward (CONV_DGRAD 0) and data gradient (1) on CPU drivers: 16 pixels x 32 channels a workgroup of 8 lanes.
// X_VEC: the source's channels are a multiple of 4; W_VEC: the weights' last axis is. B's columns are output channels:
// forward w[tap,k,col], data gradient w[tap,col,k].
#include "lib/tile_texel.glsl"
#include "conv/conv.glsl"
layout(constant_id = 0) const int X_VEC = 1;
layout(constant_id = 1) const int W_VEC = 1;
layout(constant_id = 7) const int PAIR = 1; // SC has an even number of fours: two steps a turn
layout(binding = 0) uniform textureBuffer x;
layout(binding = 1) uniform textureBuffer w;
#include "lib/epilogue_texel.glsl"

void main()
{
    const int lane = int(gl_LocalInvocationID.x);
    const int row0 = p.m0 + int(gl_WorkGroupID.y) * TILE_ROWS;
    const int col = int(gl_WorkGroupID.x) * TILE_COLS + 4 * lane;
    const int n_cols = p.NC - col;
    const int col_in = min(col, (p.NC - 1) & ~3);
    const int cols_in = min(4, p.NC - col_in);
    const Pixel q0 = pixel_of(min(row0 + lane, p.M - 1));
    const Pixel q1 = pixel_of(min(row0 + lane + 8, p.M - 1));
    vec4 a0, a1, b0, b1, b2, b3;
    EACH_ROW(DECLARE_ROW)

#if CONV_DGRAD
#define LOAD_W                                                                                                         \
    const vec4 t0 = fetch4(w, W_VEC != 0, w_at, left);                                                                 \
    const vec4 t1 = fetch4(w, W_VEC != 0, w_at + min(1, cols_in - 1) * p.SC, left);                                    \
    const vec4 t2 = fetch4(w, W_VEC != 0, w_at + min(2, cols_in - 1) * p.SC, left);                                    \
    const vec4 t3 = fetch4(w, W_VEC != 0, w_at + min(3, cols_in - 1) * p.SC, left);                                    \
    TRANSPOSE_B(t0, t1, t2, t3)                                                                                        \
    w_at += 4;
#else
#define LOAD_W                                                                                                         \
    b0 = fetch4(w, W_VEC != 0, w_at, cols_in);                                                                         \
    if (X_VEC != 0) {                                                                                                  \
        b1 = fetch4(w, W_VEC != 0, w_at + p.NC, cols_in);                                                              \
        b2 = fetch4(w, W_VEC != 0, w_at + 2 * p.NC, cols_in);                                                          \
        b3 = fetch4(w, W_VEC != 0, w_at + 3 * p.NC, cols_in);                                                          \
    } else {                                                                                                           \
        b1 = fetch4(w, W_VEC != 0, w_at + min(1, left - 1) * p.NC, cols_in);                                           \
        b2 = fetch4(w, W_VEC != 0, w_at + min(2, left - 1) * p.NC, cols_in);                                           \
        b3 = fetch4(w, W_VEC != 0, w_at + min(3, left - 1) * p.NC, cols_in);                                           \
        b1 = left > 1 ? b1 : vec4(0.0);                                                                                \
        b2 = left > 2 ? b2 : vec4(0.0);                                                                                \
        b3 = left > 3 ? b3 : vec4(0.0);                                                                                \
    }                                                                                                                  \
    w_at += 4 * p.NC;
#endif
#define STEP                                                                                                           \
    {                                                                                                                  \
        a0 = fetch4(x, X_VEC != 0, at0 + k, left);                                                                     \
        a1 = fetch4(x, X_VEC != 0, at1 + k, left);                                                                     \
        a0 = in0 ? a0 : vec4(0.0);                                                                                     \
        a1 = in1 ? a1 : vec4(0.0);                                                                                     \
        LOAD_W                                                                                                         \
        k += 4;                                                                                                        \
        left -= 4;                                                                                                     \
        MAC_ROWS                                                                                                       \
    }
    // Conditions stand at the end: llvmpipe copies all 64 sums again at every exit test in front.
    int u = 0;
    do {
        const int sy0 = q0.i * p.step_y + u * p.tap_y + p.y0, sy1 = q1.i * p.step_y + u * p.tap_y + p.y0;
        int v = 0;
        do {
            const int sx0 = q0.j * p.step_x + v * p.tap_x + p.x0, sx1 = q1.j * p.step_x + v * p.tap_x + p.x0;
            const bool in0 = uint(sy0) < uint(p.SY) && uint(sx0) < uint(p.SX);
            const bool in1 = uint(sy1) < uint(p.SY) && uint(sx1) < uint(p.SX);
            // A tap in the padding reads pixel 0, and what it reads is replaced by 0.
            const int at0 = in0 ? ((q0.n * p.SY + sy0) * p.SX + sx0) * p.SC : 0;
            const int at1 = in1 ? ((q1.n * p.SY + sy1) * p.SX + sx1) * p.SC : 0;
            const int tap = (p.kh0 + u * p.kh_step) * p.KW + p.kw0 + v * p.kw_step;
            int w_at = CONV_DGRAD != 0 ? (tap * p.NC + col_in) * p.SC : tap * p.SC * p.NC + col_in;
            int k = 0, left = p.SC;
            do {
                STEP
                if (PAIR != 0) STEP
            } while (k < p.SC);
            v++;
        } while (v < p.n_v);
        u++;
    } while (u < p.n_u);

    const int out0 = output_at(q0), out1_ = output_at(q1);
    const vec4 bias4 = load_bias(col_in, cols_in);
#define STORE(r, out_at, l)                                                                                            \
    {                                                                                                                  \
        const int at = subgroupShuffle(out_at, l) + col;                                                               \
        if (n_cols > 0 && row0 + r < p.M) store_row(c##r, p.alpha, at, at, bias4, n_cols);                             \
    }
    STORE(0, out0, 0) STORE(1, out0, 1) STORE(2, out0, 2) STORE(3, out0, 3)
    STORE(4, out0, 4) STORE(5, out0, 5) STORE(6, out0, 6) STORE(7, out0, 7)
    STORE(8, out1_, 0) STORE(9, out1_, 1) STORE(10, out1_, 2) STORE(11, out1_, 3)
    STORE(12, out1_, 4) STORE(13, out1_, 5) STORE(14, out1_, 6) STORE(15, out1_, 7)
}
