// What happens to a finished tile: out = alpha * c (+ bias[column]) (+ add) (+ out). Bindings 2, 3, 4.
// OUT_VEC: columns, their offsets and strides are multiples of 4, so a lane's four go out as one vec4.
layout(constant_id = 2) const int OUT_VEC = 1;
layout(constant_id = 3) const int HAS_BIAS = 0;
layout(constant_id = 4) const int HAS_ADD = 0;
layout(constant_id = 5) const int ACCUMULATE = 0;

layout(binding = 2) buffer OutFloat { float out1[]; };
layout(binding = 2) buffer OutVec { vec4 out4[]; };
layout(binding = 3) uniform textureBuffer bias;
layout(binding = 4) uniform textureBuffer add;

// `at` and `add_at`: elements of the row's first column of this lane; n_cols: how many of its 4 exist (may be <= 0).
void store_row(vec4 c, float alpha, int at, int add_at, vec4 bias4, int n_cols)
{
    c = alpha * c + bias4;
    if (OUT_VEC != 0) {
        if (HAS_ADD != 0) c += texelFetch(add, add_at >> 2);
        if (ACCUMULATE != 0) c += out4[at >> 2];
        out4[at >> 2] = c;
        return;
    }
    for (int i = 0; i < 4; i++) {
        if (i < n_cols) {
            float v = c[i];
            if (HAS_ADD != 0) v += texelFetch(add, add_at + i).x;
            if (ACCUMULATE != 0) v += out1[at + i];
            out1[at + i] = v;
        }
    }
}

vec4 load_bias(int col, int n_cols)
{
    return HAS_BIAS != 0 ? fetch4(bias, OUT_VEC != 0, col, n_cols) : vec4(0.0);
}
