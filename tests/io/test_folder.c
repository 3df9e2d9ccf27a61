#include "io/folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include "io/support_io.h"

static const char *caption_of(const struct tl_folder *f, const char *name)
{
    for (size_t i = 0; i < f->n; i++) {
        if (!strcmp(f->items[i].name, name)) return f->items[i].caption ? f->items[i].caption : "(none)";
    }
    return "(no such item)";
}

static void test_sidecars(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_folder f;
    io_put_text("side/b.png", "x");
    io_put_text("side/a.JPG", "x");
    io_put_text("side/sub/c.webp", "x");
    io_put_text("side/sub/d.tar.png", "x");
    io_put_text("side/none.gif", "x");
    io_put_text("side/.hidden.png", "x");
    io_put_text("side/.git/e.png", "x");
    io_put_text("side/notes.md", "x");
    io_put_text("side/a.txt", "\xef\xbb\xbf a red circle\r\n");
    io_put_text("side/b.caption", "second");
    io_put_text("side/sub/c.txt", "two\nlines \xc3\xa9\n");
    io_put_text("side/sub/c.caption", "not this one");
    io_put_text("side/sub/d.tar.txt", "");
    check_ok(tl_folder_scan(io_path("side"), &f, &err), &err);
    static const char *const order[] = {"a.JPG", "b.png", "none.gif", "sub/c.webp", "sub/d.tar.png"};
    assert_int_equal(f.n, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(f.items[i].name, order[i]);
        assert_string_equal(f.items[i].path + strlen(io_path("side")) + 1, order[i]);
        assert_null(f.items[i].json);
    }
    assert_string_equal(caption_of(&f, "a.JPG"), "a red circle");
    assert_string_equal(caption_of(&f, "b.png"), "second");
    assert_string_equal(caption_of(&f, "none.gif"), "(none)");
    assert_string_equal(caption_of(&f, "sub/c.webp"), "two\nlines \xc3\xa9");
    assert_string_equal(caption_of(&f, "sub/d.tar.png"), "");
    assert_int_equal(f.n_captions, 4);
    tl_folder_finish(&f);
    tl_folder_finish(&f);
}

static void test_metadata(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_folder f;
    io_put_text("meta/a.png", "x");
    io_put_text("meta/b.png", "x");
    io_put_text("meta/c.png", "x");
    io_put_text("meta/deep/d.png", "x");
    io_put_text("meta/e/f/g.png", "x");
    io_put_text("meta/b.txt", "from the text file");
    io_put_text("meta/c.txt", "kept");
    const char *row =
        "{\"file_name\": \"a.png\", \"text\": \" first \", \"objects\": [{\"shape\": \"circle\"}]}";
    char text[600];
    snprintf(
        text, sizeof text,
        "%s\r\n\n{\"file_name\":\"b.png\",\"caption\":\"second\"}\n{\"file_name\":\"c.png\",\"seed\":3}\n"
        "{\"file_name\":\"./deep/d.png\",\"prompt\":\"fourth\",\"caption\":null}",
        row);
    io_put_text("meta/metadata.jsonl", text);
    io_put_text("meta/e/metadata.jsonl", "{\"file_name\":\"f/g.png\",\"text\":\"fifth\"}\n");
    check_ok(tl_folder_scan(io_path("meta"), &f, &err), &err);
    assert_int_equal(f.n, 5);
    assert_int_equal(f.n_captions, 5);
    assert_string_equal(caption_of(&f, "a.png"), "first");
    assert_string_equal(f.items[0].json, row);
    assert_string_equal(caption_of(&f, "b.png"), "second");
    assert_string_equal(caption_of(&f, "c.png"), "kept");
    assert_string_equal(caption_of(&f, "deep/d.png"), "fourth");
    assert_string_equal(caption_of(&f, "e/f/g.png"), "fifth");
    tl_folder_finish(&f);
}

static void test_bad_metadata(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{\"file_name\":\"../secret.png\"}", "leads out of the folder"},
        {"{\"file_name\":\"a/../../secret.png\"}", "leads out of the folder"},
        {"{\"file_name\":\"/secret.png\"}", "leads out of the folder"},
        {"{\"file_name\":\"..\\\\secret.png\"}", "leads out of the folder"},
        {"{\"file_name\":\"\"}", "leads out of the folder"},
        {"{\"file_name\":\"z.png\"}", "\"z.png\": no such picture"},
        {"{\"file_name\":\"metadata.jsonl\"}", "no such picture"},
        {"{\"text\":\"x\"}", "no \"file_name\""},
        {"{\"file_name\":5}", "\"file_name\" must be a string"},
        {"{\"file_name\":\"a.png\",\"text\":[\"x\"]}", "\"text\" must be a string"},
        {"{\"file_name\":\"a.png\"}\n{\"file_name\":\"./a.png\"}",
         "line 3: file_name \"a.png\": a second row"},
        {"{\"file_name\":\"a.png\"", "row 2: not valid JSON"},
        {"[1]", "line 2: a JSON object expected"},
        {"{\"file_name\":\"a.png\",\"text\":\"\xff\"}", "line 2: not valid UTF-8"},
    };
    io_put_text("secret.png", "x");
    io_put_text("badmeta/a.png", "x");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tl_err err = {0};
        struct tl_folder f;
        char text[300];
        snprintf(text, sizeof text, "\n%s\n", rows[i][0]);
        io_put_text("badmeta/metadata.jsonl", text);
        check_fails(tl_folder_scan(io_path("badmeta"), &f, &err), &err, TL_BAD_INPUT, rows[i][1]);
        assert_int_equal(f.n, 0);
        check_fails(tl_folder_scan(io_path("badmeta"), &f, &err), &err, TL_BAD_INPUT,
                    "badmeta/metadata.jsonl: ");
    }
}

static void test_refuses(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_folder f;
    io_put_text("empty/readme.txt", "x");
    check_fails(tl_folder_scan(io_path("empty"), &f, &err), &err, TL_BAD_INPUT,
                "empty: no pictures in this folder");
    check_fails(tl_folder_scan(io_path("absent"), &f, &err), &err, TL_BAD_INPUT, "absent: cannot list");
    check_fails(tl_folder_scan(io_path("empty/readme.txt"), &f, &err), &err, TL_BAD_INPUT, "Not a directory");
    io_put_text("latin/a.png", "x");
    io_put_text("latin/a.txt", "one\ncaf\xe9\n");
    check_fails(tl_folder_scan(io_path("latin"), &f, &err), &err, TL_BAD_INPUT,
                "a.txt: line 2: not valid UTF-8");
}

/* Links to files are taken, links to folders (which may go round) are not; a dangling picture is told. */
static void test_links(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_folder f;
    io_put_text("links/a.png", "x");
    assert_int_equal(symlink("a.png", io_path("links/b.png")), 0);
    assert_int_equal(symlink(".", io_path("links/round")), 0);
    check_ok(tl_folder_scan(io_path("links"), &f, &err), &err);
    assert_int_equal(f.n, 2);
    tl_folder_finish(&f);
    assert_int_equal(symlink("gone", io_path("links/c.png")), 0);
    check_fails(tl_folder_scan(io_path("links"), &f, &err), &err, TL_BAD_INPUT, "c.png: cannot open");
}

static void test_names(void **state)
{
    (void)state;
    static const char *const yes[] = {"a.png", "b/c.JpEg", "x.y.webp", "a.TGA"};
    static const char *const no[] = {"png", ".png", "a.png.txt", "a.", "a.pngx", "d.png/a"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) assert_true(tl_folder_is_picture(yes[i]));
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) assert_false(tl_folder_is_picture(no[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sidecars), cmocka_unit_test(test_metadata), cmocka_unit_test(test_bad_metadata),
        cmocka_unit_test(test_refuses),  cmocka_unit_test(test_links),    cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, io_setup, io_teardown);
}
