#include "support/check.h"

#include <unistd.h>

#include "io/file.h"
#include "io/option_json.h"

static const char *const kinds[] = {"one", "two", NULL};

struct params {
    int steps_now;
    double rate;
    bool loud;
    const char *out, *note;
    struct tl_strings reward;
    int kind;
    uint64_t seed;
};

static const struct tl_option rows[] = {
    TL_OPTION_INT(struct params, steps_now, 0, "steps-now", "50", 1, 1000, "N", "steps"),
    TL_OPTION_REAL(struct params, rate, 0, "rate", "0.1", 0, INFINITY, "X", "rate"),
    TL_OPTION_BOOL(struct params, loud, 0, "loud", "true", "loud"),
    TL_OPTION_STRING(struct params, out, 0, "out", NULL, "FOLDER", "out"),
    TL_OPTION_STRING(struct params, note, 0, "note", "none", "TEXT", "note"),
    TL_OPTION_STRINGS(struct params, reward, 0, "reward", "default", "NAME", "reward"),
    TL_OPTION_ENUM(struct params, kind, 0, "kind", "one", kinds, "kind"),
    TL_OPTION_SEED(struct params, seed, 0, "seed", "7", "seed"),
    {0},
};

static bool read_text(const char *text, struct params *p, struct tl_options **out, struct tl_err *err)
{
    struct tl_err none = {0};
    *out = tl_options_create(rows, p, &none);
    check_ok(*out != NULL, &none);
    cJSON *object = tl_json_parse(text, strlen(text), "test", &none);
    check_ok(object != NULL, &none);
    bool ok = tl_options_from_json(out, 1, object, TL_FROM_FILE, err);
    cJSON_Delete(object);
    return ok;
}

static char *print(const struct tl_options *o)
{
    struct tl_err err = {0};
    cJSON *object = cJSON_CreateObject();
    check_ok(tl_option_to_json(o, object, &err), &err);
    check_ok(tl_option_to_json(o, object, &err), &err); /* again: replaces, adds nothing */
    char *text = tl_json_print(object, false, &err);
    check_ok(text != NULL, &err);
    cJSON_Delete(object);
    return text;
}

/* What goes in comes out, and out of that the same again. */
static void test_there_and_back(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{}", "{\"steps_now\":50,\"rate\":0.1,\"loud\":true,\"out\":null,\"note\":\"none\",\"reward\":["
               "\"default\"],"
               "\"kind\":\"one\",\"seed\":7}"},
        {"{\"steps-now\":1e1,\"rate\":\"inf\",\"loud\":false,\"out\":\"a\\nb\",\"note\":null,\"reward\":["
         "\"x\",\"y\"],"
         "\"kind\":\"two\",\"seed\":\"18446744073709551615\"}",
         "{\"steps_now\":10,\"rate\":\"inf\",\"loud\":false,\"out\":\"a\\nb\",\"note\":\"none\",\"reward\":["
         "\"x\",\"y\"],"
         "\"kind\":\"two\",\"seed\":\"18446744073709551615\"}"},
        {"{\"reward\":[],\"seed\":9007199254740992,\"rate\":0.30000000000000004}",
         "{\"steps_now\":50,\"rate\":0.30000000000000004,\"loud\":true,\"out\":null,\"note\":\"none\","
         "\"reward\":[],"
         "\"kind\":\"one\",\"seed\":9007199254740992}"},
        {"{\"reward\":\"alone\",\"note\":\"\"}",
         "{\"steps_now\":50,\"rate\":0.1,\"loud\":true,\"out\":null,\"note\":\"\",\"reward\":[\"alone\"],"
         "\"kind\":\"one\",\"seed\":7}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *in = cases[i][0];
        char *text = NULL;
        for (int round = 0; round < 2; round++) {
            struct params p;
            struct tl_err err = {0};
            struct tl_options *o;
            check_ok(read_text(in, &p, &o, &err), &err);
            free(round ? text : NULL);
            text = print(o);
            assert_string_equal(text, cases[i][1]);
            tl_options_destroy(&o);
            in = cases[i][1];
        }
        free(text);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"[1]", "must be one JSON object"},
        {"{\"step_now\":3}", "step_now is no option here; did you mean steps-now?"},
        {"{\"steps_now\":\"3\"}", "steps-now: must be a number"},
        {"{\"steps_now\":3.5}", "steps-now: \"3.5\" is not a whole number"},
        {"{\"steps_now\":1e300}", "not a whole number"},
        {"{\"steps_now\":0}", "out of range: 1 to 1000"},
        {"{\"steps_now\":true}", "must be a number"},
        {"{\"rate\":-0.5}", "rate: -0.5 is out of range: at least 0"},
        {"{\"rate\":\"fast\"}", "rate: must be a number"},
        {"{\"loud\":1}", "loud: must be true or false"},
        {"{\"out\":3}", "out: must be a string"},
        {"{\"reward\":[\"x\",3]}", "reward: must be a list of strings"},
        {"{\"reward\":{}}", "reward: must be a list of strings"},
        {"{\"kind\":2}", "kind: must be a string"},
        {"{\"kind\":\"tow\"}", "did you mean \"two\"?"},
        {"{\"seed\":-1}", "\"-1\" is no seed"},
        {"{\"seed\":1.5}", "\"1.5\" is no seed"},
        {"{\"seed\":9007199254740994}", "write it as a string"},
        {"{\"seed\":{}}", "must be a whole number"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct params p;
        struct tl_err err = {0};
        struct tl_options *o;
        bool ok = read_text(cases[i][0], &p, &o, &err);
        if (ok || !strstr(err.text, cases[i][1]))
            fail_msg("%s: \"%s\", expected \"%s\"", cases[i][0], err.text, cases[i][1]);
        assert_int_equal(err.code, TL_USAGE);
        tl_options_destroy(&o);
    }
}

/* A file never wins over the command line, and its name is in the message. */
static void test_file(void **state)
{
    (void)state;
    char path[] = "tiller-option-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    struct params p;
    struct tl_err err = {0};
    struct tl_options *o = tl_options_create(rows, &p, &err);
    check_ok(tl_option_set(o, "rate", "3", TL_FROM_COMMAND, &err), &err);
    check_ok(tl_option_set(o, "reward", "typed", TL_FROM_COMMAND, &err), &err);
    const char *text = "{\"rate\": 4, \"reward\": [\"read\"], \"kind\": \"two\"}";
    check_ok(tl_file_write(path, text, strlen(text), &err), &err);
    check_ok(tl_options_read_json(&o, 1, path, TL_FROM_FILE, &err), &err);
    assert_true(p.rate == 3);
    assert_int_equal(p.kind, 1);
    assert_int_equal(p.reward.n, 1);
    assert_string_equal(p.reward.items[0], "typed");
    check_ok(tl_file_write(path, "{\"x\":1}", 7, &err), &err);
    assert_false(tl_options_read_json(&o, 1, path, TL_FROM_FILE, &err));
    assert_memory_equal(err.text, path, strlen(path));
    tl_options_destroy(&o);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
