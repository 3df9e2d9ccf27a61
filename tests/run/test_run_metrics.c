/* metrics.jsonl: rows, what a resume cuts off, a full disk. */
#include "support/check.h"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "run/run_folder.h"
#include "run/run_metrics.h"
#include "support_folder.h"

static void append(struct tl_run_metrics *m, const char *phase, int64_t step, double loss)
{
    struct tl_err err = {0};
    const struct tl_run_metric values[] = {{"loss", loss}, {"rate", 1e-4}};
    check_ok(tl_run_metrics_append(m, phase, step, values, 2, &err), &err);
}

/* Rows without the clock, joined. */
static char *rows_of(const char *path)
{
    char *text = support_read(path), *out = calloc(1, 1 << 16), *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *time = strstr(line, ",\"time\":");
        if (time) strcpy(time, "}");
        strcat(strcat(out, line), "\n");
    }
    free(text);
    return out;
}

static void test_metrics(void **state)
{
    struct tl_err err = {0};
    const char *file = support_path(*state, "metrics.jsonl");
    struct tl_run_metrics *m = tl_run_metrics_open(*state, -1, &err);
    check_ok(m != NULL, &err);
    append(m, "train", 1, 0.1);
    append(m, "train", 2, 1.0 / 3);
    /* What is not finite is refused by name and leaves no trace. */
    const double bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        const struct tl_run_metric values[] = {{"loss", 1}, {"kl", bad[i]}};
        tl_err_clear(&err);
        assert_false(tl_run_metrics_append(m, "train", 3, values, 2, &err));
        assert_int_equal(err.code, TL_NUMERIC);
        assert_non_null(strstr(err.text, "step 3: kl is "));
    }
    const struct tl_run_metric taken = {"time", 1};
    assert_false(tl_run_metrics_append(m, "train", 3, &taken, 1, NULL));
    append(m, "eval", 2, 0.5);
    tl_err_clear(&err);
    check_ok(tl_run_metrics_sync(m, &err), &err);
    tl_run_metrics_close(&m);
    char *rows = rows_of(file);
    assert_string_equal(rows, "{\"step\":1,\"phase\":\"train\",\"loss\":0.1,\"rate\":0.0001}\n"
                              "{\"step\":2,\"phase\":\"train\",\"loss\":0.3333333333333333,\"rate\":0.0001}\n"
                              "{\"step\":2,\"phase\":\"eval\",\"loss\":0.5,\"rate\":0.0001}\n");
    free(rows);
    double *steps, *values;
    size_t n;
    check_ok(tl_run_metrics_column(file, NULL, "time", &steps, &values, &n, &err), &err);
    assert_int_equal(n, 3);
    /* Unix seconds; a minute's slack, since time() reads a coarser clock than the rows and a clock may be set. */
    for (size_t i = 0; i < n; i++)
        assert_true(fabs(values[i] - (double)time(NULL)) < 60);
    free(steps);
    free(values);
    check_ok(tl_run_metrics_column(file, "train", "loss", &steps, &values, &n, &err), &err);
    assert_int_equal(n, 2);
    assert_true(steps[1] == 2 && values[1] == 1.0 / 3);
    free(steps);
    free(values);
    check_ok(tl_run_metrics_column(file, "train", "no_such", &steps, &values, &n, &err), &err);
    assert_int_equal(n, 0);
    assert_null(steps);
    assert_false(
        tl_run_metrics_column(support_path(*state, "no-such"), NULL, "loss", &steps, &values, &n, &err));
}

/* Broken off at step 5 and resumed from 3: the file ends up as if nothing had happened. */
static void test_metrics_resume(void **state)
{
    struct tl_err err = {0};
    const char *file = support_path(*state, "metrics.jsonl");
    struct tl_run_metrics *m = tl_run_metrics_open(*state, -1, &err);
    for (int i = 1; i <= 6; i++) append(m, "train", i, i * 0.5);
    tl_run_metrics_close(&m);
    char *whole = rows_of(file);

    m = tl_run_metrics_open(*state, -1, &err); /* a new run: empty again */
    for (int i = 1; i <= 5; i++) append(m, "train", i, i <= 3 ? i * 0.5 : 99);
    tl_run_metrics_close(&m);
    FILE *f = fopen(file, "a");
    fputs("{\"step\":6,\"phase\":\"tr", f); /* the process died in the middle */
    fclose(f);
    m = tl_run_metrics_open(*state, 3, &err);
    check_ok(m != NULL, &err);
    for (int i = 4; i <= 6; i++) append(m, "train", i, i * 0.5);
    tl_run_metrics_close(&m);
    char *again = rows_of(file);
    assert_string_equal(again, whole);
    free(again);

    /* Nothing beyond the step: not a byte changes. From step 0: nothing stays. */
    char *before = support_read(file);
    m = tl_run_metrics_open(*state, 6, &err);
    tl_run_metrics_close(&m);
    char *after = support_read(file);
    assert_string_equal(before, after);
    m = tl_run_metrics_open(*state, 0, &err);
    tl_run_metrics_close(&m);
    free(after);
    after = support_read(file);
    assert_string_equal(after, "");
    free(before);
    free(after);
    free(whole);
    unlink(file);
    m = tl_run_metrics_open(*state, 4, &err); /* it was lost: begins anew */
    check_ok(m != NULL, &err);
    tl_run_metrics_close(&m);
}

/* A stop between a step and its readings: they come after its checkpoint, at the same step. */
static void test_metrics_rows(void **state)
{
    struct tl_err err = {0};
    const char *folder = support_path(*state, "rows"), *file = support_path(*state, "rows/metrics.jsonl");
    assert_int_equal(mkdir(folder, 0777), 0);
    struct tl_run_metrics *m = tl_run_metrics_open(folder, -1, &err);
    check_ok(m != NULL, &err);
    assert_int_equal(tl_run_metrics_rows(m), 0);
    append(m, "train", 1, 1);
    append(m, "train", 2, 2);
    int64_t rows = tl_run_metrics_rows(m); /* here a checkpoint is made */
    assert_int_equal(rows, 2);
    tl_run_metrics_close(&m);
    char *before = support_read(file);
    for (int turn = 0; turn < 2; turn++) {
        m = tl_run_metrics_reopen(folder, 2, rows, &err);
        check_ok(m != NULL, &err);
        assert_int_equal(tl_run_metrics_rows(m), rows);
        char *now = support_read(file);
        assert_string_equal(now, before);
        free(now);
        append(m, "eval", 2, 3);
        assert_int_equal(tl_run_metrics_rows(m), rows + 1);
        tl_run_metrics_close(&m); /* and it dies before the next one */
    }
    /* an older checkpoint does not say; a file that lost rows is told */
    m = tl_run_metrics_reopen(folder, 2, -1, &err);
    assert_int_equal(tl_run_metrics_rows(m), 3);
    tl_run_metrics_close(&m);
    support_log_start();
    m = tl_run_metrics_reopen(folder, 1, 9, &err);
    assert_int_equal(tl_run_metrics_rows(m), 1);
    tl_run_metrics_close(&m);
    assert_non_null(strstr(support_log(), "has 1 rows of the 9"));
    free(before);
}

static void test_metrics_full_disk(void **state)
{
    (void)state;
    if (access("/dev/full", W_OK) != 0) skip();
    struct tl_err err = {0};
    const char *folder = support_path(*state, "full");
    struct tl_run_folder *f = tl_run_folder_open(folder, TL_RUN_NEW, &err);
    assert_int_equal(symlink("/dev/full", support_path(folder, "metrics.jsonl")), 0);
    struct tl_run_metrics *m = tl_run_metrics_open(folder, -1, &err);
    check_ok(m != NULL, &err);
    const struct tl_run_metric value = {"loss", 1};
    assert_false(tl_run_metrics_append(m, "train", 1, &value, 1, &err));
    assert_int_equal(err.code, TL_OUTPUT);
    tl_run_metrics_close(&m);
    tl_run_folder_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_metrics_resume),
        cmocka_unit_test(test_metrics_rows),
        cmocka_unit_test(test_metrics_full_disk),
    };
    return cmocka_run_group_tests(tests, support_folder_make, support_folder_remove);
}
