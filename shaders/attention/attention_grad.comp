#version 450
// In place: scores (scaled) -> probabilities p, and their cotangents dO V^T -> those of the unscaled scores,
// scale * p * (dp - sum(o * do)).
#extension GL_GOOGLE_include_directive : require
#include "attention/attention.glsl"
layout(binding = 0) uniform textureBuffer scores;
layout(binding = 1) uniform textureBuffer dp;
layout(binding = 2) uniform textureBuffer mask;
layout(binding = 3) uniform textureBuffer o;
layout(binding = 4) uniform textureBuffer d_o;
layout(binding = 5) uniform textureBuffer lse;
RESULT(6, p_one, p_four)
RESULT(7, ds_one, ds_four)

void main()
{
    ROW
    const int out_at = (sample_ * p.n_queries + query) * p.channels + head * p.width;
    vec4 dots = vec4(0.0);
    for (int i = ROW_FIRST; i < p.width; i += ROW_STEP) {
        const int valid = min(4, p.width - i);
        dots += fetch4(o, HEAD_VEC != 0, out_at + i, valid) * fetch4(d_o, HEAD_VEC != 0, out_at + i, valid);
    }
    const float delta = row_sum(sum4(dots)), log_sum = texelFetch(lse, lse_at).x;
    const bool blind = log_sum == -TL_INFINITY;
    EACH_FOUR(vec4 s = fetch4(scores, VEC != 0, at + i, valid); if (MASK != 0) s += fetch4(mask, VEC != 0, sample_ * p.keys + i, valid);
              vec4 v = IF_SEEN(tl_exp4(s - log_sum), 0.0); if (blind) v = vec4(0.0);
              const vec4 ds = p.scale * v * (fetch4(dp, VEC != 0, at + i, valid) - delta);
              STORE4(p_one, p_four, VEC != 0, at + i, v, valid)
              STORE4(ds_one, ds_four, VEC != 0, at + i, ds, valid))
}
