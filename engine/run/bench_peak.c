#include "run/bench_peak.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"
#ifdef TILLER_HAVE_VULKAN
#include "gpu/gpu_context.h"
#include "gpu/gpu_peak.h"
#endif

/* 64 bytes: one register with AVX-512, two with AVX2, four with SSE or NEON. The compiler fuses the
 * multiply-add (layer.cmake). */
typedef float vec __attribute__((vector_size(64)));

enum { CHAINS = 12, TURNS = 1 << 21, REPEATS = 5, PIECES = 64 };
static const size_t triad_n = (size_t)24 << 20; /* 288 MiB in three arrays */

struct loops {
    float *a, *b, *c;
    float sink[PIECES];
    int pieces;
};

/* Twelve chains hide the latency of every core that we know; an array of them would live in memory. */
static void multiply_add(void *arg, size_t i, int worker)
{
    struct loops *l = arg;
    vec m, s;
    (void)worker;
    for (int k = 0; k < 16; k++) {
        m[k] = 0.999999f;
        s[k] = 1e-6f * (float)(i + 1);
    }
    vec x0 = m, x1 = x0 + m, x2 = x1 + m, x3 = x2 + m, x4 = x3 + m, x5 = x4 + m;
    vec x6 = x5 + m, x7 = x6 + m, x8 = x7 + m, x9 = x8 + m, x10 = x9 + m, x11 = x10 + m;
    for (int t = 0; t < TURNS; t++) {
        x0 = x0 * m + s, x1 = x1 * m + s, x2 = x2 * m + s, x3 = x3 * m + s;
        x4 = x4 * m + s, x5 = x5 * m + s, x6 = x6 * m + s, x7 = x7 * m + s;
        x8 = x8 * m + s, x9 = x9 * m + s, x10 = x10 * m + s, x11 = x11 * m + s;
    }
    x0 += x1 + x2 + x3 + x4 + x5 + x6 + x7 + x8 + x9 + x10 + x11;
    l->sink[i] = x0[0] + x0[15];
}

static void triad(void *arg, size_t i, int worker)
{
    struct loops *l = arg;
    (void)worker;
    size_t from = triad_n * i / PIECES, to = triad_n * (i + 1) / PIECES;
    for (size_t k = from; k < to; k++) l->a[k] = l->b[k] + 3.0f * l->c[k];
}

static void touch(void *arg, size_t i, int worker)
{
    struct loops *l = arg;
    (void)worker;
    size_t from = triad_n * i / PIECES, n = triad_n * (i + 1) / PIECES - from;
    memset(l->a + from, 0, n * sizeof *l->a);
    memset(l->b + from, 0, n * sizeof *l->b);
    memset(l->c + from, 0, n * sizeof *l->c);
}

static double best_time(struct tl_pool *pool, size_t n, void (*fn)(void *, size_t, int), struct loops *l)
{
    double best = 0;
    for (int r = 0; r < REPEATS; r++) {
        double start = tl_clock_s();
        tl_pool_run(pool, n, fn, l);
        double s = tl_clock_s() - start;
        if (r == 0 || s < best) best = s;
    }
    return best > 0 ? best : 1e-9;
}

static bool cpu_peak(int threads, struct tl_bench_peak *out, struct tl_err *err)
{
    struct tl_pool *pool = tl_pool_create(threads, err);
    if (!pool) return false;
    struct loops l = {.a = malloc(triad_n * sizeof(float)),
                      .b = malloc(triad_n * sizeof(float)),
                      .c = malloc(triad_n * sizeof(float))};
    size_t n = (size_t)tl_pool_threads(pool);
    if (n > PIECES) n = PIECES;
    bool ok = (l.a && l.b && l.c) || tl_err_set(err, TL_FAIL, "out of memory for the triad loop");
    if (ok) {
        out->flops = 2.0 * 16 * CHAINS * TURNS * (double)n / best_time(pool, n, multiply_add, &l);
        tl_pool_run(pool, PIECES, touch, &l);
        out->bytes_s = 12.0 * (double)triad_n / best_time(pool, PIECES, triad, &l);
    }
    free(l.a);
    free(l.b);
    free(l.c);
    tl_pool_destroy(&pool);
    return ok;
}

#ifdef TILLER_HAVE_VULKAN

/* A context of its own: the device's is busy with graphs, and is its own affair. */
static bool vulkan_peak(const struct tl_device *device, struct tl_bench_peak *out, struct tl_err *err)
{
    const char *colon = strchr(device->name, ':');
    struct tl_gpu_params params = {.by_index = colon != NULL, .index = colon ? atoi(colon + 1) : 0};
    struct tl_gpu *gpu = tl_gpu_open(&params, err);
    bool ok = gpu && tl_gpu_peak(gpu, &out->flops, &out->bytes_s, err);
    tl_gpu_close(&gpu);
    return ok;
}

#else

static bool vulkan_peak(const struct tl_device *device, struct tl_bench_peak *out, struct tl_err *err)
{
    (void)out;
    return tl_err_set(err, TL_DEVICE, "%s: this build has no Vulkan", device->name);
}

#endif

bool tl_bench_peak(const struct tl_device *device, int threads, struct tl_bench_peak *out, struct tl_err *err)
{
    *out = (struct tl_bench_peak){0};
    return strcmp(device->name, "cpu") == 0 ? cpu_peak(threads, out, err) : vulkan_peak(device, out, err);
}
