// A row of numbers and who works on it. SHARE (specialisation constant 1): 0 each lane has a row to itself (many rows on
// a CPU driver), 1 the workgroup is one subgroup and shares a row, 2 the workgroup shares a row by way of shared memory.
#extension GL_KHR_shader_subgroup_arithmetic : require
layout(constant_id = 1) const int SHARE = 0;
#define ROW_LANES_MAX 256
shared float row_cells[ROW_LANES_MAX];

uint row_number()
{
    return SHARE == 0 ? flat_lane() : gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
}

// The lane's elements of a row of n: for (int i = ROW_FIRST; i < n; i += ROW_STEP), four at a time.
#define ROW_FIRST (SHARE == 0 ? 0 : 4 * int(gl_LocalInvocationID.x))
#define ROW_STEP  (SHARE == 0 ? 4 : 4 * int(gl_WorkGroupSize.x))
// True in the one lane that writes what belongs to the whole row.
#define ROW_LEADER (SHARE == 0 || gl_LocalInvocationID.x == 0)

#define ROW_FOLD(name, op, subgroup)                                                                                   \
    float name(float v)                                                                                                \
    {                                                                                                                  \
        if (SHARE == 0) return v;                                                                                      \
        if (SHARE == 1) return subgroup(v);                                                                            \
        const uint lane = gl_LocalInvocationID.x;                                                                      \
        barrier();                                                                                                     \
        row_cells[lane] = v;                                                                                           \
        barrier();                                                                                                     \
        for (uint half_ = gl_WorkGroupSize.x / 2; half_ > 0; half_ /= 2) {                                             \
            if (lane < half_) row_cells[lane] = op(row_cells[lane], row_cells[lane + half_]);                          \
            barrier();                                                                                                 \
        }                                                                                                              \
        return row_cells[0];                                                                                           \
    }
#define ROW_PLUS(a, b) ((a) + (b))
ROW_FOLD(row_sum, ROW_PLUS, subgroupAdd)
ROW_FOLD(row_max, max, subgroupMax)

// v with zeros in place of what lies behind the `valid` first; `all_`: nothing does.
vec4 valid4(vec4 v, bool all_, int valid)
{
    return all_ ? v : mix(vec4(0.0), v, lessThan(ivec4(0, 1, 2, 3), ivec4(valid)));
}

// The largest of v's `valid` first.
float max4(vec4 v, bool all_, int valid)
{
    if (!all_) v = mix(vec4(v.x), v, lessThan(ivec4(0, 1, 2, 3), ivec4(valid)));
    return max(max(v.x, v.y), max(v.z, v.w));
}
