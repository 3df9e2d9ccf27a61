#version 450
// y = a + s * b over vectors of four: what the device's memory can do at most. 48 bytes an element of y.
// Lanes of a group take neighbouring elements, COUNT rounds a group.
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const int COUNT = 4;
layout(push_constant) uniform Push {
    float s;
} p;
layout(binding = 0) readonly buffer A {
    vec4 a[];
};
layout(binding = 1) readonly buffer B {
    vec4 b[];
};
layout(binding = 2) writeonly buffer Y {
    vec4 y[];
};

void main()
{
    uint at = gl_WorkGroupID.x * gl_WorkGroupSize.x * COUNT + gl_LocalInvocationID.x;
    for (int k = 0; k < COUNT; k++) {
        y[at] = a[at] + p.s * b[at];
        at += gl_WorkGroupSize.x;
    }
}
