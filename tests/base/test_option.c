#include "support/check.h"

#include <float.h>
#include <limits.h>
#include <locale.h>

#include <tiller/option.h>
#include <tiller/version.h>

enum flavour { PLAIN, SWEET, SOUR };
static const char *const flavours[] = {"plain", "sweet", "half-sour", NULL};

struct params {
    int steps;
    double rate, clip;
    bool loud, shared;
    const char *out, *note;
    struct tl_strings reward, target;
    enum flavour flavour;
    uint64_t seed;
};

static const struct tl_option rows[] = {
    TL_OPTION_INT(struct params, steps, 'n', "steps-per-sample", "50", 1, 1000, "N", "denoising steps"),
    TL_OPTION_REAL(struct params, rate, 0, "rate", "1e-4", DBL_MIN, 1, "X", "learning rate"),
    TL_OPTION_REAL(struct params, clip, 0, "clip", "inf", 0, INFINITY, "X", "half width of the band"),
    TL_OPTION_BOOL(struct params, loud, 'l', "loud", "false", "say more"),
    TL_OPTION_BOOL(struct params, shared, 0, "shared", "true", "share noise"),
    TL_OPTION_STRING(struct params, out, 'o', "out", NULL, "FOLDER", "where results go"),
    TL_OPTION_STRING(struct params, note, 0, "note", "none", "TEXT", NULL),
    TL_OPTION_STRINGS(struct params, reward, 0, "reward", NULL, "NAME", "repeat it for a sum"),
    TL_OPTION_STRINGS(struct params, target, 0, "target", "to_q", "PATTERN", "layers"),
    TL_OPTION_ENUM(struct params, flavour, 0, "flavour", "sweet", flavours, "how it tastes"),
    TL_OPTION_SEED(struct params, seed, 's', "seed", "7", "the seed"),
    {0},
};

static struct tl_options *bind(struct params *p)
{
    struct tl_err err = {0};
    memset(p, 0x5a, sizeof *p); /* every field must be set */
    struct tl_options *o = tl_options_create(rows, p, &err);
    check_ok(o != NULL, &err);
    return o;
}

static void test_defaults(void **state)
{
    (void)state;
    struct params p;
    struct tl_options *o = bind(&p);
    assert_int_equal(p.steps, 50);
    assert_true(p.rate == 1e-4);
    assert_true(isinf(p.clip));
    assert_false(p.loud);
    assert_true(p.shared);
    assert_null(p.out);
    assert_string_equal(p.note, "none");
    assert_int_equal(p.reward.n, 0);
    assert_int_equal(p.target.n, 1);
    assert_string_equal(p.target.items[0], "to_q");
    assert_int_equal(p.flavour, SWEET);
    assert_true(p.seed == 7);
    assert_int_equal(tl_option_source_of(o, "rate"), TL_FROM_DEFAULT);
    tl_options_destroy(&o);
    assert_null(o);
    tl_options_destroy(&o);
}

/* name, text, what the message must hold; NULL: it must be taken. */
static const struct {
    const char *name, *text, *message;
} cases[] = {
    {"steps-per-sample", "1", NULL},
    {"steps_per_sample", "1000", NULL},
    {"steps-per-sample", "0", "steps-per-sample: 0 is out of range: 1 to 1000"},
    {"steps-per-sample", "1001", "1 to 1000"},
    {"steps-per-sample", "99999999999999999999", "99999999999999999999 is out of range: 1 to 1000"},
    {"steps-per-sample", "-99999999999999999999", "1 to 1000"},
    {"steps-per-sample", "12.5", "\"12.5\" is not a whole number"},
    {"steps-per-sample", "", "\"\" is not a whole number"},
    {"steps-per-sample", " 3", "not a whole number"},
    {"steps-per-sample", "3x", "\"3x\" is not a whole number"},
    {"rate", "0", "rate: 0 is out of range: above 0, at most 1"},
    {"rate", "2", "above 0, at most 1"},
    {"rate", "nan", "\"nan\" is not a number"},
    {"rate", "inf", "too large"},
    {"rate", "1e999", "too large"},
    {"rate", "0,5", "\"0,5\" is not a number"},
    {"rate", "0.5", NULL},
    {"clip", "inf", NULL},
    {"clip", "-1", "clip: -1 is out of range: at least 0"},
    {"clip", "-inf", "too large"},
    {"loud", "yes", NULL},
    {"loud", "0", NULL},
    {"loud", "maybe", "loud: \"maybe\" is neither true nor false"},
    {"flavour", "half_sour", NULL},
    {"flavour", "swet", "flavour: \"swet\" is none of plain, sweet, half-sour; did you mean \"sweet\"?"},
    {"seed", "18446744073709551615", NULL},
    {"seed", "0xff", NULL},
    {"seed", "random", NULL},
    {"seed", "18446744073709551616", "out of range: 0 to 18446744073709551615"},
    {"seed", "-1", "\"-1\" is no seed"},
    {"seed", "010x", "no seed"},
    {"seed", "", "no seed"},
    {"step-per-sample", "1", "step-per-sample is no option here; did you mean steps-per-sample?"},
    {"zzzzzzzzzzzzz", "1", "-h lists them"},
};

static void test_each_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct params p, before;
        struct tl_err err = {0};
        struct tl_options *o = bind(&p);
        before = p;
        bool ok = tl_option_set(o, cases[i].name, cases[i].text, TL_FROM_FILE, &err);
        if (!cases[i].message) {
            if (!ok) fail_msg("%s=%s: %s", cases[i].name, cases[i].text, err.text);
            assert_int_equal(tl_option_source_of(o, cases[i].name), TL_FROM_FILE);
        } else {
            if (ok || !strstr(err.text, cases[i].message))
                fail_msg("%s=%s: \"%s\", expected \"%s\"", cases[i].name, cases[i].text, err.text,
                         cases[i].message);
            assert_int_equal(err.code, TL_USAGE);
            assert_memory_equal(&p, &before, sizeof p); /* a refused text changes nothing */
        }
        tl_options_destroy(&o);
    }
}

static void test_values_and_text(void **state)
{
    (void)state;
    static const char *const sets[][3] = {
        {"steps-per-sample", "12", "12"},
        {"rate", "0.1", "0.1"},
        {"rate", "0.3333333333333333", "0.3333333333333333"},
        {"clip", "inf", "inf"},
        {"loud", "on", "true"},
        {"flavour", "half-sour", "half-sour"},
        {"seed", "0x10", "16"},
        {"out", "a folder", "a folder"},
        {"seed", "18446744073709551615", "18446744073709551615"},
    };
    struct params p;
    struct tl_err err = {0};
    struct tl_options *o = bind(&p);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        check_ok(tl_option_set(o, sets[i][0], sets[i][1], TL_FROM_FILE, &err), &err);
        char *text = tl_option_text(o, tl_option_find(rows, sets[i][0]));
        assert_string_equal(text, sets[i][2]);
        free(text);
    }
    assert_int_equal(p.flavour, SOUR);
    assert_true(p.seed == UINT64_MAX);
    tl_options_destroy(&o);
}

static void test_sources(void **state)
{
    (void)state;
    struct params p;
    struct tl_err err = {0};
    struct tl_options *o = bind(&p);
    check_ok(tl_option_set(o, "rate", "0.5", TL_FROM_COMMAND, &err), &err);
    check_ok(tl_option_set(o, "rate", "0.25", TL_FROM_FILE, &err), &err);
    assert_true(p.rate == 0.5);
    /* A list of a file gives way whole to the command line's, and each source's own mentions add up. */
    check_ok(tl_option_set(o, "target", "file-a", TL_FROM_FILE, &err), &err);
    check_ok(tl_option_set(o, "target", "file-b", TL_FROM_FILE, &err), &err);
    assert_int_equal(p.target.n, 2);
    check_ok(tl_option_set(o, "target", "typed-a", TL_FROM_COMMAND, &err), &err);
    check_ok(tl_option_set(o, "target", "typed-b", TL_FROM_COMMAND, &err), &err);
    check_ok(tl_option_set(o, "target", "late", TL_FROM_FILE, &err), &err);
    assert_int_equal(p.target.n, 2);
    assert_string_equal(p.target.items[0], "typed-a");
    assert_string_equal(p.target.items[1], "typed-b");
    tl_options_destroy(&o);
}

struct common {
    int threads;
    bool help;
};
static const struct tl_option common_rows[] = {
    TL_OPTION_INT(struct common, threads, 0, "threads", "0", 0, INT_MAX, "N", "threads"),
    TL_OPTION_BOOL(struct common, help, 'h', "help", "false", "this text"),
    {0},
};

struct line {
    const char *const words[8];
    const char *message; /* NULL: must be taken */
};
static const struct line lines[] = {
    {{"--steps-per-sample", "3"}, NULL},
    {{"--threads=x"}, "threads: \"x\" is not a whole number"},
    {{"--thread=2"}, "--thread is no option here; did you mean --threads?"},
    {{"--steps-per-sample"}, "--steps-per-sample needs a value: N"},
    {{"-n"}, "-n needs a value: N"},
    {{"-x"}, "-x is no option here"},
    {{"-lh"}, "-l takes no value"},
    {{"--set", "loud"}, "\"loud\" is no setting: write KEY=VALUE"},
    {{"--set", "=3"}, "is no setting"},
    {{"--set", "lud=true"}, "lud is no option here; did you mean loud?"},
    {{"--set", "rate=2"}, "rate: 2 is out of range"},
    {{"--set"}, "--set needs a value: KEY=VALUE"},
    {{"--no-rate"}, "--no-rate is no option here"},
    {{"--no-loud=1"}, "--no-loud is no option here"},
    {{"--loud=perhaps"}, "neither true nor false"},
};

static bool parse(const struct line *line, struct params *p, struct common *c, const char **rest,
                  size_t *n_rest, struct tl_err *err)
{
    struct tl_options *sets[] = {tl_options_create(common_rows, c, err), bind(p)};
    size_t n = 0;
    while (n < 8 && line->words[n]) n++;
    bool ok = tl_options_parse(sets, 2, line->words, n, rest, n_rest, err);
    for (int i = 0; i < 2; i++) tl_options_destroy(&sets[i]); /* numbers and flags outlive it */
    return ok;
}

static void test_command_line(void **state)
{
    (void)state;
    struct params p;
    struct common c;
    const char *rest[8];
    size_t n = 0;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct tl_err err = {0};
        bool ok = parse(&lines[i], &p, &c, rest, &n, &err);
        if (ok != !lines[i].message || (!ok && !strstr(err.text, lines[i].message)))
            fail_msg("line %zu: \"%s\", expected \"%s\"", i, err.text,
                     lines[i].message ? lines[i].message : "success");
    }
    struct tl_err err = {0};
    check_ok(parse(&(struct line){{"a", "-n9", "--threads=4", "-lh", "--", "-n"}, NULL}, &p, &c, rest, &n,
                   NULL) == false,
             &err);
    check_ok(parse(&(struct line){{"a", "-n9", "--threads=4", "-l", "-", "--no-shared", "--", "-n"}, NULL},
                   &p, &c, rest, &n, &err),
             &err);
    assert_int_equal(p.steps, 9);
    assert_int_equal(c.threads, 4);
    assert_true(p.loud);
    assert_false(p.shared);
    assert_int_equal(n, 3);
    assert_string_equal(rest[0], "a");
    assert_string_equal(rest[1], "-");
    assert_string_equal(rest[2], "-n");
    check_ok(parse(&(struct line){{"-h", "--set=steps_per_sample=8", "--set", "threads=2", "--seed", "11",
                                   "--rate", "0.5"},
                                  NULL},
                   &p, &c, rest, &n, &err),
             &err);
    assert_true(c.help);
    assert_int_equal(p.steps, 8);
    assert_int_equal(c.threads, 2);
    assert_true(p.seed == 11);
    assert_true(p.rate == 0.5);
    assert_int_equal(n, 0);
}

static void test_help(void **state)
{
    (void)state;
    char *text = tl_option_help(rows);
    assert_non_null(text);
    static const char *const parts[] = {
        "  -n, --steps-per-sample N    denoising steps (1 to 1000; default 50)\n",
        "      --rate X                learning rate (above 0, at most 1; default 1e-4)\n",
        "      --clip X                half width of the band (at least 0; default inf)\n",
        "  -l, --loud                  say more\n",
        "      --shared                share noise (on by default; --no-shared)\n",
        "  -o, --out FOLDER            where results go\n",
        "      --flavour plain|sweet|half-sour\n                              how it tastes (default "
        "sweet)\n",
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strstr(text, parts[i])) fail_msg("missing \"%s\" in:\n%s", parts[i], text);
    assert_null(strstr(text, "--note")); /* no help: hidden */
    free(text);
    const struct tl_option wordy[] = {
        TL_OPTION_BOOL(struct params, loud, 0, "x", NULL,
                       "many words that go on and on until the line is full and a second line has to be "
                       "begun for what is left of them"),
        {0}};
    text = tl_option_help(wordy);
    char *save = NULL, *first = strtok_r(text, "\n", &save), *second = strtok_r(NULL, "\n", &save);
    assert_true(strlen(first) <= 100);
    assert_non_null(second);
    assert_int_equal(strspn(second, " "), 30);
    free(text);
}

static void test_bad_table(void **state)
{
    (void)state;
    struct params p;
    struct tl_err err = {0};
    const struct tl_option bad[] = {TL_OPTION_INT(struct params, steps, 0, "steps", "0", 1, 10, "N", "x"),
                                    {0}};
    assert_null(tl_options_create(bad, &p, &err));
    assert_int_equal(err.code, TL_FAIL);
    assert_non_null(strstr(err.text, "steps"));
}

/* The decimal comma of a locale must not reach values. */
static void test_locale(void **state)
{
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "da_DK.UTF-8"};
    bool found = false;
    for (size_t i = 0; !found && i < 4; i++) found = setlocale(LC_ALL, names[i]) != NULL;
    if (!found) skip();
    struct params p;
    struct tl_err err = {0};
    struct tl_options *o = bind(&p);
    check_ok(tl_option_set(o, "rate", "0.25", TL_FROM_FILE, &err), &err);
    assert_true(p.rate == 0.25);
    char *text = tl_option_text(o, tl_option_find(rows, "rate"));
    assert_string_equal(text, "0.25");
    free(text);
    tl_options_destroy(&o);
    setlocale(LC_ALL, "C");
}

/* version.h says what CMakeLists.txt says. */
static void test_version(void **state)
{
    (void)state;
    char text[4096] = "";
    FILE *f = fopen(TL_SOURCE_DIR "/CMakeLists.txt", "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    const char *at = strstr(text, "project(tiller VERSION ");
    assert_non_null(at);
    at += strlen("project(tiller VERSION ");
    assert_memory_equal(at, TL_VERSION " ", strlen(TL_VERSION) + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_each_text),
        cmocka_unit_test(test_values_and_text),
        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_command_line),
        cmocka_unit_test(test_bad_table),
        cmocka_unit_test(test_locale),
        cmocka_unit_test(test_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
