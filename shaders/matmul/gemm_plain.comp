#version 450
// One output per invocation, any shape: the reference that the fast kernels are compared with.
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 8, local_size_y = 4) in;
#include "matmul/gemm.glsl"
layout(constant_id = 3) const int HAS_BIAS = 0;
layout(constant_id = 4) const int HAS_ADD = 0;
layout(constant_id = 5) const int ACCUMULATE = 0;
layout(binding = 0) readonly buffer A { float a[]; };
layout(binding = 1) readonly buffer B { float b[]; };
layout(binding = 2) buffer C { float c[]; };
layout(binding = 3) readonly buffer Bias { float bias[]; };
layout(binding = 4) readonly buffer Add { float add[]; };

void main()
{
    const int col = int(gl_GlobalInvocationID.x), row = int(gl_GlobalInvocationID.y);
    if (row >= p.M || col >= p.N) return;
    const Place s = place(int(gl_WorkGroupID.z));
    float sum = 0.0;
    for (int k = s.k_begin; k < s.k_end; k++) {
#ifdef OP_TN
        const float x = a[s.a + k * p.lda + row];
#else
        const float x = a[s.a + row * p.lda + k];
#endif
#ifdef OP_NT
        const float y = b[s.b + col * p.ldb + k];
#else
        const float y = b[s.b + k * p.ldb + col];
#endif
        sum += x * y;
    }
    sum *= p.alpha;
    if (HAS_BIAS != 0) sum += bias[p.bias_offset + col];
    if (HAS_ADD != 0) sum += add[s.d + row * p.ldd + col];
    const int at = s.c + row * p.ldc + col;
    if (ACCUMULATE != 0) sum += c[at];
    c[at] = sum;
}
