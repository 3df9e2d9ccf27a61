// What the kernels of the tensor layer share. Operands are uniform texel buffers (fast on CPU drivers, and no limit
// of 128 MiB), results are storage buffers. One invocation ("lane") works on four neighbours, or on a row of them.
// The size of a workgroup is specialisation constant 0.
layout(local_size_x_id = 0) in;

// Number of this lane in a grid that the host folds into x and y (tl_vulkan_lanes).
uint flat_lane()
{
    return (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
}

// i / d for i < 2^31 by a multiplication: m = {multiplier, shift} made by the host (tl_vulkan_divisor).
uint divide(uint i, uvec2 m)
{
    uint high, low;
    umulExtended(i << 1, m.x, high, low);
    return high >> m.y;
}

// Four neighbours from element e on, of which `valid` (at least 1) exist; the others read as 0. With `vec` the view is
// RGBA32F and e and valid are multiples of 4; else it is R32F and every fetch stays inside the valid ones.
vec4 fetch4(textureBuffer t, bool vec, int e, int valid)
{
    if (vec) return texelFetch(t, e >> 2);
    const int last = max(valid - 1, 0);
    const vec4 v = vec4(texelFetch(t, e).x, texelFetch(t, e + min(1, last)).x, texelFetch(t, e + min(2, last)).x,
                        texelFetch(t, e + min(3, last)).x);
    return mix(vec4(0.0), v, lessThan(ivec4(0, 1, 2, 3), ivec4(valid)));
}

float sum4(vec4 v)
{
    return (v.x + v.y) + (v.z + v.w);
}

// A result: the same bytes as floats and as vec4. STORE4 writes `valid` neighbours from element e on.
#define RESULT(slot, one, four)                                                                                        \
    layout(binding = slot) buffer one##Block { float one[]; };                                                         \
    layout(binding = slot) buffer four##Block { vec4 four[]; };
#define STORE4(one, four, vec, e, v, valid)                                                                            \
    {                                                                                                                  \
        const int e_ = (e);                                                                                            \
        const vec4 v_ = (v);                                                                                           \
        if (vec) {                                                                                                     \
            four[e_ >> 2] = v_;                                                                                        \
        } else {                                                                                                       \
            const int valid_ = (valid);                                                                                \
            if (valid_ > 0) one[e_] = v_.x;                                                                            \
            if (valid_ > 1) one[e_ + 1] = v_.y;                                                                        \
            if (valid_ > 2) one[e_ + 2] = v_.z;                                                                        \
            if (valid_ > 3) one[e_ + 3] = v_.w;                                                                        \
        }                                                                                                              \
    }
