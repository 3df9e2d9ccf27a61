#version 450
// Sum and sum of squared distances from the chunk's own mean, which the fold puts together without cancellation.
#extension GL_GOOGLE_include_directive : require
#include "norm/group_norm.glsl"
layout(binding = 0) uniform textureBuffer x;
RESULT(1, part_one, part_four)

void main()
{
    CHANNELS
    const int begin = at;
    vec4 sum = vec4(0.0), spread = vec4(0.0);
    int r = row_begin;
    do {
        sum += fetch4(x, VEC != 0, at, valid);
        at += p.c;
        r++;
    } while (r < row_end);
    const vec4 mean = sum / float(row_end - row_begin);
    at = begin;
    r = row_begin;
    do {
        const vec4 d = fetch4(x, VEC != 0, at, valid) - mean;
        spread += d * d;
        at += p.c;
        r++;
    } while (r < row_end);
    const int to = (n * p.n_chunks + chunk) * 2 * p.c + c;
    STORE4(part_one, part_four, VEC != 0, to, sum, valid)
    STORE4(part_one, part_four, VEC != 0, to + p.c, spread, valid)
}
