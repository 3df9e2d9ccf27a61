/* The page of a steered run: its numbers, who descends from whom, plain samples beside it, and what becomes
 * of damaged folders. */
#include "support/check.h"
#include "support_folder.h"
#include "support_steer.h"
#include "support_train.h"

#include <unistd.h>

#include <tiller/report.h>

#include "io/file.h"

/* ---- pieces ---- */

#define HAS(page, part)                                                                                      \
    do {                                                                                                     \
        if (!strstr(page, part)) fail_msg("the page lacks %s", part);                                        \
    } while (0)

static size_t count(const char *text, const char *part)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, part)); p++) n++;
    return n;
}

static char *read_page(const char *path)
{
    char *page = support_read(path);
    if (!page) fail_msg("%s is not there", path);
    return page;
}

static void has(const char *page, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void has(const char *page, const char *fmt, ...)
{
    char part[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(part, sizeof part, fmt, args);
    va_end(args);
    HAS(page, part);
}

/* Each tag ends in the order in which it began; attributes are quoted, texts escaped. */
static void check_nesting(const char *page)
{
    static const char *const single[] = {"meta", "img", "br"};
    char open[64][16];
    size_t depth = 0;
    const char *p = strstr(page, "<html");
    while ((p = strchr(p, '<'))) {
        bool ends = p[1] == '/';
        char name[16] = "";
        sscanf(p + 1 + ends, "%15[a-z0-9]", name);
        const char *end = strchr(p, '>');
        if (!*name || !end) fail_msg("no tag: %.60s", p);
        bool is_single = end[-1] == '/';
        for (size_t i = 0; i < 3; i++) is_single |= strcmp(name, single[i]) == 0;
        if (ends) {
            if (depth == 0 || strcmp(open[--depth], name) != 0)
                fail_msg("</%s> ends <%s>: %.80s", name, depth < 64 ? open[depth] : "", p);
        } else if (!is_single) {
            assert_true(depth < 64);
            strcpy(open[depth++], name);
        }
        p = end + 1;
        if (!ends && (strcmp(name, "script") == 0 || strcmp(name, "style") == 0)) p = strstr(p, "</");
    }
    assert_int_equal(depth, 0);
}

static void check_alone(const char *page)
{
    check_nesting(page);
    assert_true(count(page, "http://") <= 1); /* the SVG name space of the script; nothing is loaded */
    assert_int_equal(count(page, "https://"), 0);
    assert_int_equal(count(page, "<script"), 1);
    assert_int_equal(count(page, "src=\"data:image/png;base64,"), count(page, "<img "));
    assert_int_equal(count(page, " alt=\"\""), 0);
}

/* ---- one run ---- */

static const char *const reported[] = {"report=true", "lambda=1e5", NULL};

static void check_prompt(const char *page, const cJSON *line, size_t k)
{
    for (size_t j = 0; j < k; j++)
        has(page, ">%.4f<span class=\"bar\">", support_steer_at(line, "rewards", j));
    has(page,
        "%.4f<span class=\"bar\"><i style=\"width:%.0f%%\"></i></span><small>%.3f</small><br>\xe2\x98\x85 "
        "best",
        support_steer_at(line, "rewards", (size_t)support_steer_number(line, "best")),
        100 * support_steer_at(line, "weights", (size_t)support_steer_number(line, "best")),
        support_steer_at(line, "weights", (size_t)support_steer_number(line, "best")));
    has(page, "log Z %.4g", support_steer_number(line, "log_z"));
    const cJSON *event;
    cJSON_ArrayForEach(event, tl_json_get(line, "events"))
    {
        has(page, ">step %d<", (int)support_steer_number(event, "step"));
        has(page, "ESS %.2f<", support_steer_number(event, "ess"));
        if (cJSON_IsTrue(tl_json_get(event, "resampled")))
            has(page, "aria-label=\"descent: 0 from %d, 1 from %d, 2 from %d\"",
                (int)support_steer_at(event, "ancestors", 0), (int)support_steer_at(event, "ancestors", 1),
                (int)support_steer_at(event, "ancestors", 2));
    }
}

/* The comparison of steer.json is that of the lines, and the page tells it. */
static void check_comparison(const char *page, const cJSON *json)
{
    const cJSON *c = tl_json_get(json, "comparison");
    char *lines = support_read(support_steer_path("run", "plain.jsonl")), *rest = lines;
    double base = 0, best = 0;
    struct tl_err err = {0};
    for (int g = 0; g < 3; g++) {
        size_t n = strcspn(rest, "\n");
        double most = -INFINITY;
        cJSON *line = tl_json_parse(rest, n, "line", &err);
        assert_non_null(line);
        for (size_t j = 0; j < 3; j++) {
            base += support_steer_at(line, "rewards", j) / 9;
            most = fmax(most, support_steer_at(line, "rewards", j));
        }
        best += most / 3;
        cJSON_Delete(line);
        rest += n + 1;
    }
    assert_int_equal(*rest, 0);
    free(lines);
    check_near(support_steer_number(tl_json_get(c, "base"), "mean"), base, 1e-9);
    check_near(support_steer_number(tl_json_get(c, "best_of_plain"), "mean"), best, 1e-9);
    check_near(support_steer_number(tl_json_get(c, "best_minus_best_of_plain"), "mean"),
               support_steer_number(tl_json_get(json, "totals"), "reward_best") - best, 1e-9);
    assert_int_equal((int)support_steer_number(c, "network_evaluations"),
                     (int)support_steer_number(tl_json_get(json, "totals"), "network_evaluations"));
    has(page, "<tr><th>one plain sample</th><td>%.4f", base);
    has(page, "<tr><th>best of 3 plain samples</th><td>%.4f", best);
    has(page, "%+.4f</b> \xc2\xb1 %.2g",
        support_steer_number(tl_json_get(c, "best_minus_best_of_plain"), "mean"),
        support_steer_number(tl_json_get(c, "best_minus_best_of_plain"), "se"));
}

static void test_page(void **state)
{
    (void)state;
    support_steer_ok("run", reported);
    cJSON *json = support_steer_json("run");
    char *page = read_page(support_steer_path("run", "report.html"));
    assert_true(support_steer_number(tl_json_get(json, "totals"), "resampled") >
                0); /* or descent says little */
    check_alone(page);
    HAS(page, "finished, 3 prompts");
    HAS(page, "3 particles a prompt, potential diff, lambda 100000");
    for (int g = 0; g < 3; g++) check_prompt(page, cJSON_GetArrayItem(tl_json_get(json, "prompts"), g), 3);
    check_comparison(page, json);
    /* of each prompt: four scored steps, the end, plain samples */
    assert_int_equal(count(page, "<img "), 3 * 6);
    assert_int_equal(count(page, "<svg class=\"links\""), 3 * 4);
    assert_int_equal(count(page, "\xe2\x98\x85 best"), 3);
    HAS(page, "aria-label=\"Effective sample size\"");
    HAS(page, "aria-label=\"Reward on the way\"");
    assert_int_equal(count(page, "<circle class=\"dot\""), 3);
    HAS(page, "<th>network evaluations</th><td>36</td>");
    HAS(page, "<th>lambda</th><td>1");
    cJSON_Delete(json);
    struct tl_err err = {0};
    assert_int_equal(unlink(support_steer_path("run", "report.html")), 0);
    check_ok(tl_report_write(support_steer_path("run", ""), &err), &err);
    char *again = read_page(support_steer_path("run", "report.html"));
    assert_string_equal(page, again);
    free(again);
    free(page);
}

/* Pictures and numbers are those of a run without a page; the plain samples those of a plain run. */
static void test_changes_nothing(void **state)
{
    static const char *const bare[] = {"lambda=1e5", NULL}, *const none[] = {"potential=none", NULL};
    (void)state;
    support_steer_ok("bare", bare);
    support_steer_ok("none", none);
    support_steer_same("run", "bare", 9);
    char *plain = support_read(support_steer_path("run", "plain.jsonl")), *rest = plain;
    cJSON *json = support_steer_json("none");
    struct tl_err err = {0};
    for (int g = 0; g < 3; g++) {
        size_t n = strcspn(rest, "\n");
        cJSON *line = tl_json_parse(rest, n, "line", &err);
        assert_true(cJSON_Compare(tl_json_get(line, "rewards"),
                                  tl_json_get(cJSON_GetArrayItem(tl_json_get(json, "prompts"), g), "rewards"),
                                  true));
        cJSON_Delete(line);
        rest += n + 1;
    }
    cJSON_Delete(json);
    free(plain);
}

static void test_without_comparison(void **state)
{
    static const char *const more[] = {"report=true", "compare=false", NULL}, *const none[] = {
                                                                                  "report=true",
                                                                                  "potential=none", NULL};
    (void)state;
    support_steer_ok("alone", more);
    char *page = read_page(support_steer_path("alone", "report.html"));
    check_alone(page);
    assert_false(support_exists(support_steer_path("alone", "plain.jsonl")));
    assert_null(strstr(page, "At equal network evaluations"));
    free(page);
    support_steer_ok("plain", none); /* it is the comparison itself */
    page = read_page(support_steer_path("plain", "report.html"));
    check_alone(page);
    assert_false(support_exists(support_steer_path("plain", "plain.jsonl")));
    HAS(page, "its particles are plain samples");
    HAS(page, "best of 3 plain samples");
    assert_int_equal(count(page, "<img "), 3);
    free(page);
}

/* A guided particle costs more: 4 steps and 3 more for each of the 4 guided ones. */
static void test_guided(void **state)
{
    static const char *const more[] = {"report=true", "guide=0.001", "lambda=50", "from=0",
                                       "to=0.75",     "every=2",     "batch=3",   NULL};
    (void)state;
    support_steer_ok("guided", more);
    cJSON *json = support_steer_json("guided");
    const cJSON *settings = tl_json_get(json, "settings"), *c = tl_json_get(json, "comparison");
    int guided = (int)support_steer_number(settings, "guided_steps"),
        samples = (3 * (4 + 3 * guided) + 3) / 4;
    assert_true(guided > 0);
    assert_int_equal((int)support_steer_number(c, "plain_samples"), samples);
    assert_true(support_steer_number(c, "network_evaluations") >=
                support_steer_number(tl_json_get(json, "totals"), "network_evaluations"));
    cJSON_Delete(json);
    char *page = read_page(support_steer_path("guided", "report.html"));
    check_alone(page);
    has(page, "best of %d plain samples", samples);
    has(page, "3 of %d; best of all", samples);
    free(page);
}

/* ---- going on ---- */

/* A page that is asked for later, and plain samples that were left half way. */
static void test_resume(void **state)
{
    static const char *const bare[] = {"batch=3", NULL}, *const page[] = {"batch=3", "report=true", NULL};
    (void)state;
    support_steer_ok("later", bare);
    struct tl_err err = {0};
    const struct support_steer resume = {.out = "later", .more = page, .resume = true};
    assert_int_equal(support_steer(&resume, NULL, &err), TL_OK);
    char *whole = support_read(support_steer_path("later", "plain.jsonl"));
    char *first = strchr(whole, '\n');
    assert_non_null(first);
    char cut = first[20];
    first[20] = 0; /* a line, and the beginning of the next */
    support_write(support_steer_path("later", "plain.jsonl"), whole);
    first[20] = cut;
    assert_int_equal(support_steer(&resume, NULL, &err), TL_OK);
    char *again = support_read(support_steer_path("later", "plain.jsonl"));
    assert_string_equal(whole, again);
    free(whole);
    free(again);
}

/* ---- the folder as it is found ---- */

static void test_unfinished_and_damaged(void **state)
{
    static const char *const more[] = {"report=true", "lambda=1e5", NULL};
    (void)state;
    support_steer_ok("torn", more);
    char *lines = support_read(support_steer_path("torn", "steer.jsonl"));
    char *third = strchr(strchr(lines, '\n') + 1, '\n') + 1;
    *third = 0;
    struct tl_str damaged = {0};
    tl_str_printf(&damaged,
                  "%s{\"group\":2,\"rewards\":[1,2,3],\"weights\":[1,0],\"best\":0}\n"
                  "{\"group\":2,\"rewards\":[1,2,3],\"weights\":[1,0,0],\"best\":0,\"events\":[{\"step\":1,"
                  "\"ess\":2,\"resampled\":true,\"rewards\":[1,2,3],\"ancestors\":[0,1,3]}]}\nx\n{\"gro",
                  lines);
    support_write(support_steer_path("torn", "steer.jsonl"), damaged.data);
    tl_str_finish(&damaged);
    free(lines);
    support_write(support_steer_path("torn", "steps/0000-001.png"), "no picture");
    assert_int_equal(unlink(support_steer_path("torn", "steer.json")), 0);
    assert_int_equal(unlink(support_steer_path("torn", "00004.png")), 0);
    struct tl_err err = {0};
    bool whole;
    const char *run = support_steer_path("torn", "");
    const struct tl_report_params params = {.runs = &run, .n_runs = 1, .json = true};
    support_log_start();
    char *summary = tl_report(&params, &whole, &err);
    check_ok(summary != NULL, &err);
    assert_false(whole);
    HAS(summary, "\"damaged\": 3");
    HAS(summary, "\"state\": \"not finished: 2 prompts so far\"");
    free(summary);
    char *page = read_page(support_steer_path("torn", "report.html"));
    check_alone(page);
    assert_int_equal(count(page, "<img "), 2 * 6 - 2);
    free(page);
}

static void test_hostile(void **state)
{
    static const char *const more[] = {"prompt=<script>alert(1)</script> & \"a\" 'b'", "report=true",
                                       "compare=false", "reward=colour:red", NULL};
    (void)state;
    support_steer_ok("hostile", more);
    char *page = read_page(support_steer_path("hostile", "report.html"));
    check_alone(page);
    HAS(page, "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;a&quot; &#39;b&#39;");
    free(page);
}

/* More particles and steps than a page shows. */
static void test_bounds(void **state)
{
    static const char *const more[] = {
        "prompt=a red circle", "report=true", "particles=40",  "steps=14", "to=1",
        "reward=colour:red",   "lambda=50",   "compare=false", NULL};
    (void)state;
    support_steer_ok("many", more);
    char *page = read_page(support_steer_path("many", "report.html"));
    check_alone(page);
    HAS(page, "the first 32 of 40 particles");
    HAS(page, "10 of 14 scored steps");
    assert_int_equal(count(page, "<img "), 11);
    free(page);
}

/* ---- side by side ---- */

static void test_runs(void **state)
{
    static const char *const bare[] = {"lambda=1e5", NULL}, *const none[] = {"potential=none", NULL};
    char a[600], b[600], out[600];
    support_steer_ok("side-a", none);
    support_steer_ok("side-b", bare);
    snprintf(a, sizeof a, "%s", support_steer_path("side-a", ""));
    snprintf(b, sizeof b, "%s", support_steer_path("side-b", ""));
    snprintf(out, sizeof out, "%s", support_path(*state, "c.html"));
    const char *runs[] = {a, b, *state};
    struct tl_report_params params = {.runs = runs, .n_runs = 2, .out = out, .names = "none,fk"};
    struct tl_err err = {0};
    bool whole;
    char *text = tl_report(&params, &whole, &err);
    check_ok(text != NULL, &err);
    free(text);
    char *page = read_page(out);
    check_alone(page);
    cJSON *left = support_steer_json("side-a"), *right = support_steer_json("side-b");
    has(page, "\">%+.4f</b>",
        support_steer_number(tl_json_get(right, "totals"), "reward_best") -
            support_steer_number(tl_json_get(left, "totals"), "reward_best"));
    has(page, "%.4f <span class=\"dim\">", support_steer_number(tl_json_get(right, "totals"), "reward_best"));
    assert_int_equal(count(page, "<circle class=\"dot\""), 3);
    HAS(page, "all runs have the same seed");
    HAS(page, "<tr><th>potential</th><td>none</td><td>diff</td></tr>");
    cJSON_Delete(left);
    cJSON_Delete(right);
    free(page);
    /* a training among them */
    support_write(support_path(*state, "run.json"), "{}");
    params.n_runs = 3;
    params.names = NULL;
    assert_null(tl_report(&params, &whole, &err));
    assert_int_equal(err.code, TL_USAGE);
    HAS(err.text, "one kind of run");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page),
        cmocka_unit_test(test_changes_nothing),
        cmocka_unit_test(test_without_comparison),
        cmocka_unit_test(test_guided),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_unfinished_and_damaged),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_runs),
    };
    return cmocka_run_group_tests(tests, support_steer_setup, support_folder_remove);
}
