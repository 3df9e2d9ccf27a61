/* Runs that learn from rewards, stop and go on: the same adapter, metrics, checkpoints and report as a run
 * that was never stopped. */
#include "support/check.h"
#include "support_folder.h"
#include "support_train.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include <tiller/interrupt.h>

#include "io/file.h"
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

/* All checkpoints, by their manifests, which hold the hash of every file. */
static void check_same_checkpoints(const char *a, const char *b)
{
    const char *const runs[2] = {a, b};
    struct tl_arena arena = {0};
    struct tl_err err = {0};
    const char *const *names[2];
    size_t n[2];
    for (int i = 0; i < 2; i++)
        check_ok(tl_file_list(support_path(place, "%s/checkpoints", runs[i]), &arena, &names[i], &n[i], &err),
                 &err);
    for (size_t i = 0; i < n[0] || i < n[1]; i++) {
        if (i >= n[0] || i >= n[1] || strcmp(names[0][i], names[1][i]) != 0)
            fail_msg("checkpoints of %s and %s: %s, %s", a, b, i < n[0] ? names[0][i] : "none",
                     i < n[1] ? names[1][i] : "none");
        support_same_file(support_path(place, "%s/checkpoints/%s/manifest.json", a, names[0][i]),
                          support_path(place, "%s/checkpoints/%s/manifest.json", b, names[0][i]));
    }
    tl_arena_finish(&arena);
}

static void check_same_run(const char *a, const char *b)
{
    support_same_metrics(support_path(place, "%s", a), support_path(place, "%s", b));
    check_same_checkpoints(a, b);
    same_files(
        a, b,
        OPTIONS("result.json", "summary.txt", "before_after.png", "before_after_others.png", "curve.png"));
}

static void check_same_adapter(const char *a, const char *b)
{
    same_files(
        a, b, OPTIONS("lora/pytorch_lora_weights.safetensors", "lora-best/pytorch_lora_weights.safetensors"));
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

/* What happens at a place of a run, which is told of the first network run of a phase, and of later ones
 * where so much time has passed. */
struct moment {
    const char *phase;
    int epoch, run; /* the run-th that is told, from 1 */
    int seen;
};

static bool is_now(struct moment *m, const struct tl_progress *p)
{
    const struct timespec wait = {.tv_nsec = 300000000};
    if (strcmp(p->phase, m->phase) != 0 || p->done != m->epoch || !strstr(p->health, "network run"))
        return false;
    if (++m->seen == m->run) return true;
    if (m->seen < m->run) nanosleep(&wait, NULL); /* so that the next one is told */
    return false;
}

static void stop_then(void *user, const struct tl_progress *p)
{
    if (is_now(user, p)) tl_interrupt_request();
}

static void stopped_then(struct support_train run, struct moment m)
{
    struct tl_err err = {0};
    run.progress = stop_then;
    run.user = &m;
    enum tl_code code = support_train(&run, &err);
    tl_interrupt_clear();
    if (code != TL_INTERRUPTED) fail_msg("%s %d: %d, %s", m.phase, m.epoch, code, err.text);
}

/* The best checkpoint is that of the last finished epoch, and the stop comes when the next one has moved the
 * weights. */
static void test_best_outlives_a_stop(void **state)
{
    (void)state;
    const char *const more[] = {"eval-every=1", "checkpoint-every=1", "passes=4", "minibatches=1", NULL};
    struct support_train whole = run_of("best-whole", more), run = run_of("best-stopped", more);
    support_train_ok(&whole);
    for (int epoch = 1; epoch < 5; epoch += 2) {
        stopped_then(run, (struct moment){.phase = "learning", .epoch = epoch, .run = 10});
        run.resume = true;
        const char *within = support_path(run.out, "checkpoints/step-%08d-within", epoch);
        assert_true(support_exists(within));
        char *text = support_read(support_path(within, "state.json"));
        assert_non_null(strstr(text, "\"in_epoch\": true"));
        free(text);
        /* what was whole before the stop is what it is in the other run, if that keeps it */
        const char *step = support_path(run.out, "checkpoints/step-%08d/weights.safetensors", epoch),
                   *same = support_path(whole.out, "checkpoints/step-%08d/weights.safetensors", epoch),
                   *moved = support_path(within, "weights.safetensors");
        assert_false(support_is_same_file(step, moved));
        if (support_exists(same)) support_same_file(step, same);
    }
    support_train_ok(&run);
    check_same_run("best-whole", "best-stopped");
    check_same_adapter("best-whole", "best-stopped");
}

/* ---- rows ---- */

struct broken {
    struct moment at;
    const char *run;
};

static void break_the_save(void *user, const struct tl_progress *p)
{
    struct broken *b = user;
    if (!is_now(&b->at, p)) return;
    assert_int_equal(rename(support_path(b->run, "checkpoints"), support_path(b->run, "away")), 0);
    support_write(support_path(b->run, "checkpoints"), "a file\n");
}

/* Stopped in the reading after an epoch; gone on, and dead between that reading's rows and the checkpoint;
 * gone on again: the rows stand once. */
static void test_rows_once(void **state)
{
    (void)state;
    struct support_train run = run_of("rows", NULL);
    stopped_then(run, (struct moment){.phase = "reading", .epoch = 2, .run = 1});
    struct broken broken = {{.phase = "reading", .epoch = 2, .run = 1}, run.out};
    run.resume = true;
    run.progress = break_the_save;
    run.user = &broken;
    support_train_fails(&run, TL_OUTPUT, "checkpoints");
    assert_int_equal(unlink(support_path(run.out, "checkpoints")), 0);
    assert_int_equal(rename(support_path(run.out, "away"), support_path(run.out, "checkpoints")), 0);
    double rewards[8];
    assert_int_equal(support_column(run.out, "eval_trained", "reward", rewards, 8), 2); /* at 0 and 2 */
    run.progress = NULL;
    support_train_ok(&run);
    check_same_run("whole", "rows");
    check_same_adapter("whole", "rows");
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
                                       cmocka_unit_test(test_best_outlives_a_stop),
                                       cmocka_unit_test(test_rows_once),
                                       cmocka_unit_test(test_resumed_after_an_error),
                                       cmocka_unit_test(test_stored_samples),
                                       cmocka_unit_test(test_several_rewards),
                                       cmocka_unit_test(test_other_options)};
    return cmocka_run_group_tests(tests, setup, support_folder_remove);
}
