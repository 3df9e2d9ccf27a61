/* The vulkan device beyond what test_ops compares: the whole table of cases with the Khronos validation layer
 * watching (core and synchronisation checks), which must have nothing to say: as the device is, writing in
 * small windows, and with the kernels of the other class of devices. Then normals, and weights that come and
 * go. */
#include "op/support_ops.h"
#include "support/check.h"

#include <tiller/log.h>

#ifdef TILLER_HAVE_VULKAN
#include "base/rng.h"
#include "gpu/gpu_memory.h"
#include "tensor/vulkan_device.h"

static struct tl_device *device, *oracle;

static void say(void *user, enum tl_log_level level, const char *text)
{
    (void)user;
    if (level <= TL_LOG_WARN) print_message("%s\n", text);
}

static bool is_product(enum tl_op op)
{
    return op == TL_OP_GEMM || op == TL_OP_CONV2D || op == TL_OP_CONV2D_DX || op == TL_OP_CONV2D_DW;
}

static void check_case(size_t i, const struct op_case *c)
{
    struct op_numbers numbers;
    struct op_results got, want;
    struct tl_err err = {0};
    char text[256];
    op_case_text(c, text);
    op_numbers_make(c, i, &numbers);
    if (!op_graph_run(device, c, &numbers, &got, &err) || !op_graph_run(oracle, c, &numbers, &want, &err))
        fail_msg("%s: %s", text, err.text);
    double error = op_results_distance(&got, &want);
    if (!(error <= 2e-5)) fail_msg("%s is off by %.3g", text, error);
    op_results_free(&got);
    op_results_free(&want);
    op_numbers_free(&numbers);
    uint64_t n = tl_gpu_validation_count(tl_device_vulkan_gpu(device));
    if (n != 0) fail_msg("%s: %llu messages of the validation layer", text, (unsigned long long)n);
}

static void check_cases(bool products)
{
    size_t n, n_run = 0;
    const struct op_case *cases = op_cases(&n);
    for (size_t i = 0; i < n; i++) {
        if (!products && is_product(cases[i].op)) continue;
        check_case(i, &cases[i]);
        n_run++;
    }
    print_message("%zu cases, no message\n", n_run);
}

static void every_case(void **state)
{
    (void)state;
    check_cases(true);
}

/* What large results are made of, on small ones. */
static void every_case_in_windows(void **state)
{
    (void)state;
    const int64_t whole = (int64_t)(tl_gpu_facts(tl_device_vulkan_gpu(device))->max_storage_bytes / 4);
    tl_device_vulkan_set_limit(device, 2400);
    check_cases(false);
    tl_device_vulkan_set_limit(device, whole);
}

/* Products in this class are tests/gpu's. */
static void every_case_of_the_other_class(void **state)
{
    (void)state;
    struct tl_gpu *gpu = tl_device_vulkan_gpu(device);
    enum tl_gpu_class own = tl_gpu_facts(gpu)->kind;
    tl_gpu_set_class(gpu, own == TL_GPU_CLASS_CPU ? TL_GPU_CLASS_GPU : TL_GPU_CLASS_CPU);
    check_cases(false);
    tl_gpu_set_class(gpu, own);
}

static int32_t ordered(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits < 0 ? INT32_MIN - bits : bits;
}

static void normals_are_the_hosts(void **state)
{
    (void)state;
    enum { N = 3, LEN = 40000 };
    static float got[N][LEN], want[LEN];
    static const int32_t keys[N][5] = {{1, 0, 2, 3, 4}, {-5, 77, 0, 1 << 30, -1}, {0}};
    struct tl_err err = {0};
    struct tl_graph *g = tl_graph_create();
    tl_output(g, tl_random_normal(g, tl_input(g, "key", TL_I32, tl_shape2(N, 5)), tl_shape2(N, LEN)), "y");
    struct tl_exec *exec = tl_exec_create(device, &g, &err);
    if (!exec) fail_msg("%s", err.text);
    check_ok(tl_exec_write(exec, "key", keys, &err), &err);
    check_ok(tl_exec_run(exec, &err), &err);
    check_ok(tl_exec_read(exec, "y", got, &err), &err);
    int32_t worst = 0;
    for (int s = 0; s < N; s++) {
        const uint32_t *k = (const uint32_t *)keys[s];
        tl_rng_normal(
            (struct tl_rng_key){
                .seed = (uint64_t)k[1] << 32 | k[0], .stream = k[2], .sample = k[3], .step = k[4]},
            0, LEN, want);
        for (int i = 0; i < LEN; i++) {
            int32_t d = abs(ordered(got[s][i]) - ordered(want[i]));
            if (d > worst) worst = d;
        }
    }
    print_message("%d normals, %d ulp at most\n", N * LEN, worst);
    assert_true(worst <= 2);
    tl_exec_destroy(&exec);
}

/* y = x * w with w of set 0 */
struct scaled {
    struct tl_exec *exec;
    struct tl_store_layout *layout;
};

static struct scaled scaled_open(void)
{
    struct tl_err err = {0};
    struct tl_graph *g = tl_graph_create();
    tl_val x = tl_input(g, "x", TL_F32, tl_shape1(5)), w = tl_param(g, 0, TL_LAYOUT_PLAIN, tl_shape1(5), "w");
    tl_output(g, tl_mul(g, x, w), "y");
    struct scaled s = {
        .layout = tl_store_layout_create((const struct tl_graph *const *)&g, 1, 0, NULL, NULL, &err)};
    s.exec = tl_exec_create(device, &g, &err);
    if (!s.exec || !s.layout) fail_msg("%s", err.text);
    const float ones[5] = {1, 2, 3, 4, 5};
    check_ok(tl_exec_write(s.exec, "x", ones, &err), &err);
    return s;
}

static struct tl_store *store_of(const struct scaled *s, float value)
{
    struct tl_err err = {0};
    const float w[5] = {value, value, value, value, value};
    struct tl_store *store = tl_store_create(device, s->layout, &err);
    if (!store) fail_msg("%s", err.text);
    check_ok(tl_store_write(store, &s->layout->entries[0], w, &err), &err);
    return store;
}

static void check_scaled(const struct scaled *s, struct tl_store *store, float value)
{
    struct tl_err err = {0};
    float y[5];
    check_ok(tl_exec_bind(s->exec, 0, store, &err), &err);
    check_ok(tl_exec_run(s->exec, &err), &err);
    check_ok(tl_exec_read(s->exec, "y", y, &err), &err);
    for (int i = 0; i < 5; i++) assert_float_equal(y[i], value * (float)(i + 1), 0);
}

/* More stores than a program keeps recordings for, in turns; then stores that are freed and made again, which
 * may get the same addresses. */
static void weights_come_and_go(void **state)
{
    (void)state;
    enum { N = 11 };
    struct tl_store *stores[N];
    struct scaled s = scaled_open();
    for (int i = 0; i < N; i++) stores[i] = store_of(&s, (float)(i + 2));
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < N; i++) check_scaled(&s, stores[i], (float)(i + 2));
    for (int i = 0; i < N; i++) tl_store_destroy(&stores[i]);
    for (int round = 0; round < 4; round++) {
        struct tl_store *store = store_of(&s, (float)round - 7);
        check_scaled(&s, store, (float)round - 7);
        tl_store_destroy(&store);
    }
    tl_exec_destroy(&s.exec);
    tl_store_layout_destroy(&s.layout);
    assert_int_equal(tl_gpu_validation_count(tl_device_vulkan_gpu(device)), 0);
}

/* Every allocation in turn fails, as if the device were full: one clear error, nothing lost, and the next try
 * works. */
static void a_full_device_is_told(void **state)
{
    (void)state;
    struct tl_gpu *gpu = tl_device_vulkan_gpu(device);
    int n_failed = 0;
    for (uint64_t nth = 1;; nth++) {
        struct tl_err err = {0};
        struct tl_graph *g = tl_graph_create();
        tl_val x = tl_input(g, "x", TL_F32, tl_shape2(3000, 4)),
               w = tl_param(g, 0, TL_LAYOUT_PLAIN, tl_shape2(1, 4), "w");
        tl_output(g, tl_sum_squares(g, tl_mul(g, x, w)), "y"); /* needs scratch */
        struct tl_store_layout *layout =
            tl_store_layout_create((const struct tl_graph *const *)&g, 1, 0, NULL, NULL, &err);
        tl_gpu_memory_fail_at(gpu, nth);
        struct tl_exec *exec = tl_exec_create(device, &g, &err);
        struct tl_store *store = exec ? tl_store_create(device, layout, &err) : NULL;
        bool ok = store && tl_exec_bind(exec, 0, store, &err) && tl_exec_run(exec, &err);
        tl_gpu_memory_fail_at(gpu, 0);
        tl_store_destroy(&store);
        tl_exec_destroy(&exec);
        tl_store_layout_destroy(&layout);
        if (ok) break;
        n_failed++;
        assert_int_equal(err.code, TL_DEVICE);
        assert_true(strlen(err.text) > 10);
    }
    print_message("%d allocations\n", n_failed);
    assert_true(n_failed >= 3); /* arena, scratch, weights */
    assert_int_equal(tl_gpu_validation_count(gpu), 0);
}

static void double_precision_is_refused(void **state)
{
    (void)state;
    struct tl_err err = {0};
    assert_null(tl_device_open(&(struct tl_device_params){.name = "vulkan", .f64 = true}, &err));
    assert_int_equal(err.code, TL_USAGE);
    err = (struct tl_err){0};
    assert_null(tl_device_open(&(struct tl_device_params){.name = "vulkan:63"}, &err));
    assert_int_equal(err.code, TL_DEVICE);
}

int main(void)
{
    struct tl_err err = {0};
    tl_log_set(say, NULL);
    setenv("TILLER_VALIDATE", "1", 1);
    device = tl_device_open(&(struct tl_device_params){.name = "vulkan"}, &err);
    if (!device) {
        printf("skipped: %s\n", err.text);
        return 77;
    }
    if (!tl_gpu_validation_on(tl_device_vulkan_gpu(device))) {
        printf("skipped: the Khronos validation layer is not installed\n");
        tl_device_close(&device);
        return 77;
    }
    oracle = tl_device_open(&(struct tl_device_params){.name = "cpu", .threads = 1, .f64 = true}, &err);
    if (!oracle) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case),
        cmocka_unit_test(every_case_in_windows),
        cmocka_unit_test(every_case_of_the_other_class),
        cmocka_unit_test(normals_are_the_hosts),
        cmocka_unit_test(weights_come_and_go),
        cmocka_unit_test(a_full_device_is_told),
        cmocka_unit_test(double_precision_is_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tl_device_close(&oracle);
    tl_device_close(&device);
    return failed;
}
#else
int main(void)
{
    printf("skipped: this build has no Vulkan\n");
    return 77;
}
#endif
