// The micro tile of CPU drivers: 8 lanes share 16 rows; each lane owns 4 columns, so a workgroup makes 16 x 32.
// A lane fetches a few texels of A and the others see them by shuffles with constant indices, which llvmpipe turns
// into one vector permute. No shared memory, no barriers, no arrays. Measurements: shaders/README.md.
//
// Every step takes four values of the inner index k: b0..b3 are the lane's 4 columns at k..k+3.
//   MAC_ROWS   a0, a1 hold rows (lane) and (lane + 8), 4 values along k each
//   MAC_TRANS  a0 holds k + lane / 4, a1 holds k + 2 + lane / 4, each 4 rows from 4 * (lane % 4) on
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require

layout(local_size_x = 8) in;

#define TILE_ROWS 16
#define TILE_COLS 32

// clang-format off
#define EACH_ROW(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11) F(12) F(13) F(14) F(15)
// clang-format on
#define DECLARE_ROW(r) vec4 c##r = vec4(0.0);

#define MAC_ROW(r, a, lane)                                                                                            \
    {                                                                                                                  \
        const vec4 s = subgroupShuffle(a, lane);                                                                       \
        c##r += s.x * b0;                                                                                              \
        c##r += s.y * b1;                                                                                              \
        c##r += s.z * b2;                                                                                              \
        c##r += s.w * b3;                                                                                              \
    }
#define MAC_ROWS                                                                                                       \
    MAC_ROW(0, a0, 0) MAC_ROW(1, a0, 1) MAC_ROW(2, a0, 2) MAC_ROW(3, a0, 3) MAC_ROW(4, a0, 4) MAC_ROW(5, a0, 5)        \
    MAC_ROW(6, a0, 6) MAC_ROW(7, a0, 7) MAC_ROW(8, a1, 0) MAC_ROW(9, a1, 1) MAC_ROW(10, a1, 2) MAC_ROW(11, a1, 3)      \
    MAC_ROW(12, a1, 4) MAC_ROW(13, a1, 5) MAC_ROW(14, a1, 6) MAC_ROW(15, a1, 7)

#define MAC_COLUMN(r, i, lane)                                                                                         \
    c##r += subgroupShuffle(a0.i, lane) * b0;                                                                          \
    c##r += subgroupShuffle(a0.i, lane + 4) * b1;                                                                      \
    c##r += subgroupShuffle(a1.i, lane) * b2;                                                                          \
    c##r += subgroupShuffle(a1.i, lane + 4) * b3;
#define MAC_TRANS                                                                                                      \
    MAC_COLUMN(0, x, 0) MAC_COLUMN(1, y, 0) MAC_COLUMN(2, z, 0) MAC_COLUMN(3, w, 0) MAC_COLUMN(4, x, 1)                \
    MAC_COLUMN(5, y, 1) MAC_COLUMN(6, z, 1) MAC_COLUMN(7, w, 1) MAC_COLUMN(8, x, 2) MAC_COLUMN(9, y, 2)                \
    MAC_COLUMN(10, z, 2) MAC_COLUMN(11, w, 2) MAC_COLUMN(12, x, 3) MAC_COLUMN(13, y, 3) MAC_COLUMN(14, z, 3)           \
    MAC_COLUMN(15, w, 3)

// Four neighbours from element e on, of which `valid` (at least 1) exist; the others read as 0. With `vec` the view
// is RGBA32F, e and valid are multiples of 4; else it is R32F and every fetch stays inside the valid ones.
vec4 fetch4(textureBuffer t, bool vec, int e, int valid)
{
    if (vec) return texelFetch(t, e >> 2);
    const int last = max(valid - 1, 0);
    vec4 v = vec4(texelFetch(t, e).x, texelFetch(t, e + min(1, last)).x, texelFetch(t, e + min(2, last)).x,
                  texelFetch(t, e + min(3, last)).x);
    return mix(vec4(0.0), v, lessThan(ivec4(0, 1, 2, 3), ivec4(valid)));
}

// b0..b3 turned from 4 values along k of each column into 4 columns of each k.
#define TRANSPOSE_B(t0, t1, t2, t3)                                                                                    \
    b0 = vec4(t0.x, t1.x, t2.x, t3.x);                                                                                 \
    b1 = vec4(t0.y, t1.y, t2.y, t3.y);                                                                                 \
    b2 = vec4(t0.z, t1.z, t2.z, t3.z);                                                                                 \
    b3 = vec4(t0.w, t1.w, t2.w, t3.w);
