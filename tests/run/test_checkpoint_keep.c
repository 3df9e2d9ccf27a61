/* Which checkpoints stay: the newest whole ones, and the best. */
#include "support/check.h"

#include <sys/stat.h>
#include <unistd.h>

#include "run/checkpoint.h"
#include "support_checkpoint.h"
#include "support_folder.h"

static void test_prune(void **state)
{
    char run[128];
    strcpy(run, support_checkpoint_run(*state, "prune"));
    struct tl_err err = {0};
    for (int step = 1; step <= 3; step++) support_checkpoint_save(run, step * 100);
    assert_string_equal(support_checkpoint_names(run), "step-00000200 step-00000300");
    check_ok(support_checkpoint_save_with(run, 400, &(struct support_saving){.keep = 3}, &err), &err);
    assert_string_equal(support_checkpoint_names(run), "step-00000200 step-00000300 step-00000400");
    check_ok(support_checkpoint_save_with(run, 500, &(struct support_saving){.keep = 1}, &err), &err);
    assert_string_equal(support_checkpoint_names(run), "step-00000500");
    /* Above 8 digits the number decides, not the name. */
    support_checkpoint_save(run, 99999999);
    support_checkpoint_save(run, 100000000);
    assert_int_equal(support_checkpoint_newest(run), 100000000);
    /* Files that are no checkpoints are let be; a leftover of a crash goes. */
    assert_int_equal(mkdir(support_path(run, "checkpoints/step-mine"), 0777), 0);
    assert_int_equal(mkdir(support_path(run, "checkpoints/step-00000007.tmp"), 0777), 0);
    support_write(support_path(run, "checkpoints/step-00000007.tmp/x"), "x");
    support_write(support_path(run, "checkpoints/other.tmp"), "x");
    support_checkpoint_save(run, 100000001);
    assert_string_equal(support_checkpoint_names(run), "other.tmp step-100000000 step-100000001 step-mine");
}

/* A damaged checkpoint does not count among those that are kept: two whole ones are always there. */
static void test_prune_keeps_whole_ones(void **state)
{
    char run[128];
    strcpy(run, support_checkpoint_run(*state, "whole"));
    support_checkpoint_save(run, 1);
    support_checkpoint_save(run, 2);
    assert_int_equal(truncate(support_path(run, "checkpoints/step-00000002/order.bin"), 299), 0);
    support_checkpoint_save(run, 3);
    assert_string_equal(support_checkpoint_names(run), "step-00000001 step-00000002 step-00000003");
    assert_int_equal(support_checkpoint_newest(run), 3);
    support_checkpoint_save(run, 4);
    assert_string_equal(support_checkpoint_names(run), "step-00000003 step-00000004");
}

/* The run went back to an older checkpoint: what lay beyond must not be resumed from. */
static void test_course_left(void **state)
{
    char run[128];
    strcpy(run, support_checkpoint_run(*state, "course"));
    struct tl_err err = {0};
    for (int step = 1; step <= 4; step++)
        check_ok(support_checkpoint_save_with(run, step, &(struct support_saving){.keep = 4}, &err), &err);
    support_log_start();
    check_ok(support_checkpoint_save_with(run, 2, &(struct support_saving){.keep = 4}, &err),
             &err); /* a step that is there already */
    assert_string_equal(support_checkpoint_names(run), "step-00000001 step-00000002");
    assert_non_null(
        strstr(support_log(), "step-00000004: removed, the run went on from an earlier checkpoint"));
    assert_int_equal(support_checkpoint_newest(run), 2);
}

static void save_best(const char *run, int64_t step, int keep)
{
    struct tl_err err = {0};
    check_ok(
        support_checkpoint_save_with(run, step, &(struct support_saving){.keep = keep, .best = true}, &err),
        &err);
}

static int64_t best_step(const char *run)
{
    struct tl_err err = {0};
    struct tl_checkpoint *c = tl_checkpoint_open_best(run, &err);
    int64_t step = c ? tl_checkpoint_step(c) : -1;
    if (!c) assert_int_equal(err.code, TL_BAD_INPUT);
    tl_checkpoint_close(&c);
    return step;
}

/* The best one stays however old it grows, and goes when another is better. */
static void test_best(void **state)
{
    char run[128];
    strcpy(run, support_checkpoint_run(*state, "best"));
    support_checkpoint_save(run, 1);
    save_best(run, 2, 2);
    for (int step = 3; step <= 6; step++) support_checkpoint_save(run, step);
    assert_string_equal(support_checkpoint_names(run), "step-00000002 step-00000005 step-00000006");
    assert_int_equal(best_step(run), 2);
    assert_int_equal(tl_checkpoint_best_step(run), 2);
    assert_int_equal(support_checkpoint_newest(run), 6);
    save_best(run, 7, 2);
    /* the one before it still calls 2 the best: a resume from there finds it */
    assert_string_equal(support_checkpoint_names(run), "step-00000002 step-00000006 step-00000007");
    assert_int_equal(best_step(run), 7);
    support_checkpoint_save(run, 7); /* the same step again is no less */
    assert_int_equal(best_step(run), 7);
    support_checkpoint_save(run, 8);
    assert_string_equal(support_checkpoint_names(run), "step-00000007 step-00000008");
    save_best(run, 9, 1);
    assert_string_equal(support_checkpoint_names(run), "step-00000009");
}

/* The newest is damaged, or the run went back: the best is that of the course which is gone on with. */
static void test_best_after_going_back(void **state)
{
    char run[128];
    strcpy(run, support_checkpoint_run(*state, "back"));
    save_best(run, 1, 2);
    support_checkpoint_save(run, 2);
    save_best(run, 3, 2);
    assert_int_equal(truncate(support_path(run, "checkpoints/step-00000003/state.json"), 1), 0);
    assert_int_equal(tl_checkpoint_best_step(run), 1);
    assert_int_equal(best_step(run), 1);
    support_checkpoint_save(run, 3); /* this time it is not the best */
    assert_int_equal(best_step(run), 1);
    save_best(run, 4, 2);
    support_checkpoint_save(run, 2); /* back beyond the better one */
    assert_int_equal(best_step(run), 1);
    assert_string_equal(support_checkpoint_names(run), "step-00000001 step-00000002");
    /* bytes that are wrong at the right length are seen when it is opened */
    FILE *f = fopen(support_path(run, "checkpoints/step-00000001/order.bin"), "r+b");
    assert_non_null(f);
    fputc(0xff, f);
    fclose(f);
    assert_int_equal(tl_checkpoint_best_step(run), 1);
    struct tl_err err = {0};
    assert_null(tl_checkpoint_open_best(run, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    assert_non_null(strstr(err.text, "its best checkpoint cannot be used"));
}

static void save_within(const char *run, int64_t step, int keep)
{
    struct tl_err err = {0};
    check_ok(
        support_checkpoint_save_with(run, step, &(struct support_saving){.keep = keep, .within = true}, &err),
        &err);
}

static bool newest_is_within(const char *run)
{
    struct tl_checkpoint *c = tl_checkpoint_open_newest(run, NULL);
    assert_non_null(c);
    bool within = tl_checkpoint_is_within(c);
    tl_checkpoint_close(&c);
    return within;
}

/* A stop between two steps: beside the step's own checkpoint, the newest until the next save. */
static void test_within(void **state)
{
    char run[128];
    strcpy(run, support_checkpoint_run(*state, "within"));
    support_checkpoint_save(run, 9);
    save_best(run, 10, 1);
    char *best = support_read(support_path(run, "checkpoints/step-00000010/manifest.json"));
    for (int i = 0; i < 2; i++) { /* stopped, and stopped again */
        save_within(run, 10, 1);
        assert_string_equal(support_checkpoint_names(run), "step-00000010 step-00000010-within");
        assert_int_equal(support_checkpoint_newest(run), 10);
        assert_true(newest_is_within(run));
        assert_int_equal(best_step(run), 10);
        assert_int_equal(tl_checkpoint_best_step(run), 10);
    }
    char *same = support_read(support_path(run, "checkpoints/step-00000010/manifest.json"));
    assert_string_equal(same, best);
    free(same);
    free(best);
    support_checkpoint_save(run, 11);
    assert_string_equal(support_checkpoint_names(run), "step-00000010 step-00000011");
    assert_false(newest_is_within(run));
    assert_int_equal(best_step(run), 10);
    /* it takes no place of those that are kept, and is of no step's course but its own */
    support_checkpoint_save(run, 12);
    save_within(run, 12, 2);
    assert_string_equal(support_checkpoint_names(run),
                        "step-00000010 step-00000011 step-00000012 step-00000012-within");
    save_within(run, 11, 2);
    assert_string_equal(support_checkpoint_names(run), "step-00000010 step-00000011 step-00000011-within");
    support_checkpoint_save(run, 11);
    assert_string_equal(support_checkpoint_names(run), "step-00000010 step-00000011");
    /* damaged: the step before it is gone on from */
    save_within(run, 11, 2);
    assert_int_equal(truncate(support_path(run, "checkpoints/step-00000011-within/order.bin"), 2), 0);
    assert_int_equal(support_checkpoint_newest(run), 11);
    assert_false(newest_is_within(run));
    struct tl_err err = {0};
    assert_false(
        support_checkpoint_save_with(run, 11, &(struct support_saving){.best = true, .within = true}, &err));
    assert_int_equal(err.code, TL_FAIL);
}

static void test_no_best(void **state)
{
    char run[128];
    struct tl_err err = {0};
    strcpy(run, support_checkpoint_run(*state, "none"));
    assert_int_equal(best_step(run), -1);
    support_checkpoint_save(run, 1);
    assert_int_equal(tl_checkpoint_best_step(run), -1);
    assert_null(tl_checkpoint_open_best(run, &err));
    assert_non_null(strstr(err.text, "no checkpoint that is marked as the best"));
    char *manifest = support_read(support_path(run, "checkpoints/step-00000001/manifest.json"));
    assert_null(strstr(manifest, "best"));
    free(manifest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prune),
        cmocka_unit_test(test_prune_keeps_whole_ones),
        cmocka_unit_test(test_course_left),
        cmocka_unit_test(test_best),
        cmocka_unit_test(test_best_after_going_back),
        cmocka_unit_test(test_within),
        cmocka_unit_test(test_no_best),
    };
    return cmocka_run_group_tests(tests, support_folder_make, support_folder_remove);
}
