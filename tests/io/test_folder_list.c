/* What stands for a folder: folders of sounds, list files, single files. */
#include "io/folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include "io/support_io.h"

static const struct tl_folder_item *item_of(const struct tl_folder *f, const char *name)
{
    for (size_t i = 0; i < f->n; i++)
        if (!strcmp(f->items[i].name, name)) return &f->items[i];
    fail_msg("no item %s", name);
    return NULL;
}

static void test_sounds(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_folder f, any;
    io_put_text("snd/b.WAV", "x");
    io_put_text("snd/a.flac", "x");
    io_put_text("snd/deep/c.Mp3", "x");
    io_put_text("snd/cover.png", "x");
    io_put_text("snd/a.txt", "a dark drone\n");
    io_put_text("snd/.hidden.wav", "x");
    io_put_text("snd/deep/metadata.jsonl", "{\"file_name\": \"c.Mp3\", \"caption\": \"a bell\"}\n"
                                           "{\"file_name\": \"d.ogg\", \"caption\": \"gone\"}\n");
    assert_int_equal(mkfifo(io_path("snd/pipe.ogg"), 0600), 0);
    assert_int_equal(symlink("/etc/passwd", io_path("snd/out.opus")), 0);
    assert_int_equal(symlink("nowhere", io_path("snd/dead.aiff")), 0);
    check_ok(tl_folder_read_sounds(io_path("snd"), &f, &err), &err);
    check_ok(tl_folder_open_any(io_path("snd"), TL_MODALITY_AUDIO, TL_FOLDER_CAPTIONS, &any, &err), &err);
    static const char *const order[] = {"a.flac", "b.WAV", "dead.aiff", "deep/c.Mp3", "out.opus", "pipe.ogg"};
    assert_int_equal(f.n, 6);
    assert_int_equal(any.n, 6);
    for (size_t i = 0; i < 6; i++) {
        assert_string_equal(f.items[i].name, order[i]);
        assert_string_equal(any.items[i].name, order[i]);
        assert_string_equal(any.items[i].path, f.items[i].path);
    }
    assert_string_equal(item_of(&f, "a.flac")->caption, "a dark drone");
    assert_string_equal(item_of(&f, "deep/c.Mp3")->caption, "a bell");
    assert_int_equal(f.n_captions, 2);
    assert_non_null(strstr(item_of(&f, "out.opus")->trouble, "out.opus: a link that leads out"));
    assert_non_null(strstr(item_of(&f, "pipe.ogg")->trouble, "pipe.ogg: not a regular file"));
    assert_non_null(strstr(item_of(&f, "dead.aiff")->trouble, "dead.aiff: cannot open"));
    assert_int_equal(f.n_strays, 1);
    assert_non_null(strstr(f.strays[0], "\"d.ogg\": no such sound in the folder"));
    tl_folder_finish(&f);
    tl_folder_finish(&any);
    io_put_text("silent/readme.md", "x");
    check_fails(tl_folder_read_sounds(io_path("silent"), &f, &err), &err, TL_BAD_INPUT,
                "silent: no sounds in this folder");
}

/* A caption that is a pipe is not waited for. */
static void test_pipe_caption(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_folder f;
    io_put_text("pipes/a.wav", "x");
    assert_int_equal(mkfifo(io_path("pipes/a.txt"), 0600), 0);
    check_ok(tl_folder_read_sounds(io_path("pipes"), &f, &err), &err);
    assert_non_null(strstr(f.items[0].trouble, "a.txt: not a regular file"));
    tl_folder_finish(&f);
}

/* Plain lines: relative and absolute paths, captions behind a tab or beside the file, what is missing. */
static void test_plain_list(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_folder f;
    char text[1024], outside[512];
    io_put_text("list/in/b.wav", "x");
    io_put_text("list/in/b.txt", "beside");
    io_put_text("list/in/3_warm pad/a.wav", "x");
    io_put_text("list/noext", "x");
    snprintf(outside, sizeof outside, "%s", io_put_text("other/far.png", "x"));
    snprintf(text, sizeof text,
             "# what is measured\n\n./in/b.wav\r\nin/3_warm pad/a.wav\nnoext\t a caption \n%s\tfar\n"
             "../other/far.png\nin/gone.wav\nin\n",
             outside);
    check_ok(tl_folder_open_any(io_put_text("list/files.txt", text), TL_MODALITY_AUDIO, TL_FOLDER_CAPTIONS,
                                &f, &err),
             &err);
    assert_int_equal(f.n, 7);
    for (size_t i = 1; i < f.n; i++) assert_true(strcmp(f.items[i - 1].name, f.items[i].name) < 0);
    assert_string_equal(item_of(&f, "in/b.wav")->caption, "beside");
    assert_string_equal(item_of(&f, "in/b.wav")->path, io_path("list/in/b.wav"));
    assert_string_equal(item_of(&f, "in/3_warm pad/a.wav")->caption, "warm pad");
    assert_int_equal(item_of(&f, "in/3_warm pad/a.wav")->repeats, 3);
    assert_string_equal(item_of(&f, "noext")->caption, "a caption");
    assert_string_equal(item_of(&f, outside)->caption, "far");
    assert_string_equal(item_of(&f, outside)->path, outside);
    assert_null(item_of(&f, "../other/far.png")->trouble);
    assert_non_null(strstr(item_of(&f, "in/gone.wav")->trouble, "in/gone.wav: cannot open"));
    assert_non_null(strstr(item_of(&f, "in")->trouble, "list/in: not a regular file"));
    assert_int_equal(f.n_captions, 4);
    tl_folder_finish(&f);
}

static void test_row_lists(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_folder f;
    static const char rows[] = "{\"file_name\": \"p.png\", \"text\": \"one\", \"seed\": 4}\n"
                               "{\"file_name\": \"sub/q.png\"}\n";
    io_put_text("rows/p.png", "x");
    io_put_text("rows/sub/q.png", "x");
    const char *lists[] = {io_put_text("rows/some.jsonl", rows), io_put_text("rows/some.lst", rows),
                           io_put_text("rows/some.csv", "text,file_name\none,p.png\n,sub/q.png\n")};
    for (int i = 0; i < 3; i++) {
        check_ok(tl_folder_open_any(lists[i], TL_MODALITY_IMAGE, TL_FOLDER_CAPTIONS, &f, &err), &err);
        assert_int_equal(f.n, 2);
        assert_string_equal(item_of(&f, "p.png")->caption, "one");
        assert_null(item_of(&f, "sub/q.png")->caption);
        assert_null(item_of(&f, "sub/q.png")->trouble);
        assert_string_equal(item_of(&f, "p.png")->metadata, lists[i]);
        if (i < 2) assert_non_null(strstr(item_of(&f, "p.png")->json, "\"seed\": 4"));
        tl_folder_finish(&f);
    }
}

static void test_refused(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_folder f = {0};
    static const struct {
        const char *name, *text, *part;
    } cases[] = {
        {"bad/empty.txt", "", "empty.txt: the list names no sounds"},
        {"bad/comments.txt", "# a\n\n", "comments.txt: the list names no sounds"},
        {"bad/twice.txt", "a.wav\nb.wav\n./a.wav\n", "twice.txt: \"a.wav\" is listed twice"},
        {"bad/photo.png", "x", "photo.png: sounds are wanted here"},
        {"bad/row.jsonl", "{\"text\": \"x\"}\n", "row.jsonl: line 1: no \"file_name\""},
        {"bad/row.csv", "a.wav\n", "row.csv: no column file_name"},
        {"bad/latin.txt", "caf\xe9.wav\n", "latin.txt"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = io_put_text(cases[i].name, cases[i].text);
        check_fails(tl_folder_open_any(path, TL_MODALITY_AUDIO, TL_FOLDER_CAPTIONS, &f, &err), &err,
                    TL_BAD_INPUT, cases[i].part);
        assert_int_equal(f.n, 0);
    }
    assert_int_equal(mkfifo(io_path("bad/pipe"), 0600), 0);
    check_fails(tl_folder_open_any(io_path("bad/pipe"), TL_MODALITY_AUDIO, TL_FOLDER_CAPTIONS, &f, &err),
                &err, TL_BAD_INPUT, "pipe: neither a folder nor a file");
    check_fails(tl_folder_open_any(io_path("bad/none"), TL_MODALITY_AUDIO, TL_FOLDER_CAPTIONS, &f, &err),
                &err, TL_BAD_INPUT, "none: cannot open");
}

static void test_single(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_folder f;
    io_put_text("one/tone.ogg", "x");
    io_put_text("one/tone.caption", "a tone");
    io_put_text("one/other.ogg", "x");
    check_ok(tl_folder_open_any(io_path("one/tone.ogg"), TL_MODALITY_AUDIO, TL_FOLDER_CAPTIONS, &f, &err),
             &err);
    assert_int_equal(f.n, 1);
    assert_string_equal(f.items[0].name, "tone.ogg");
    assert_string_equal(f.items[0].path, io_path("one/tone.ogg"));
    assert_string_equal(f.items[0].caption, "a tone");
    tl_folder_finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sounds),     cmocka_unit_test(test_pipe_caption),
        cmocka_unit_test(test_plain_list), cmocka_unit_test(test_row_lists),
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_single),
    };
    return cmocka_run_group_tests(tests, io_setup, io_teardown);
}
