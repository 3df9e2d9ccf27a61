// A tile of scores [samples][heads][queries][keys], made by a matrix product, is worked on in place, a row at a time.
#include "lib/lanes.glsl"
#include "lib/row.glsl"
#include "lib/math.glsl"
layout(constant_id = 2) const int VEC = 1; // keys are a multiple of 4
layout(constant_id = 3) const int CAUSAL = 0;
layout(constant_id = 4) const int MASK = 0;
layout(constant_id = 5) const int HEAD_VEC = 1; // channels of a head and of all heads are multiples of 4
layout(push_constant) uniform Push {
    int rows, keys, queries;         // queries: of the tile
    int n_queries, heads;            // of the whole
    int first_query, first_sample;
    int width, channels;             // of a head, of all heads
    float scale;
} p;

#define ROW                                                                                                            \
    const int row = int(row_number());                                                                                 \
    if (row >= p.rows) return;                                                                                         \
    const int head_row = row / p.queries, query = p.first_query + row - head_row * p.queries;                          \
    const int sample_ = p.first_sample + head_row / p.heads, head = head_row - head_row / p.heads * p.heads;           \
    const int at = row * p.keys, lse_at = (sample_ * p.heads + head) * p.n_queries + query;                            \
    const int seen = CAUSAL != 0 ? min(query + 1, p.keys) : p.keys;
#define EACH_FOUR(body)                                                                                                \
    for (int i = ROW_FIRST; i < p.keys; i += ROW_STEP) {                                                               \
        const int valid = min(4, p.keys - i);                                                                          \
        body                                                                                                           \
    }
// v where the query sees the key, else `otherwise`
#define IF_SEEN(v, otherwise)                                                                                          \
    (CAUSAL == 0 && VEC != 0 ? (v) : mix(vec4(otherwise), v, lessThan(ivec4(i, i + 1, i + 2, i + 3), ivec4(seen))))
