#include "io/json.h"

#include <locale.h>

#include "io/file.h"
#include "io/support_io.h"

static cJSON *parse(const char *text, struct tl_err *err)
{
    /* An own block without a NUL, so that the sanitizer sees a read beyond it. */
    size_t n = strlen(text);
    char *copy = malloc(n + 1);
    memcpy(copy, text, n);
    cJSON *value = tl_json_parse(copy, n, "text", err);
    free(copy);
    return value;
}

static void test_accepts(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "[]",
        "0",
        "-0",
        "1e5",
        "-1.5E-3",
        "\"\"",
        "true",
        "false",
        "null",
        " [ 1 , 2 ] \r\n\t",
        "\xef\xbb\xbf{\"a\":1}",
        "{\"\":{}}",
        "\"\\u00e9\\ud83d\\ude00\\n\\/\"",
        "{\"a\":1,\"A\":2}",
        "[1.7976931348623157e308, 4.9e-324]",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct tl_err err = {0};
        cJSON *value = parse(texts[i], &err);
        check_ok(value, &err);
        cJSON_Delete(value);
    }
    char deep[200] = "";
    for (int i = 0; i < 64; i++) strcat(deep, "[");
    for (int i = 0; i < 64; i++) strcat(deep, "]");
    struct tl_err err = {0};
    cJSON *value = parse(deep, &err);
    check_ok(value, &err);
    cJSON_Delete(value);
}

static void test_refuses(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", "text: not valid JSON: line 1, column 1: text ends"},
        {" ", "column 2"},
        {"{\"a\":1,\n \"b\":2,}", "line 2, column 8: a string expected"},
        {"[1,]", "a value expected"},
        {"[1 2]", "',' or ']'"},
        {"{\"a\" 1}", "':' expected"},
        {"{a:1}", "a string expected"},
        {"{'a':1}", "a string expected"},
        {"{\"a\":1", "',' or '}'"},
        {"[", "text ends"},
        {"\"abc", "string without end"},
        {"\"ab\\", "string without end"},
        {"\"\\x41\"", "unknown escape"},
        {"\"\\u12\"", "hexadecimal"},
        {"\"\\u12g4\"", "hexadecimal"},
        {"\"\\ud800\"", "surrogate"},
        {"\"\\ud800\\u0041\"", "surrogate"},
        {"\"\\udc00\"", "surrogate"},
        {"\"\\u0000\"", "U+0000"},
        {"\"a\nb\"", "control character"},
        {"01", "leading zero"},
        {"-01", "leading zero"},
        {"1.", "a digit expected"},
        {".5", "a value expected"},
        {"+1", "a value expected"},
        {"1e", "a digit expected"},
        {"-", "a digit expected"},
        {"0x10", "behind the end"},
        {"NaN", "a value expected"},
        {"Infinity", "a value expected"},
        {"-Infinity", "a digit expected"},
        {"1e999", "beyond the range"},
        {"{\"a\":[-1e400]}", "beyond the range"},
        {"tru", "a value expected"},
        {"True", "a value expected"},
        {"{} {}", "behind the end"},
        {"1 // no", "behind the end"},
        {"/* no */ 1", "a value expected"},
        {"{\"a\":1,\"b\":2,\"a\":3}", "\"a\" appears twice"},
        {"[{\"x\":{\"a\":1,\"\\u0061\":3}}]", "\"a\" appears twice"},
        {"\"\xff\"", "column 2: invalid UTF-8"},
        {"\"\xed\xa0\x80\"", "invalid UTF-8"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tl_err err = {0};
        check_fails(parse(rows[i][0], &err), &err, TL_BAD_INPUT, rows[i][1]);
    }
    char deep[200] = "";
    for (int i = 0; i < 65; i++) strcat(deep, i % 2 ? "{\"a\":" : "[");
    struct tl_err err = {0};
    check_fails(parse(deep, &err), &err, TL_BAD_INPUT, "64 levels");
    check_fails(tl_json_parse("[1\0]", 4, "nul", &err), &err, TL_BAD_INPUT, "nul: not valid JSON");
    check_fails(tl_json_read(io_path("absent.json"), &err), &err, TL_BAD_INPUT, "absent.json");
}

static void test_getters(void **state)
{
    (void)state;
    struct tl_err err = {0};
    cJSON *o =
        parse("{\"i\":-7,\"f\":2.5,\"w\":3.0,\"big\":9007199254740993e3,\"t\":true,\"s\":\"x\",\"n\":null,"
              "\"l\":[1,2,3],\"bad\":[1,\"2\"],\"I\":99,\"e\":9007199254740992}",
              &err);
    check_ok(o, &err);
    int64_t i = 0, list[3];
    double f = 0;
    bool t = false;
    const char *s = "";
    size_t n = 9;
    check_ok(tl_json_int(o, "i", 5, &i, &err), &err);
    assert_int_equal(i, -7);
    check_ok(tl_json_int(o, "w", 5, &i, &err), &err);
    assert_int_equal(i, 3);
    check_ok(tl_json_int(o, "e", 5, &i, &err), &err);
    assert_true(i == 1ll << 53);
    check_ok(tl_json_int(o, "absent", 5, &i, &err) && i == 5, &err);
    check_ok(tl_json_int(o, "n", 6, &i, &err) && i == 6, &err);
    check_ok(tl_json_int(NULL, "i", 8, &i, &err) && i == 8, &err);
    check_ok(tl_json_double(o, "f", 1, &f, &err) && f == 2.5, &err);
    check_ok(tl_json_double(o, "i", 1, &f, &err) && f == -7, &err);
    check_ok(tl_json_double(o, "F", 1.5, &f, &err) && f == 1.5, &err);
    check_ok(tl_json_bool(o, "t", false, &t, &err) && t, &err);
    check_ok(tl_json_bool(o, "n", true, &t, &err) && t, &err);
    check_ok(tl_json_string(o, "s", "y", &s, &err), &err);
    assert_string_equal(s, "x");
    check_ok(tl_json_string(o, "n", NULL, &s, &err) && s == NULL, &err);
    check_ok(tl_json_ints(o, "l", list, 3, &n, &err) && n == 3 && list[2] == 3, &err);
    check_ok(tl_json_ints(o, "n", list, 3, &n, &err) && n == 0, &err);
    check_fails(tl_json_ints(o, "l", list, 2, &n, &err), &err, TL_BAD_INPUT, "\"l\" must have at most 2");
    check_fails(tl_json_ints(o, "bad", list, 3, &n, &err), &err, TL_BAD_INPUT,
                "\"bad\" must be a whole number");
    check_fails(tl_json_ints(o, "i", list, 3, &n, &err), &err, TL_BAD_INPUT, "\"i\" must be a list");
    check_fails(tl_json_int(o, "f", 5, &i, &err), &err, TL_BAD_INPUT, "\"f\" must be a whole number");
    check_fails(tl_json_int(o, "big", 5, &i, &err), &err, TL_BAD_INPUT, "2^53");
    check_fails(tl_json_int(o, "s", 5, &i, &err), &err, TL_BAD_INPUT,
                "\"s\" must be a whole number, it is a string");
    check_fails(tl_json_int(o, "t", 5, &i, &err), &err, TL_BAD_INPUT, "it is true or false");
    check_fails(tl_json_double(o, "l", 5, &f, &err), &err, TL_BAD_INPUT,
                "\"l\" must be a number, it is a list");
    check_fails(tl_json_bool(o, "i", 0, &t, &err), &err, TL_BAD_INPUT, "\"i\" must be true or false");
    check_fails(tl_json_string(o, "i", 0, &s, &err), &err, TL_BAD_INPUT, "\"i\" must be a string");
    assert_null(tl_json_get(o, "n"));
    assert_null(tl_json_get(o, "S"));
    assert_int_equal(tl_json_get(o, "I")->valuedouble, 99);
    cJSON_Delete(o);
}

static void test_print(void **state)
{
    (void)state;
    struct tl_err err = {0};
    cJSON *o = parse("{\"a\":[1,2.5,-0.0,1e300,[],{}],\"b\":\"q\\\"\\\\\\n\\u0001\xc3\xa9/"
                     "\",\"c\":{\"d\":null,\"e\":true}}",
                     &err);
    check_ok(o, &err);
    char *text = tl_json_print(o, true, &err);
    check_ok(text, &err);
    assert_string_equal(text,
                        "{\n  \"a\": [\n    1,\n    2.5,\n    -0.0,\n    1e+300,\n    [],\n    {}\n  ],\n"
                        "  \"b\": \"q\\\"\\\\\\n\\u0001\xc3\xa9/\",\n  \"c\": {\n    \"d\": null,\n    "
                        "\"e\": true\n  }\n}\n");
    free(text);
    text = tl_json_print(o, false, &err);
    check_ok(text, &err);
    assert_string_equal(text, "{\"a\":[1,2.5,-0.0,1e+300,[],{}],\"b\":\"q\\\"\\\\\\n\\u0001\xc3\xa9/"
                              "\",\"c\":{\"d\":null,\"e\":true}}");
    free(text);
    check_ok(tl_json_write(io_path("o.json"), o, &err), &err);
    cJSON *back = tl_json_read(io_path("o.json"), &err);
    check_ok(back, &err);
    assert_true(cJSON_Compare(o, back, true));
    cJSON_Delete(back);
    cJSON_AddNumberToObject(o, "loss", (double)NAN);
    check_fails(tl_json_write(io_path("o.json"), o, &err), &err, TL_NUMERIC,
                "\"loss\": a number that is not finite");
    cJSON_Delete(o);
    check_fails(tl_json_write(io_path("no/o.json"), NULL, &err), &err, TL_OUTPUT, "No such file");
}

/* Names of files are bytes; JSON is UTF-8 all the same, and tells them apart. */
static void test_print_bytes(void **state)
{
    (void)state;
    struct tl_err err = {0};
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "n\xfe", "a\xe9\xc3\xa9\xff\"\xc3");
    cJSON_AddStringToObject(o, "m", "\xed\xa0\x80");
    char *text = tl_json_print(o, false, &err);
    check_ok(text, &err);
    assert_string_equal(text, "{\"n\\\\xfe\":\"a\\\\xe9\xc3\xa9\\\\xff\\\"\\\\xc3\","
                              "\"m\":\"\\\\xed\\\\xa0\\\\x80\"}");
    cJSON *back = parse(text, &err);
    check_ok(back, &err);
    assert_string_equal(tl_json_get(back, "m")->valuestring, "\\xed\\xa0\\x80");
    cJSON_Delete(back);
    cJSON_Delete(o);
    free(text);
}

/* Doubles come back to the last bit, in any locale. */
static void test_doubles(void **state)
{
    (void)state;
    static const char *const locales[] = {"C", "de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8"};
    uint64_t x = 88172645463325252ull;
    for (size_t l = 0; l < sizeof locales / sizeof *locales; l++) {
        if (!setlocale(LC_ALL, locales[l])) continue; /* not every machine has them; C always */
        for (int i = 0; i < 2000; i++) {
            struct tl_err err = {0};
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            double v;
            memcpy(&v, &x, sizeof v);
            if (i % 2) v = (double)(int64_t)x / 1e15;
            if (i % 7 == 0) v = 0.1 * i;
            if (!isfinite(v)) continue;
            cJSON *number = cJSON_CreateNumber(v);
            char *text = tl_json_print(number, false, &err);
            check_ok(text, &err);
            cJSON *back = parse(text, &err);
            check_ok(back, &err);
            if (back->valuedouble != v) fail_msg("%.17g printed as %s", v, text);
            cJSON_Delete(back);
            cJSON_Delete(number);
            free(text);
        }
    }
    setlocale(LC_ALL, "C");
    struct tl_err err = {0};
    cJSON *tenth = cJSON_CreateNumber(0.1);
    char *text = tl_json_print(tenth, false, &err);
    assert_string_equal(text, "0.1");
    free(text);
    cJSON_Delete(tenth);
}

/* 50,000 keys, as a vocabulary has, are checked in time and in order. */
static void test_many_keys(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_str s = {0};
    tl_str_append(&s, "{");
    for (int i = 0; i < 50000; i++) tl_str_printf(&s, "%s\"key%d\":%d", i ? "," : "", i, i);
    tl_str_append(&s, "}");
    cJSON *o = tl_json_parse(s.data, s.len, "vocab", &err);
    check_ok(o, &err);
    assert_int_equal(cJSON_GetArraySize(o), 50000);
    cJSON_Delete(o);
    s.data[s.len - 1] = ',';
    tl_str_append(&s, "\"key31\":0}");
    check_fails(tl_json_parse(s.data, s.len, "vocab", &err), &err, TL_BAD_INPUT, "\"key31\" appears twice");
    tl_str_finish(&s);
}

static void test_python(void **state)
{
    (void)state;
    struct tl_err err = {0};
    static const char text[] = "{\"a\": -Infinity, \"b\": [Infinity, \"\\\"-Infinity\"], \"Infinity\": 1}",
                      wrong[] = "{\"a\": NaN, \"b\": Infinityy}";
    check_ok(tl_file_write(io_path("p.json"), text, sizeof text - 1, &err), &err);
    cJSON *o = tl_json_read_python(io_path("p.json"), &err);
    check_ok(o, &err);
    double a = 0;
    check_ok(tl_json_double(o, "a", 0, &a, &err), &err);
    assert_true(a == -1e300 && tl_json_get(o, "b")->child->valuedouble == 1e300);
    assert_string_equal(tl_json_get(o, "b")->child->next->valuestring, "\"-Infinity");
    assert_non_null(tl_json_get(o, "Infinity"));
    cJSON_Delete(o);
    check_fails(tl_json_read(io_path("p.json"), &err), &err, TL_BAD_INPUT, "line 1");
    check_ok(tl_file_write(io_path("p.json"), wrong, sizeof wrong - 1, &err), &err);
    check_fails(tl_json_read_python(io_path("p.json"), &err), &err, TL_BAD_INPUT, "a value expected");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts),   cmocka_unit_test(test_refuses),     cmocka_unit_test(test_getters),
        cmocka_unit_test(test_print),     cmocka_unit_test(test_print_bytes), cmocka_unit_test(test_doubles),
        cmocka_unit_test(test_many_keys), cmocka_unit_test(test_python),
    };
    return cmocka_run_group_tests(tests, io_setup, io_teardown);
}
