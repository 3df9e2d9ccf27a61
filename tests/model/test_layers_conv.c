/* Batch norm by its formula, convolution and norm as one, kernels and strides that are not square: on every
 * device, with gradients. */
#include "support/check.h"

#include "base/rng.h"
#include "nn/nn.h"
#include "tensor/exec.h"

enum { N = 2, H = 9, W = 8, IN = 5, OUT = 6 };

static struct tl_device *open_device(const char *name)
{
    struct tl_err err = {0};
    struct tl_device *d = tl_device_open(&(struct tl_device_params){.name = name, .threads = 2}, &err);
    if (!d) print_message("skipped: %s: %s\n", name, err.text);
    return d;
}

static struct tl_nn nn_of(struct tl_graph *g)
{
    return (struct tl_nn){.g = g, .lora_scale = TL_NONE, .dtype = TL_F32};
}

/* Normals; variances positive. */
static float *numbers(const char *name, size_t n, uint32_t seed)
{
    float *x = malloc(n * sizeof *x);
    size_t len = strlen(name);
    uint32_t sample = seed;
    for (size_t i = 0; i < len; i++) sample = sample * 31 + (unsigned char)name[i];
    tl_rng_normal((struct tl_rng_key){.stream = TL_RNG_TEST, .sample = sample}, 0, n, x);
    if (strstr(name, "running_var"))
        for (size_t i = 0; i < n; i++) x[i] = 0.1f + x[i] * x[i];
    return x;
}

struct run {
    struct tl_exec *exec;
    struct tl_store_layout *layout;
    struct tl_store *store;
};

static struct run run_open(struct tl_device *device, struct tl_graph *g)
{
    struct tl_err err = {0};
    struct run r = {0};
    check_ok(tl_graph_ok(g, &err), &err);
    r.layout = tl_store_layout_create((const struct tl_graph *const[]){g}, 1, TL_SET_BASE, NULL, NULL, &err);
    r.exec = tl_exec_create(device, &g, &err);
    if (!r.layout || !r.exec) fail_msg("%s", err.text);
    r.store = tl_store_create(device, r.layout, &err);
    for (int32_t i = 0; i < r.layout->n_entries; i++) {
        const struct tl_store_entry *e = &r.layout->entries[i];
        float *w = numbers(e->name, (size_t)tl_shape_count(&e->shape), 1);
        check_ok(tl_store_write(r.store, e, w, &err), &err);
        free(w);
    }
    check_ok(tl_exec_bind(r.exec, TL_SET_BASE, r.store, &err), &err);
    float *x = numbers("x", N * H * W * IN, 2);
    check_ok(tl_exec_write(r.exec, "x", x, &err), &err);
    free(x);
    check_ok(tl_exec_run(r.exec, &err), &err);
    return r;
}

static float *read_output(const struct run *r, const char *name, size_t *out_n)
{
    struct tl_err err = {0};
    *out_n = (size_t)tl_shape_count(
        tl_shape_of(tl_exec_graph(r->exec), tl_graph_find_output(tl_exec_graph(r->exec), name)));
    float *y = malloc(*out_n * sizeof *y);
    check_ok(tl_exec_read(r->exec, name, y, &err), &err);
    return y;
}

static void run_close(struct run *r)
{
    tl_exec_destroy(&r->exec);
    tl_store_destroy(&r->store);
    tl_store_layout_destroy(&r->layout);
}

static tl_val input(struct tl_graph *g)
{
    return tl_input(g, "x", TL_F32, tl_shape4(N, H, W, IN));
}

static void check_batch_norm(const char *name, bool affine)
{
    struct tl_device *device = open_device(name);
    if (!device) return;
    struct tl_graph *g = tl_graph_create();
    struct tl_nn nn = nn_of(g);
    tl_output(g, tl_nn_batch_norm(&nn, input(g), 0.001f, affine, "bn%d", 3), "y");
    struct run r = run_open(device, g);
    assert_int_equal(r.layout->n_entries, affine ? 4 : 2);
    size_t n;
    float *y = read_output(&r, "y", &n), *x = numbers("x", n, 2), *mean = numbers("bn3.running_mean", IN, 1),
          *var = numbers("bn3.running_var", IN, 1), *w = numbers("bn3.weight", IN, 1),
          *b = numbers("bn3.bias", IN, 1);
    for (size_t i = 0; i < n; i++) {
        size_t c = i % IN;
        double v = ((double)x[i] - mean[c]) / sqrt((double)var[c] + 0.001);
        check_near(y[i], affine ? v * w[c] + b[c] : v, 2e-5);
    }
    free(y), free(x), free(mean), free(var), free(w), free(b);
    run_close(&r);
    tl_device_close(&device);
}

static void batch_norm_is_its_formula(void **state)
{
    (void)state;
    for (int affine = 0; affine < 2; affine++) {
        check_batch_norm("cpu", affine);
        check_batch_norm("vulkan", affine);
    }
}

static const struct tl_nn_conv forms[] = {
    {.kernel = 1, .kernel_w = 7, .pad = {0, 3, 0, 3}},
    {.kernel = 7, .kernel_w = 1, .pad = {3, 0, 3, 0}, .no_bias = true},
    {.kernel = 3, .stride = 2, .no_bias = true},
    {.kernel = 3, .kernel_w = 2, .stride = 1, .stride_w = 3, .pad = {1, 0, 0, 1}},
};

/* y and dx of the three layers one by one, or as one */
static struct run folded_or_not(struct tl_device *device, struct tl_nn_conv conv, bool folded)
{
    struct tl_graph *g = tl_graph_create();
    struct tl_nn nn = nn_of(g);
    tl_val x = input(g), y;
    if (folded) {
        y = tl_nn_conv_norm(&nn, x, OUT, conv, 1e-3f, "a.conv", "a.bn", true);
    } else {
        y = tl_nn_conv2d(&nn, x, OUT, conv, "a.conv");
        y = tl_unary(g, TL_UNARY_RELU, tl_nn_batch_norm(&nn, y, 1e-3f, true, "a.bn"), 0, 0);
    }
    tl_output(g, y, "y");
    tl_val dx, one = tl_fill(g, *tl_shape_of(g, y), 1);
    struct tl_backward_params p = {
        .outputs = &y, .cotangents = &one, .n_outputs = 1, .wrt = &x, .out_wrt = &dx, .n_wrt = 1};
    struct tl_err err = {0};
    check_ok(tl_graph_backward(g, &p) || tl_graph_ok(g, &err), &err);
    tl_output(g, dx, "dx");
    return run_open(device, g);
}

static void check_folded(const char *name)
{
    struct tl_device *device = open_device(name);
    for (size_t f = 0; device && f < sizeof forms / sizeof *forms; f++) {
        struct run a = folded_or_not(device, forms[f], true), b = folded_or_not(device, forms[f], false);
        static const char *const outputs[] = {"y", "dx"};
        for (int i = 0; i < 2; i++) {
            size_t n, m;
            float *got = read_output(&a, outputs[i], &n), *want = read_output(&b, outputs[i], &m);
            assert_int_equal(n, m);
            double off = check_rel_l2(got, want, n);
            if (!(off <= 1e-6)) fail_msg("%s: form %zu: %s is off by %.3g", name, f, outputs[i], off);
            free(got);
            free(want);
        }
        run_close(&a);
        run_close(&b);
    }
    tl_device_close(&device);
}

static void a_folded_norm_gives_the_same(void **state)
{
    (void)state;
    check_folded("cpu");
    check_folded("vulkan");
}

static void sizes_follow_both_axes(void **state)
{
    (void)state;
    struct tl_graph *g = tl_graph_create();
    struct tl_nn nn = nn_of(g);
    tl_val x = input(g), y = tl_nn_conv2d(&nn, x, OUT, forms[3], "c");
    tl_val w = tl_graph_find_param(g, TL_SET_BASE, "c.weight");
    assert_true(tl_shape_equal(tl_shape_of(g, y), &(struct tl_shape){4, {N, 8, 3, OUT}}));
    assert_true(tl_shape_equal(tl_shape_of(g, w), &(struct tl_shape){4, {3, 2, IN, OUT}}));
    y = tl_max_pool(g, x, (struct tl_window){.kernel = {3, 2}});
    assert_true(tl_shape_equal(tl_shape_of(g, y), &(struct tl_shape){4, {N, 3, 4, IN}}));
    struct tl_err err = {0};
    tl_avg_pool(g, x, (struct tl_window){.kernel = {3, 3}, .pad = {3, 0, 0, 0}}, false);
    assert_false(tl_graph_ok(g, &err));
    assert_non_null(strstr(err.text, "padding"));
    tl_graph_destroy(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch_norm_is_its_formula),
        cmocka_unit_test(a_folded_norm_gives_the_same),
        cmocka_unit_test(sizes_follow_both_axes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
