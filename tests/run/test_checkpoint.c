/* Checkpoints: what is saved comes back bit for bit; what must not be saved. */
#include "support/check.h"

#include "run/checkpoint.h"
#include "support_checkpoint.h"
#include "support_folder.h"

static void test_round_trip(void **state)
{
    char run[128];
    strcpy(run, support_checkpoint_run(*state, "round"));
    struct tl_err err = {0};
    assert_int_equal(support_checkpoint_newest(run), -1);
    support_checkpoint_save(run, 1000);
    assert_int_equal(support_checkpoint_newest(run), 1000);
    struct tl_checkpoint *c = tl_checkpoint_open(support_path(run, "checkpoints/step-00001000"), &err);
    check_ok(c != NULL, &err);
    assert_string_equal(tl_checkpoint_path(c), support_path(run, "checkpoints/step-00001000"));
    assert_true(tl_checkpoint_has_store(c, "lora") && !tl_checkpoint_has_store(c, "order"));
    assert_true(tl_checkpoint_has_blob(c, "order") && !tl_checkpoint_has_blob(c, "lora"));
    size_t n;
    assert_null(tl_checkpoint_read_blob(c, "none", &n, &err));
    assert_non_null(strstr(err.text, "has no none.bin"));
    tl_checkpoint_close(&c);
    tl_err_clear(&err);
    assert_null(tl_checkpoint_open(support_path(run, "checkpoints/step-00009999"), &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
}

/* A layout that is not the file's: each difference has its message. */
static void test_other_layout(void **state)
{
    char run[128];
    strcpy(run, support_checkpoint_run(*state, "layout"));
    support_checkpoint_save(run, 1);
    struct tl_err err = {0};
    struct tl_checkpoint *c = tl_checkpoint_open_newest(run, &err);
    check_ok(c != NULL, &err);
    struct tl_store_entry renamed[2] = {support_checkpoint_layout.entries[0],
                                        support_checkpoint_layout.entries[1]},
                          reshaped[2] = {support_checkpoint_layout.entries[0],
                                         support_checkpoint_layout.entries[1]};
    renamed[1].name = "b.bias";
    reshaped[0].shape.dim[3] = 4;
    const struct tl_store_layout others[] = {
        {renamed, 2, 192, support_checkpoint_layout.by_name, NULL, TL_F32},
        {reshaped, 2, 192, support_checkpoint_layout.by_name, NULL, TL_F32},
        {support_checkpoint_layout.entries, 1, 128, support_checkpoint_layout.by_name, NULL, TL_F32}};
    static const char *const messages[] = {"has no b.bias", "z.weight is [3, 3, 2, 5] there",
                                           "holds 2 tensors, this run has 1"};
    for (int i = 0; i < 3; i++) {
        float flat[192];
        tl_err_clear(&err);
        assert_false(tl_checkpoint_read_flat(c, "lora", &others[i], flat, &err));
        assert_int_equal(err.code, TL_BAD_INPUT);
        if (!strstr(err.text, messages[i]) || !strstr(err.text, "lora.safetensors"))
            fail_msg("\"%s\"", err.text);
    }
    tl_checkpoint_close(&c);
}

/* ---- what must not be saved ---- */

static void test_not_finite(void **state)
{
    char run[128];
    strcpy(run, support_checkpoint_run(*state, "finite"));
    support_checkpoint_save(run, 1);
    support_checkpoint_save(run, 2);
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        float flat[192];
        struct tl_err err = {0};
        support_checkpoint_fill(flat, 3);
        flat[128 + 2] = bad[i];
        assert_false(
            support_checkpoint_save_with(run, 3, &(struct support_saving){.keep = 1, .flat = flat}, &err));
        assert_int_equal(err.code, TL_NUMERIC);
        if (!strstr(err.text, "step 3: lora: a.bias: element 2 is ")) fail_msg("\"%s\"", err.text);
        assert_string_equal(support_checkpoint_names(run),
                            "step-00000001 step-00000002"); /* nothing pruned, nothing left over */
    }
    float flat[192];
    struct tl_err err = {0};
    support_checkpoint_fill(flat, 3);
    flat[100] = NAN; /* a gap is nobody's value */
    check_ok(support_checkpoint_save_with(run, 3, &(struct support_saving){.flat = flat}, &err), &err);
    assert_int_equal(support_checkpoint_newest(run), 3);
    cJSON *bad_state = cJSON_CreateObject();
    cJSON_AddNumberToObject(bad_state, "x", NAN);
    assert_false(tl_checkpoint_save(run, 4, &(struct tl_checkpoint_params){.state = bad_state}, &err));
    assert_int_equal(err.code, TL_NUMERIC);
    cJSON_Delete(bad_state);
    assert_int_equal(support_checkpoint_newest(run), 3);
}

static void test_names(void **state)
{
    char run[128];
    strcpy(run, support_checkpoint_run(*state, "names"));
    static const char *const bad[] = {
        "",        "../x",   "a/b",
        ".hidden", "sp ace", "a123456789012345678901234567890123456789012345678901234567890123456789"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct tl_err err = {0};
        const struct tl_checkpoint_blob blob = {bad[i], "x", 1};
        assert_false(
            tl_checkpoint_save(run, 1, &(struct tl_checkpoint_params){.blobs = &blob, .n_blobs = 1}, &err));
        assert_int_equal(err.code, TL_FAIL);
        assert_string_equal(support_checkpoint_names(run), "");
    }
    struct tl_err err = {0};
    const struct tl_checkpoint_blob twice[] = {{"a", "x", 1}, {"a", "y", 1}};
    assert_false(
        tl_checkpoint_save(run, 1, &(struct tl_checkpoint_params){.blobs = twice, .n_blobs = 2}, &err));
    assert_non_null(strstr(err.text, "a.bin is twice"));
    tl_err_clear(&err);
    assert_false(tl_checkpoint_save(run, -1, &(struct tl_checkpoint_params){0}, &err));
    tl_err_clear(&err);
    cJSON *empty = cJSON_CreateObject();
    check_ok(tl_checkpoint_save(run, 0, &(struct tl_checkpoint_params){.state = empty}, &err),
             &err); /* nothing in it is fine */
    cJSON_Delete(empty);
    struct tl_checkpoint *c = tl_checkpoint_open_newest(run, &err);
    check_ok(c != NULL, &err);
    assert_int_equal(tl_checkpoint_step(c), 0);
    tl_checkpoint_close(&c);
}

/* ---- stores on a device ---- */

static void test_device_store(void **state)
{
    char run[128];
    strcpy(run, support_checkpoint_run(*state, "store"));
    struct tl_err err = {0};
    struct tl_device *device = tl_device_open(&(struct tl_device_params){.name = "cpu", .threads = 1}, &err);
    check_ok(device != NULL, &err);
    struct tl_store *a = tl_store_create(device, &support_checkpoint_layout, &err),
                    *b = tl_store_create(device, &support_checkpoint_layout, &err);
    check_ok(a && b, &err);
    float flat[192], back[192];
    support_checkpoint_fill(flat, 9);
    check_ok(tl_store_write_flat(a, flat, &err), &err);
    const struct tl_checkpoint_store stores[] = {{.name = "one", .store = a}, {.name = "two", .store = b}};
    cJSON *empty = cJSON_CreateObject();
    const struct tl_checkpoint_params params = {.stores = stores, .n_stores = 2, .state = empty};
    check_ok(tl_checkpoint_save(run, 9, &params, &err), &err);
    cJSON_Delete(empty);
    struct tl_checkpoint *c = tl_checkpoint_open_newest(run, &err);
    check_ok(c != NULL, &err);
    check_ok(tl_checkpoint_read_store(c, "one", b, &err), &err);
    check_ok(tl_store_read_flat(b, back, &err), &err);
    assert_memory_equal(back, flat, sizeof flat);
    check_ok(tl_checkpoint_read_store(c, "two", b, &err), &err); /* was all zero */
    check_ok(tl_store_read_flat(b, back, &err), &err);
    for (size_t i = 0; i < 192; i++) assert_true(back[i] == 0);
    tl_checkpoint_close(&c);
    tl_store_destroy(&a);
    tl_store_destroy(&b);
    tl_device_close(&device);
}

/* A state that could not be made (memory) must not become an empty one. */
static void test_no_state(void **state)
{
    char run[128];
    strcpy(run, support_checkpoint_run(*state, "no-state"));
    support_checkpoint_save(run, 1);
    struct tl_err err = {0};
    const struct tl_checkpoint_blob blob = {"a", "x", 1};
    assert_false(
        tl_checkpoint_save(run, 2, &(struct tl_checkpoint_params){.blobs = &blob, .n_blobs = 1}, &err));
    assert_int_equal(err.code, TL_OUTPUT);
    assert_string_equal(support_checkpoint_names(run), "step-00000001");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_other_layout),
        cmocka_unit_test(test_not_finite),   cmocka_unit_test(test_names),
        cmocka_unit_test(test_device_store), cmocka_unit_test(test_no_state),
    };
    return cmocka_run_group_tests(tests, support_folder_make, support_folder_remove);
}
