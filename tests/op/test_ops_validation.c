/* The whole table of cases on the vulkan device with the Khronos validation layer watching (core and
 * synchronisation checks): it must have nothing to say. The numbers are checked by test_ops. */
#include "op/support_ops.h"
#include "support/check.h"

#ifdef TILLER_HAVE_VULKAN
#include "tensor/vulkan_device.h"

static struct tl_device *device;

static void validation_is_silent(void **state)
{
    (void)state;
    struct tl_gpu *gpu = tl_device_vulkan_gpu(device);
    size_t n;
    const struct op_case *cases = op_cases(&n);
    assert_int_equal(tl_gpu_validation_count(gpu), 0);
    for (size_t i = 0; i < n; i++) {
        struct op_numbers numbers;
        struct op_results results;
        struct tl_err err = {0};
        char text[256];
        op_numbers_make(&cases[i], i, &numbers);
        if (!op_graph_run(device, &cases[i], &numbers, &results, &err))
            fail_msg("%s: %s", op_case_text(&cases[i], text), err.text);
        op_results_free(&results);
        op_numbers_free(&numbers);
        if (tl_gpu_validation_count(gpu) != 0)
            fail_msg("%s: %llu messages of the validation layer", op_case_text(&cases[i], text),
                     (unsigned long long)tl_gpu_validation_count(gpu));
    }
    printf("%zu cases, no message\n", n);
}

int main(void)
{
    struct tl_err err = {0};
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(validation_is_silent)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
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
