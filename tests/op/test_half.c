/* F16 and BF16 as storage: every half through cast on every device, stores in half, refusals, gradients
 * through cast, and the F32 copies of weights, which must not pile up. */
#include <math.h>

#include "base/half.h"
#include "base/rng.h"
#include "support/check.h"
#include "tensor/exec.h"

static const struct device_row {
    const char *label;
    struct tl_device_params params;
    bool optional;
} devices[] = {
    {"double", {.name = "cpu", .threads = 1, .f64 = true}, false},
    {"cpu plain", {.name = "cpu", .threads = 1, .plain = true}, false},
    {"cpu", {.name = "cpu", .threads = 2}, false},
    {"vulkan", {.name = "vulkan"}, true},
};

static void each_device(void (*body)(struct tl_device *device, const char *label))
{
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
        struct tl_err err = {0};
        struct tl_device *d = tl_device_open(&devices[i].params, &err);
        if (!d && devices[i].optional) {
            printf("skipped: %s: %s\n", devices[i].label, err.text);
            continue;
        }
        if (!d) fail_msg("%s: %s", devices[i].label, err.text);
        body(d, devices[i].label);
        tl_device_close(&d);
    }
}

static float from_half(enum tl_dtype dtype, uint16_t h)
{
    return dtype == TL_F16 ? tl_f16_to_f32(h) : tl_bf16_to_f32(h);
}

static float rounded(enum tl_dtype dtype, float x)
{
    return dtype == TL_F16 ? tl_f16_to_f32(tl_f32_to_f16(x)) : tl_bf16_to_f32(tl_f32_to_bf16(x));
}

static bool same(float a, float b)
{
    return isnan(a) ? isnan(b) : tl_float_to_bits(a) == tl_float_to_bits(b);
}

/* x of one type through one cast */
static void cast_once(struct tl_device *device, enum tl_dtype from, enum tl_dtype to, const float *x,
                      int64_t n, float *y)
{
    struct tl_err err = {0};
    struct tl_graph *g = tl_graph_create();
    tl_output(g, tl_cast(g, tl_input(g, "x", from, tl_shape1(n)), to), "y");
    struct tl_exec *e = tl_exec_create(device, &g, &err);
    check_ok(e, &err);
    check_ok(tl_exec_write(e, "x", x, &err), &err);
    check_ok(tl_exec_run(e, &err), &err);
    check_ok(tl_exec_read(e, "y", y, &err), &err);
    tl_exec_destroy(&e);
}

enum { HALVES = 1 << 16 };

static void check_widening(struct tl_device *device, const char *label)
{
    static float x[HALVES], y[HALVES];
    for (enum tl_dtype from = TL_F16; from <= TL_BF16; from++) {
        for (int h = 0; h < HALVES; h++) x[h] = from_half(from, (uint16_t)h);
        cast_once(device, from, TL_F32, x, HALVES, y);
        for (int h = 0; h < HALVES; h++)
            if (!same(y[h], x[h]))
                fail_msg("%s: %s %04x becomes %a, not %a", label, tl_dtype_name(from), (unsigned)h, y[h],
                         x[h]);
    }
}

/* Between every half and the next: the middle, and the floats beside it. */
static void check_narrowing(struct tl_device *device, const char *label)
{
    static float x[3 * HALVES], y[3 * HALVES];
    for (enum tl_dtype to = TL_F16; to <= TL_BF16; to++) {
        for (int h = 0; h < HALVES; h++) {
            float a = from_half(to, (uint16_t)h), b = from_half(to, (uint16_t)(h + 1));
            float mid = to == TL_F16 ? a + (b - a) / 2 : tl_bits_to_float((uint32_t)h << 16 | 0x8000u);
            x[3 * h] = mid;
            x[3 * h + 1] = nextafterf(mid, a);
            x[3 * h + 2] = nextafterf(mid, b);
        }
        const float ends[] = {65519.99f, 65520.0f, -1e30f,   INFINITY,        -INFINITY,
                              NAN,       -0.0f,    0x1p-25f, 0x1.000002p-25f, 3.4e38f};
        memcpy(x, ends, sizeof ends);
        cast_once(device, TL_F32, to, x, 3 * HALVES, y);
        for (int i = 0; i < 3 * HALVES; i++)
            if (!same(y[i], rounded(to, x[i])))
                fail_msg("%s: %a as %s is %a, not %a", label, x[i], tl_dtype_name(to), y[i],
                         rounded(to, x[i]));
    }
}

static void every_half_is_exact(void **state)
{
    (void)state;
    each_device(check_widening);
}

static void narrowing_rounds_to_even(void **state)
{
    (void)state;
    each_device(check_narrowing);
}

/* Through a float on the way these would round twice. */
static void doubles_round_once(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_device *d = tl_device_open(&devices[0].params, &err);
    const double x[4] = {1 + 0x1p-11 + 0x1p-40, 1 + 0x1p-11 - 0x1p-40, -1 - 0x3p-11 + 0x1p-40, 1e300};
    const double want[4] = {1 + 0x1p-10, 1, -1 - 0x1p-10, INFINITY};
    double y[4];
    struct tl_graph *g = tl_graph_create();
    tl_output(g, tl_cast(g, tl_input(g, "x", TL_F32, tl_shape1(4)), TL_F16), "y");
    tl_output(g, tl_cast(g, tl_input(g, "h", TL_F16, tl_shape1(4)), TL_F32), "z");
    struct tl_exec *e = tl_exec_create(d, &g, &err);
    check_ok(e, &err);
    check_ok(tl_exec_write_f64(e, "x", x, &err) && tl_exec_write_f64(e, "h", x, &err), &err);
    check_ok(tl_exec_run(e, &err), &err);
    check_ok(tl_exec_read_f64(e, "y", y, &err), &err);
    for (int i = 0; i < 4; i++) assert_true(y[i] == want[i]);
    check_ok(tl_exec_read_f64(e, "z", y, &err), &err);
    for (int i = 0; i < 4; i++) assert_true(y[i] == want[i]);
    tl_exec_destroy(&e);
    tl_device_close(&d);
}

/* ---- stores ---- */

enum { ODD = 333, WIDE = 5 };

/* y = 2 a + b[0..], from params of one type */
static struct tl_graph *two_params(enum tl_dtype dtype)
{
    struct tl_graph *g = tl_graph_create();
    tl_val a =
        tl_cast(g, tl_param_typed(g, TL_SET_BASE, TL_LAYOUT_PLAIN, dtype, tl_shape2(ODD, WIDE), "a"), TL_F32);
    tl_val b =
        tl_cast(g, tl_param_typed(g, TL_SET_BASE, TL_LAYOUT_PLAIN, dtype, tl_shape2(1, WIDE), "b"), TL_F32);
    tl_output(g, tl_add(g, tl_scale(g, a, 2), b), "y");
    return g;
}

static struct tl_store_layout *layout_of(const struct tl_graph *g)
{
    struct tl_err err = {0};
    struct tl_store_layout *l =
        tl_store_layout_create((const struct tl_graph *const[]){g}, 1, TL_SET_BASE, NULL, NULL, &err);
    check_ok(l, &err);
    return l;
}

static void fill(struct tl_store *s, uint32_t seed, float *a, float *b)
{
    struct tl_err err = {0};
    tl_rng_normal((struct tl_rng_key){.seed = seed, .stream = TL_RNG_TEST}, 0, ODD * WIDE, a);
    tl_rng_normal((struct tl_rng_key){.seed = seed, .stream = TL_RNG_TEST, .step = 1}, 0, WIDE, b);
    check_ok(tl_store_write(s, tl_store_layout_find(s->layout, "a"), a, &err), &err);
    check_ok(tl_store_write(s, tl_store_layout_find(s->layout, "b"), b, &err), &err);
    for (int i = 0; i < ODD * WIDE; i++) a[i] = rounded(s->layout->dtype, a[i]);
    for (int i = 0; i < WIDE; i++) b[i] = rounded(s->layout->dtype, b[i]);
}

static void check_sum(struct tl_exec *e, struct tl_store *s, const float *a, const float *b)
{
    struct tl_err err = {0};
    float y[ODD * WIDE];
    check_ok(tl_exec_bind(e, TL_SET_BASE, s, &err), &err);
    check_ok(tl_exec_run(e, &err), &err);
    check_ok(tl_exec_read(e, "y", y, &err), &err);
    for (int i = 0; i < ODD * WIDE; i++) check_near(y[i], 2 * a[i] + b[i % WIDE], 1e-6);
}

static void check_stores(struct tl_device *device, const char *label)
{
    (void)label;
    struct tl_err err = {0};
    static float a[2][ODD * WIDE], b[2][WIDE], back[ODD * WIDE];
    for (enum tl_dtype dtype = TL_F16; dtype <= TL_BF16; dtype++) {
        struct tl_graph *g = two_params(dtype);
        struct tl_store_layout *l = layout_of(g);
        assert_int_equal(l->dtype, dtype);
        for (int32_t i = 0; i < l->n_entries; i++)
            assert_int_equal(l->entries[i].offset * sizeof(uint16_t) % 256, 0);
        struct tl_store *s[3];
        for (int i = 0; i < 3; i++) {
            s[i] = tl_store_create(device, l, &err);
            check_ok(s[i], &err);
        }
        for (int i = 0; i < 2; i++) fill(s[i], (uint32_t)i, a[i], b[i]);
        check_ok(tl_store_read(s[0], tl_store_layout_find(l, "a"), back, &err), &err);
        assert_memory_equal(back, a[0], sizeof back);
        struct tl_exec *e = tl_exec_create(device, &g, &err);
        check_ok(e, &err);
        for (int i = 0; i < 4; i++) check_sum(e, s[i % 2], a[i % 2], b[i % 2]); /* bound in turns */
        check_ok(tl_store_copy(s[2], s[1], &err), &err);
        check_sum(e, s[2], a[1], b[1]);
        float *flat = malloc(l->n_elements * sizeof *flat);
        check_ok(tl_store_read_flat(s[0], flat, &err), &err);
        assert_memory_equal(flat + tl_store_layout_find(l, "b")->offset, b[0], sizeof b[0]);
        check_ok(tl_store_write_flat(s[2], flat, &err), &err);
        check_sum(e, s[2], a[0], b[0]);
        check_ok(tl_store_zero(s[2], &err), &err);
        memset(back, 0, sizeof back);
        check_sum(e, s[2], back, back);
        free(flat);
        tl_exec_destroy(&e);
        for (int i = 0; i < 3; i++) tl_store_destroy(&s[i]);
        tl_store_layout_destroy(&l);
    }
}

static void stores_keep_halves(void **state)
{
    (void)state;
    each_device(check_stores);
}

static void check_contains(const char *text, const char *part)
{
    if (!strstr(text, part)) fail_msg("'%s' lacks '%s'", text, part);
}

static void wrong_types_are_named(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_device *d = tl_device_open(&devices[1].params, &err);
    struct tl_graph *half = two_params(TL_F16), *whole = two_params(TL_F32), *brain = two_params(TL_BF16);
    struct tl_store_layout *l = layout_of(half);
    struct tl_store *s = tl_store_create(d, l, &err);
    check_ok(s, &err);
    struct tl_exec *e = tl_exec_create(d, &whole, &err);
    check_ok(e, &err);
    assert_false(tl_exec_bind(e, TL_SET_BASE, s, &err));
    check_contains(err.text, "a is f16 in the weights, the graph reads it as f32");
    tl_exec_destroy(&e);
    err = (struct tl_err){0};
    assert_null(tl_store_layout_create((const struct tl_graph *const[]){half, brain}, 2, TL_SET_BASE, NULL,
                                       NULL, &err));
    check_contains(err.text, "a is f16, a is bf16");
    struct tl_graph *flat = tl_graph_create(); /* what an optimiser asks for */
    tl_output(flat,
              tl_sum_squares(flat, tl_param(flat, 0, TL_LAYOUT_PLAIN, tl_shape1((int64_t)l->n_elements), "%s",
                                            TL_STORE_FLAT)),
              "sum");
    e = tl_exec_create(d, &flat, &err);
    check_ok(e, &err);
    err = (struct tl_err){0};
    assert_false(tl_exec_bind_flat(e, 0, s, &err));
    check_contains(err.text, "is f16 in the weights");
    tl_exec_destroy(&e);
    tl_store_destroy(&s);
    tl_store_layout_destroy(&l);
    tl_graph_destroy(&half);
    tl_graph_destroy(&brain);
    tl_device_close(&d);
}

static void expect_refusal(struct tl_graph *g, tl_val made, const char *part)
{
    struct tl_err err = {0};
    assert_int_equal(made, TL_NONE);
    assert_false(tl_graph_ok(g, &err));
    check_contains(err.text, part);
    tl_graph_destroy(&g);
}

static tl_val half_param(struct tl_graph *g)
{
    return tl_param_typed(g, TL_SET_BASE, TL_LAYOUT_PLAIN, TL_F16, tl_shape2(4, 4), "down.weight");
}

static void only_cast_reads_halves(void **state)
{
    (void)state;
    struct tl_graph *g = tl_graph_create();
    tl_val x = tl_input(g, "x", TL_F32, tl_shape2(3, 4));
    expect_refusal(g, tl_gemm(g, x, half_param(g), TL_NONE, TL_NONE, false, false),
                   "gemm: operand 1, down.weight [4,4], is f16");
    g = tl_graph_create();
    expect_refusal(g, tl_reshape(g, half_param(g), tl_shape1(16)), "tl_cast");
    g = tl_graph_create();
    expect_refusal(g, tl_accumulate(g, half_param(g), tl_fill(g, tl_shape2(4, 4), 1)),
                   "accumulate: operand 0");
    g = tl_graph_create();
    expect_refusal(g, tl_cast(g, tl_input(g, "ids", TL_I32, tl_shape1(3)), TL_F32), "cast of i32 to f32");
    g = tl_graph_create();
    half_param(g);
    expect_refusal(g, tl_param(g, TL_SET_BASE, TL_LAYOUT_PLAIN, tl_shape2(4, 4), "down.weight"),
                   "f16 [4,4] and as f32 [4,4]");
    g = tl_graph_create();
    x = half_param(g);
    assert_int_equal(tl_cast(g, x, TL_F16), x);
    tl_graph_destroy(&g);
}

/* ---- gradients and memory ---- */

/* d/dx of f16(x): the cotangent itself, though the forward pass rounds. */
static void the_gradient_of_cast_is_the_identity(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_device *d = tl_device_open(&devices[1].params, &err);
    struct tl_graph *g = tl_graph_create();
    enum { N = 37 };
    tl_val x = tl_input(g, "x", TL_F32, tl_shape1(N)), c = tl_input(g, "c", TL_F32, tl_shape1(N)), dx;
    tl_val y = tl_cast(g, tl_cast(g, tl_cast(g, x, TL_F16), TL_BF16), TL_F32);
    tl_output(g, y, "y");
    check_ok(tl_graph_backward(
                 g,
                 &(struct tl_backward_params){
                     .outputs = &y, .cotangents = &c, .n_outputs = 1, .wrt = &x, .out_wrt = &dx, .n_wrt = 1}),
             &g->err);
    assert_int_equal(g->values[dx].dtype, TL_F32);
    tl_output(g, dx, "dx");
    struct tl_exec *e = tl_exec_create(d, &g, &err);
    check_ok(e, &err);
    float in[N], cot[N], got[N];
    tl_rng_normal((struct tl_rng_key){.stream = TL_RNG_TEST}, 0, N, in);
    tl_rng_normal((struct tl_rng_key){.stream = TL_RNG_TEST, .step = 1}, 0, N, cot);
    check_ok(tl_exec_write(e, "x", in, &err) && tl_exec_write(e, "c", cot, &err) && tl_exec_run(e, &err),
             &err);
    check_ok(tl_exec_read(e, "dx", got, &err), &err);
    assert_memory_equal(got, cot, sizeof got);
    check_ok(tl_exec_read(e, "y", got, &err), &err);
    for (int i = 0; i < N; i++) assert_true(same(got[i], rounded(TL_BF16, rounded(TL_F16, in[i]))));
    tl_exec_destroy(&e);
    tl_device_close(&d);
}

enum { LAYERS = 12, WIDTH = 64, ROWS = 3 };

/* x -> silu(x W + b), LAYERS times, a bias by way of a reshape; gradients of x and, `train`, of the weights.
 */
static struct tl_graph *tower(enum tl_dtype dtype, bool segments, bool train)
{
    struct tl_graph *g = tl_graph_create();
    tl_val x = tl_input(g, "x", TL_F32, tl_shape2(ROWS, WIDTH)), y = x, dx;
    for (int i = 0; i < LAYERS; i++) {
        if (segments && i % 3 == 0) tl_segment_begin(g);
        tl_val w = tl_cast(
            g, tl_param_typed(g, TL_SET_BASE, TL_LAYOUT_PLAIN, dtype, tl_shape2(WIDTH, WIDTH), "w%d", i),
            TL_F32);
        tl_val b = tl_cast(
            g, tl_param_typed(g, TL_SET_BASE, TL_LAYOUT_PLAIN, dtype, tl_shape1(WIDTH), "b%d", i), TL_F32);
        y = tl_gemm(g, y, w, TL_NONE, TL_NONE, false, false);
        y = tl_silu(g, tl_mul(g, y, tl_reshape(g, b, tl_shape2(1, WIDTH))));
        if (segments && i % 3 == 2) tl_segment_end(g);
    }
    tl_val c = tl_input(g, "c", TL_F32, tl_shape2(ROWS, WIDTH));
    tl_output(g, y, "y");
    tl_graph_backward(g, &(struct tl_backward_params){.outputs = &y,
                                                      .cotangents = &c,
                                                      .n_outputs = 1,
                                                      .wrt = &x,
                                                      .out_wrt = &dx,
                                                      .n_wrt = 1,
                                                      .param_sets = train ? 1u << TL_SET_BASE : 0});
    tl_output(g, dx, "dx");
    return g;
}

static size_t plan_bytes(enum tl_dtype dtype, bool segments, bool train)
{
    struct tl_err err = {0};
    struct tl_plan plan;
    struct tl_graph *g = tower(dtype, segments, train);
    check_ok(tl_plan_make(g, sizeof(float), true, &plan, &err), &err);
    size_t bytes = plan.bytes;
    tl_plan_finish(&plan);
    tl_graph_destroy(&g);
    return bytes;
}

static void weights_do_not_pile_up(void **state)
{
    (void)state;
    const size_t one = WIDTH * WIDTH * sizeof(float), all = LAYERS * one;
    for (int form = 0; form < 4; form++) {
        size_t f32 = plan_bytes(TL_F32, form & 1, form & 2), f16 = plan_bytes(TL_F16, form & 1, form & 2);
        printf("%s%s: %zu bytes of plan, with halves %zu; the weights are %zu\n",
               form & 1 ? "recomputed" : "kept", form & 2 ? ", weight gradients" : "", f32, f16, all);
        assert_true(f16 > f32 && f16 - f32 <= one + 8 * 256);
    }
}

struct tower_result {
    float y[ROWS * WIDTH], dx[ROWS * WIDTH];
    float *grads;
    size_t n_grads;
};

static void tower_run(struct tl_device *device, enum tl_dtype dtype, enum tl_dtype round_to, bool segments,
                      struct tower_result *out)
{
    struct tl_err err = {0};
    struct tl_graph *g = tower(dtype, segments, true);
    const struct tl_graph *const graphs[1] = {g};
    struct tl_store_layout *l[2];
    struct tl_store *s[2];
    for (int i = 0; i < 2; i++) {
        l[i] =
            tl_store_layout_create(graphs, 1, i ? TL_SET_BASE + TL_SET_GRADS : TL_SET_BASE, NULL, NULL, &err);
        check_ok(l[i], &err);
        s[i] = tl_store_create(device, l[i], &err);
        check_ok(s[i], &err);
    }
    assert_int_equal(l[0]->dtype, dtype);
    assert_int_equal(l[1]->dtype, TL_F32);
    for (int32_t i = 0; i < l[0]->n_entries; i++) {
        float w[WIDTH * WIDTH];
        size_t n = (size_t)tl_shape_count(&l[0]->entries[i].shape);
        tl_rng_normal((struct tl_rng_key){.stream = TL_RNG_TEST, .sample = (uint32_t)i}, 0, n, w);
        for (size_t k = 0; k < n; k++) w[k] = rounded(round_to, w[k] * (n == WIDTH ? 1.0f : 0.3f));
        check_ok(tl_store_write(s[0], &l[0]->entries[i], w, &err), &err);
    }
    struct tl_exec *e = tl_exec_create(device, &g, &err);
    check_ok(e, &err);
    check_ok(tl_exec_bind(e, TL_SET_BASE, s[0], &err) &&
                 tl_exec_bind(e, TL_SET_BASE + TL_SET_GRADS, s[1], &err),
             &err);
    float x[2][ROWS * WIDTH];
    for (uint32_t i = 0; i < 2; i++)
        tl_rng_normal((struct tl_rng_key){.seed = 5, .stream = TL_RNG_TEST, .step = i}, 0, ROWS * WIDTH,
                      x[i]);
    check_ok(tl_exec_write(e, "x", x[0], &err) && tl_exec_write(e, "c", x[1], &err) && tl_exec_run(e, &err),
             &err);
    check_ok(tl_exec_read(e, "y", out->y, &err) && tl_exec_read(e, "dx", out->dx, &err), &err);
    out->n_grads = l[1]->n_elements;
    out->grads = malloc(out->n_grads * sizeof *out->grads);
    check_ok(tl_store_read_flat(s[1], out->grads, &err), &err);
    tl_exec_destroy(&e);
    for (int i = 0; i < 2; i++) {
        tl_store_destroy(&s[i]);
        tl_store_layout_destroy(&l[i]);
    }
}

/* Halves, and floats that hold the same numbers: the same results to the bit, for the arithmetic is the same.
 */
static void check_tower(struct tl_device *device, const char *label)
{
    for (enum tl_dtype dtype = TL_F16; dtype <= TL_BF16; dtype++)
        for (int segments = 0; segments < 2; segments++) {
            struct tower_result half, whole;
            tower_run(device, dtype, dtype, segments, &half);
            tower_run(device, TL_F32, dtype, segments, &whole);
            double size = 0;
            for (size_t i = 0; i < whole.n_grads; i++) size += fabs((double)whole.grads[i]);
            assert_true(size > 1 && isfinite(size));
            assert_int_equal(half.n_grads, whole.n_grads);
            if (memcmp(half.y, whole.y, sizeof half.y) != 0 ||
                memcmp(half.dx, whole.dx, sizeof half.dx) != 0 ||
                memcmp(half.grads, whole.grads, half.n_grads * sizeof *half.grads) != 0)
                fail_msg("%s: %s weights%s give other numbers than their F32 copies", label,
                         tl_dtype_name(dtype), segments ? ", recomputed," : "");
            free(half.grads);
            free(whole.grads);
        }
}

static void halves_compute_as_floats_do(void **state)
{
    (void)state;
    each_device(check_tower);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_is_exact),
        cmocka_unit_test(narrowing_rounds_to_even),
        cmocka_unit_test(doubles_round_once),
        cmocka_unit_test(stores_keep_halves),
        cmocka_unit_test(wrong_types_are_named),
        cmocka_unit_test(only_cast_reads_halves),
        cmocka_unit_test(the_gradient_of_cast_is_the_identity),
        cmocka_unit_test(weights_do_not_pile_up),
        cmocka_unit_test(halves_compute_as_floats_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
