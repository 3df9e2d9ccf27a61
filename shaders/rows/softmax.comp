#version 450
// Rows of c numbers: softmax, its gradient (y, dy), log_softmax, its gradient (y, dy). May write over its operands.
#extension GL_GOOGLE_include_directive : require
#include "lib/lanes.glsl"
#include "lib/row.glsl"
#include "lib/math.glsl"
layout(constant_id = 2) const int VEC = 1;
layout(constant_id = 3) const int KIND = 0; // in the order above
layout(push_constant) uniform Push { int rows, c, first, shift; } p; // row `first` is written at `shift`
layout(binding = 0) uniform textureBuffer x;
layout(binding = 1) uniform textureBuffer dy;
RESULT(2, y_one, y_four)

#define EACH_FOUR(body)                                                                                                \
    for (int i = ROW_FIRST; i < p.c; i += ROW_STEP) {                                                                  \
        const int valid = min(4, p.c - i);                                                                             \
        body                                                                                                           \
    }
#define FETCH(t) fetch4(t, VEC != 0, at + i, valid)
#define STORE(v) STORE4(y_one, y_four, VEC != 0, to + i, v, valid)

void main()
{
    const int r = int(row_number());
    if (r >= p.rows) return;
    const int at = (p.first + r) * p.c, to = r * p.c + p.shift;
    vec4 sums = vec4(0.0);
    if (KIND == 1 || KIND == 3) {
        EACH_FOUR(sums += KIND == 1 ? FETCH(x) * FETCH(dy) : FETCH(dy);)
        const float sum = row_sum(sum4(sums));
        EACH_FOUR(const vec4 y = FETCH(x); const vec4 d = FETCH(dy); STORE(KIND == 1 ? y * (d - sum) : d - tl_exp4(y) * sum))
        return;
    }
    float largest = -3.4028234e38;
    EACH_FOUR(largest = max(largest, max4(FETCH(x), VEC != 0, valid));)
    largest = row_max(largest);
    EACH_FOUR(sums += valid4(tl_exp4(FETCH(x) - largest), VEC != 0, valid);)
    const float sum = row_sum(sum4(sums));
    if (KIND == 0) {
        const float scale = 1.0 / sum;
        EACH_FOUR(STORE(tl_exp4(FETCH(x) - largest) * scale))
    } else {
        const float log_sum = tl_log(sum);
        EACH_FOUR(STORE((FETCH(x) - largest) - log_sum))
    }
}
