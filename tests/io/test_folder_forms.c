/* Data folders as people have them: metadata.csv, folders called N_name, things that cannot be used, names
 * and links that lead out. */
#include <sys/stat.h>
#include <unistd.h>

#include "io/folder.h"
#include "io/folder_csv.h"
#include "io/support_io.h"

static const struct tl_folder_item *item_of(const struct tl_folder *f, const char *name)
{
    for (size_t i = 0; i < f->n; i++)
        if (!strcmp(f->items[i].name, name)) return &f->items[i];
    fail_msg("no item %s", name);
    return NULL;
}

static void check_item(const struct tl_folder *f, const char *name, int repeats, const char *caption)
{
    const struct tl_folder_item *item = item_of(f, name);
    if (item->trouble) fail_msg("%s: %s", name, item->trouble);
    assert_int_equal(item->repeats, repeats);
    if (caption)
        assert_string_equal(item->caption, caption);
    else
        assert_null(item->caption);
}

/* ---- CSV ---- */

static void check_csv(const char *text, const char *const *fields, size_t n)
{
    struct tl_err err = {0};
    struct tl_arena arena = {0};
    struct tl_csv csv;
    const char *const *row;
    size_t n_row, at = 0;
    check_ok(tl_csv_begin(&csv, text, strlen(text), "t.csv", &err), &err);
    do {
        check_ok(tl_csv_next(&csv, &arena, &row, &n_row, &err), &err);
        for (size_t i = 0; i < n_row; i++, at++) {
            assert_true(at < n);
            assert_string_equal(row[i], fields[at]);
        }
        if (n_row) assert_string_equal(fields[at++], "|"); /* where a record ends */
    } while (n_row);
    assert_int_equal(at, n);
    tl_arena_finish(&arena);
}
#define FIELDS(...)                                                                                          \
    (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)

static void test_csv(void **state)
{
    (void)state;
    check_csv("a,b\r\nc,d\r\n", FIELDS("a", "b", "|", "c", "d", "|"));
    check_csv("\xef\xbb\xbf"
              "a,b\n\n\r\nc,",
              FIELDS("a", "b", "|", "c", "", "|"));
    check_csv("a,\n,b", FIELDS("a", "", "|", "", "b", "|"));
    check_csv("\"a,1\",\"say \"\"no\"\"\"\n\"\",x", FIELDS("a,1", "say \"no\"", "|", "", "x", "|"));
    check_csv("\"two\r\nlines\",b\n", FIELDS("two\r\nlines", "b", "|"));
    check_csv("5\" disc, b \n", FIELDS("5\" disc", " b ", "|"));
    check_csv("\"\"\"\"", FIELDS("\"", "|"));
    static const char *const broken[][2] = {{"a,b\n\"c", "t.csv: line 2: a quoted field that never ends"},
                                            {"\n\"x\ny\"z\n", "t.csv: line 3: text behind a closing quote"}};
    for (size_t i = 0; i < 2; i++) {
        struct tl_err err = {0};
        struct tl_arena arena = {0};
        struct tl_csv csv;
        const char *const *row;
        size_t n = 1;
        bool ok = tl_csv_begin(&csv, broken[i][0], strlen(broken[i][0]), "t.csv", &err);
        while (ok && n) ok = tl_csv_next(&csv, &arena, &row, &n, &err);
        check_fails(ok, &err, TL_BAD_INPUT, broken[i][1]);
        tl_arena_finish(&arena);
    }
}

static void test_metadata_csv(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_folder f;
    io_put_text("csv/a.png", "x");
    io_put_text("csv/b.png", "x");
    io_put_text("csv/c.png", "x");
    io_put_text("csv/d.png", "x");
    io_put_text("csv/deep/e.png", "x");
    io_put_text("csv/c.txt", "from the text file");
    io_put_text("csv/metadata.csv", "width,file_name,prompt,text\r\n"
                                    "9,a.png,not this, \"plain\" \r\n"
                                    "9,b.png,not this,\"a \"\"red\"\", shiny shoe\nof leather\"\r\n"
                                    "9,c.png,x,\r\n"
                                    "9,./deep/e.png,,caf\xc3\xa9\r\n");
    check_ok(tl_folder_scan(io_path("csv"), &f, &err), &err);
    check_item(&f, "a.png", 1, "\"plain\"");
    check_item(&f, "b.png", 1, "a \"red\", shiny shoe\nof leather");
    check_item(&f, "c.png", 1, "from the text file");
    check_item(&f, "d.png", 1, NULL);
    check_item(&f, "deep/e.png", 1, "caf\xc3\xa9");
    assert_null(f.items[0].json);
    tl_folder_finish(&f);
    /* both kinds of metadata: for different pictures */
    io_put_text("csv/metadata.jsonl", "{\"file_name\":\"d.png\",\"text\":\"fourth\"}\n");
    check_ok(tl_folder_scan(io_path("csv"), &f, &err), &err);
    check_item(&f, "d.png", 1, "fourth");
    tl_folder_finish(&f);
    io_put_text("csv/metadata.jsonl", "{\"file_name\":\"a.png\"}\n");
    check_fails(tl_folder_scan(io_path("csv"), &f, &err), &err, TL_BAD_INPUT, "a second row");
    assert_false(tl_folder_scan(io_path("csv"), &f, &err));
    assert_true(strstr(err.text, "csv/metadata.csv") && strstr(err.text, "csv/metadata.jsonl"));
    assert_non_null(strstr(err.text, "remove the file"));
}

static void test_bad_csv(void **state)
{
    (void)state;
    static const char *const files[][2] = {
        {"file_name,text\n../secret.png,x\n", "line 2: file_name \"../secret.png\" leads out of the folder"},
        {"file_name,text\na.png,x\n/etc/passwd,x\n", "line 3: file_name \"/etc/passwd\" leads out"},
        {"file_name,text\n\"a/../../secret.png\",x\n", "leads out of the folder"},
        {"file_name,text\na.png,x\na.png,y\n", "line 3: file_name \"a.png\": a second row"},
        {"file_name,text\nz.png,x\n", "line 2: file_name \"z.png\": no such picture"},
        {"file_name,text\na.png,x, y\n", "line 2: 3 fields, the first line has 2"},
        {"file_name;text\na.png;x\n", "no column file_name"},
        {"", "no column file_name"},
        {"file_name,text\na.png,\xff\n", "line 2: not valid UTF-8"},
        {"file_name,text\na.png,\"x\n", "never ends"},
    };
    io_put_text("badcsv/a.png", "x");
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct tl_err err = {0};
        struct tl_folder f;
        io_put_text("badcsv/metadata.csv", files[i][0]);
        check_fails(tl_folder_scan(io_path("badcsv"), &f, &err), &err, TL_BAD_INPUT, files[i][1]);
        check_fails(tl_folder_scan(io_path("badcsv"), &f, &err), &err, TL_BAD_INPUT, "badcsv/metadata.csv: ");
    }
}

/* ---- N_name ---- */

static void test_parse_repeats(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int repeats;
        const char *rest;
    } yes[] = {{"10_red shoe", 10, "red shoe"},
               {"1_x", 1, "x"},
               {"0_off", 0, "off"},
               {"007_a_b", 7, "a_b"},
               {"10000_x", 10000, "x"}};
    static const char *const no[] = {"10",   "10_",   "_x",      "x_10",          "-1_x",
                                     " 1_x", "1.5_x", "10001_x", "20240611_trip", "99999999999999999999_x",
                                     ""};
    int repeats;
    const char *rest;
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        assert_true(tl_folder_parse_repeats(yes[i].name, &repeats, &rest));
        assert_int_equal(repeats, yes[i].repeats);
        assert_string_equal(rest, yes[i].rest);
    }
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        assert_false(tl_folder_parse_repeats(no[i], &repeats, &rest));
}

static void test_repeats(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_folder f;
    io_put_text("2_kohya/10_red shoe/a.png", "x");
    io_put_text("2_kohya/10_red shoe/b.webp", "x");
    io_put_text("2_kohya/10_red shoe/b.caption", "its own");
    io_put_text("2_kohya/10_red shoe/c.png", "x");
    io_put_text("2_kohya/10_red shoe/c.txt", "");
    io_put_text("2_kohya/10_red shoe/.thumbs/t.png", "x");
    io_put_text("2_kohya/10_red shoe/close/d.png", "x");
    io_put_text("2_kohya/10_red shoe/close/3_lace/deep/e.png", "x");
    io_put_text("2_kohya/20240611_trip/f.png", "x");
    io_put_text("2_kohya/5_\xff\xfe/g.png", "x");
    io_put_text("2_kohya/h.png", "x");
    io_put_text("2_kohya/metadata.jsonl", "{\"file_name\":\"10_red shoe/close/d.png\",\"text\":\"named\"}\n");
    check_ok(tl_folder_scan(io_path("2_kohya"), &f, &err), &err);
    assert_int_equal(f.n, 8);
    check_item(&f, "10_red shoe/a.png", 10, "red shoe");
    check_item(&f, "10_red shoe/b.webp", 10, "its own");
    check_item(&f, "10_red shoe/c.png", 10, "");
    check_item(&f, "10_red shoe/close/d.png", 10, "named");
    check_item(&f, "10_red shoe/close/3_lace/deep/e.png", 3, "lace"); /* the nearest counts */
    check_item(&f, "20240611_trip/f.png", 1, NULL);
    check_item(&f, "5_\xff\xfe/g.png", 5, NULL); /* no UTF-8, no caption */
    check_item(&f, "h.png", 1, NULL);            /* the folder that is read does not count */
    assert_int_equal(f.n_captions, 5);
    tl_folder_finish(&f);
}

/* ---- trouble ---- */

static void check_trouble(const struct tl_folder *f, const char *name, const char *says)
{
    const struct tl_folder_item *item = item_of(f, name);
    if (!item->trouble || !strstr(item->trouble, says) || !strstr(item->trouble, io_path("trouble")))
        fail_msg("%s: trouble '%s'; expected '%s'", name, item->trouble ? item->trouble : "", says);
}

/* What is wrong with one picture is kept beside it, and the others are there. */
static void test_trouble(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_folder f;
    io_put_text("outside/private.png", "x");
    io_put_text("outside/private.txt", "secret");
    io_put_text("trouble/good.png", "x");
    io_put_text("trouble/good.txt", "good");
    io_put_text("trouble/latin.png", "x");
    io_put_text("trouble/latin.txt", "caf\xe9");
    io_put_text("trouble/named.png", "x");
    io_put_text("trouble/metadata.jsonl",
                "{\"file_name\":\"gone.png\"}\n{\"file_name\":\"named.png\",\"text\":\"n\"}\n");
    assert_int_equal(mkfifo(io_path("trouble/fifo.png"), 0600), 0);
    assert_int_equal(symlink("nowhere", io_path("trouble/dangling.png")), 0);
    assert_int_equal(symlink("../outside/private.png", io_path("trouble/out.png")), 0);
    io_put_text("trouble/text.png", "x");
    assert_int_equal(symlink("../outside/private.txt", io_path("trouble/text.txt")), 0);
    assert_int_equal(symlink("good.png", io_path("trouble/in.png")), 0);
    assert_int_equal(symlink("../outside", io_path("trouble/folder")), 0); /* not followed */
    check_ok(tl_folder_read(io_path("trouble"), &f, &err), &err);
    assert_int_equal(f.n, 8);
    check_item(&f, "good.png", 1, "good");
    check_item(&f, "in.png", 1, NULL);
    check_item(&f, "named.png", 1, "n");
    check_trouble(&f, "latin.png", "latin.txt: line 1: not valid UTF-8");
    check_trouble(&f, "fifo.png", "fifo.png: not a regular file");
    check_trouble(&f, "dangling.png", "dangling.png: cannot open");
    check_trouble(&f, "out.png", "out.png: a link that leads out of the folder");
    check_trouble(&f, "text.png", "text.txt: a link that leads out of the folder");
    assert_null(item_of(&f, "text.png")->caption);
    assert_int_equal(f.n_strays, 1);
    assert_non_null(
        strstr(f.strays[0], "trouble/metadata.jsonl: line 1: file_name \"gone.png\": no such picture"));
    tl_folder_finish(&f);
    check_fails(tl_folder_scan(io_path("trouble"), &f, &err), &err, TL_BAD_INPUT, "gone.png");
    /* a metadata file that is a link out is refused */
    io_put_text("outside/metadata.csv", "file_name,text\na.png,secret\n");
    io_put_text("linked/a.png", "x");
    assert_int_equal(symlink("../outside/metadata.csv", io_path("linked/metadata.csv")), 0);
    check_fails(tl_folder_read(io_path("linked"), &f, &err), &err, TL_BAD_INPUT,
                "metadata.csv: a link that leads out");
}

/* Whether a caption can be read is no matter where none is wanted; metadata of other things is told apart. */
static void test_without_captions(void **state)
{
    (void)state;
    static const char *const metadata[][2] = {{"metadata.csv", "id,seed\n1,2\n"},
                                              {"metadata.jsonl", "{\"id\":1,\"text\":2}\n{\"id\":2}\n"}};
    struct tl_err err = {0};
    struct tl_folder f;
    for (int i = 0; i < 2; i++) {
        char folder[16], name[64];
        snprintf(folder, sizeof folder, "alien%d", i);
        for (const char *s = "ab"; *s; s++) {
            snprintf(name, sizeof name, "%s/%c.png", folder, *s);
            io_put_text(name, "x");
        }
        snprintf(name, sizeof name, "%s/a.txt", folder);
        io_put_text(name, "a hat");
        snprintf(name, sizeof name, "%s/b.txt", folder);
        io_put_text(name, "caf\xe9");
        snprintf(name, sizeof name, "%s/%s", folder, metadata[i][0]);
        io_put_text(name, metadata[i][1]);
        const char *path = io_path(folder);
        check_fails(tl_folder_read(path, &f, &err), &err, TL_BAD_INPUT, metadata[i][0]);
        check_ok(tl_folder_open_any(path, TL_MODALITY_IMAGE, TL_FOLDER_NO_CAPTIONS, &f, &err), &err);
        assert_true(f.n == 2 && !f.items[0].trouble && !f.items[1].trouble && !f.items[0].caption);
        tl_folder_finish(&f);
        check_ok(tl_folder_open_any(path, TL_MODALITY_IMAGE, TL_FOLDER_CAPTIONS_FOUND, &f, &err), &err);
        assert_true(f.n == 2 && !f.items[0].trouble && f.items[1].trouble);
        assert_string_equal(f.items[0].caption, "a hat");
        tl_folder_finish(&f);
    }
    io_put_text("alien1/metadata.jsonl", "{\"file_name\":\"a.png\"}\n{\"id\":2}\n"); /* a mistake */
    check_fails(tl_folder_open_any(io_path("alien1"), TL_MODALITY_IMAGE, TL_FOLDER_CAPTIONS_FOUND, &f, &err),
                &err, TL_BAD_INPUT, "line 2: no \"file_name\"");
}

/* Folders that cannot be read, lie too deep or are called like a picture: told, and the rest is there. */
static void test_lost_folders(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_folder f;
    char deep[128] = "lost/";
    for (int i = 0; i < 40; i++) strcat(deep, "d/");
    io_put_text(strcat(deep, "z.png"), "x");
    io_put_text("lost/a.png", "x");
    io_put_text("lost/album.png/b.png", "x");
    io_put_text("lost/bare.png/readme", "x");
    io_put_text("lost/shut/c.png", "x");
    chmod(io_path("lost/shut"), 0);
    bool is_shut = access(io_path("lost/shut"), R_OK) != 0; /* root reads all */
    check_ok(tl_folder_read(io_path("lost"), &f, &err), &err);
    chmod(io_path("lost/shut"), 0700);
    assert_int_equal(f.n, 5);
    check_item(&f, "a.png", 1, NULL);
    check_item(&f, "album.png/b.png", 1, NULL);
    assert_non_null(strstr(item_of(&f, "bare.png")->trouble, "lost/bare.png: a folder, and nothing to take"));
    size_t n_deep = 0;
    for (size_t i = 0; i < f.n; i++)
        n_deep += f.items[i].trouble && strstr(f.items[i].trouble, "d/d: a folder too deep") != NULL;
    assert_int_equal(n_deep, 1);
    if (is_shut) assert_non_null(strstr(item_of(&f, "shut")->trouble, "lost/shut: cannot list"));
    tl_folder_finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_csv),
        cmocka_unit_test(test_metadata_csv),
        cmocka_unit_test(test_bad_csv),
        cmocka_unit_test(test_parse_repeats),
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_trouble),
        cmocka_unit_test(test_without_captions),
        cmocka_unit_test(test_lost_folders),
    };
    return cmocka_run_group_tests(tests, io_setup, io_teardown);
}
