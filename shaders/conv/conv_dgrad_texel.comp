#version 450
// dx[n,ih,iw,ci] = alpha * sum dy[n,oh,ow,co] w[kh,kw,ci,co] over oh*s + kh*d - pad = ih (+ add) (+ dx)
#extension GL_GOOGLE_include_directive : require
#define CONV_DGRAD 1
#include "conv/conv_texel.glsl"
