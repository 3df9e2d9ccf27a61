#version 450
// x = x * m + s, 16 * TURNS times on three vectors a lane: what the device's arithmetic can do at most. Twelve chains hide
// the latency and fit the registers of CPU drivers, sixteen steps a turn hide the loop's own cost there.
// 384 * TURNS floating-point operations an invocation; the sum is stored so that nothing can be left out.
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const int TURNS = 1024;
layout(push_constant) uniform Push {
    float m, s;
} p;
layout(binding = 0) writeonly buffer Y {
    float y[];
};

#define STEP a = a * m + s; b = b * m + s; c = c * m + s;
#define FOUR STEP STEP STEP STEP

void main()
{
    const vec4 m = vec4(p.m), s = vec4(p.s);
    vec4 a = vec4(float(gl_GlobalInvocationID.x)), b = a + m, c = b + m;
    for (int t = 0; t < TURNS; t++) {
        FOUR FOUR FOUR FOUR
    }
    const vec4 sum = a + b + c;
    y[gl_GlobalInvocationID.x] = sum.x + sum.y + sum.z + sum.w;
}
