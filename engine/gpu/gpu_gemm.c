#include "gpu/gpu_gemm.h"

#include <stdio.h>

#include "gpu/gpu_operand.h"
#include "gpu/gpu_reduce.h"

/* shaders/matmul/gemm.glsl */
struct gemm_push {
    int32_t m, n, k;
    int32_t lda, ldb, ldc, ldd;
    int32_t n_batch0;
    int32_t a0, b0, c0, d0;
    int32_t a1, b1, c1, d1;
    int32_t a_offset, b_offset, c_offset, d_offset, bias_offset;
    int32_t n_splits, k_part, split_stride;
    float alpha;
};
_Static_assert(sizeof(struct gemm_push) == 100, "gemm.glsl");

/* A workgroup's outputs, and how much of k an invocation may sum: llvmpipe ends loops at 65,535 turns. */
static const struct {
    const char *name;
    int64_t rows, cols, max_k;
    bool storage; /* operands are storage buffers, whose size the device limits */
} variants[] = {
    [TL_GPU_PLAIN] = {"plain", 4, 8, 60000, true},
    [TL_GPU_TEXEL] = {"texel", 16, 32, 4 * 60000, false},
    [TL_GPU_SHARED] = {"shared", 64, 64, 200000, true},
};

static enum tl_gpu_variant variant_of(const struct tl_gpu *gpu, const struct tl_gpu_gemm *g)
{
    if (g->variant != TL_GPU_AUTO) return g->variant;
    return tl_gpu_facts(gpu)->kind == TL_GPU_CLASS_CPU ? TL_GPU_TEXEL : TL_GPU_SHARED;
}

static struct tl_gpu_gemm with_defaults(struct tl_gpu_gemm g)
{
    if (g.lda == 0) g.lda = g.op == TL_GPU_TN ? g.m : g.k;
    if (g.ldb == 0) g.ldb = g.op == TL_GPU_NT ? g.k : g.n;
    if (g.ldc == 0) g.ldc = g.n;
    if (g.ldd == 0) g.ldd = g.n;
    for (int i = 0; i < 2; i++)
        if (g.batch[i] == 0) g.batch[i] = 1;
    return g;
}

/* Elements from the first to the last one touched. */
static int64_t span(const struct tl_gpu_gemm *g, int64_t rows, int64_t cols, int64_t ld,
                    const int64_t stride[2])
{
    return (rows - 1) * ld + cols + (g->batch[0] - 1) * stride[0] + (g->batch[1] - 1) * stride[1];
}

static int64_t span_a(const struct tl_gpu_gemm *g)
{
    return g->op == TL_GPU_TN ? span(g, g->k, g->m, g->lda, g->a_stride)
                              : span(g, g->m, g->k, g->lda, g->a_stride);
}

static int64_t span_b(const struct tl_gpu_gemm *g)
{
    return g->op == TL_GPU_NT ? span(g, g->n, g->k, g->ldb, g->b_stride)
                              : span(g, g->k, g->n, g->ldb, g->b_stride);
}

static int64_t span_c(const struct tl_gpu_gemm *g)
{
    return span(g, g->m, g->n, g->ldc, g->c_stride);
}

static int64_t span_d(const struct tl_gpu_gemm *g)
{
    return span(g, g->m, g->n, g->ldd, g->add_stride);
}

static bool check(const struct tl_gpu_gemm *g, struct tl_err *err)
{
    const int64_t most = INT32_MAX - 1024;
    const int64_t dims[] = {g->m, g->n, g->k, g->batch[0], g->batch[1], g->lda, g->ldb, g->ldc, g->ldd};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        if (dims[i] < 1 || dims[i] > most)
            return tl_err_set(err, TL_FAIL, "matrix product: a size of %lld", (long long)dims[i]);
    const struct {
        const char *name;
        int64_t need;
        const struct tl_gpu_slice *slice;
    } operands[] = {{"A", span_a(g), &g->a},
                    {"B", span_b(g), &g->b},
                    {"C", span_c(g), &g->c},
                    {"bias", g->n, &g->bias},
                    {"add", span_d(g), &g->add}};
    for (size_t i = 0; i < sizeof operands / sizeof *operands; i++) {
        const struct tl_gpu_slice *s = operands[i].slice;
        if (i >= 3 && !s->buffer) continue;
        if (!s->buffer || s->offset % 4 || operands[i].need > most ||
            (uint64_t)operands[i].need * 4 > s->bytes)
            return tl_err_set(err, TL_FAIL,
                              "matrix product %lld x %lld x %lld: %s needs %lld elements, has %llu bytes",
                              (long long)g->m, (long long)g->n, (long long)g->k, operands[i].name,
                              (long long)operands[i].need, (unsigned long long)s->bytes);
    }
    return true;
}

static void advance(struct tl_gpu_slice *s, int64_t elements)
{
    if (!s->buffer) return;
    s->offset += (uint64_t)elements * 4;
    s->bytes -= (uint64_t)elements * 4;
}

/* One dispatch; everything fits the device. The output goes in n_splits layers of split_stride. */
static bool record_dispatch(struct tl_gpu *gpu, struct tl_gpu_program *program, const struct tl_gpu_gemm *g,
                            int64_t n_splits, int64_t k_part, int64_t split_stride, struct tl_err *err)
{
    static const char *const ops[] = {"nn", "nt", "tn"};
    const enum tl_gpu_variant v = variant_of(gpu, g);
    int64_t ao, bo, co, doff = 0, so = 0;
    const int64_t c_span = span_c(g) + (n_splits - 1) * split_stride;
    struct tl_gpu_slice a = tl_gpu_align_slice(tl_gpu_first(g->a, span_a(g)), &ao);
    struct tl_gpu_slice b = tl_gpu_align_slice(tl_gpu_first(g->b, span_b(g)), &bo);
    struct tl_gpu_slice c = tl_gpu_align_slice(tl_gpu_first(g->c, c_span), &co);
    struct tl_gpu_slice bias = a, add = a;
    if (g->bias.buffer) bias = tl_gpu_align_slice(tl_gpu_first(g->bias, g->n), &so);
    if (g->add.buffer) add = tl_gpu_align_slice(tl_gpu_first(g->add, span_d(g)), &doff);
    const int64_t for_a[] = {g->op == TL_GPU_TN ? g->m : g->k, g->lda, g->a_stride[0], g->a_stride[1], ao};
    const int64_t for_b[] = {g->op == TL_GPU_NT ? g->k : g->n, g->ldb, g->b_stride[0], g->b_stride[1], bo};
    const int64_t for_c[] = {g->n, g->ldc, g->c_stride[0], g->c_stride[1], co, split_stride};
    const int64_t for_d[] = {g->ldd, g->add_stride[0], g->add_stride[1], doff, so};
    const bool a_vec = tl_gpu_fours(for_a, 5), b_vec = tl_gpu_fours(for_b, 5);
    const bool c_vec = tl_gpu_fours(for_c, 6) && (!g->add.buffer || tl_gpu_fours(for_d, 4)) && so % 4 == 0;
    /* Two steps of four a loop turn, where every part has an even number of them. */
    const bool pair = tl_gpu_ceil_div(g->k, 4) % 2 == 0 && (n_splits == 1 || k_part % 8 == 0);
    const bool k_tail = g->k % 4 != 0 || k_part % 4 != 0;
    const uint32_t spec[] = {a_vec,         b_vec,  c_vec, g->bias.buffer != NULL, g->add.buffer != NULL,
                             g->accumulate, k_tail, pair};
    char name[64];
    snprintf(name, sizeof name, "gemm_%s_%s", ops[g->op], variants[v].name);
    const struct tl_gpu_kernel *kernel = tl_gpu_kernel_get(gpu, name, spec, sizeof spec / sizeof *spec, err);
    if (!kernel) return false;
    const struct tl_gpu_slice bind[] = {tl_gpu_texels(a, a_vec), tl_gpu_texels(b, b_vec), c,
                                        tl_gpu_texels(bias, c_vec), tl_gpu_texels(add, c_vec)};
    const struct gemm_push push = {
        .m = (int32_t)g->m,
        .n = (int32_t)g->n,
        .k = (int32_t)g->k,
        .lda = (int32_t)g->lda,
        .ldb = (int32_t)g->ldb,
        .ldc = (int32_t)g->ldc,
        .ldd = (int32_t)g->ldd,
        .n_batch0 = (int32_t)g->batch[0],
        .a0 = (int32_t)g->a_stride[0],
        .b0 = (int32_t)g->b_stride[0],
        .c0 = (int32_t)g->c_stride[0],
        .d0 = (int32_t)g->add_stride[0],
        .a1 = (int32_t)g->a_stride[1],
        .b1 = (int32_t)g->b_stride[1],
        .c1 = (int32_t)g->c_stride[1],
        .d1 = (int32_t)g->add_stride[1],
        .a_offset = (int32_t)ao,
        .b_offset = (int32_t)bo,
        .c_offset = (int32_t)co,
        .d_offset = (int32_t)doff,
        .bias_offset = (int32_t)so,
        .n_splits = (int32_t)n_splits,
        .k_part = (int32_t)k_part,
        .split_stride = (int32_t)split_stride,
        .alpha = g->alpha,
    };
    const struct tl_gpu_dispatch d = {
        .kernel = kernel,
        .bind = bind,
        .n_bind = 5,
        .push = &push,
        .push_bytes = sizeof push,
        .groups = {(uint32_t)tl_gpu_ceil_div(g->n, variants[v].cols),
                   (uint32_t)tl_gpu_ceil_div(g->m, variants[v].rows),
                   (uint32_t)(g->batch[0] * g->batch[1] * n_splits)},
        .work = 2.0 * (double)g->m * (double)g->n * (double)g->k * (double)(g->batch[0] * g->batch[1]),
    };
    return tl_gpu_program_dispatch(program, &d, err);
}

/* How many parts k is cut into so that a device with few tiles to do is kept busy. 1: not at all. */
static int64_t wanted_splits(const struct tl_gpu *gpu, const struct tl_gpu_gemm *g)
{
    const enum tl_gpu_variant v = variant_of(gpu, g);
    const int64_t busy = tl_gpu_facts(gpu)->kind == TL_GPU_CLASS_CPU ? 16 : 256;
    const int64_t tiles = tl_gpu_ceil_div(g->m, variants[v].rows) * tl_gpu_ceil_div(g->n, variants[v].cols) *
                          g->batch[0] * g->batch[1];
    if (v == TL_GPU_PLAIN || tiles >= busy || g->k < 1024) return 1;
    return tl_gpu_min(tl_gpu_min(busy / tiles, g->k / 512), 32);
}

uint64_t tl_gpu_gemm_scratch(const struct tl_gpu *gpu, const struct tl_gpu_gemm *g)
{
    const struct tl_gpu_gemm full = with_defaults(*g);
    const int64_t splits = wanted_splits(gpu, &full);
    return splits < 2 ? 0 : (uint64_t)(splits * full.m * full.n * full.batch[0] * full.batch[1]) * 4;
}

static bool record_split(struct tl_gpu *gpu, struct tl_gpu_program *program, const struct tl_gpu_gemm *g,
                         int64_t splits, struct tl_err *err)
{
    const int64_t k_part = tl_gpu_ceil_div(tl_gpu_ceil_div(g->k, splits), 16) * 16;
    const int64_t size = g->m * g->n;
    splits = tl_gpu_ceil_div(g->k, k_part);
    struct tl_gpu_gemm part = *g;
    part.c = g->scratch;
    part.ldc = g->n;
    part.c_stride[0] = splits * size;
    part.c_stride[1] = g->batch[0] * splits * size;
    part.bias = part.add = (struct tl_gpu_slice){0};
    part.accumulate = false;
    part.alpha = 1;
    struct tl_gpu_reduce sum = {
        .part = tl_gpu_first(g->scratch, splits * size * g->batch[0] * g->batch[1]),
        .rows = g->m,
        .cols = g->n,
        .n_splits = splits,
        .batch = {g->batch[0], g->batch[1]},
        .ldc = g->ldc,
        .ldd = g->ldd,
        .c_stride = {g->c_stride[0], g->c_stride[1]},
        .add_stride = {g->add_stride[0], g->add_stride[1]},
        .c = tl_gpu_first(g->c, span_c(g)),
        .alpha = g->alpha,
        .accumulate = g->accumulate,
    };
    if (g->bias.buffer) sum.bias = tl_gpu_first(g->bias, g->n);
    if (g->add.buffer) sum.add = tl_gpu_first(g->add, span_d(g));
    return record_dispatch(gpu, program, &part, splits, k_part, size, err) &&
           tl_gpu_reduce_record(gpu, program, &sum, err);
}

/* k longer than an invocation may loop: one dispatch after the other adds to C. */
static bool record_long_k(struct tl_gpu *gpu, struct tl_gpu_program *program, const struct tl_gpu_gemm *g,
                          int64_t max_k, struct tl_err *err)
{
    for (int64_t k = 0; k < g->k; k += max_k) {
        struct tl_gpu_gemm part = *g;
        part.k = tl_gpu_min(max_k, g->k - k);
        advance(&part.a, g->op == TL_GPU_TN ? k * g->lda : k);
        advance(&part.b, g->op == TL_GPU_NT ? k : k * g->ldb);
        if (k > 0) {
            part.bias = part.add = (struct tl_gpu_slice){0};
            part.accumulate = true;
        }
        if (!record_dispatch(gpu, program, &part, 1, part.k, 0, err)) return false;
    }
    return true;
}

static bool fits(const struct tl_gpu *gpu, const struct tl_gpu_gemm *g)
{
    const struct tl_gpu_facts *f = tl_gpu_facts(gpu);
    const enum tl_gpu_variant v = variant_of(gpu, g);
    const int64_t limit = (int64_t)(f->max_storage_bytes - TL_GPU_ALIGN) / 4;
    bool ok = span_c(g) <= limit && tl_gpu_ceil_div(g->n, variants[v].cols) <= f->max_groups[0] &&
              tl_gpu_ceil_div(g->m, variants[v].rows) <= f->max_groups[1] &&
              g->batch[0] * g->batch[1] <= f->max_groups[2];
    if (variants[v].storage)
        ok = ok && span_a(g) <= limit && span_b(g) <= limit && (!g->add.buffer || span_d(g) <= limit);
    return ok;
}

static bool record_part(struct tl_gpu *gpu, struct tl_gpu_program *program, const struct tl_gpu_gemm *g,
                        struct tl_err *err);

/* About a half, a multiple of 64 so that alignment stays; n > 64. */
static int64_t half_of(int64_t n)
{
    const int64_t half = n / 2 - n / 2 % 64;
    return half > 0 ? half : 64;
}

/* Halves along the outermost axis that has more than one element, and records both halves. */
static bool record_halves(struct tl_gpu *gpu, struct tl_gpu_program *program, const struct tl_gpu_gemm *g,
                          struct tl_err *err)
{
    struct tl_gpu_gemm head = *g, tail = *g;
    for (int i = 1; i >= 0; i--) {
        if (g->batch[i] == 1) continue;
        const int64_t half = g->batch[i] / 2;
        head.batch[i] = half;
        tail.batch[i] = g->batch[i] - half;
        advance(&tail.a, half * g->a_stride[i]);
        advance(&tail.b, half * g->b_stride[i]);
        advance(&tail.c, half * g->c_stride[i]);
        advance(&tail.add, half * g->add_stride[i]);
        return record_part(gpu, program, &head, err) && record_part(gpu, program, &tail, err);
    }
    if (g->m > 64) {
        const int64_t half = half_of(g->m);
        head.m = half;
        tail.m = g->m - half;
        advance(&tail.a, g->op == TL_GPU_TN ? half : half * g->lda);
        advance(&tail.c, half * g->ldc);
        advance(&tail.add, half * g->ldd);
    } else if (g->n > 64) {
        const int64_t half = half_of(g->n);
        head.n = half;
        tail.n = g->n - half;
        advance(&tail.b, g->op == TL_GPU_NT ? half * g->ldb : half);
        advance(&tail.c, half);
        advance(&tail.bias, half);
        advance(&tail.add, half);
    } else {
        return tl_err_set(err, TL_DEVICE,
                          "matrix product: the operands are larger than the device binds at once");
    }
    return record_part(gpu, program, &head, err) && record_part(gpu, program, &tail, err);
}

static bool record_part(struct tl_gpu *gpu, struct tl_gpu_program *program, const struct tl_gpu_gemm *g,
                        struct tl_err *err)
{
    const int64_t max_k = variants[variant_of(gpu, g)].max_k;
    if (!fits(gpu, g)) return record_halves(gpu, program, g, err);
    if (g->k > max_k) return record_long_k(gpu, program, g, max_k, err);
    return record_dispatch(gpu, program, g, 1, g->k, 0, err);
}

bool tl_gpu_gemm_record(struct tl_gpu *gpu, struct tl_gpu_program *program, const struct tl_gpu_gemm *g,
                        struct tl_err *err)
{
    const struct tl_gpu_gemm full = with_defaults(*g);
    if (!check(&full, err)) return false;
    const int64_t splits = wanted_splits(gpu, &full);
    if (splits > 1 && full.scratch.buffer && full.scratch.bytes >= tl_gpu_gemm_scratch(gpu, &full) &&
        fits(gpu, &full) && full.scratch.bytes <= tl_gpu_facts(gpu)->max_storage_bytes &&
        tl_gpu_ceil_div(full.k, splits) + 16 <= variants[variant_of(gpu, &full)].max_k)
        return record_split(gpu, program, &full, splits, err);
    return record_part(gpu, program, &full, err);
}
