#version 450
// Convolutions for GPUs: the same products as conv/*_texel.comp over a flattened inner index, see lib/tile_shared.glsl.
//   OP_FWD, OP_DGRAD  k = (u * n_v + v) * SC + channel       OP_WGRAD  k = pixel of a split's rows
#extension GL_GOOGLE_include_directive : require
#include "lib/operands_shared.glsl"

#ifdef OP_WGRAD
#include "conv/wgrad.glsl"
#define A_ALONG_K 0
#define B_ALONG_K 0
int k_end;

float x_at(int m, int k)
{
    const int tap = m / p.CI, row = k / p.OW;
    const int ih = (row % p.OH) * p.stride_y + (tap / p.KW) * p.dilation_y - p.pad_y;
    const int iw = (k % p.OW) * p.stride_x + (tap % p.KW) * p.dilation_x - p.pad_x;
    const bool inside = m < p.M && k < k_end && uint(ih) < uint(p.H) && uint(iw) < uint(p.W);
    return read_a((((row / p.OH) * p.H + ih) * p.W + iw) * p.CI + m % p.CI, inside ? 1 : 0).x;
}

vec4 load_a(int m, int k)
{
    if (A_VEC == 0) return vec4(x_at(m, k), x_at(m + 1, k), x_at(m + 2, k), x_at(m + 3, k));
    const int tap = m / p.CI, row = k / p.OW;
    const int ih = (row % p.OH) * p.stride_y + (tap / p.KW) * p.dilation_y - p.pad_y;
    const int iw = (k % p.OW) * p.stride_x + (tap % p.KW) * p.dilation_x - p.pad_x;
    const bool inside = m < p.M && k < k_end && uint(ih) < uint(p.H) && uint(iw) < uint(p.W);
    return read_a((((row / p.OH) * p.H + ih) * p.W + iw) * p.CI + m % p.CI, inside ? 4 : 0);
}

vec4 load_b(int col, int k)
{
    return read_b(k * p.NC + col, k < k_end ? p.NC - col : 0);
}

void store(int row, int col, vec4 v)
{
    const int at = int(gl_WorkGroupID.z) * p.split_stride + row * p.NC + col;
    if (row < p.M) write_out(v, p.alpha, at, at, col, p.NC - col);
}
#else
#include "conv/conv.glsl"
#define A_ALONG_K 1
#ifdef OP_DGRAD
#define B_ALONG_K 1
#else
#define B_ALONG_K 0
#endif

int source_at(int m, int k, out int valid)
{
    const Pixel q = pixel_of(m);
    const int t = k / p.SC, c = k % p.SC;
    const int u = t / p.n_v, v = t % p.n_v;
    const int sy = q.i * p.step_y + u * p.tap_y + p.y0, sx = q.j * p.step_x + v * p.tap_x + p.x0;
    const bool inside = m < p.M && u < p.n_u && uint(sy) < uint(p.SY) && uint(sx) < uint(p.SX);
    valid = inside ? p.SC - c : 0;
    return ((q.n * p.SY + sy) * p.SX + sx) * p.SC + c;
}

float source_one(int m, int k)
{
    int valid;
    const int at = source_at(m, k, valid);
    return read_a(at, min(valid, 1)).x;
}

vec4 load_a(int m, int k)
{
    if (A_VEC == 0) return vec4(source_one(m, k), source_one(m, k + 1), source_one(m, k + 2), source_one(m, k + 3));
    int valid;
    const int at = source_at(m, k, valid);
    return read_a(at, valid);
}

int tap_of(int k, out bool inside)
{
    const int t = k / p.SC;
    inside = t < p.n_u * p.n_v;
    return (p.kh0 + (t / p.n_v) * p.kh_step) * p.KW + p.kw0 + (t % p.n_v) * p.kw_step;
}

#ifdef OP_DGRAD
float weight_one(int col, int k)
{
    bool inside;
    const int tap = tap_of(k, inside);
    return read_b((tap * p.NC + col) * p.SC + k % p.SC, inside && col < p.NC ? 1 : 0).x;
}

vec4 load_b(int col, int k)
{
    if (B_VEC == 0) return vec4(weight_one(col, k), weight_one(col, k + 1), weight_one(col, k + 2), weight_one(col, k + 3));
    bool inside;
    const int tap = tap_of(k, inside);
    return read_b((tap * p.NC + col) * p.SC + k % p.SC, inside && col < p.NC ? 4 : 0);
}
#else
vec4 load_b(int col, int k)
{
    bool inside;
    const int tap = tap_of(k, inside);
    return read_b((tap * p.SC + k % p.SC) * p.NC + col, inside ? p.NC - col : 0);
}
#endif

void store(int row, int col, vec4 v)
{
    if (row >= p.M) return;
    const int at = output_at(pixel_of(row)) + col;
    write_out(v, p.alpha, at, at, col, p.NC - col);
}
#endif

#include "lib/tile_shared.glsl"

void main()
{
    const int col0 = int(gl_WorkGroupID.x) * TILE;
#ifdef OP_WGRAD
    const int begin = p.first_row + int(gl_WorkGroupID.z) * p.rows_part;
    k_end = min(p.n_rows, begin + p.rows_part) * p.OW;
    run_tile(int(gl_WorkGroupID.y) * TILE, col0, begin * p.OW, k_end);
#else
    run_tile(p.m0 + int(gl_WorkGroupID.y) * TILE, col0, 0, p.n_u * p.n_v * p.SC);
#endif
}
