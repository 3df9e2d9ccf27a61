#version 450
// Weight gradient on CPU drivers, see conv/wgrad.glsl and lib/tile_texel.glsl: 16 rows of (tap, ci) x 32 co.
// X_VEC: CI is a multiple of 4, so a lane's four rows are one tap's neighbours; DY_VEC: NC is. W_TAIL: OW is not.
#extension GL_GOOGLE_include_directive : require
#include "lib/tile_texel.glsl"
#include "conv/wgrad.glsl"
layout(constant_id = 0) const int X_VEC = 1;
layout(constant_id = 1) const int DY_VEC = 1;
layout(constant_id = 6) const int W_TAIL = 0;
layout(constant_id = 7) const int PAIR = 1; // every split has an even number of steps of 4 pixels: two a turn
layout(binding = 0) uniform textureBuffer x;
layout(binding = 1) uniform textureBuffer dy;
#include "lib/epilogue_texel.glsl"

// Where the taps of row m start: input row and column for output pixel (0,0), and the channel.
ivec3 tap_of(int m)
{
    const int tap = m / p.CI;
    return ivec3((tap / p.KW) * p.dilation_y - p.pad_y, (tap % p.KW) * p.dilation_x - p.pad_x, m % p.CI);
}

float fetch_x(int image, int oh, int ow, ivec3 t)
{
    const int ih = oh * p.stride_y + t.x, iw = ow * p.stride_x + t.y;
    const bool inside = uint(ih) < uint(p.H) && uint(iw) < uint(p.W) && ow < p.OW;
    const float v = texelFetch(x, inside ? ((image * p.H + ih) * p.W + iw) * p.CI + t.z : 0).x;
    return inside ? v : 0.0;
}

void main()
{
    const int lane = int(gl_LocalInvocationID.x);
    const int row0 = int(gl_WorkGroupID.y) * TILE_ROWS;
    const int col = int(gl_WorkGroupID.x) * TILE_COLS + 4 * lane;
    const int n_cols = p.NC - col;
    const int col_in = min(col, (p.NC - 1) & ~3);
    const int cols_in = min(4, p.NC - col_in);
    const int m_lane = row0 + 4 * (lane & 3), ow_lane = lane >> 2;
    const ivec3 t0 = tap_of(min(m_lane, p.M - 1));
    const ivec3 t1 = tap_of(min(m_lane + 1, p.M - 1));
    const ivec3 t2 = tap_of(min(m_lane + 2, p.M - 1));
    const ivec3 t3 = tap_of(min(m_lane + 3, p.M - 1));
    const int row_begin = p.first_row + int(gl_WorkGroupID.z) * p.rows_part;
    const int row_end = min(p.n_rows, row_begin + p.rows_part);
    // Where the next step reads: a row of pixels, and a column in it that is a multiple of 4.
    int row = row_begin, j = 0;
    int image = row_begin / p.OH;
    int oh = row_begin % p.OH;
    vec4 b0, b1, b2, b3, a0, a1;
    EACH_ROW(DECLARE_ROW)

#define LOAD_X                                                                                                         \
    if (X_VEC != 0) {                                                                                                  \
        const int ih = oh * p.stride_y + t0.x;                                                                         \
        const int iw0 = (j + ow_lane) * p.stride_x + t0.y, iw1 = iw0 + 2 * p.stride_x;                                 \
        const bool row_in = uint(ih) < uint(p.H);                                                                      \
        bool in0 = row_in && uint(iw0) < uint(p.W), in1 = row_in && uint(iw1) < uint(p.W);                             \
        if (W_TAIL != 0) {                                                                                             \
            in0 = in0 && j + ow_lane < p.OW;                                                                           \
            in1 = in1 && j + ow_lane + 2 < p.OW;                                                                       \
        }                                                                                                              \
        const int x_at = ((image * p.H + ih) * p.W + iw0) * p.CI + t0.z;                                               \
        a0 = texelFetch(x, in0 ? x_at >> 2 : 0);                                                                       \
        a1 = texelFetch(x, in1 ? (x_at + 2 * p.stride_x * p.CI) >> 2 : 0);                                             \
        a0 = in0 ? a0 : vec4(0.0);                                                                                     \
        a1 = in1 ? a1 : vec4(0.0);                                                                                     \
    } else {                                                                                                           \
        const int ow = j + ow_lane;                                                                                    \
        a0 = vec4(fetch_x(image, oh, ow, t0), fetch_x(image, oh, ow, t1), fetch_x(image, oh, ow, t2),                  \
                  fetch_x(image, oh, ow, t3));                                                                         \
        a1 = vec4(fetch_x(image, oh, ow + 2, t0), fetch_x(image, oh, ow + 2, t1), fetch_x(image, oh, ow + 2, t2),      \
                  fetch_x(image, oh, ow + 2, t3));                                                                     \
    }
#define LOAD_DY                                                                                                        \
    const int at = (row * p.OW + j) * p.NC + col_in;                                                                   \
    b0 = fetch4(dy, DY_VEC != 0, at, cols_in);                                                                         \
    if (W_TAIL != 0) {                                                                                                 \
        const int last = p.OW - 1 - j;                                                                                 \
        b1 = fetch4(dy, DY_VEC != 0, at + min(1, last) * p.NC, cols_in);                                               \
        b2 = fetch4(dy, DY_VEC != 0, at + min(2, last) * p.NC, cols_in);                                               \
        b3 = fetch4(dy, DY_VEC != 0, at + min(3, last) * p.NC, cols_in);                                               \
        b1 = last >= 1 ? b1 : vec4(0.0);                                                                               \
        b2 = last >= 2 ? b2 : vec4(0.0);                                                                               \
        b3 = last >= 3 ? b3 : vec4(0.0);                                                                               \
    } else {                                                                                                           \
        b1 = fetch4(dy, DY_VEC != 0, at + p.NC, cols_in);                                                              \
        b2 = fetch4(dy, DY_VEC != 0, at + 2 * p.NC, cols_in);                                                          \
        b3 = fetch4(dy, DY_VEC != 0, at + 3 * p.NC, cols_in);                                                          \
    }
#define STEP                                                                                                           \
    {                                                                                                                  \
        LOAD_X                                                                                                         \
        LOAD_DY                                                                                                        \
        MAC_TRANS                                                                                                      \
        j += 4;                                                                                                        \
        const bool row_done = j >= p.OW;                                                                               \
        j = row_done ? 0 : j;                                                                                          \
        row += row_done ? 1 : 0;                                                                                       \
        oh += row_done ? 1 : 0;                                                                                        \
        const bool image_done = oh == p.OH;                                                                            \
        oh = image_done ? 0 : oh;                                                                                      \
        image += image_done ? 1 : 0;                                                                                   \
    }
    // One loop over rows and columns, its condition at the end: llvmpipe copies all 64 sums at every loop's exit.
    do {
        STEP
        if (PAIR != 0) STEP
    } while (row < row_end);

    if (n_cols <= 0) return;
    const int at = int(gl_WorkGroupID.z) * p.split_stride + row0 * p.NC + col;
#define STORE(r)                                                                                                       \
    if (row0 + r < p.M) store_row(c##r, p.alpha, at + r * p.NC, at + r * p.NC, vec4(0.0), n_cols);
    EACH_ROW(STORE)
}
