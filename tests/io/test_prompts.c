#include "io/prompts.h"

#include "base/str.h"
#include "io/support_io.h"

static bool parse(const char *text, bool jsonl, struct tl_prompts *out, struct tl_err *err)
{
    size_t n = strlen(text);
    char *copy = malloc(n + 1); /* no NUL: the sanitizer sees a read beyond it */
    memcpy(copy, text, n);
    bool ok = tl_prompts_parse(copy, n, jsonl, "p", out, err);
    free(copy);
    return ok;
}

static void test_plain(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_prompts p;
    io_put_text("p.txt", "\xef\xbb\xbf# two shapes\n\n a red circle \r\n\t\n#none\nx # y\n{a|b} caf\xc3\xa9");
    check_ok(tl_prompts_read(io_path("p.txt"), &p, &err), &err);
    assert_int_equal(p.n, 3);
    assert_string_equal(p.items[0].text, "a red circle");
    assert_string_equal(p.items[1].text, "x # y");
    assert_string_equal(p.items[2].text, "{a|b} caf\xc3\xa9");
    assert_int_equal(p.items[0].line, 3);
    assert_int_equal(p.items[1].line, 6);
    assert_int_equal(p.items[2].line, 7);
    assert_null(p.items[0].json);
    tl_prompts_finish(&p);
    check_ok(parse("{a|b} first\n", false, &p, &err), &err);
    assert_string_equal(p.items[0].text, "{a|b} first");
    tl_prompts_finish(&p);
}

static void test_jsonl(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_prompts p;
    const char *text =
        "{\"prompt\": \"a red circle\", \"objects\": [1, 2]}\n\n{ \"text\":\" two \"}\r\n{\"prompt\":\"\"}\n";
    for (int named = 0; named < 2; named++) {
        io_put_text(named ? "p.jsonl" : "p.txt", text);
        check_ok(tl_prompts_read(io_path(named ? "p.jsonl" : "p.txt"), &p, &err), &err);
        assert_int_equal(p.n, 3);
        assert_string_equal(p.items[0].text, "a red circle");
        assert_string_equal(p.items[0].json, "{\"prompt\": \"a red circle\", \"objects\": [1, 2]}");
        assert_string_equal(p.items[1].text, "two");
        assert_int_equal(p.items[1].line, 3);
        assert_string_equal(p.items[2].text, "");
        tl_prompts_finish(&p);
    }
}

static void test_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool jsonl;
        const char *part;
    } rows[] = {
        {"", false, "p: no prompts in it, the file is empty"},
        {"", true, "p: no prompts in it"},
        {"\n  \n# only\n", false, "p: no prompts in it (blank lines and # comments only)"},
        {"good\ncaf\xe9\n", false, "p: line 2: not valid UTF-8"},
        {"good\nbad\xc3", false, "p: line 2: not valid UTF-8"},
        {"{\"prompt\":\"a\"}\nplain\n", false, "row 2: not valid JSON"},
        {"{\"prompt\":\"a\"}\n\n{\"negative\":\"b\"}\n", false, "p: line 3: no \"prompt\" in the row"},
        {"{\"prompt\":5}\n", false, "p: line 1: \"prompt\" must be a string"},
        {"plain", true, "row 1: not valid JSON"},
        {"[\"a\"]", true, "p: line 1: a JSON object expected"},
        {"{\"prompt\":\"a\",\"prompt\":\"b\"}", true, "appears twice"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tl_err err = {0};
        struct tl_prompts p;
        check_fails(parse(rows[i].text, rows[i].jsonl, &p, &err), &err, TL_BAD_INPUT, rows[i].part);
        assert_true(p.n == 0 && p.items == NULL);
    }
    struct tl_err err = {0};
    struct tl_prompts p;
    check_fails(tl_prompts_parse("a\nb\0c", 5, false, "p", &p, &err), &err, TL_BAD_INPUT,
                "p: line 2: a NUL byte");
    check_fails(tl_prompts_read(io_path("absent"), &p, &err), &err, TL_BAD_INPUT, "absent: cannot open");
    check_fails(tl_prompts_read(io_put_text("e.txt", ""), &p, &err), &err, TL_BAD_INPUT, "e.txt: no prompts");
    check_fails(tl_prompts_read(io_path(""), &p, &err), &err, TL_BAD_INPUT, "is a folder");
}

/* Many prompts, so that the list grows. */
static void test_many(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_prompts p;
    struct tl_str s = {0};
    for (int i = 0; i < 1000; i++) tl_str_printf(&s, "prompt %d\n", i);
    check_ok(tl_prompts_parse(s.data, s.len, false, "p", &p, &err), &err);
    assert_int_equal(p.n, 1000);
    assert_string_equal(p.items[999].text, "prompt 999");
    tl_prompts_finish(&p);
    tl_str_finish(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_jsonl),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, io_setup, io_teardown);
}
