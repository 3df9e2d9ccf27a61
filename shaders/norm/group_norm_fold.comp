#version 450
// stats [n,groups,2] = mean, 1/sqrt(var + eps); table [n][2][c] = mean, gamma/sqrt(var + eps). A lane a group.
#extension GL_GOOGLE_include_directive : require
#include "norm/group_norm.glsl"
layout(binding = 0) uniform textureBuffer parts;
layout(binding = 1) uniform textureBuffer gamma;
layout(binding = 2) writeonly buffer Stats { float stats[]; };
layout(binding = 3) writeonly buffer Table { float table[]; };

void main()
{
    const int lane = int(flat_lane());
    if (lane >= p.n_samples * p.groups) return;
    const int n = lane / p.groups, c = (lane - n * p.groups) * p.width, begin = n * p.n_chunks * 2 * p.c + c;
    float sum = 0.0;
    for (int k = 0; k < p.n_chunks; k++) {
        float part = 0.0;
        for (int i = 0; i < p.width; i++) part += texelFetch(parts, begin + k * 2 * p.c + i).x;
        sum += part;
    }
    const float count = float(p.rows) * float(p.width), mean = sum / count;
    float spread = 0.0;
    for (int k = 0; k < p.n_chunks; k++) {
        const float rows = float(min(p.chunk, p.rows - k * p.chunk));
        float part = 0.0;
        for (int i = 0; i < p.width; i++) {
            const int at = begin + k * 2 * p.c + i;
            const float d = texelFetch(parts, at).x / rows - mean;
            part += texelFetch(parts, at + p.c).x + rows * d * d;
        }
        spread += part;
    }
    const float rstd = 1.0 / sqrt(spread / count + p.eps);
    stats[2 * lane] = mean;
    stats[2 * lane + 1] = rstd;
    for (int i = 0; i < p.width; i++) {
        table[n * 2 * p.c + c + i] = mean;
        table[(n * 2 + 1) * p.c + c + i] = rstd * texelFetch(gamma, c + i).x;
    }
}
