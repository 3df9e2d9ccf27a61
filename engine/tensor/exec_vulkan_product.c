/* gemm and the convolutions: handed to engine/gpu. */
#include "gpu/gpu_conv.h"
#include "gpu/gpu_gemm.h"
#include "tensor/vulkan_call.h"

/* Scratch that engine/gpu asks for, in its units. */
static struct tl_gpu_slice scratch_of(struct tl_vulkan_call *call, uint64_t bytes)
{
    return bytes ? tl_vulkan_scratch(call, (int64_t)(bytes / 4)) : (struct tl_gpu_slice){0};
}

bool tl_vulkan_gemm(struct tl_vulkan_call *call, struct tl_err *err)
{
    const struct tl_shape *a = call->in_shape[0], *y = call->out_shape[0];
    const bool ta = call->attr->gemm.ta, tb = call->attr->gemm.tb;
    struct tl_gpu_gemm g = {.op = ta   ? TL_GPU_TN
                                  : tb ? TL_GPU_NT
                                       : TL_GPU_NN,
                            .m = y->dim[y->rank - 2],
                            .n = y->dim[y->rank - 1],
                            .k = a->dim[a->rank - (ta ? 2 : 1)],
                            .a = call->in[0],
                            .b = call->in[1],
                            .c = call->out[0],
                            .alpha = 1,
                            .accumulate = call->accumulate};
    if (call->n_in > 2) g.bias = call->in[2];
    if (call->n_in > 3) g.add = call->in[3];
    const int64_t batch = y->rank == 3 ? y->dim[0] : 1;
    g.batch[0] = batch;
    g.a_stride[0] = g.m * g.k;
    g.b_stride[0] = g.k * g.n;
    g.c_stride[0] = g.add_stride[0] = g.m * g.n;
    if (!tl_vulkan_fits(call, err)) return false;
    if (ta && tb) { /* rare: b is laid out again */
        g.b = tl_vulkan_scratch(call, batch * g.n * g.k);
        if (!tl_vulkan_transpose(call, call->in[1], batch, g.n, g.k, g.b, err)) return false;
    }
    g.scratch = scratch_of(call, tl_gpu_gemm_scratch(call->gpu, &g));
    return !call->program || tl_gpu_gemm_record(call->gpu, call->program, &g, err);
}

static struct tl_gpu_conv conv_of(const struct tl_vulkan_call *call, const struct tl_shape *x,
                                  const struct tl_shape *w, const struct tl_shape *y)
{
    const struct tl_conv *a = &call->attr->conv;
    return (struct tl_gpu_conv){.shape = {.n = x->dim[0],
                                          .h = x->dim[1],
                                          .w = x->dim[2],
                                          .c_in = x->dim[3],
                                          .out_h = y->dim[1],
                                          .out_w = y->dim[2],
                                          .c_out = y->dim[3],
                                          .kh = w->dim[0],
                                          .kw = w->dim[1],
                                          .stride = {a->stride[0], a->stride[1]},
                                          .dilation = {a->dilation[0], a->dilation[1]},
                                          .pad = {a->pad[0], a->pad[1]}},
                                .alpha = 1,
                                .accumulate = call->accumulate};
}

bool tl_vulkan_conv2d(struct tl_vulkan_call *call, struct tl_err *err)
{
    struct tl_gpu_conv c = conv_of(call, call->in_shape[0], call->in_shape[1], call->out_shape[0]);
    c.x = call->in[0];
    c.w = call->in[1];
    c.y = call->out[0];
    if (call->n_in > 2) c.bias = call->in[2];
    if (call->n_in > 3) c.add = call->in[3];
    return !call->program || tl_gpu_conv_forward(call->gpu, call->program, &c, err);
}

bool tl_vulkan_conv2d_dx(struct tl_vulkan_call *call, struct tl_err *err)
{
    struct tl_gpu_conv c = conv_of(call, call->out_shape[0], call->in_shape[1], call->in_shape[0]);
    c.y = call->in[0];
    c.w = call->in[1];
    c.x = call->out[0];
    return !call->program || tl_gpu_conv_data_grad(call->gpu, call->program, &c, err);
}

bool tl_vulkan_conv2d_dw(struct tl_vulkan_call *call, struct tl_err *err)
{
    struct tl_gpu_conv c = conv_of(call, call->in_shape[0], call->out_shape[0], call->in_shape[1]);
    c.x = call->in[0];
    c.y = call->in[1];
    c.w = call->out[0];
    c.scratch = scratch_of(call, tl_gpu_conv_scratch(call->gpu, &c));
    return !call->program || tl_gpu_conv_weight_grad(call->gpu, call->program, &c, err);
}
