#version 450
// y[n,oh,ow,co] = alpha * sum x[n, oh*s + kh*d - pad, ..., ci] w[kh,kw,ci,co] (+ bias) (+ add) (+ y)
#extension GL_GOOGLE_include_directive : require
#define CONV_DGRAD 0
#include "conv/conv_texel.glsl"
