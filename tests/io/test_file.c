#include "io/file.h"

#include <locale.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/support_io.h"
#include "io/utf8.h"

static void test_write_and_read(void **state)
{
    (void)state;
    struct tl_err err = {0};
    size_t n = 0, big = 300001;
    uint8_t *data = malloc(big);
    for (size_t i = 0; i < big; i++) data[i] = (uint8_t)(i * 7 + i / 256);
    const char *path = io_path("a.bin");
    check_ok(tl_file_write(path, data, big, &err), &err);
    uint8_t *back = tl_file_read(path, big, &n, &err);
    check_ok(back, &err);
    assert_int_equal(n, big);
    assert_memory_equal(back, data, big);
    assert_int_equal(back[n], 0);
    free(back);
    check_fails(tl_file_read(path, big - 1, &n, &err), &err, TL_BAD_INPUT, "300000 bytes");

    /* In pieces of all sizes around the buffer's, over the old content. */
    struct tl_file_out out;
    check_ok(tl_file_begin(&out, path, &err), &err);
    size_t at = 0;
    for (size_t piece = 0; at < big; piece = piece * 2 + 1) {
        size_t len = piece < big - at ? piece : big - at;
        check_ok(tl_file_put(&out, data + at, len, &err), &err);
        at += len;
    }
    data[0] ^= 1; /* was copied or written already */
    check_ok(tl_file_commit(&out, &err), &err);
    data[0] ^= 1;
    back = tl_file_read(path, SIZE_MAX, &n, &err);
    check_ok(back, &err);
    assert_int_equal(n, big);
    assert_memory_equal(back, data, big);
    free(back);
    free(data);
    check_ok(tl_file_write(path, "", 0, &err), &err);
    back = tl_file_read(path, 0, &n, &err);
    check_ok(back, &err);
    assert_int_equal(n, 0);
    free(back);
    assert_int_equal(io_count(".tmp"), 0);
}

static void test_failures(void **state)
{
    (void)state;
    struct tl_err err = {0};
    size_t n;
    check_fails(tl_file_read(io_path("absent"), 9, &n, &err), &err, TL_BAD_INPUT,
                "absent: cannot open: No such file");
    check_fails(tl_file_read(io_path(""), 9, &n, &err), &err, TL_BAD_INPUT, "is a folder");
    check_fails(tl_file_write(io_path("no/x"), "1", 1, &err), &err, TL_OUTPUT, "No such file");
    check_fails(tl_file_write(io_path(""), "1", 1, &err), &err, TL_OUTPUT, "not a plain file");
    check_fails(tl_file_write("/dev/null", "1", 1, &err), &err, TL_OUTPUT, "not a plain file");
    check_fails(tl_file_write("", "1", 1, &err), &err, TL_OUTPUT, "not a file name");
    struct tl_file_out empty = {0};
    check_fails(tl_file_put(&empty, "1", 1, &err), &err, TL_OUTPUT, "not open");
    tl_file_abort(&empty);
}

/* A disk that is full half way: the old file stays, nothing else does. */
static void test_full_disk(void **state)
{
    (void)state;
    struct tl_err err = {0};
    const char *path = io_put_text("kept", "old");
    size_t big = 1 << 20, n;
    uint8_t *data = calloc(1, big);
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 100000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    bool ok = tl_file_write(path, data, big, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    check_fails(ok, &err, TL_OUTPUT, "kept: cannot write: File too large");
    struct tl_file_out out;
    check_ok(tl_file_begin(&out, path, &err), &err);
    check_ok(tl_file_put(&out, data, big, &err), &err);
    assert_int_equal(io_count(".tmp"), 1);
    tl_file_abort(&out);
    free(data);
    char *back = (char *)tl_file_read(path, 10, &n, &err);
    check_ok(back, &err);
    assert_string_equal(back, "old");
    free(back);
    assert_int_equal(io_count(".tmp"), 0);
}

static void test_folders(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_arena arena = {0};
    const char *deep = io_path("f/g//h/");
    check_ok(tl_file_make_folder(deep, &err), &err);
    check_ok(tl_file_make_folder(deep, &err), &err);
    assert_true(tl_file_is_folder(io_path("f/g/h")));
    io_put_text("f/b", "1");
    io_put_text("f/B", "2");
    io_put_text("f/.x", "3");
    check_fails(tl_file_make_folder(io_path("f/b/c"), &err), &err, TL_OUTPUT, "f/b: File exists");
    check_fails(tl_file_make_folder(io_path("f/b"), &err), &err, TL_OUTPUT, "File exists");
    check_fails(tl_file_make_folder("", &err), &err, TL_OUTPUT, "cannot make");
    assert_true(tl_file_exists(io_path("f/b")) && !tl_file_is_folder(io_path("f/b")));
    assert_false(tl_file_exists(io_path("f/c")));
    const char *const *names;
    size_t n;
    check_ok(tl_file_list(io_path("f"), &arena, &names, &n, &err), &err);
    assert_int_equal(n, 4);
    assert_string_equal(names[0], ".x");
    assert_string_equal(names[1], "B");
    assert_string_equal(names[2], "b");
    assert_string_equal(names[3], "g");
    check_ok(tl_file_list(io_path("f/g/h"), &arena, &names, &n, &err), &err);
    assert_int_equal(n, 0);
    check_fails(tl_file_list(io_path("f/zz"), &arena, &names, &n, &err), &err, TL_BAD_INPUT, "cannot list");
    tl_arena_finish(&arena);
}

static void test_paths(void **state)
{
    (void)state;
    struct tl_arena a = {0};
    struct tl_str s = {0};
    tl_path_join(&s, "a", "b");
    assert_string_equal(s.data, "a/b");
    tl_path_join(&s, "a/", "b");
    assert_string_equal(s.data, "a/b");
    tl_path_join(&s, "", "b");
    assert_string_equal(s.data, "b");
    tl_path_join(&s, "a", "/b");
    assert_string_equal(s.data, "/b");
    tl_str_finish(&s);
    assert_string_equal(tl_path_join_in(&a, "a", "b"), "a/b");
    assert_string_equal(tl_path_join_in(&a, "/", "b"), "/b");
    assert_string_equal(tl_path_join_in(&a, "a", "/b"), "/b");
    assert_string_equal(tl_path_base("a/b.tar.gz"), "b.tar.gz");
    assert_string_equal(tl_path_base("b"), "b");
    assert_string_equal(tl_path_extension("a.d/b.tar.gz"), "gz");
    assert_string_equal(tl_path_extension("a.d/b"), "");
    assert_string_equal(tl_path_extension("a/.hidden"), "");
    assert_string_equal(tl_path_folder_in(&a, "a/b/c"), "a/b");
    assert_string_equal(tl_path_folder_in(&a, "c"), ".");
    assert_string_equal(tl_path_folder_in(&a, "/c"), "/");
    static const char *const inside[] = {"a", "a/b", "..a", "a../b", "./a", "a/.b"};
    static const char *const outside[] = {"", "/a", "..", "../a", "a/..", "a/../b", "a\\b", "a\nb"};
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) assert_true(tl_path_is_inside(inside[i]));
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) assert_false(tl_path_is_inside(outside[i]));
    tl_arena_finish(&a);
}

static void test_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t valid;
    } rows[] = {
        {"plain", 5},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9},
        {"a\x80", 1},    /* a continuation alone */
        {"\xc0\x80", 0}, /* overlong */
        {"\xc1\xbf", 0},
        {"\xe0\x9f\xbf", 0},
        {"\xf0\x8f\xbf\xbf", 0},
        {"\xed\xa0\x80", 0}, /* a surrogate */
        {"\xed\x9f\xbf", 3},
        {"\xf4\x8f\xbf\xbf", 4},
        {"\xf4\x90\x80\x80", 0}, /* above U+10FFFF */
        {"\xf5\x80\x80\x80", 0},
        {"ab\xe2\x82", 2}, /* cut */
        {"ab\xe2\x28\xa1", 2},
        {"ab\xf0\x9f\x98", 2},
        {"\xff", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(tl_utf8_prefix(rows[i].text, strlen(rows[i].text)), rows[i].valid);
    }
    for (uint32_t code = 1; code < 0x110000; code += code < 0x900 ? 1 : 97) {
        char bytes[4];
        uint32_t back;
        if (code >= 0xd800 && code < 0xe000) continue;
        size_t n = tl_utf8_encode(code, bytes);
        assert_int_equal(tl_utf8_prefix(bytes, n), n);
        assert_int_equal(tl_utf8_decode(bytes, &back), n);
        assert_int_equal(back, code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_and_read), cmocka_unit_test(test_failures),
        cmocka_unit_test(test_full_disk),      cmocka_unit_test(test_folders),
        cmocka_unit_test(test_paths),          cmocka_unit_test(test_utf8),
    };
    return cmocka_run_group_tests(tests, io_setup, io_teardown);
}
