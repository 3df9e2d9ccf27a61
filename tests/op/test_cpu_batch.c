/* A row's result on the cpu device has the same bits in any batch: what a seed gives must not depend on how
 * many are drawn together. Shapes where kernels choose by the number of rows: groups over large samples,
 * products deep enough to be cut along k, attention, convolutions near and far. */
#include "support/check.h"

#include "base/rng.h"
#include "tensor/exec.h"

enum { MOST = 12, HEIGHT = 24, WIDTH = 24, CHANNELS = 48, DEEP = 2048, TOKENS = 40 };

static float *numbers(size_t n, uint32_t seed)
{
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    tl_rng_normal((struct tl_rng_key){seed, TL_RNG_TEST, 0, 0}, 0, n, x);
    return x;
}

static struct tl_shape times(struct tl_shape s, int64_t n)
{
    s.dim[0] *= n;
    return s;
}

static tl_val fixed(struct tl_graph *g, const char *name, struct tl_shape shape)
{
    return tl_input(g, name, TL_F32, shape);
}

/* The ops by number; x is the samples. */
static tl_val build(struct tl_graph *g, int which, tl_val x)
{
    switch (which) {
    case 0:
        return tl_group_norm(g, x, fixed(g, "w", tl_shape1(CHANNELS)), fixed(g, "b", tl_shape1(CHANNELS)), 8,
                             1e-5f, true);
    case 1: /* deep, and few enough outputs to be cut along k */
        return tl_gemm(g, x, fixed(g, "w", tl_shape2(DEEP, 96)), fixed(g, "b", tl_shape1(96)), TL_NONE, false,
                       false);
    case 2:
        return tl_gemm(g, x, fixed(g, "w", tl_shape2(96, DEEP)), TL_NONE, TL_NONE, false, true);
    case 3:
        return tl_attention(g, x, x, x, TL_NONE, 4, 0.3f, false);
    case 4:
        return tl_conv2d(g, x, fixed(g, "w", tl_shape4(3, 3, CHANNELS, 64)), fixed(g, "b", tl_shape1(64)),
                         TL_NONE,
                         (struct tl_conv){.stride = {1, 1}, .pad = {1, 1, 1, 1}, .dilation = {1, 1}});
    default:
        return tl_layer_norm(g, x, fixed(g, "w", tl_shape1(CHANNELS)), fixed(g, "b", tl_shape1(CHANNELS)),
                             1e-5f);
    }
}

/* The outputs of n samples, of x's first ones. */
static float *run(int which, const float *x, struct tl_shape one, int64_t n, int threads, size_t *out_each)
{
    struct tl_err err = {0};
    struct tl_device *device =
        tl_device_open(&(struct tl_device_params){.name = "cpu", .threads = threads}, &err);
    struct tl_graph *g = tl_graph_create();
    assert_non_null(device);
    tl_val y = build(g, which, tl_input(g, "x", TL_F32, times(one, n)));
    tl_output(g, y, "y");
    check_ok(tl_graph_ok(g, &err), &err);
    size_t all = (size_t)tl_shape_count(tl_shape_of(g, y));
    struct tl_exec *exec = tl_exec_create(device, &g, &err);
    check_ok(exec != NULL, &err);
    float *w = numbers((size_t)DEEP * 96, 7), *b = numbers(DEEP, 8), *out = malloc(all * sizeof *out);
    check_ok(tl_exec_write(exec, "x", x, &err), &err);
    if (which != 3) check_ok(tl_exec_write(exec, "w", w, &err), &err);
    if (which != 2 && which != 3) check_ok(tl_exec_write(exec, "b", b, &err), &err);
    check_ok(tl_exec_run(exec, &err), &err);
    check_ok(tl_exec_read(exec, "y", out, &err), &err);
    free(w);
    free(b);
    tl_exec_destroy(&exec);
    tl_device_close(&device);
    *out_each = all / (size_t)n;
    return out;
}

static void test_batches(void **state)
{
    (void)state;
    const struct tl_shape one[] = {
        tl_shape4(1, HEIGHT, WIDTH, CHANNELS),
        tl_shape2(4, DEEP),
        tl_shape2(4, DEEP),
        tl_shape3(1, TOKENS, CHANNELS),
        tl_shape4(1, HEIGHT, WIDTH, CHANNELS),
        tl_shape3(1, TOKENS, CHANNELS),
    };
    const int64_t batches[] = {1, 3, 7, MOST};
    for (int which = 0; which < (int)(sizeof one / sizeof *one); which++) {
        size_t each, same;
        float *x = numbers((size_t)tl_shape_count(&one[which]) * MOST, 3);
        float *all = run(which, x, one[which], MOST, 2, &each);
        for (int b = 0; b < 4; b++)
            for (int threads = 1; threads < 3; threads++) {
                float *few = run(which, x, one[which], batches[b], threads, &same);
                assert_int_equal(each, same);
                if (memcmp(few, all, (size_t)batches[b] * each * sizeof *few) != 0)
                    fail_msg("op %d: %d samples differ from the same among %d", which, (int)batches[b], MOST);
                free(few);
            }
        free(x);
        free(all);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_batches)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
