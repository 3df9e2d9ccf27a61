#include <tiller/log.h>

#include "io/file.h"
#include "io/safetensors.h"
#include "io/support_io.h"

static char warned[1024];

static void keep_warning(void *user, enum tl_log_level level, const char *text)
{
    (void)user;
    if (level == TL_LOG_WARN) snprintf(warned, sizeof warned, "%s", text);
}

/* One tensor of one float for each letter of `names`; the value is the letter. */
static void put(const char *path, const char *names)
{
    struct tl_err err = {0};
    struct tl_st_item items[8];
    float values[8];
    char text[8][2] = {{0}};
    size_t n = strlen(names);
    for (size_t i = 0; i < n; i++) {
        values[i] = (float)names[i];
        text[i][0] = names[i];
        items[i] = (struct tl_st_item){.name = text[i], .dtype = TL_ST_F32, .data = &values[i]};
    }
    io_put_text(path, ""); /* makes the folders */
    check_ok(tl_st_write(io_path(path), items, n, NULL, &err), &err);
}

static struct tl_st_set *open_set(const char *folder, const char *variant, struct tl_err *err)
{
    return tl_st_set_open(io_path(folder), "model", variant, err);
}

static void check_value(const struct tl_st_set *set, const char *name)
{
    struct tl_err err = {0};
    float v;
    const struct tl_st_tensor *t = tl_st_set_find(set, name);
    assert_non_null(t);
    check_ok(tl_st_to_f32(t, &v, &err), &err);
    assert_int_equal(v, name[0]);
}

static void test_single(void **state)
{
    (void)state;
    struct tl_err err = {0};
    put("single/model.safetensors", "ba");
    struct tl_st_set *set = open_set("single", NULL, &err);
    check_ok(set, &err);
    assert_int_equal(tl_st_set_count(set), 2);
    assert_string_equal(tl_st_set_at(set, 0)->name, "a");
    check_value(set, "b");
    assert_null(tl_st_set_find(set, "c"));
    assert_string_equal(tl_st_set_meta_find(set, "format"), "pt");
    assert_int_equal(tl_st_set_files(set), 1);
    assert_true(tl_file_exists(tl_st_set_path(set, 0)));
    assert_int_equal(tl_st_count(tl_st_set_file(set, 0)), 2);
    tl_st_set_close(&set);
    assert_null(set);
    set = tl_st_set_open_file(io_path("single/model.safetensors"), &err);
    check_ok(set, &err);
    check_value(set, "a");
    tl_st_set_close(&set);
    check_fails(tl_st_set_open_file(io_path("single/x"), &err), &err, TL_BAD_INPUT, "single/x");
}

static void test_sharded(void **state)
{
    (void)state;
    struct tl_err err = {0};
    put("shards/model.safetensors", "z"); /* the index goes first */
    put("shards/model-00001-of-00002.safetensors", "db");
    put("shards/model-00002-of-00002.safetensors", "ac");
    io_put_text(
        "shards/model.safetensors.index.json",
        "{\"metadata\":{\"total_size\":\"16\"},\"weight_map\":{\"a\":\"model-00002-of-00002.safetensors\","
        "\"b\":\"model-00001-of-00002.safetensors\",\"c\":\"model-00002-of-00002.safetensors\","
        "\"d\":\"model-00001-of-00002.safetensors\"}}");
    *warned = 0;
    struct tl_st_set *set = open_set("shards", NULL, &err);
    check_ok(set, &err);
    assert_int_equal(tl_st_set_count(set), 4);
    assert_int_equal(tl_st_set_files(set), 2);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(tl_st_set_at(set, (size_t)i)->name[0], 'a' + i);
        check_value(set, tl_st_set_at(set, (size_t)i)->name);
    }
    assert_null(tl_st_set_find(set, "z"));
    assert_string_equal(warned, "");
    tl_st_set_close(&set);

    io_put_text("shards/model.safetensors.index.json",
                "{\"weight_map\":{\"a\":\"model-00002-of-00002.safetensors\"}}");
    set = open_set("shards", NULL, &err);
    check_ok(set, &err);
    assert_int_equal(tl_st_set_count(set), 2);
    assert_non_null(strstr(warned, "1 tensors of the shards are not listed, c is the first"));
    tl_st_set_close(&set);
}

static void test_bad_index(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{}", "no \"weight_map\""},
        {"{\"weight_map\":{}}", "no \"weight_map\""},
        {"{\"weight_map\":[]}", "no \"weight_map\""},
        {"{\"weight_map\":{\"a\":1}}", "a: a file name expected"},
        {"{\"weight_map\":{\"a\":\"../s1.safetensors\"}}", "not a plain file name"},
        {"{\"weight_map\":{\"a\":\"x/s1.safetensors\"}}", "not a plain file name"},
        {"{\"weight_map\":{\"a\":\"x\\\\s1.safetensors\"}}", "not a plain file name"},
        {"{\"weight_map\":{\"a\":\"/s1.safetensors\"}}", "not a plain file name"},
        {"{\"weight_map\":{\"a\":\"..\"}}", "not a plain file name"},
        {"{\"weight_map\":{\"a\":\"\"}}", "not a plain file name"},
        {"{\"weight_map\":{\"a\":\"s9.safetensors\"}}", "s9.safetensors: cannot open"},
        {"{\"weight_map\":{\"q\":\"s1.safetensors\"}}", "q is not in s1.safetensors"},
        {"{\"weight_map\":{\"a\":\"s1.safetensors\",\"b\":\"s2.safetensors\"}}",
         "the tensor a is in two shards, s"},
        {"{\"weight_map\":{\"a\":\"bad.safetensors\"}}", "bad.safetensors: not a valid safetensors file"},
        {"{\"weight_map\":{\"a\":\"s1.safetensors\",\"a\":\"s2.safetensors\"}}", "appears twice"},
        {"{\"weight_map\":{\"a\":\"s1.safetensors\"}", "not valid JSON"},
    };
    put("bad/s1.safetensors", "a");
    put("bad/s2.safetensors", "ab");
    io_put_text("bad/bad.safetensors", "short");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tl_err err = {0};
        io_put_text("bad/model.safetensors.index.json", rows[i][0]);
        check_fails(open_set("bad", NULL, &err), &err, TL_BAD_INPUT, rows[i][1]);
    }
}

static void test_variants(void **state)
{
    (void)state;
    struct tl_err err = {0};
    put("var/model.fp16.safetensors", "h");
    check_fails(open_set("var", NULL, &err), &err, TL_BAD_INPUT,
                "model.fp16.safetensors is: is a variant wanted?");
    struct tl_st_set *set = open_set("var", "fp16", &err);
    check_ok(set, &err);
    check_value(set, "h");
    tl_st_set_close(&set);
    put("var/s.safetensors", "k");
    io_put_text("var/model.safetensors.fp16.index.json", "{\"weight_map\":{\"k\":\"s.safetensors\"}}");
    set = open_set("var", "fp16", &err);
    check_ok(set, &err);
    check_value(set, "k");
    tl_st_set_close(&set);
    put("var/t.safetensors", "m");
    io_put_text("var/model.safetensors.index.fp16.json", "{\"weight_map\":{\"m\":\"t.safetensors\"}}");
    set = open_set("var", "fp16", &err);
    check_ok(set, &err);
    check_value(set, "m");
    tl_st_set_close(&set);
    put("var/model.safetensors", "p");
    set = open_set("var", "", &err);
    check_ok(set, &err);
    check_value(set, "p");
    tl_st_set_close(&set);
    check_fails(open_set("var", "bf16", &err), &err, TL_BAD_INPUT,
                "neither model.safetensors.index.bf16.json nor model.bf16.safetensors");
    check_fails(open_set("var", "../x", &err), &err, TL_BAD_INPUT, "name of a variant");
}

static void test_absent(void **state)
{
    (void)state;
    struct tl_err err = {0};
    io_put_text("none/config.json", "{}");
    check_fails(open_set("none", NULL, &err), &err, TL_BAD_INPUT,
                "neither model.safetensors.index.json nor model.safe");
    io_put_text("none/pytorch_model.bin", "PK\3\4");
    check_fails(open_set("none", NULL, &err), &err, TL_BAD_INPUT, "pytorch_model.bin: not a zip archive");
    io_put_text("none/model.safetensors", "GGUF a renamed file"); /* goes before .bin */
    check_fails(open_set("none", NULL, &err), &err, TL_BAD_INPUT, "this is a GGUF file");
    io_put_text("none2/old.ckpt", "");
    check_fails(open_set("none2", NULL, &err), &err, TL_BAD_INPUT, "pytorch_model.bin is there, but old.ckpt is");
    check_fails(open_set("no-folder", NULL, &err), &err, TL_BAD_INPUT, "no-folder: cannot list");
}

int main(void)
{
    tl_log_set(keep_warning, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single),   cmocka_unit_test(test_sharded), cmocka_unit_test(test_bad_index),
        cmocka_unit_test(test_variants), cmocka_unit_test(test_absent),
    };
    return cmocka_run_group_tests(tests, io_setup, io_teardown);
}
