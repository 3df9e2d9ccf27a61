#version 450
// table [n][4][c] = mean, rstd, and the group's means of dz*gamma and dz*gamma*xhat. A lane a group.
#extension GL_GOOGLE_include_directive : require
#include "norm/group_norm.glsl"
layout(binding = 0) uniform textureBuffer parts;
layout(binding = 1) uniform textureBuffer stats;
layout(binding = 2) uniform textureBuffer gamma;
layout(binding = 3) writeonly buffer Table { float table[]; };

void main()
{
    const int lane = int(flat_lane());
    if (lane >= p.n_samples * p.groups) return;
    const int n = lane / p.groups, c = (lane - n * p.groups) * p.width, begin = n * p.n_chunks * 2 * p.c + c;
    float sum = 0.0, sum_x = 0.0;
    for (int i = 0; i < p.width; i++) {
        float part = 0.0, part_x = 0.0;
        for (int k = 0; k < p.n_chunks; k++) {
            const int at = begin + k * 2 * p.c + i;
            part_x += texelFetch(parts, at).x;
            part += texelFetch(parts, at + p.c).x;
        }
        const float g = texelFetch(gamma, c + i).x;
        sum += part * g;
        sum_x += part_x * g;
    }
    const float count = float(p.rows) * float(p.width);
    const float mean = texelFetch(stats, 2 * lane).x, rstd = texelFetch(stats, 2 * lane + 1).x;
    for (int i = 0; i < p.width; i++) {
        const int to = n * 4 * p.c + c + i;
        table[to] = mean;
        table[to + p.c] = rstd;
        table[to + 2 * p.c] = sum / count;
        table[to + 3 * p.c] = sum_x / count;
    }
}
