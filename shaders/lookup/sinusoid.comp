#version 450
// y[n,d] = sin and cos of t * exp(slope * i), halves in the order that sin_at says; an odd last channel is 0.
#extension GL_GOOGLE_include_directive : require
#include "lib/lanes.glsl"
#include "lib/math.glsl"
layout(push_constant) uniform Push { int n, dim, sin_at; float slope; } p;
layout(binding = 0) uniform textureBuffer t;
layout(binding = 1) writeonly buffer Y { float y[]; };

void main()
{
    const int lane = int(flat_lane()), half_ = p.dim / 2, r = lane / half_, i = lane - r * half_;
    if (r >= p.n) return;
    const vec2 sc = tl_sincos(texelFetch(t, r).x * tl_exp(p.slope * float(i)));
    y[r * p.dim + p.sin_at + i] = sc.x;
    y[r * p.dim + half_ - p.sin_at + i] = sc.y;
    if ((p.dim & 1) != 0 && i == 0) y[r * p.dim + p.dim - 1] = 0.0;
}
