/* Every variant of the matrix products against sums in double on the host. */
#include "support_gpu.h"

#include "gpu/gpu_gemm.h"

struct shape {
    int64_t m, n, k;
};

static const char *const op_names[] = {"nn", "nt", "tn"};
static const char *const variant_names[] = {"auto", "plain", "texel", "shared"};

static float *numbers(int64_t n, uint64_t seed)
{
    float *v = malloc((size_t)n * sizeof *v);
    support_fill(v, (size_t)n, seed);
    return v;
}

/* One batch element, in double, onto `c`. */
static void reference(const struct tl_gpu_gemm *g, const float *a, const float *b, const float *bias,
                      const float *add, float *c)
{
    for (int64_t i = 0; i < g->m; i++)
        for (int64_t j = 0; j < g->n; j++) {
            double sum = 0;
            for (int64_t k = 0; k < g->k; k++)
                sum += (double)(g->op == TL_GPU_TN ? a[k * g->lda + i] : a[i * g->lda + k]) *
                       (g->op == TL_GPU_NT ? b[j * g->ldb + k] : b[k * g->ldb + j]);
            sum *= g->alpha;
            if (bias) sum += bias[j];
            if (add) sum += add[i * g->ldd + j];
            if (g->accumulate) sum += c[i * g->ldc + j];
            c[i * g->ldc + j] = (float)sum;
        }
}

struct options {
    bool bias, add, accumulate, scratch, strided;
    size_t shift; /* elements that slices are off a good alignment */
    int64_t batch[2];
};

/* Runs one product on device and host and compares. */
static void compare(enum tl_gpu_gemm_op op, struct shape s, enum tl_gpu_variant variant, struct options o)
{
    struct tl_gpu *gpu = support_gpu();
    struct tl_err err = {0};
    const int64_t pad = o.strided ? 4 : 0, batches = o.batch[0] * o.batch[1];
    struct tl_gpu_gemm g = {.op = op,
                            .m = s.m,
                            .n = s.n,
                            .k = s.k,
                            .alpha = o.bias ? 0.5f : 1,
                            .accumulate = o.accumulate,
                            .variant = variant,
                            .batch = {o.batch[0], o.batch[1]}};
    const int64_t a_rows = op == TL_GPU_TN ? s.k : s.m, b_rows = op == TL_GPU_NT ? s.n : s.k;
    g.lda = (op == TL_GPU_TN ? s.m : s.k) + pad;
    g.ldb = (op == TL_GPU_NT ? s.k : s.n) + pad;
    g.ldc = s.n + pad;
    g.ldd = s.n + 2 * pad;
    const int64_t na = a_rows * g.lda, nb = b_rows * g.ldb, nc = s.m * g.ldc, nd = s.m * g.ldd;
    for (int i = 0; i < 2; i++) {
        const int64_t inner = i ? o.batch[0] : 1;
        g.a_stride[i] = na * inner;
        g.b_stride[i] = nb * inner;
        g.c_stride[i] = nc * inner;
        g.add_stride[i] = nd * inner;
    }
    float *a = numbers(na * batches, 1), *b = numbers(nb * batches, 2), *c = numbers(nc * batches, 3);
    float *d = numbers(nd * batches, 4), *bias = numbers(s.n, 5), *got = malloc((size_t)(nc * batches) * 4);
    g.a = support_slice(a, (size_t)(na * batches), o.shift);
    g.b = support_slice(b, (size_t)(nb * batches), o.shift);
    g.c = support_slice(c, (size_t)(nc * batches), o.shift);
    if (o.bias) g.bias = support_slice(bias, (size_t)s.n, o.shift);
    if (o.add) g.add = support_slice(d, (size_t)(nd * batches), o.shift);
    const uint64_t scratch = o.scratch ? tl_gpu_gemm_scratch(gpu, &g) : 0;
    if (o.scratch) assert_true(scratch > 0);
    if (scratch) g.scratch = support_slice(NULL, scratch / 4, 0);
    struct tl_gpu_program *p = tl_gpu_program_create(gpu, NULL, &err);
    check_ok(tl_gpu_gemm_record(gpu, p, &g, &err), &err);
    support_run(p);
    support_read(&g.c, got);
    for (int64_t z = 0; z < batches; z++)
        reference(&g, a + z * na, b + z * nb, o.bias ? bias : NULL, o.add ? d + z * nd : NULL, c + z * nc);
    double wrong = check_rel_l2(got, c, (size_t)(nc * batches));
    if (!(wrong < support_tolerance((double)s.k)))
        fail_msg("gemm_%s %s %lldx%lldx%lld: relative error %g (bias %d add %d accumulate %d shift %zu "
                 "strided %d)",
                 op_names[op], variant_names[variant], (long long)s.m, (long long)s.n, (long long)s.k, wrong,
                 o.bias, o.add, o.accumulate, o.shift, o.strided);
    struct tl_gpu_slice *all[] = {&g.a, &g.b, &g.c, &g.bias, &g.add, &g.scratch};
    for (size_t i = 0; i < 6; i++) support_slice_free(all[i]);
    free(a), free(b), free(c), free(d), free(bias), free(got);
}

static const struct shape shapes[] = {{1, 1, 1},     {3, 5, 7},    {16, 32, 8},   {17, 33, 9},
                                      {64, 64, 64},  {65, 36, 20}, {40, 100, 12}, {130, 4, 260},
                                      {2, 128, 102}, {72, 68, 34}};

static void test_shapes(void **state)
{
    (void)state;
    for (int op = 0; op < 3; op++)
        for (int v = TL_GPU_PLAIN; v <= TL_GPU_SHARED; v++)
            for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
                compare(op, shapes[i], v,
                        (struct options){.bias = i & 1, .add = i & 2, .accumulate = i & 4, .batch = {1, 1}});
}

static void test_unaligned(void **state)
{
    (void)state;
    for (int op = 0; op < 3; op++)
        for (int v = TL_GPU_PLAIN; v <= TL_GPU_SHARED; v++)
            for (size_t shift = 1; shift <= 4; shift++)
                compare(op, (struct shape){20, 36, 24}, v,
                        (struct options){.bias = true, .add = true, .shift = shift, .batch = {1, 1}});
}

static void test_batches(void **state)
{
    (void)state;
    for (int op = 0; op < 3; op++)
        for (int v = TL_GPU_PLAIN; v <= TL_GPU_SHARED; v++) {
            compare(op, (struct shape){24, 20, 16}, v, (struct options){.strided = true, .batch = {3, 2}});
            compare(op, (struct shape){5, 7, 3}, v,
                    (struct options){
                        .strided = true, .add = true, .accumulate = true, .bias = true, .batch = {2, 3}});
        }
}

static void test_splits(void **state)
{
    (void)state;
    for (int op = 0; op < 3; op++)
        for (int v = TL_GPU_TEXEL; v <= TL_GPU_SHARED; v++) {
            compare(op, (struct shape){20, 36, 4000}, v, (struct options){.scratch = true, .batch = {1, 1}});
            compare(op, (struct shape){9, 7, 4099}, v,
                    (struct options){
                        .scratch = true, .bias = true, .add = true, .accumulate = true, .batch = {1, 1}});
            compare(op, (struct shape){8, 8, 2050}, v,
                    (struct options){.scratch = true, .strided = true, .batch = {2, 1}});
        }
}

/* Longer than llvmpipe lets one invocation loop: a plain product must not stop at 65,535. */
static void test_long_k(void **state)
{
    (void)state;
    for (int op = 0; op < 3; op++) {
        compare(op, (struct shape){2, 4, 130001}, TL_GPU_PLAIN,
                (struct options){.bias = true, .batch = {1, 1}});
        compare(op, (struct shape){2, 4, 300004}, TL_GPU_TEXEL,
                (struct options){.bias = true, .batch = {1, 1}});
    }
}

/* More output than one binding may hold (128 MiB on llvmpipe), and more row tiles than one dispatch counts.
 */
static void test_windows(void **state)
{
    (void)state;
    struct tl_gpu *gpu = support_gpu();
    struct tl_err err = {0};
    const int64_t m = 1100000, n = 36, k = 4;
    float *a = numbers(m * k, 1), *b = numbers(k * n, 2), *got = malloc((size_t)(m * n) * 4);
    struct tl_gpu_gemm g = {.m = m,
                            .n = n,
                            .k = k,
                            .alpha = 1,
                            .a = support_slice(a, (size_t)(m * k), 0),
                            .b = support_slice(b, (size_t)(k * n), 0),
                            .c = support_slice(NULL, (size_t)(m * n), 0)};
    struct tl_gpu_program *p = tl_gpu_program_create(gpu, NULL, &err);
    check_ok(tl_gpu_gemm_record(gpu, p, &g, &err), &err);
    struct tl_gpu_program_stats stats;
    tl_gpu_program_stats(p, &stats);
    if (tl_gpu_facts(gpu)->max_storage_bytes < (uint64_t)(m * n * 4)) assert_true(stats.n_commands > 1);
    assert_int_equal(stats.n_barriers, 0); /* windows do not touch each other */
    support_run(p);
    support_read(&g.c, got);
    for (int64_t i = 0; i < m; i += 997)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t x = 0; x < k; x++) sum += (double)a[i * k + x] * b[x * n + j];
            check_near(got[i * n + j], sum, 1e-5);
        }
    support_slice_free(&g.a);
    support_slice_free(&g.b);
    support_slice_free(&g.c);
    free(a), free(b), free(got);
}

static void test_refusals(void **state)
{
    (void)state;
    struct tl_gpu *gpu = support_gpu();
    struct tl_err err = {0};
    struct tl_gpu_slice s = support_slice(NULL, 64, 0);
    struct tl_gpu_program *p = tl_gpu_program_create(gpu, NULL, &err);
    struct tl_gpu_gemm g = {.m = 8, .n = 9, .k = 8, .a = s, .b = s, .c = s, .alpha = 1};
    assert_false(tl_gpu_gemm_record(gpu, p, &g, &err));
    assert_non_null(strstr(err.text, "B needs 72 elements"));
    tl_err_clear(&err);
    g.n = 0;
    assert_false(tl_gpu_gemm_record(gpu, p, &g, &err));
    tl_gpu_program_destroy(&p);
    support_slice_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),   cmocka_unit_test(test_unaligned), cmocka_unit_test(test_batches),
        cmocka_unit_test(test_splits),   cmocka_unit_test(test_long_k),    cmocka_unit_test(test_windows),
        cmocka_unit_test(test_refusals),
    };
    support_gpu();
    return cmocka_run_group_tests(tests, NULL, support_gpu_close);
}
