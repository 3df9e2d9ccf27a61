// Operands and results of the shared-memory kernels: storage buffers read as vec4 where everything is a multiple of 4
// (A_VEC, B_VEC, OUT_VEC), one by one else. Bindings 0..4: A, B, out, bias, add.
layout(constant_id = 0) const int A_VEC = 1;
layout(constant_id = 1) const int B_VEC = 1;
layout(constant_id = 2) const int OUT_VEC = 1;
layout(constant_id = 3) const int HAS_BIAS = 0;
layout(constant_id = 4) const int HAS_ADD = 0;
layout(constant_id = 5) const int ACCUMULATE = 0;
layout(binding = 0) readonly buffer AFloat { float a_one[]; };
layout(binding = 0) readonly buffer AVec { vec4 a_four[]; };
layout(binding = 1) readonly buffer BFloat { float b_one[]; };
layout(binding = 1) readonly buffer BVec { vec4 b_four[]; };
layout(binding = 2) buffer OutFloat { float out_one[]; };
layout(binding = 2) buffer OutVec { vec4 out_four[]; };
layout(binding = 3) readonly buffer Bias { float bias[]; };
layout(binding = 4) readonly buffer Add { float add[]; };

// Four neighbours from element e on, of which `valid` exist; the others are 0.
#define READER(name, one, four, vec)                                                                                   \
    vec4 name(int e, int valid)                                                                                        \
    {                                                                                                                  \
        vec4 v = vec4(0.0);                                                                                            \
        if (vec != 0) {                                                                                                \
            if (valid > 0) v = four[e >> 2];                                                                           \
        } else {                                                                                                       \
            if (valid > 0) v.x = one[e];                                                                               \
            if (valid > 1) v.y = one[e + 1];                                                                           \
            if (valid > 2) v.z = one[e + 2];                                                                           \
            if (valid > 3) v.w = one[e + 3];                                                                           \
        }                                                                                                              \
        return v;                                                                                                      \
    }
READER(read_a, a_one, a_four, A_VEC)
READER(read_b, b_one, b_four, B_VEC)

// col: element of the bias.
void write_out(vec4 v, float alpha, int at, int add_at, int col, int n_cols)
{
    v *= alpha;
    for (int i = 0; i < 4; i++) {
        if (i >= n_cols) continue;
        if (HAS_BIAS != 0) v[i] += bias[col + i];
        if (HAS_ADD != 0) v[i] += add[add_at + i];
    }
    if (OUT_VEC != 0) {
        if (n_cols <= 0) return;
        if (ACCUMULATE != 0) v += out_four[at >> 2];
        out_four[at >> 2] = v;
    } else {
        for (int i = 0; i < 4; i++) {
            if (i >= n_cols) continue;
            out_one[at + i] = v[i] + (ACCUMULATE != 0 ? out_one[at + i] : 0.0);
        }
    }
}
