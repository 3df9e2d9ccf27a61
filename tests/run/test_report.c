/* Pages from made-up runs: what they show, and that nothing in a run's folder can harm them. */
#include "support/check.h"

#include <sys/stat.h>
#include <unistd.h>

#include <tiller/report.h>

#include "io/file.h"
#include "io/json.h"
#include "support_folder.h"
#include "support_report.h"

static const struct support_report finished = {24, 24, true, false, 0.12, "0.002"},
                                   hostile = {12, 60, false, true, 0.12, NULL};

/* support_path's own results last for 16 calls only. */
static const char *keep(const char *path)
{
    static char kept[512];
    snprintf(kept, sizeof kept, "%s", path);
    return kept;
}

static size_t count(const char *text, const char *part)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, part)); p++) n++;
    return n;
}

static char *read_page(const char *path)
{
    struct tl_err err = {0};
    size_t n;
    char *page = (char *)tl_file_read(path, 64 << 20, &n, &err);
    check_ok(page != NULL, &err);
    return page;
}

static char *report(const char *folder)
{
    struct tl_err err = {0};
    check_ok(tl_report_write(folder, &err), &err);
    return read_page(support_path(folder, "report.html"));
}

#define HAS(page, part)                                                                                      \
    do {                                                                                                     \
        if (!strstr(page, part)) fail_msg("the page lacks %s", part);                                        \
    } while (0)

static const char *command_of(const char *run)
{
    static char text[700];
    snprintf(text, sizeof text,
             "tiller sample --model assets/models/shapes --lora %s/lora/pytorch_lora_weights.safetensors",
             run);
    return text;
}

static void test_finished(void **state)
{
    const char *run = keep(support_path(*state, "run"));
    support_report_write(run, &finished);
    char *page = report(run), *again = report(run);
    assert_string_equal(page, again);
    HAS(page, "<h1>run</h1>");
    HAS(page, "prdp on <b>clip:shapes-clip</b>, from shapes");
    HAS(page, "finished at epoch 24");
    HAS(page, "best at epoch 18: held-out reward 0.71");
    HAS(page, "0.7213 <span>\xe2\x86\x92</span> 0.8102");
    HAS(page, "+0.0889</b> \xc2\xb1 0.011 \xc2\xb7 significant");
    HAS(page, "no significant change");
    HAS(page, "<b>diversity</b>");
    /* Two sets of six prompts, two kept pictures of each; best and worst; four grids. */
    assert_int_equal(count(page, "<div class=\"pair\">"), 24);
    assert_int_equal(count(page, "<img "), 2 * 24 + 2 * 2 + 4);
    assert_int_equal(count(page, "src=\"data:image/png;base64,"), count(page, "<img "));
    assert_int_equal(count(page, "class=\"hint\"") > 12, 1);
    HAS(page, "aria-label=\"Held-out reward\"");
    HAS(page, "aria-label=\"Clip fraction\"");
    HAS(page, "data-percent=\"1\"");
    HAS(page, ">best</text>");
    HAS(page, "train / correlation"); /* what has no chart of its own stands in the fold */
    HAS(page, "3\xc2\xa0"
              "584");
    HAS(page, "70 min");
    HAS(page, "cpu (2 threads, AVX-512)");
    HAS(page, "run/lora/run.kohya.safetensors");
    HAS(page, command_of(run)); /* the path as it was given */
    HAS(page, "<tr class=\"default\"><th>samples_per_prompt</th><td>8</td>");
    HAS(page, "<tr><th>lr</th><td>0.002</td>");
    assert_int_equal(count(page, "http://"), 1); /* the SVG name space of the script; nothing is loaded */
    assert_int_equal(count(page, "https://"), 0);
    free(page);
    free(again);
}

/* The readings measured from the samples, where there is no result.json yet. */
static void test_unfinished(void **state)
{
    const char *run = keep(support_path(*state, "run"));
    support_report_write(run, &hostile);
    char *page = report(run);
    HAS(page, "not finished: epoch 12 of 60");
    HAS(page, "as of the last reading");
    HAS(page, "epoch 12 on the right");
    assert_int_equal(count(page, "<div class=\"card tile"), 4);
    free(page);
}

static void test_hostile(void **state)
{
    const char *run = keep(support_path(*state, "<img src=x onerror=alert(1)>"));
    support_report_write(run, &hostile);
    char *page = report(run);
    assert_int_equal(count(page, "<script"), 1); /* the page's own */
    assert_int_equal(count(page, "<img src"), 0);
    assert_int_equal(count(page, "\xe2\x80\xae"), 0);
    HAS(page, "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;quoted&quot; &#39;too&#39; \xef\xbf\xbd"
              "desrever");
    HAS(page, "&lt;img src=x onerror=alert(1)&gt;");
    free(page);
}

static void append(const char *path, const char *text)
{
    FILE *f = fopen(path, "ab");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* Damaged lines and files are passed over and counted; a line that is being written is not counted. */
static void test_damaged(void **state)
{
    const char *run = keep(support_path(*state, "run"));
    struct tl_err err = {0};
    bool whole;
    support_report_write(run, &finished);
    append(support_path(run, "metrics.jsonl"),
           "garbage\n[1]\n{\"phase\":\"train\",\"loss\":1}\n{\"step\":99,\"ph");
    append(support_path(run, "warnings.jsonl"), "{\"step\":\"x\"}\n");
    append(support_path(run, "samples/step-%08d/rewards.jsonl", 24),
           "{\"set\":\"others\",\"prompt\":\"p\",\"prompt_index\":50,\"sample\":0,\"reward\":1,\"file\":\"../"
           "../../secret.png\"}\n"
           "{\"set\":\"others\",\"prompt\":\"p\",\"prompt_index\":51,\"sample\":0,\"reward\":1,\"file\":"
           "\"absent.png\"}\n");
    support_write(support_path(run, "result.json"), "{\"readings\":");
    support_write(support_path(run, "samples/step-%08d/others-000-0.png", 24), "no picture");
    support_log_start();
    const struct tl_report_params params = {.runs = &run, .n_runs = 1, .json = true};
    char *summary = tl_report(&params, &whole, &err);
    check_ok(summary != NULL, &err);
    assert_false(whole);
    HAS(support_log(), "6 damaged lines or files passed over");
    cJSON *json = cJSON_Parse(summary), *one = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "runs"), 0);
    assert_string_equal(cJSON_GetObjectItem(json, "schema")->valuestring, "tiller.report/1");
    assert_string_equal(cJSON_GetObjectItem(one, "run")->valuestring, "run");
    assert_int_equal(cJSON_GetObjectItem(one, "step")->valueint, 24);
    assert_int_equal(cJSON_GetObjectItem(one, "damaged")->valueint, 6);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(one, "readings")), 4);
    cJSON_Delete(json);
    free(summary);
    char *page = read_page(support_path(run, "report.html"));
    assert_int_equal(count(page, "<div class=\"pair\">"), 23);
    HAS(page, "6 damaged lines or files of the run");
    HAS(page, "1 more in samples/");
    free(page);
}

/* A page stays within bounds whatever the folder holds. */
static void test_bounds(void **state)
{
    const char *run = keep(support_path(*state, "run"));
    support_report_write(run, &finished);
    char *png = read_page(support_path(run, "samples/step-%08d/others-000-0.png", 0));
    free(png);
    for (int step = 0; step <= 24; step += 24)
        for (int i = 0; i < 200; i++) {
            char line[400];
            snprintf(
                line, sizeof line,
                "{\"set\":\"others\",\"prompt\":\"more\",\"prompt_index\":%d,\"sample\":0,\"reward\":0.5,"
                "\"file\":\"others-000-0.png\"}\n",
                100 + i);
            append(support_path(run, "samples/step-%08d/rewards.jsonl", step), line);
        }
    char *page = report(run);
    assert_int_equal(count(page, "<div class=\"pair\">"), 24); /* 12 of each set, one a prompt of the many */
    HAS(page, "200 more in samples/");
    assert_true(count(page, "<img ") < 72);
    free(page);
}

/* Pictures of 700 kB: fewer of them, yet some of each kind. */
static void test_large(void **state)
{
    enum { N = 700 * 1024 };
    const char *run = keep(support_path(*state, "run"));
    static char more[N];
    support_report_write(run, &finished);
    for (int step = 0; step <= 24; step += 24)
        for (int set = 0; set < 2; set++)
            for (int i = 0; i < 12; i++) {
                FILE *f = fopen(support_path(run, "samples/step-%08d/%s-%03d-%d.png", step,
                                             set ? "others" : "trained", i / 2, i % 2),
                                "ab");
                assert_non_null(f);
                assert_int_equal(fwrite(more, 1, N, f), N);
                fclose(f);
            }
    char *page = report(run);
    assert_int_equal(count(page, "<div class=\"pair\">"), 7); /* 10 MiB */
    assert_int_equal(count(strstr(page, "<h3>trained prompts"), "<div class=\"pair\">"), 4);
    HAS(page, "<h3>Best</h3>");
    HAS(page, "17 more in samples/");
    assert_true(strlen(page) < (size_t)24 << 20);
    free(page);
}

/* Method of data: steps, losses, no rewards. */
static void test_supervised(void **state)
{
    const char *run = keep(support_path(*state, "run"));
    assert_int_equal(mkdir(run, 0777), 0);
    support_write(support_path(run, "config.json"),
                  "{\"method\":\"sft\",\"model\":\"m/\",\"steps\":300,\"lr\":0.001}");
    for (int step = 10; step <= 300; step += 10) {
        char line[200];
        snprintf(line, sizeof line,
                 "{\"step\":%d,\"phase\":\"train\",\"mse\":%g,\"lr\":0.001,\"time\":%d}\n%s", step,
                 1.0 / step, 1700000000 + 3 * step,
                 step % 100 ? "" : "{\"step\":100,\"phase\":\"validation\",\"mse\":0.1}\n");
        append(support_path(run, "metrics.jsonl"), line);
    }
    char *page = report(run);
    HAS(page, "not finished: step 300 of 300"); /* the model is not written yet */
    HAS(page, "aria-label=\"Mean squared error\"");
    HAS(page, "validation");
    HAS(page, "<th>a step</th><td>3 s</td>");
    assert_null(strstr(page, "Trained reward"));
    assert_null(strstr(page, "<img "));
    free(page);
    assert_int_equal(mkdir(support_path(run, "model"), 0777), 0);
    page = report(run);
    HAS(page, "finished at step 300");
    HAS(page, "run/model");
    assert_null(strstr(page, "best at"));
    free(page);
    support_write(support_path(run, "run.json"), "{\"best_validation\":{\"step\":200,\"loss\":0.125}}");
    support_write(support_path(run, "summary.txt"), "validation loss 0.125 at step 200, the <best>\n");
    page = report(run);
    HAS(page, "best at step 200: validation loss 0.125");
    HAS(page, "0.125 at step 200, the &lt;best&gt;");
    free(page);
}

static void test_compare(void **state)
{
    struct tl_err err = {0};
    bool whole;
    struct support_report other = finished;
    char a[512], b[512], out[512];
    other.lr = "0.01";
    other.gain = 0.02;
    snprintf(a, sizeof a, "%s", support_path(*state, "one/run"));
    snprintf(b, sizeof b, "%s", support_path(*state, "two/run"));
    snprintf(out, sizeof out, "%s", support_path(*state, "c.html"));
    support_report_write(a, &finished);
    support_report_write(b, &other);
    const char *runs[] = {a, b};
    struct tl_report_params params = {.runs = runs, .n_runs = 2, .out = out};
    char *text = tl_report(&params, &whole, &err), *page;
    check_ok(text != NULL, &err);
    assert_true(whole);
    HAS(text, "run (2)"); /* told apart */
    free(text);
    params.names = "PRDP,<b>";
    text = tl_report(&params, &whole, &err);
    check_ok(text != NULL, &err);
    free(text);
    page = read_page(out);
    HAS(page, "<i class=\"swatch c1\"></i>&lt;b&gt;");
    HAS(page, "<tr><th>lr</th><td>0.002</td><td>0.01</td></tr>");
    assert_null(strstr(page, "<th>beta</th>"));
    HAS(page, "data-name=\"PRDP\"");
    HAS(page, "data-name=\"&lt;b&gt;\"");
    assert_null(strstr(page, "<img "));
    free(page);
    params.names = "one";
    assert_null(tl_report(&params, &whole, &err));
    assert_int_equal(err.code, TL_USAGE);
    HAS(err.text, "1 for 2 runs");
}

static void fails(const char *run, const char *out, enum tl_code code, const char *says)
{
    struct tl_err err = {0};
    bool whole;
    const struct tl_report_params params = {.runs = &run, .n_runs = 1, .out = out};
    assert_null(tl_report(&params, &whole, &err));
    assert_int_equal(err.code, code);
    HAS(err.text, says);
}

static void test_refusals(void **state)
{
    const char *run = keep(support_path(*state, "run"));
    fails(support_path(*state, "absent"), NULL, TL_BAD_INPUT, "no such folder");
    fails(*state, NULL, TL_BAD_INPUT, "is no run");
    support_report_write(run, &finished);
    fails(run, support_path(*state, "absent/x.html"), TL_OUTPUT, "absent/x.html");
    assert_int_equal(unlink(support_path(run, "metrics.jsonl")), 0);
    assert_int_equal(mkdir(support_path(run, "metrics.jsonl"), 0777), 0);
    fails(run, NULL, TL_BAD_INPUT, "metrics.jsonl");
    assert_false(support_exists(support_path(run, "report.html")));
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, support_folder_make, support_folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_finished),   IN_FOLDER(test_unfinished), IN_FOLDER(test_hostile),
        IN_FOLDER(test_damaged),    IN_FOLDER(test_bounds),     IN_FOLDER(test_large),
        IN_FOLDER(test_supervised), IN_FOLDER(test_compare),    IN_FOLDER(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
