#include "run/bench_rows.h"

#include <stdlib.h>

#include "base/rng.h"

/* ---- kernels ---- */

static void gemm(struct tl_graph *g, bool ta, bool tb)
{
    tl_val a = tl_input(g, "a", TL_F32, tl_shape2(1024, 1024)),
           b = tl_input(g, "b", TL_F32, tl_shape2(1024, 1024));
    tl_output(g, tl_gemm(g, a, b, TL_NONE, TL_NONE, ta, tb), "y");
}

static void gemm_nn(struct tl_graph *g)
{
    gemm(g, false, false);
}

static void gemm_nt(struct tl_graph *g)
{
    gemm(g, false, true);
}

static void gemm_tn(struct tl_graph *g)
{
    gemm(g, true, false);
}

static const struct tl_conv same3x3 = {.stride = {1, 1}, .dilation = {1, 1}, .pad = {1, 1, 1, 1}};

static tl_val pixels(struct tl_graph *g, const char *name)
{
    return tl_input(g, name, TL_F32, tl_shape4(16, 32, 32, 128));
}

static void conv_fwd(struct tl_graph *g)
{
    tl_val w = tl_input(g, "w", TL_F32, tl_shape4(3, 3, 128, 128));
    tl_output(g, tl_conv2d(g, pixels(g, "x"), w, TL_NONE, TL_NONE, same3x3), "y");
}

static void conv_dgrad(struct tl_graph *g)
{
    tl_val w = tl_input(g, "w", TL_F32, tl_shape4(3, 3, 128, 128));
    tl_output(g, tl_conv2d_dx(g, pixels(g, "dy"), w, same3x3, tl_shape4(16, 32, 32, 128)), "dx");
}

static void conv_wgrad(struct tl_graph *g)
{
    tl_val x = pixels(g, "x"), dy = pixels(g, "dy");
    tl_output(g, tl_conv2d_dw(g, x, dy, same3x3, tl_shape4(3, 3, 128, 128)), "dw");
}

static tl_val attention(struct tl_graph *g, tl_val q)
{
    tl_val k = tl_input(g, "k", TL_F32, tl_shape3(16, 256, 128)),
           v = tl_input(g, "v", TL_F32, tl_shape3(16, 256, 128));
    return tl_attention(g, q, k, v, TL_NONE, 4, 0.17677669f, false);
}

static void attention_fwd(struct tl_graph *g)
{
    tl_output(g, attention(g, tl_input(g, "q", TL_F32, tl_shape3(16, 256, 128))), "y");
}

static void attention_step(struct tl_graph *g)
{
    tl_val q = tl_input(g, "q", TL_F32, tl_shape3(16, 256, 128)), y = attention(g, q);
    tl_val wrt[3] = {q, tl_graph_find_input(g, "k"), tl_graph_find_input(g, "v")}, d[3];
    struct tl_backward_params p = {
        .outputs = &y, .cotangents = &y, .n_outputs = 1, .wrt = wrt, .out_wrt = d, .n_wrt = 3};
    if (!tl_graph_backward(g, &p)) return;
    tl_output(g, d[0], "dq");
    tl_output(g, d[1], "dk");
    tl_output(g, d[2], "dv");
}

static void group_norm(struct tl_graph *g)
{
    tl_val gamma = tl_input(g, "gamma", TL_F32, tl_shape1(128)),
           beta = tl_input(g, "beta", TL_F32, tl_shape1(128));
    tl_output(g, tl_group_norm(g, pixels(g, "x"), gamma, beta, 32, 1e-5f, true), "y");
}

static void layer_norm(struct tl_graph *g)
{
    tl_val gamma = tl_input(g, "gamma", TL_F32, tl_shape1(128)),
           beta = tl_input(g, "beta", TL_F32, tl_shape1(128));
    tl_output(g, tl_layer_norm(g, tl_input(g, "x", TL_F32, tl_shape2(16384, 128)), gamma, beta, 1e-5f), "y");
}

static void add(struct tl_graph *g)
{
    tl_output(
        g,
        tl_add(g, tl_input(g, "a", TL_F32, tl_shape1(1 << 24)), tl_input(g, "b", TL_F32, tl_shape1(1 << 24))),
        "y");
}

static void softmax(struct tl_graph *g)
{
    tl_output(g, tl_softmax(g, tl_input(g, "x", TL_F32, tl_shape2(16384, 256))), "y");
}

const struct tl_bench_row tl_bench_rows[] = {
    {"gemm_nn_1024", "product of 1024 x 1024 matrices", gemm_nn, NULL},
    {"gemm_nt_1024", "the same, second operand transposed", gemm_nt, NULL},
    {"gemm_tn_1024", "the same, first operand transposed", gemm_tn, NULL},
    {"conv3x3_fwd", "3x3 convolution, batch 16, 32x32, 128 to 128 channels", conv_fwd, NULL},
    {"conv3x3_dgrad", "its data gradient", conv_dgrad, NULL},
    {"conv3x3_wgrad", "its weight gradient", conv_wgrad, NULL},
    {"conv3x3", "3x3 convolution of Inception, batch 8, 35x35, 96 to 96 channels", tl_bench_conv_same, NULL},
    {"conv3x3_stem", "the same on 299x299 pictures with stride 2, 3 to 32 channels", tl_bench_conv_stem,
     NULL},
    {"conv3x3_strided", "the same on 35x35 with stride 2, 288 to 384 channels", tl_bench_conv_strided, NULL},
    {"conv1x1", "1x1 convolution, batch 8, 17x17, 768 to 192 channels", tl_bench_conv_point, NULL},
    {"conv1x7", "1x7 convolution, batch 8, 17x17, 192 to 192 channels", tl_bench_conv_wide, NULL},
    {"conv7x1", "7x1 convolution, the same", tl_bench_conv_tall, NULL},
    {"attention_fwd", "attention, batch 16, 256 tokens, 4 heads of 32", attention_fwd, NULL},
    {"attention_step", "the same with all gradients", attention_step, NULL},
    {"group_norm_silu", "group norm with SiLU, batch 16, 32x32, 128 channels", group_norm, NULL},
    {"layer_norm", "layer norm of 16384 rows of 128", layer_norm, NULL},
    {"softmax", "softmax of 16384 rows of 256", softmax, NULL},
    {"add", "sum of two vectors of 16 M", add, NULL},
    {"unet_forward", "a UNet of 16 M weights, batch 16, 16x16", NULL, tl_bench_unet_forward},
    {"unet_train_step", "its forward, backward and AdamW on all weights", NULL, tl_bench_unet_train},
    {"clip_b32", "CLIP ViT-B/32 on a batch of 32 pictures", NULL, tl_bench_clip_b32},
    {"clip_l14", "CLIP ViT-L/14 on a batch of 4 pictures", NULL, tl_bench_clip_l14},
    {"inception", "InceptionV3 of pytorch-fid on a batch of 8 pictures", NULL, tl_bench_inception},
    {0},
};

/* ---- running a graph ---- */

void tl_bench_mark(struct tl_graph *g)
{
    tl_output(g, tl_fill(g, tl_shape1(1), 1), "bench_mark");
}

bool tl_bench_wait(struct tl_exec *exec, struct tl_err *err)
{
    float one;
    return tl_exec_read(exec, "bench_mark", &one, err);
}

bool tl_bench_fill(struct tl_exec *exec, struct tl_err *err)
{
    const struct tl_graph *g = tl_exec_graph(exec);
    for (tl_val v = 0; v < g->n_values; v++) {
        const struct tl_value *value = &g->values[v];
        if (value->role != TL_ROLE_INPUT || value->dtype != TL_F32) continue;
        size_t n = (size_t)tl_shape_count(&value->shape);
        float *data = malloc(n * sizeof *data);
        if (!data) return tl_err_set(err, TL_FAIL, "out of memory");
        tl_rng_normal((struct tl_rng_key){.stream = TL_RNG_TEST, .sample = (uint32_t)v}, 0, n, data);
        bool ok = tl_exec_write(exec, value->name, data, err);
        free(data);
        if (!ok) return false;
    }
    return true;
}

static bool run_kernel(void *self, struct tl_err *err)
{
    return tl_exec_run(self, err) && tl_bench_wait(self, err);
}

static void destroy_kernel(void *self)
{
    struct tl_exec *exec = self;
    tl_exec_destroy(&exec);
}

static bool open_kernel(const struct tl_bench_row *row, struct tl_device *device, struct tl_bench_unit *out,
                        struct tl_err *err)
{
    struct tl_graph *g = tl_graph_create();
    if (!g) return tl_err_set(err, TL_FAIL, "out of memory");
    row->build(g);
    tl_bench_mark(g);
    struct tl_exec *exec = tl_graph_ok(g, err) ? tl_exec_create(device, &g, err) : NULL;
    tl_graph_destroy(&g);
    *out = (struct tl_bench_unit){.self = exec, .run = run_kernel, .destroy = destroy_kernel};
    if (!exec) return false;
    tl_bench_work(tl_exec_graph(exec), &out->flops, &out->bytes);
    return tl_bench_fill(exec, err);
}

bool tl_bench_open(const struct tl_bench_row *row, struct tl_device *device, struct tl_bench_unit *out,
                   struct tl_err *err)
{
    return row->build ? open_kernel(row, device, out, err) : row->open(device, out, err);
}
