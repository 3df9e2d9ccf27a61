#version 450
// Scores (scaled) -> probabilities, and the logarithm of each row's sum. A row that sees nothing becomes zeros.
#extension GL_GOOGLE_include_directive : require
#include "attention/attention.glsl"
layout(binding = 0) uniform textureBuffer scores;
layout(binding = 1) uniform textureBuffer mask;
RESULT(2, y_one, y_four)
layout(binding = 3) writeonly buffer Lse { float lse[]; };

#define SCORE mix(vec4(-TL_INFINITY), fetch4(scores, VEC != 0, at + i, valid) + (MASK != 0 ? fetch4(mask, VEC != 0, sample_ * p.keys + i, valid) : vec4(0.0)), SEEN)

void main()
{
    ROW
    float largest = -TL_INFINITY;
    EACH_FOUR(largest = max(largest, max4(SCORE, valid));)
    largest = row_max(largest);
    const bool blind = largest == -TL_INFINITY;
    vec4 sums = vec4(0.0);
    EACH_FOUR(sums += mix(vec4(0.0), tl_exp4(SCORE - largest), SEEN);)
    const float sum = row_sum(sum4(sums)), scale = blind ? 0.0 : 1.0 / sum;
    if (ROW_LEADER) lse[lse_at] = blind ? largest : largest + tl_log(sum);
    EACH_FOUR(vec4 v = mix(vec4(0.0), tl_exp4(SCORE - largest) * scale, SEEN); if (blind) v = vec4(0.0);
              STORE4(y_one, y_four, VEC != 0, at + i, v, valid))
}
