// Group normalisation, x [n, rows, c]. Three passes, each with four channels a lane, going down a chunk of rows:
//   sums   per channel and chunk     parts [n][chunks][2][c]
//   fold   a lane for each group     table [n][planes][c], what a channel of a sample needs next
//   apply  per channel and chunk
// Grid: x channels in fours, y chunks of rows, z samples.
#include "lib/lanes.glsl"
#include "lib/math.glsl"
layout(constant_id = 1) const int VEC = 1; // c is a multiple of 4
layout(constant_id = 2) const int SILU = 0;
layout(push_constant) uniform Push {
    int rows, c, chunk, n_chunks, groups, width; // width: channels of a group
    int out_first;                               // element at which the bound result begins
    int n_samples, sample_first, chunk_first;
    float eps;
} p;

#define CHANNELS                                                                                                       \
    const int c = 4 * int(gl_GlobalInvocationID.x), n = int(gl_WorkGroupID.z) + p.sample_first;                        \
    if (c >= p.c) return;                                                                                              \
    const int valid = min(4, p.c - c);                                                                                 \
    const int chunk = int(gl_WorkGroupID.y) + p.chunk_first;                                                           \
    const int row_begin = chunk * p.chunk, row_end = min(row_begin + p.chunk, p.rows);                 \
    int at = (n * p.rows + row_begin) * p.c + c;

// silu'(z)
vec4 silu_slope(vec4 z)
{
    const vec4 s = tl_sigmoid4(z);
    return s * (1.0 + z * (1.0 - s));
}
