/* Prints GFLOP/s of the matrix kernels on the Vulkan device that `auto` would take, CPU drivers included:
 *   gpu_times [PART_OF_A_NAME]
 * Wall time, and per core of CPU time: what a CPU driver does is best read there on a machine that others use
 * too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <tiller/log.h>

#include "base/clock.h"
#include "gpu/gpu_conv.h"
#include "gpu/gpu_gemm.h"

static struct tl_gpu *gpu;
static struct tl_err err;

static void die(void)
{
    fprintf(stderr, "%s\n", err.text);
    exit(1);
}

static struct tl_gpu_slice filled(int64_t n)
{
    struct tl_gpu_buffer *b = tl_gpu_buffer_create(gpu, TL_GPU_LOCAL, (uint64_t)n * 4, &err);
    float *data = malloc((size_t)n * 4);
    if (!b || !data) die();
    for (int64_t i = 0; i < n; i++) data[i] = (float)((i * 7919) % 1000) / 500.0f - 1;
    if (!tl_gpu_buffer_write(b, 0, data, (uint64_t)n * 4, &err)) die();
    free(data);
    return tl_gpu_slice(b, 0, (uint64_t)n * 4);
}

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int order(const void *a, const void *b)
{
    double d = *(const double *)a - *(const double *)b;
    return d < 0 ? -1 : d > 0;
}

static void run(const char *name, struct tl_gpu_program *p, double flops)
{
    double t[9], cpu = 0;
    if (!tl_gpu_program_end(p, &err)) die();
    for (int i = -1; i < 9; i++) {
        double t0 = tl_clock_s(), c0 = cpu_s();
        if (!tl_gpu_program_run(p, &err) || !tl_gpu_wait(gpu, &err)) die();
        if (i >= 0) t[i] = tl_clock_s() - t0, cpu += (cpu_s() - c0) / 9;
    }
    qsort(t, 9, sizeof *t, order);
    printf("%-34s %9.3f ms  %7.1f GFLOP/s best %.1f, a core of CPU time %.1f\n", name, t[4] * 1e3,
           flops / t[4] * 1e-9, flops / t[0] * 1e-9, flops / cpu * 1e-9);
    fflush(stdout);
    tl_gpu_program_destroy(&p);
}

static const char *filter = "";

static void gemm(enum tl_gpu_gemm_op op, int64_t m, int64_t n, int64_t k, enum tl_gpu_variant v)
{
    static const char *const ops[] = {"nn", "nt", "tn"};
    static const char *const vs[] = {"auto", "plain", "texel", "shared"};
    char name[96];
    snprintf(name, sizeof name, "gemm_%s %lldx%lldx%lld %s", ops[op], (long long)m, (long long)n,
             (long long)k, vs[v]);
    if (!strstr(name, filter)) return;
    struct tl_gpu_gemm g = {.op = op,
                            .m = m,
                            .n = n,
                            .k = k,
                            .a = filled(m * k),
                            .b = filled(k * n),
                            .c = filled(m * n),
                            .alpha = 1,
                            .variant = v};
    uint64_t scratch = tl_gpu_gemm_scratch(gpu, &g);
    if (scratch) g.scratch = filled((int64_t)scratch / 4);
    struct tl_gpu_program *p = tl_gpu_program_create(gpu, NULL, &err);
    if (!p || !tl_gpu_gemm_record(gpu, p, &g, &err)) die();
    run(name, p, 2.0 * (double)m * (double)n * (double)k);
    tl_gpu_buffer_destroy(&g.a.buffer);
    tl_gpu_buffer_destroy(&g.b.buffer);
    tl_gpu_buffer_destroy(&g.c.buffer);
    tl_gpu_buffer_destroy(&g.scratch.buffer);
}

static void conv(int op, int64_t n, int64_t hw, int64_t ci, int64_t co, int64_t k, int64_t stride,
                 enum tl_gpu_variant v)
{
    static const char *const ops[] = {"fwd", "dgrad", "wgrad"};
    static const char *const vs[] = {"auto", "plain", "texel", "shared"};
    char name[96];
    snprintf(name, sizeof name, "conv%lldx%lld_%s n%lld %lld^2 %lld->%lld s%lld %s", (long long)k,
             (long long)k, ops[op], (long long)n, (long long)hw, (long long)ci, (long long)co,
             (long long)stride, vs[v]);
    if (!strstr(name, filter)) return;
    const struct tl_gpu_conv_shape s = {.n = n,
                                        .h = hw,
                                        .w = hw,
                                        .c_in = ci,
                                        .out_h = (hw + stride - 1) / stride,
                                        .out_w = (hw + stride - 1) / stride,
                                        .c_out = co,
                                        .kh = k,
                                        .kw = k,
                                        .stride = {stride, stride},
                                        .pad = {k / 2, k / 2}};
    struct tl_gpu_conv c = {.shape = s,
                            .x = filled(n * hw * hw * ci),
                            .w = filled(k * k * ci * co),
                            .y = filled(n * s.out_h * s.out_w * co),
                            .alpha = 1,
                            .variant = v};
    uint64_t scratch = op == 2 ? tl_gpu_conv_scratch(gpu, &c) : 0;
    if (scratch) c.scratch = filled((int64_t)scratch / 4);
    struct tl_gpu_program *p = tl_gpu_program_create(gpu, NULL, &err);
    bool ok = p && (op == 0   ? tl_gpu_conv_forward
                    : op == 1 ? tl_gpu_conv_data_grad
                              : tl_gpu_conv_weight_grad)(gpu, p, &c, &err);
    if (!ok) die();
    run(name, p, tl_gpu_conv_flops(&s));
    tl_gpu_buffer_destroy(&c.x.buffer);
    tl_gpu_buffer_destroy(&c.w.buffer);
    tl_gpu_buffer_destroy(&c.y.buffer);
    tl_gpu_buffer_destroy(&c.scratch.buffer);
}

static void say(void *user, enum tl_log_level level, const char *text)
{
    (void)user;
    if (level <= TL_LOG_WARN) fprintf(stderr, "%s\n", text);
}

int main(int argc, char **argv)
{
    if (argc > 1) filter = argv[1];
    tl_log_set(say, NULL);
    gpu = tl_gpu_open(NULL, &err);
    if (!gpu) die();
    printf("%s, %s\n", tl_gpu_facts(gpu)->name, tl_gpu_facts(gpu)->driver);
    for (int op = 0; op < 3; op++) gemm((enum tl_gpu_gemm_op)op, 1024, 1024, 1024, TL_GPU_AUTO);
    for (int op = 0; op < 3; op++) conv(op, 16, 32, 128, 128, 3, 1, TL_GPU_AUTO);
    for (int op = 0; op < 3; op++) gemm((enum tl_gpu_gemm_op)op, 512, 512, 512, TL_GPU_AUTO);
    gemm(TL_GPU_NN, 4096, 64, 64, TL_GPU_AUTO);
    gemm(TL_GPU_NN, 1024, 512, 128, TL_GPU_AUTO);
    gemm(TL_GPU_TN, 128, 128, 4096, TL_GPU_AUTO);
    for (int op = 0; op < 3; op++) conv(op, 16, 16, 64, 64, 3, 1, TL_GPU_AUTO);
    for (int op = 0; op < 3; op++) conv(op, 16, 4, 192, 192, 3, 1, TL_GPU_AUTO);
    for (int op = 0; op < 3; op++) conv(op, 16, 16, 64, 64, 3, 2, TL_GPU_AUTO);
    for (int op = 0; op < 3; op++) conv(op, 16, 64, 3, 64, 3, 1, TL_GPU_AUTO);
    for (int op = 0; op < 3; op++) conv(op, 16, 64, 64, 3, 3, 1, TL_GPU_AUTO);
    gemm(TL_GPU_NN, 509, 511, 517, TL_GPU_AUTO);
    gemm(TL_GPU_NN, 256, 256, 256, TL_GPU_PLAIN);
    gemm(TL_GPU_NN, 256, 256, 256, TL_GPU_SHARED);
    tl_gpu_close(&gpu);
    return 0;
}
