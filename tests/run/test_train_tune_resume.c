/* Runs that learn from rewards, stop and go on: the same adapter, metrics, checkpoints and report as a run
 * that was never stopped. */
#include "support/check.h"
#include "support_folder.h"
#include "support_train.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include <tiller/interrupt.h>

#include "io/json.h"

static const char *place;

static int setup(void **state)
{
    if (support_folder_make(state)) return -1;
    place = *state;
    support_prompts(support_path(place, "four.txt"), 4);
    support_prompts(support_path(place, "others.txt"), 3);
    return 0;
}

#define OPTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Two of four prompts an epoch, so that the draw of prompts must go on, too. */
static struct support_train run_of(const char *name, const char *const *more)
{
    static const char *list[4][32];
    static char prompts[600], others[600], outs[4][600];
    static int turn;
    turn = (turn + 1) % 4;
    const char **o = list[turn];
    size_t n = 0;
    snprintf(prompts, sizeof prompts, "prompts=%s/four.txt", place);
    snprintf(others, sizeof others, "eval-prompts=%s/others.txt", place);
    snprintf(outs[turn], sizeof outs[turn], "%s/%s", place, name);
    const char *const first[] = {"model=" SUPPORT_PIPELINE,
                                 prompts,
                                 others,
                                 "reward=clip:" SUPPORT_CLIP,
                                 "eval-reward=clip:" SUPPORT_CLIP ",flavour=logit",
                                 "epochs=5",
                                 "prompts-per-epoch=2",
                                 "samples-per-prompt=2",
                                 "steps=3",
                                 "guidance=2",
                                 "minibatches=2",
                                 "passes=2",
                                 "eval-samples=2",
                                 "eval-every=2",
                                 "rank=2",
                                 "lr=0.01",
                                 "checkpoint-every=2"};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) o[n++] = first[i];
    for (; more && *more && n < 31; more++) o[n++] = *more;
    o[n] = NULL;
    return (struct support_train){.method = "prdp", .options = o, .out = outs[turn], .seed = 8};
}

static void same_files(const char *a, const char *b, const char *const *names)
{
    for (; *names; names++)
        support_same_file(support_path(place, "%s/%s", a, *names), support_path(place, "%s/%s", b, *names));
}

static void check_same_run(const char *a, const char *b)
{
    support_same_metrics(support_path(place, "%s", a), support_path(place, "%s", b));
    support_same_checkpoint(support_path(place, "%s", a), support_path(place, "%s", b));
    same_files(
        a, b,
        OPTIONS("result.json", "summary.txt", "before_after.png", "before_after_others.png", "curve.png"));
}

static void check_same_adapter(const char *a, const char *b)
{
    same_files(a, b, OPTIONS("lora/pytorch_lora_weights.safetensors"));
}

/* Asked to stop when epoch *user is through; the run is told of every epoch. */
static void stop_at(void *user, const struct tl_progress *p)
{
    if (p->done == *(const int *)user) tl_interrupt_request();
}

static void stop_and_go_on(struct support_train run, int epoch)
{
    struct tl_err err = {0};
    run.progress = stop_at;
    run.user = &epoch;
    enum tl_code code = support_train(&run, &err);
    tl_interrupt_clear();
    if (code != TL_INTERRUPTED) fail_msg("stopped at epoch %d: %d, %s", epoch, code, err.text);
    run.progress = NULL;
    run.resume = true;
    support_train_ok(&run);
}

static void test_stopped(void **state)
{
    (void)state;
    struct support_train whole = run_of("whole", NULL), every = run_of("every", NULL);
    support_train_ok(&whole);
    for (int epoch = 0; epoch < 5; epoch += 3) { /* 0: while the untouched model is read */
        char name[32];
        snprintf(name, sizeof name, "stopped%d", epoch);
        stop_and_go_on(run_of(name, NULL), epoch);
        check_same_run("whole", name);
        check_same_adapter("whole", name);
    }
    struct support_train threads = run_of("threads", NULL);
    threads.threads = 2;
    support_train_ok(&threads);
    check_same_run("whole", "threads");
    check_same_adapter("whole", "threads");
    every.seed = 9;
    support_train_ok(&every);
    assert_false(support_is_same_file(support_path(place, "whole/lora/pytorch_lora_weights.safetensors"),
                                      support_path(place, "every/lora/pytorch_lora_weights.safetensors")));
}

/* An epoch that fails, after one that is checkpointed and one that is not. */
static void in_the_way(void *user, const struct tl_progress *p)
{
    const char *run = user;
    if (p->done != 3 || support_exists(support_path(run, "away"))) return;
    assert_int_equal(rename(support_path(run, "checkpoints"), support_path(run, "away")), 0);
    support_write(support_path(run, "checkpoints"), "a file\n");
}

/* Stops at any moment: within a draw, an update, a reading, a checkpoint. */
static void *stop_soon(void *user)
{
    const struct timespec wait = {.tv_nsec = 1000000L * *(const int *)user};
    nanosleep(&wait, NULL);
    tl_interrupt_request();
    return NULL;
}

static int stop_until_through(struct support_train run)
{
    for (int session = 0;; session++) {
        struct tl_err err = {0};
        pthread_t thread;
        int wait = 60 + 23 * (session % 7) + session;
        assert_int_equal(pthread_create(&thread, NULL, stop_soon, &wait), 0);
        enum tl_code code = support_train(&run, &err);
        pthread_join(thread, NULL);
        tl_interrupt_clear();
        if (code == TL_OK) return session;
        if (code != TL_INTERRUPTED) fail_msg("session %d: %d, %s", session, code, err.text);
        assert_true(session < 1000);
        run.resume = support_exists(support_path(run.out, "config.json"));
    }
}

static void test_stopped_at_any_moment(void **state)
{
    (void)state;
    const char *const methods[] = {"prdp", "ddpo"};
    for (int i = 0; i < 2; i++) {
        char whole[32], stopped[32];
        snprintf(whole, sizeof whole, "any-%s", methods[i]);
        snprintf(stopped, sizeof stopped, "any-%s-stopped", methods[i]);
        struct support_train run = run_of(whole, NULL);
        run.method = methods[i];
        support_train_ok(&run);
        run = run_of(stopped, NULL);
        run.method = methods[i];
        printf("%s: %d stops\n", methods[i], stop_until_through(run));
        check_same_run(whole, stopped);
        check_same_adapter(whole, stopped);
    }
}

static void test_resumed_after_an_error(void **state)
{
    (void)state;
    struct support_train run = run_of("failed", NULL);
    run.progress = in_the_way;
    run.user = (void *)(uintptr_t)run.out;
    support_train_fails(&run, TL_OUTPUT, "checkpoints");
    assert_int_equal(unlink(support_path(run.out, "checkpoints")), 0);
    assert_int_equal(rename(support_path(run.out, "away"), support_path(run.out, "checkpoints")), 0);
    run.progress = NULL;
    run.resume = true;
    support_train_ok(&run);
    check_same_run("whole", "failed");
    /* a run that is through gives its report again, and no rows */
    assert_int_equal(unlink(support_path(run.out, "result.json")), 0);
    support_train_ok(&run);
    check_same_run("whole", "failed");
}

/* Samples that are kept for several epochs, or for all. */
static void test_stored_samples(void **state)
{
    (void)state;
    const char *const every[] = {"resample-every=0", "resample-every=3"};
    for (int i = 0; i < 2; i++) {
        char whole[32], stopped[32];
        double reward[8], move[8];
        snprintf(whole, sizeof whole, "stored%d", i);
        struct support_train run = run_of(whole, OPTIONS(every[i]));
        support_train_ok(&run);
        assert_int_equal(support_column(run.out, "train", "reward_mean", reward, 8), 5);
        support_column(run.out, "train", "first_move", move, 8);
        for (int e = 0; e < 5; e++) assert_true(move[e] == 0);
        assert_true(reward[0] == reward[1] && reward[1] == reward[2] && (reward[2] == reward[3]) == (i == 0));
        for (int epoch = 1; epoch < 5; epoch += 2) {
            snprintf(stopped, sizeof stopped, "stored%d-%d", i, epoch);
            stop_and_go_on(run_of(stopped, OPTIONS(every[i])), epoch);
            check_same_run(whole, stopped);
            check_same_adapter(whole, stopped);
        }
    }
    /* from a checkpoint without them they cannot be made again */
    struct tl_err err = {0};
    struct support_train run = run_of("late", NULL);
    int epoch = 1;
    run.progress = stop_at;
    run.user = &epoch;
    assert_int_equal(support_train(&run, &err), TL_INTERRUPTED);
    tl_interrupt_clear();
    run = run_of("late", OPTIONS("resample-every=0"));
    run.resume = true;
    support_train_fails(&run, TL_USAGE, "--resample-every");
}

/* Scales of summed rewards are those of the beginning, to the last bit; also with all weights trained. */
static void test_several_rewards(void **state)
{
    (void)state;
    const char *const more[] = {"reward=clip:" SUPPORT_CLIP ",flavour=logit@0.5", "full=true", "lr=0.001",
                                "epochs=3", NULL};
    struct support_train whole = run_of("sum", more);
    support_train_ok(&whole);
    for (int epoch = 0; epoch < 3; epoch += 2) {
        char name[32];
        snprintf(name, sizeof name, "sum%d", epoch);
        stop_and_go_on(run_of(name, more), epoch);
        check_same_run("sum", name);
        same_files("sum", name, OPTIONS("model/unet/diffusion_pytorch_model.safetensors"));
        char *a = support_read(support_path(place, "sum/run.json")),
             *b = support_read(support_path(place, "%s/run.json", name));
        const char *x = strstr(a, "\"reward_standards\""), *y = strstr(b, "\"reward_standards\"");
        assert_true(x && y);
        assert_memory_equal(x, y, (size_t)(strchr(strchr(x, ']') + 1, ']') - x));
        free(a);
        free(b);
    }
}

/* Options that no longer fit what was saved. */
static void test_other_options(void **state)
{
    (void)state;
    struct support_train run = run_of("whole", OPTIONS("rank=3", "epochs=6"));
    run.resume = true;
    support_train_fails(&run, TL_USAGE, "--rank");
    run = run_of("whole", OPTIONS("eval-samples=3", "epochs=6"));
    run.resume = true;
    support_train_fails(&run, TL_USAGE, "--eval-samples");
    run = run_of("whole", OPTIONS("epochs=6"));
    run.resume = true;
    support_train_ok(&run); /* longer than planned is fine */
    double loss[8];
    assert_int_equal(support_column(run.out, "train", "loss", loss, 8), 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_stopped),
                                       cmocka_unit_test(test_stopped_at_any_moment),
                                       cmocka_unit_test(test_resumed_after_an_error),
                                       cmocka_unit_test(test_stored_samples),
                                       cmocka_unit_test(test_several_rewards),
                                       cmocka_unit_test(test_other_options)};
    return cmocka_run_group_tests(tests, setup, support_folder_remove);
}
