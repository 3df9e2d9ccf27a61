/* The cpu device's fast kernels against its plain double ones, called directly, over shapes that reach every
 * path: tails of tiles and panels, strides, dilations, lopsided pads, kernels larger than the picture, parts
 * of k, causal and masked attention. Results must not depend on the number of threads. */
#include "support/check.h"

#include "tensor/cpu.h"

enum { N_THREADS = 3 };

static struct tl_pool *pools[2]; /* 1 and N_THREADS threads */

struct operand {
    struct tl_shape shape;
    bool is_there;
    float *f;
    double *d;
};

struct sample {
    enum tl_op op;
    union tl_attr attr;
    int n_in, n_out;
    struct operand in[TL_MAX_IN], out[TL_MAX_OUT];
    bool accumulate;
};

static void *aligned(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
    assert_non_null(p);
    memset(p, 0x7f, (bytes + 127) / 64 * 64); /* large numbers where nothing was written */
    return p;
}

static uint32_t next_random = 1;

static float random_unit(void)
{
    next_random = next_random * 1664525u + 1013904223u;
    return (float)(next_random >> 8) / 8388608.0f - 1.0f;
}

static void fill(struct operand *x, struct tl_shape shape)
{
    size_t n = (size_t)tl_shape_count(&shape);
    *x = (struct operand){shape, true, aligned(n * sizeof(float)), aligned(n * sizeof(double))};
    for (size_t i = 0; i < n; i++) x->d[i] = x->f[i] = random_unit();
}

static void call_kernel(const struct sample *s, tl_cpu_kernel kernel, bool f64, struct tl_pool *pool)
{
    struct tl_cpu_cache cache = {0};
    struct tl_err err = {0};
    struct tl_cpu_call call = {.attr = &s->attr,
                               .n_in = s->n_in,
                               .n_out = s->n_out,
                               .accumulate = s->accumulate,
                               .pool = pool,
                               .cache = &cache};
    for (int i = 0; i < s->n_in; i++)
        if (s->in[i].is_there) {
            call.in_shape[i] = &s->in[i].shape;
            call.in[i] = f64 ? (void *)s->in[i].d : (void *)s->in[i].f;
        }
    for (int i = 0; i < s->n_out; i++) {
        call.out_shape[i] = &s->out[i].shape;
        call.out[i] = f64 ? (void *)s->out[i].d : (void *)s->out[i].f;
    }
    check_ok(kernel(&call, &err), &err);
    if (cache.destroy) cache.destroy(cache.prepared);
    free(cache.scratch);
}

/* Runs plain double, fast on one thread, fast on several; compares. */
static void compare(struct sample *s, const char *what)
{
    float *start[TL_MAX_OUT], *first[TL_MAX_OUT];
    for (int i = 0; i < s->n_out; i++) {
        size_t bytes = (size_t)tl_shape_count(&s->out[i].shape) * sizeof(float);
        start[i] = memcpy(aligned(bytes), s->out[i].f, bytes);
        first[i] = aligned(bytes);
    }
    call_kernel(s, tl_cpu_plain_f64[s->op], true, pools[0]);
    for (int run = 0; run < 2; run++) {
        for (int i = 0; i < s->n_out; i++)
            memcpy(s->out[i].f, start[i], (size_t)tl_shape_count(&s->out[i].shape) * sizeof(float));
        call_kernel(s, tl_cpu_fast_f32[s->op], false, pools[run]);
        for (int i = 0; i < s->n_out; i++) {
            size_t n = (size_t)tl_shape_count(&s->out[i].shape);
            if (run == 1) {
                if (memcmp(first[i], s->out[i].f, n * sizeof(float)) != 0)
                    fail_msg("%s: output %d depends on the thread count", what, i);
                continue;
            }
            memcpy(first[i], s->out[i].f, n * sizeof(float));
            double worst = 0, largest = 0;
            for (size_t e = 0; e < n; e++) {
                if (isinf(s->out[i].d[e]) && s->out[i].d[e] == s->out[i].f[e]) continue;
                double d = fabs(s->out[i].d[e] - s->out[i].f[e]);
                worst = d > worst || isnan(d) ? d : worst;
                largest = fmax(largest, fabs(s->out[i].d[e]));
            }
            if (!(worst <= 1e-5 * fmax(largest, 0.1)))
                fail_msg("%s: output %d is off by %g of %g", what, i, worst, largest);
        }
    }
    for (int i = 0; i < s->n_out; i++) {
        free(start[i]);
        free(first[i]);
    }
}

static void sample_free(struct sample *s)
{
    for (int i = 0; i < TL_MAX_IN; i++) {
        free(s->in[i].f);
        free(s->in[i].d);
    }
    for (int i = 0; i < TL_MAX_OUT; i++) {
        free(s->out[i].f);
        free(s->out[i].d);
    }
}

static void check_gemm(int64_t batch, int64_t m, int64_t n, int64_t k, int flags)
{
    struct sample s = {.op = TL_OP_GEMM, .n_in = 4, .n_out = 1};
    bool ta = flags & 1, tb = flags & 2;
    s.attr.gemm.ta = ta;
    s.attr.gemm.tb = tb;
    s.accumulate = flags & 16;
    int64_t a0 = ta ? k : m, a1 = ta ? m : k, b0 = tb ? n : k, b1 = tb ? k : n;
    fill(&s.in[0], batch ? tl_shape3(batch, a0, a1) : tl_shape2(a0, a1));
    fill(&s.in[1], batch ? tl_shape3(batch, b0, b1) : tl_shape2(b0, b1));
    if (flags & 4) fill(&s.in[2], tl_shape1(n));
    if (flags & 8) fill(&s.in[3], batch ? tl_shape3(batch, m, n) : tl_shape2(m, n));
    fill(&s.out[0], batch ? tl_shape3(batch, m, n) : tl_shape2(m, n));
    char what[128];
    snprintf(what, sizeof what, "gemm batch %d, %d x %d x %d, flags %d", (int)batch, (int)m, (int)n, (int)k,
             flags);
    compare(&s, what);
    sample_free(&s);
}

static void test_gemm(void **state)
{
    (void)state;
    static const int64_t shapes[][4] = {
        {0, 1, 1, 1},     {0, 5, 3, 7},      {0, 33, 37, 29},   {0, 13, 16, 200},  {0, 300, 48, 33},
        {0, 16, 130, 64}, {0, 200, 80, 450}, {0, 64, 64, 4000}, {0, 40, 17, 2100}, {3, 17, 31, 9},
        {2, 50, 64, 100}, {40, 12, 20, 16},  {0, 7, 500, 128},  {0, 250, 112, 90}, {0, 1, 16, 1500}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int flags = 0; flags < 32; flags++)
            if ((flags & 24) != 24) check_gemm(shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], flags);
}

/* n h w i o kh kw, stride, dilation, pads */
static const int conv_shapes[][15] = {
    {2, 9, 7, 5, 6, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1},     {1, 8, 8, 16, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1},
    {3, 8, 8, 32, 48, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1},   {2, 10, 9, 4, 17, 3, 3, 2, 2, 1, 1, 0, 0, 1, 1},
    {2, 11, 12, 3, 16, 3, 3, 2, 1, 1, 2, 1, 0, 1, 2},  {1, 16, 16, 8, 40, 5, 3, 3, 2, 2, 3, 4, 2, 0, 6},
    {2, 16, 16, 3, 24, 8, 8, 8, 8, 1, 1, 0, 0, 0, 0},  {4, 1, 50, 12, 20, 1, 5, 1, 2, 1, 1, 0, 2, 0, 2},
    {2, 6, 6, 33, 20, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0},   {2, 7, 6, 10, 12, 1, 1, 2, 2, 1, 1, 0, 0, 0, 0},
    {2, 5, 5, 6, 3, 3, 3, 1, 1, 1, 1, 3, 3, 2, 2},     {16, 4, 4, 64, 96, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1},
    {2, 3, 2, 1, 1, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1},     {1, 40, 60, 3, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1},
    {8, 16, 16, 96, 64, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1}, {2, 32, 32, 64, 4, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1},
    {1, 7, 7, 9, 11, 3, 3, 1, 1, 2, 2, 2, 2, 2, 2},    {4, 32, 64, 16, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1},
    {1, 5, 5, 7, 8, 2, 2, 3, 3, 1, 1, 0, 0, 0, 0},     {3, 20, 18, 16, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1},
    {16, 64, 64, 4, 3, 3, 3, 2, 1, 1, 2, 1, 2, 1, 2},  {2, 9, 11, 5, 2, 5, 5, 1, 1, 1, 1, 2, 0, 2, 4},
    {2, 9, 11, 2, 4, 3, 2, 1, 1, 2, 3, 2, 0, 2, 4},
};

static void check_conv(const int *c, enum tl_op op, int flags)
{
    struct sample s = {.op = op, .n_out = 1, .accumulate = flags & 4};
    s.attr.conv = (struct tl_conv){{c[7], c[8]}, {c[9], c[10]}, {c[11], c[12], c[13], c[14]}};
    int64_t p = (c[1] + c[11] + c[13] - c[9] * (c[5] - 1) - 1) / c[7] + 1,
            q = (c[2] + c[12] + c[14] - c[10] * (c[6] - 1) - 1) / c[8] + 1;
    struct tl_shape x = tl_shape4(c[0], c[1], c[2], c[3]), y = tl_shape4(c[0], p, q, c[4]),
                    w = tl_shape4(c[5], c[6], c[3], c[4]);
    s.n_in = op == TL_OP_CONV2D ? 4 : 2;
    fill(&s.in[0], op == TL_OP_CONV2D_DX ? y : x);
    fill(&s.in[1], op == TL_OP_CONV2D_DW ? y : w);
    if (flags & 1) fill(&s.in[2], tl_shape1(c[4]));
    if (flags & 2) fill(&s.in[3], y);
    fill(&s.out[0], op == TL_OP_CONV2D ? y : op == TL_OP_CONV2D_DX ? x : w);
    char what[160];
    snprintf(what, sizeof what, "%s %dx%dx%dx%d -> %d, kernel %dx%d, stride %d,%d, dilation %d,%d, flags %d",
             op == TL_OP_CONV2D      ? "conv2d"
             : op == TL_OP_CONV2D_DX ? "conv2d_dx"
                                     : "conv2d_dw",
             c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9], c[10], flags);
    compare(&s, what);
    sample_free(&s);
}

static void test_conv(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof conv_shapes / sizeof *conv_shapes; i++) {
        for (int flags = 0; flags < 4; flags++) check_conv(conv_shapes[i], TL_OP_CONV2D, flags);
        check_conv(conv_shapes[i], TL_OP_CONV2D_DX, 0);
        check_conv(conv_shapes[i], TL_OP_CONV2D_DW, 0);
        check_conv(conv_shapes[i], TL_OP_CONV2D_DW, 4);
    }
}

/* n t s c heads; causal 1, mask 2, one sample's mask all -infinity 4 */
static void check_attention(const int *c, int flags)
{
    struct sample s = {.op = TL_OP_ATTENTION, .n_in = 4, .n_out = 2};
    s.attr.attention.heads = c[4];
    s.attr.attention.scale = 1 / sqrtf((float)c[3] / (float)c[4]);
    s.attr.attention.causal = flags & 1;
    fill(&s.in[0], tl_shape3(c[0], c[1], c[3]));
    fill(&s.in[1], tl_shape3(c[0], c[2], c[3]));
    fill(&s.in[2], tl_shape3(c[0], c[2], c[3]));
    if (flags & 2) {
        fill(&s.in[3], tl_shape2(c[0], c[2]));
        for (int i = 0; i < c[0] * c[2]; i++)
            if (i % 3 == 1 || (flags & 4 && i < c[2]))
                s.in[3].d[i] = s.in[3].f[i] = flags & 4 ? -INFINITY : -10000.0f;
    }
    fill(&s.out[0], tl_shape3(c[0], c[1], c[3]));
    fill(&s.out[1], tl_shape3(c[0], c[4], c[1]));
    char what[128], what_grad[160];
    snprintf(what, sizeof what, "attention [%d,%d,%d] over %d, %d heads, flags %d", c[0], c[1], c[3], c[2],
             c[4], flags);
    snprintf(what_grad, sizeof what_grad, "gradient of %s", what);
    compare(&s, what);
    struct sample g = s;
    g.op = TL_OP_ATTENTION_GRAD;
    g.n_in = 7;
    g.n_out = 3;
    g.in[4] = s.out[0];
    g.in[5] = s.out[1];
    fill(&g.in[6], s.out[0].shape);
    for (int i = 0; i < 3; i++) fill(&g.out[i], s.in[i].shape);
    compare(&g, what_grad);
    sample_free(&g);
}

static void test_attention(void **state)
{
    (void)state;
    static const int shapes[][5] = {{2, 1, 1, 4, 2},      {2, 16, 16, 32, 4},   {1, 64, 64, 64, 8},
                                    {2, 33, 33, 20, 2},   {1, 77, 77, 40, 1},   {3, 16, 9, 48, 3},
                                    {1, 300, 77, 160, 1}, {2, 130, 130, 24, 2}, {1, 700, 700, 16, 2},
                                    {1, 5, 2500, 8, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int flags = 0; flags < 8; flags++) {
            if (flags & 4 && !(flags & 2)) continue;
            if (flags & 1 && shapes[i][1] != shapes[i][2]) continue;
            check_attention(shapes[i], flags);
        }
}

/* n rows c groups */
static void check_group_norm(const int *c, int silu)
{
    struct sample s = {.op = TL_OP_GROUP_NORM, .n_in = 3, .n_out = 2};
    struct tl_shape x = tl_shape3(c[0], c[1], c[2]);
    s.attr.norm.groups = c[3];
    s.attr.norm.eps = 1e-5f;
    s.attr.norm.silu = silu;
    fill(&s.in[0], x);
    for (int64_t i = 0; i < tl_shape_count(&x); i++) s.in[0].d[i] = s.in[0].f[i] = 3 + 5 * s.in[0].f[i];
    fill(&s.in[1], tl_shape1(c[2]));
    fill(&s.in[2], tl_shape1(c[2]));
    fill(&s.out[0], x);
    fill(&s.out[1], tl_shape3(c[0], c[3], 2));
    char what[128], what_grad[160];
    snprintf(what, sizeof what, "group_norm [%d,%d,%d], %d groups, silu %d", c[0], c[1], c[2], c[3], silu);
    snprintf(what_grad, sizeof what_grad, "gradient of %s", what);
    compare(&s, what);
    struct sample g = {.op = TL_OP_GROUP_NORM_GRAD, .attr = s.attr, .n_in = 5, .n_out = 2};
    g.in[0] = s.in[0], g.in[1] = s.out[1], g.in[2] = s.in[1], g.in[3] = s.in[2];
    fill(&g.in[4], x);
    fill(&g.out[0], x);
    fill(&g.out[1], tl_shape2(2, c[2]));
    compare(&g, what_grad);
    sample_free(&g);
    free(s.out[0].f), free(s.out[0].d);
}

static void check_layer_norm(const int *c, bool affine)
{
    struct sample s = {.op = TL_OP_LAYER_NORM, .n_in = 3, .n_out = 2};
    struct tl_shape x = tl_shape2(c[0] * c[1], c[2]);
    s.attr.norm.eps = 1e-5f;
    fill(&s.in[0], x);
    for (int i = 1; i < 3 && affine; i++) fill(&s.in[i], tl_shape1(c[2]));
    fill(&s.out[0], x);
    fill(&s.out[1], tl_shape2(c[0] * c[1], 2));
    compare(&s, "layer_norm");
    struct sample g = {.op = TL_OP_LAYER_NORM_GRAD, .attr = s.attr, .n_in = 4, .n_out = 2};
    g.in[0] = s.in[0], g.in[1] = s.out[1], g.in[2] = s.in[1];
    fill(&g.in[3], x);
    fill(&g.out[0], x);
    fill(&g.out[1], tl_shape2(2, c[2]));
    compare(&g, "layer_norm_grad");
    sample_free(&g);
    free(s.out[0].f), free(s.out[0].d), free(s.in[2].f), free(s.in[2].d);
}

static void test_norms(void **state)
{
    (void)state;
    static const int shapes[][4] = {{2, 5, 6, 3},     {16, 64, 64, 8},  {1, 900, 40, 4},   {3, 700, 20, 5},
                                    {2, 1, 32, 8},    {9, 4096, 16, 4}, {8, 4097, 80, 16}, {1, 33, 17, 17},
                                    {2, 30, 320, 32}, {1, 1, 16, 2}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (int flag = 0; flag < 2; flag++) {
            check_group_norm(shapes[i], flag);
            check_layer_norm(shapes[i], flag);
        }
    }
}

static int begin(void **state)
{
    (void)state;
    struct tl_err err = {0};
    pools[0] = tl_pool_create(1, &err);
    pools[1] = tl_pool_create(N_THREADS, &err);
    return pools[0] && pools[1] ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    tl_pool_destroy(&pools[0]);
    tl_pool_destroy(&pools[1]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_conv),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_norms),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
