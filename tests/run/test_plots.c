#include "support/check.h"

#include "io/image.h"
#include "run/plots.h"
#include "run/run_metrics.h"
#include "support_folder.h"

static const struct tl_plot_curve curves[] = {
    {"trained prompts", "eval", "reward", "reward_se"},
    {"loss", "train", "loss", NULL},
    {"nothing", NULL, "no_such_column", NULL},
};

static void write_metrics(const char *folder, double slope)
{
    struct tl_err err = {0};
    struct tl_run_metrics *m = tl_run_metrics_open(folder, -1, &err);
    check_ok(m != NULL, &err);
    for (int step = 0; step < 40; step++) {
        const struct tl_run_metric train = {"loss", 1 - slope * step},
                                   eval[] = {{"reward", slope * step}, {"reward_se", 0.05}};
        check_ok(tl_run_metrics_append(m, "train", step, &train, 1, &err), &err);
        /* An error bar at each second evaluation only: the others get none, and none gets another's. */
        if (step % 5 == 0)
            check_ok(tl_run_metrics_append(m, "eval", step, eval, step % 10 ? 1 : 2, &err), &err);
    }
    tl_run_metrics_close(&m);
}

static void plot(const char *folder, const char *png, struct tl_image *out)
{
    struct tl_err err = {0};
    const struct tl_plot what = {
        .title = "a run", .y_label = "value", .curves = curves, .n_curves = 3, .width = 480, .height = 320};
    check_ok(
        tl_plot_metrics(support_path(folder, "metrics.jsonl"), &what, support_path(folder, "%s", png), &err),
        &err);
    check_ok(tl_image_load(support_path(folder, "%s", png), out, &err), &err);
    assert_int_equal(out->width, 480);
    assert_int_equal(out->height, 320);
}

/* Another course gives another picture, the same one the same. */
static void test_plot(void **state)
{
    struct tl_image a, again, b;
    write_metrics(*state, 0.01);
    plot(*state, "a.png", &a);
    write_metrics(*state, 0.01);
    plot(*state, "again.png", &again);
    write_metrics(*state, -0.02);
    plot(*state, "b.png", &b);
    size_t n = (size_t)480 * 320 * 3;
    assert_memory_equal(a.px, again.px, n);
    assert_memory_not_equal(a.px, b.px, n);
    tl_image_finish(&a);
    tl_image_finish(&again);
    tl_image_finish(&b);
}

static void test_missing(void **state)
{
    struct tl_err err = {0};
    const struct tl_plot what = {.curves = curves, .n_curves = 1};
    assert_false(
        tl_plot_metrics(support_path(*state, "none.jsonl"), &what, support_path(*state, "x.png"), &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    assert_false(support_exists(support_path(*state, "x.png")));
    tl_err_clear(&err);
    write_metrics(*state, 0.01);
    assert_false(tl_plot_metrics(support_path(*state, "metrics.jsonl"), &what,
                                 support_path(*state, "no/x.png"), &err));
    assert_int_equal(err.code, TL_OUTPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plot), cmocka_unit_test(test_missing)};
    return cmocka_run_group_tests(tests, support_folder_make, support_folder_remove);
}
