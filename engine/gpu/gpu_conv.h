/* Convolutions on the device, f32, as products without a patch buffer.
 *
 * Activations [N,H,W,C], weights [kh,kw,Cin,Cout], all dense. One dimension is h = 1. Padding is given before
 * each axis; what comes after it follows from the output's size, so it may be asymmetric. Slices must start
 * at multiples of 256 bytes. Channels in fours are the fast case. */
#ifndef TL_GPU_CONV_H
#define TL_GPU_CONV_H

#include <stdbool.h>
#include <stdint.h>

#include "gpu/gpu_command.h"
#include "gpu/gpu_context.h"
#include "gpu/gpu_gemm.h"

struct tl_gpu_conv_shape {
    int64_t n, h, w, c_in;       /* x [n,h,w,c_in] */
    int64_t out_h, out_w, c_out; /* y [n,out_h,out_w,c_out] */
    int64_t kh, kw;
    int64_t stride[2], dilation[2],
        pad[2]; /* y, x; 0 stride and dilation mean 1; pad: rows above, columns left */
};

struct tl_gpu_conv {
    struct tl_gpu_conv_shape shape;
    struct tl_gpu_slice x, w, y; /* the gradients stand in for what they are gradients of */
    struct tl_gpu_slice bias;    /* forward: [c_out]; no buffer: none */
    struct tl_gpu_slice add;     /* forward: like y; data gradient: like x; no buffer: none */
    float alpha;                 /* 1 for a plain convolution */
    bool accumulate;             /* adds to the result's old value */
    enum tl_gpu_variant variant;
    struct tl_gpu_slice scratch; /* weight gradient: tl_gpu_conv_scratch bytes; none: slower */
};

/* y = alpha * conv(x, w) (+ bias) (+ add) (+ y) */
bool tl_gpu_conv_forward(struct tl_gpu *gpu, struct tl_gpu_program *program, const struct tl_gpu_conv *c,
                         struct tl_err *err);
/* x = alpha * dL/dx given y = dL/dy and w (+ add) (+ x) */
bool tl_gpu_conv_data_grad(struct tl_gpu *gpu, struct tl_gpu_program *program, const struct tl_gpu_conv *c,
                           struct tl_err *err);
/* w = alpha * dL/dw given x and y = dL/dy (+ w) */
bool tl_gpu_conv_weight_grad(struct tl_gpu *gpu, struct tl_gpu_program *program, const struct tl_gpu_conv *c,
                             struct tl_err *err);

/* Bytes of scratch that would help the weight gradient; 0: none. */
uint64_t tl_gpu_conv_scratch(const struct tl_gpu *gpu, const struct tl_gpu_conv *c);

/* Floating-point operations of the forward pass, or of either gradient. */
double tl_gpu_conv_flops(const struct tl_gpu_conv_shape *s);

#endif
