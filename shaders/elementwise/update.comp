#version 450
// In place on persistent tensors, four neighbours a lane. ADAMW, LERP, or else dst += src.
// TAIL: the last four are not all there, and what lies behind them must stay.
#extension GL_GOOGLE_include_directive : require
#include "lib/lanes.glsl"
layout(constant_id = 1) const int TAIL = 0;
layout(push_constant) uniform Push { uint n; int left; } p; // n fours, `left` elements
#ifdef ADAMW
layout(binding = 0) uniform textureBuffer param;
layout(binding = 1) uniform textureBuffer grad;
layout(binding = 2) uniform textureBuffer moment1;
layout(binding = 3) uniform textureBuffer moment2;
layout(binding = 4) uniform textureBuffer hyper; // lr, beta1, beta2, eps | weight decay, 1/(1-beta1^t), 1/(1-beta2^t), gradient scale
RESULT(5, p_one, p_four)
RESULT(6, m_one, m_four)
RESULT(7, v_one, v_four)
#else
layout(binding = 0) uniform textureBuffer dst;
layout(binding = 1) uniform textureBuffer src;
layout(binding = 2) uniform textureBuffer weight;
RESULT(3, y_one, y_four)
#endif

void main()
{
    const uint i = flat_lane();
    if (i >= p.n) return;
    const int at = int(i), e = 4 * at, valid = p.left - e;
    const bool whole = TAIL == 0;
#ifdef ADAMW
    const vec4 h0 = texelFetch(hyper, 0), h1 = texelFetch(hyper, 1);
    const vec4 g = texelFetch(grad, at) * h1.w;
    const vec4 m = h0.y * texelFetch(moment1, at) + (1.0 - h0.y) * g;
    const vec4 v = h0.z * texelFetch(moment2, at) + (1.0 - h0.z) * g * g;
    const vec4 step_ = h0.x * (m * h1.y) / (sqrt(v * h1.z) + h0.w);
    const vec4 moved = texelFetch(param, at) * (1.0 - h0.x * h1.x) - step_;
    STORE4(p_one, p_four, whole, e, moved, valid)
    STORE4(m_one, m_four, whole, e, m, valid)
    STORE4(v_one, v_four, whole, e, v, valid)
#else
    vec4 v = texelFetch(dst, at);
    const vec4 s = texelFetch(src, at);
#ifdef LERP
    v += texelFetch(weight, 0).x * (s - v);
#else
    v += s;
#endif
    STORE4(y_one, y_four, whole, e, v, valid)
#endif
}
