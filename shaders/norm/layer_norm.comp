#version 450
// Rows of c numbers: y = (x - mean) * rstd (* gamma + beta) and stats [rows,2]; with GRAD dx.
#extension GL_GOOGLE_include_directive : require
#include "lib/lanes.glsl"
#include "lib/row.glsl"
layout(constant_id = 2) const int VEC = 1;
layout(constant_id = 3) const int AFFINE = 1;
layout(push_constant) uniform Push { int rows, c, first, shift, stats_shift; float eps; } p; // row `first` is written at the shifts
layout(binding = 0) uniform textureBuffer x;
layout(binding = 1) uniform textureBuffer gamma;
#ifdef GRAD
layout(binding = 2) uniform textureBuffer stats;
layout(binding = 3) uniform textureBuffer dy;
RESULT(4, y_one, y_four)
#else
layout(binding = 2) uniform textureBuffer beta;
RESULT(3, y_one, y_four)
layout(binding = 4) writeonly buffer Stats { float stats[]; };
#endif

#define EACH_FOUR(body)                                                                                                \
    for (int i = ROW_FIRST; i < p.c; i += ROW_STEP) {                                                                  \
        const int valid = min(4, p.c - i);                                                                             \
        body                                                                                                           \
    }
#define FETCH(t, e) fetch4(t, VEC != 0, e, valid)

void main()
{
    const int r = int(row_number());
    if (r >= p.rows) return;
    const int at = (p.first + r) * p.c, to = r * p.c + p.shift;
#ifdef GRAD
    const float mean = texelFetch(stats, 2 * (p.first + r)).x, rstd = texelFetch(stats, 2 * (p.first + r) + 1).x;
#define COTANGENT (AFFINE != 0 ? FETCH(dy, at + i) * FETCH(gamma, i) : FETCH(dy, at + i))
    vec4 sums = vec4(0.0), sums_x = vec4(0.0);
    EACH_FOUR(const vec4 d = COTANGENT; sums += d; sums_x += d * (FETCH(x, at + i) - mean);)
    const float mean_d = row_sum(sum4(sums)) / float(p.c), mean_dx = row_sum(sum4(sums_x)) * rstd / float(p.c);
    EACH_FOUR(const vec4 xhat = (FETCH(x, at + i) - mean) * rstd;
              STORE4(y_one, y_four, VEC != 0, to + i, rstd * (COTANGENT - mean_d - xhat * mean_dx), valid))
#else
    vec4 sums = vec4(0.0), spreads = vec4(0.0);
    EACH_FOUR(sums += FETCH(x, at + i);)
    const float mean = row_sum(sum4(sums)) / float(p.c);
    EACH_FOUR(const vec4 d = valid4(FETCH(x, at + i) - mean, VEC != 0, valid); spreads += d * d;)
    const float rstd = 1.0 / sqrt(row_sum(sum4(spreads)) / float(p.c) + p.eps);
    if (ROW_LEADER) {
        stats[2 * r + p.stats_shift] = mean;
        stats[2 * r + 1 + p.stats_shift] = rstd;
    }
    EACH_FOUR(vec4 v = (FETCH(x, at + i) - mean) * rstd; if (AFFINE != 0) v = v * FETCH(gamma, i) + FETCH(beta, i);
              STORE4(y_one, y_four, VEC != 0, to + i, v, valid))
#endif
}
