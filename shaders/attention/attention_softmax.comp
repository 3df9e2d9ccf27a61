#version 450
// Scores (scaled) -> probabilities, and the logarithm of each row's sum. A row that sees nothing becomes zeros.
#extension GL_GOOGLE_include_directive : require
#include "attention/attention.glsl"
layout(binding = 0) uniform textureBuffer scores;
layout(binding = 1) uniform textureBuffer mask;
RESULT(2, y_one, y_four)
layout(binding = 3) writeonly buffer Lse { float lse[]; };

#define MASK4 (MASK != 0 ? fetch4(mask, VEC != 0, sample_ * p.keys + i, valid) : vec4(0.0))
#define SCORE IF_SEEN(fetch4(scores, VEC != 0, at + i, valid) + MASK4, -TL_INFINITY)

void main()
{
    ROW
    float largest = -TL_INFINITY;
    EACH_FOUR(largest = max(largest, max4(SCORE, VEC != 0, valid));)
    largest = row_max(largest);
    const bool blind = largest == -TL_INFINITY;
    vec4 sums = vec4(0.0);
    EACH_FOUR(sums += IF_SEEN(tl_exp4(SCORE - largest), 0.0);)
    const float sum = row_sum(sum4(sums)), scale = blind ? 0.0 : 1.0 / sum;
    if (ROW_LEADER) lse[lse_at] = blind ? largest : largest + tl_log(sum);
    EACH_FOUR(vec4 v = IF_SEEN(tl_exp4(SCORE - largest) * scale, 0.0); if (blind) v = vec4(0.0);
              STORE4(y_one, y_four, VEC != 0, at + i, v, valid))
}
