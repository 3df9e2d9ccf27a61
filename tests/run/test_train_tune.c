/* Methods `prdp` and `ddpo` on the small pipeline: what a run leaves, its first epoch, the control, rules
 * that stop it, on from a LoRA, rewards of several parts. */
#include "support/check.h"
#include "support_folder.h"
#include "support_tune.h"

#include "io/file.h"
#include "io/image.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "models/lora_file.h"
#include "sample/pipeline.h"

static const char *place;

static int setup(void **state)
{
    int failed = support_tune_setup(state);
    place = *state;
    return failed;
}

static cJSON *read_json(const char *path)
{
    struct tl_err err = {0};
    cJSON *json = tl_json_read(path, &err);
    if (!json) fail_msg("%s", err.text);
    return json;
}

static void check_picture(const char *path, int width, int height)
{
    struct tl_err err = {0};
    struct tl_image image = {0};
    check_ok(tl_image_load(path, &image, &err), &err);
    assert_true(image.width >= width && image.height >= height);
    tl_image_finish(&image);
}

/* Another rank, layers that the spec names, some weights that are not 0. */
static void check_lora(const char *path, int rank)
{
    struct tl_err err = {0};
    struct tl_device *d = tl_device_open(&(struct tl_device_params){.name = "cpu", .threads = 1}, &err);
    struct tl_pipeline *p = tl_pipeline_open(d, SUPPORT_PIPELINE, &err);
    if (!p) fail_msg("%s", err.text);
    const struct tl_lora_model model = {.part = {[TL_LORA_UNET] = p->unet->layout}};
    struct tl_lora_file file;
    check_ok(tl_lora_file_read(path, &model, &file, &err), &err);
    assert_true(file.n > 4 && file.n_unmatched == 0);
    double sum = 0;
    for (size_t i = 0; i < file.n; i++) {
        assert_int_equal(file.layers[i].rank, rank);
        sum += fabs((double)file.layers[i].up[0]);
    }
    assert_true(sum > 0);
    tl_lora_file_finish(&file);
    tl_pipeline_close(&p);
    tl_device_close(&d);
}

/* ---- what a run leaves ---- */

static void check_result(const char *run, size_t n_readings, int epochs)
{
    cJSON *result = read_json(support_path(run, "result.json"));
    const cJSON *readings = tl_json_get(result, "readings"), *row;
    assert_int_equal(cJSON_GetArraySize(readings), n_readings);
    assert_int_equal(tl_json_get(result, "epochs")->valueint, epochs);
    cJSON_ArrayForEach(row, readings)
    {
        double before = tl_json_get(row, "before")->valuedouble,
               after = tl_json_get(row, "after")->valuedouble,
               se = tl_json_get(row, "clustered_se")->valuedouble;
        double change = tl_json_get(row, "change")->valuedouble;
        check_near(change, after - before, 1e-9);
        assert_true(isfinite(se) && se >= 0);
        assert_int_equal(cJSON_IsTrue(tl_json_get(row, "significant")),
                         fabs(change) >= 3 * se && change != 0);
    }
    cJSON_Delete(result);
    char *summary = support_read(support_path(run, "summary.txt"));
    assert_non_null(strstr(summary, "trained prompts, "));
    assert_non_null(strstr(summary, " -> "));
    free(summary);
}

static void test_leaves(void **state)
{
    (void)state;
    char others[600];
    snprintf(others, sizeof others, "eval-prompts=%s/four.txt", place);
    const char *const more[] = {others, "eval-reward=clip:" SUPPORT_CLIP ",flavour=logit", "eval-every=1",
                                "epochs=3", NULL};
    struct support_train run = support_tune_run("leaves", more);
    support_train_ok(&run);
    double move[4], loss[4], first[4], kl[4], norm[4];
    assert_int_equal(support_column(run.out, "train", "first_move", move, 4), 3);
    assert_int_equal(support_column(run.out, "train", "loss", loss, 4), 3);
    support_column(run.out, "train", "first_loss", first, 4);
    support_column(run.out, "train", "kl_nats", kl, 4);
    support_column(run.out, "train", "grad_norm", norm, 4);
    for (int i = 0; i < 3; i++) {
        assert_true(move[i] == 0); /* before an epoch's first update the policy is its snapshot, exactly */
        assert_true(isfinite(loss[i]) && loss[i] > 0 && norm[i] > 0);
    }
    assert_true(kl[0] == 0 && kl[1] != 0); /* and in the first epoch the reference, too */
    assert_int_equal(support_column(run.out, "eval_trained", "reward", loss, 4),
                     4); /* the untouched one, too */
    assert_int_equal(support_column(run.out, "eval_others", "held_out", loss, 4), 4);
    assert_int_equal(support_column(run.out, "eval_others", "diversity", loss, 4), 4);
    for (int i = 0; i < 4; i++) assert_true(loss[i] >= 0 && loss[i] <= 2);
    for (int e = 0; e <= 3; e++) {
        char *rows = support_read(support_path(run.out, "samples/step-%08d/rewards.jsonl", e));
        int n = 0;
        for (const char *c = rows; *c; c++) n += *c == '\n';
        assert_int_equal(n, 2 * 2 + 4 * 2);
        assert_non_null(strstr(rows, "\"set\":\"others\""));
        assert_non_null(strstr(rows, "\"role\":\"best\""));
        free(rows);
        check_picture(support_path(run.out, "samples/step-%08d/grid.png", e), 32, 32);
        check_picture(support_path(run.out, "samples/step-%08d/trained-001-1.png", e), 16, 16);
    }
    check_result(run.out, 4, 3);
    check_lora(support_path(run.out, "lora/pytorch_lora_weights.safetensors"), 2);
    check_lora(support_path(run.out, "lora/leaves.kohya.safetensors"), 2);
    check_picture(support_path(run.out, "before_after.png"), 4 * 32, 2 * 32);
    check_picture(support_path(run.out, "before_after_others.png"), 4 * 32, 4 * 32);
    check_picture(support_path(run.out, "curve.png"), 200, 100);
}

/* ---- ddpo ---- */

static void test_ddpo(void **state)
{
    (void)state;
    static const char *const advantages[] = {"advantages=prompt", "advantages=group", "advantages=epoch"};
    for (int i = 0; i < 3; i++) {
        char name[32];
        double move[2], kl[2], norm[2];
        snprintf(name, sizeof name, "ddpo%d", i);
        struct support_train run = support_tune_run(name, (const char *const[]){advantages[i], NULL});
        run.method = "ddpo";
        support_train_ok(&run);
        assert_int_equal(support_column(run.out, "train", "first_move", move, 2), 2);
        support_column(run.out, "train", "kl_nats", kl, 2);
        support_column(run.out, "train", "grad_norm", norm, 2);
        assert_true(move[0] == 0 && move[1] == 0 && kl[0] == 0 && kl[1] != 0 && norm[0] > 0);
        check_result(run.out, 1, 2);
    }
    struct support_train run = support_tune_run("ddpo-plain", (const char *const[]){"estimator=plain", NULL});
    run.method = "ddpo";
    support_train_fails(&run, TL_USAGE, "one update an epoch");
    run = support_tune_run("ddpo-plain",
                           (const char *const[]){"estimator=plain", "minibatches=1", "passes=1", NULL});
    run.method = "ddpo";
    support_train_ok(&run);
}

/* The same samples, another signal: the reward that is told stays the true one, and what is learnt differs.
 */
static void test_shuffled(void **state)
{
    (void)state;
    double plain[2], shuffled[2], plain_loss[2], shuffled_loss[2];
    struct support_train run = support_tune_run("plain", (const char *const[]){"samples-per-prompt=6", NULL});
    support_train_ok(&run);
    support_column(run.out, "train", "reward_mean", plain, 2);
    support_column(run.out, "train", "loss", plain_loss, 2);
    run = support_tune_run("shuffled",
                           (const char *const[]){"samples-per-prompt=6", "shuffle-rewards=true", NULL});
    support_train_ok(&run);
    support_column(run.out, "train", "reward_mean", shuffled, 2);
    support_column(run.out, "train", "loss", shuffled_loss, 2);
    assert_true(plain[0] == shuffled[0] && plain[1] != shuffled[1]);
    assert_true(isfinite(shuffled_loss[0]) && plain_loss[1] != shuffled_loss[1]);
}

/* A rule ends the run at the first epoch that breaks it, with readings, checkpoint and report. */
static void test_stop_when(void **state)
{
    (void)state;
    struct support_train run = support_tune_run(
        "stop", (const char *const[]){"stop-when=grad_norm>0", "epochs=9",
                                      "eval-reward=clip:" SUPPORT_CLIP ",flavour=logit", NULL});
    support_train_ok(&run);
    check_result(run.out, 2, 1);
    char *text = support_read(support_path(run.out, "warnings.jsonl"));
    assert_non_null(strstr(text, "grad_norm>0 at epoch 1"));
    free(text);
    text = support_read(support_path(run.out, "summary.txt"));
    assert_non_null(strstr(text, "stopped by --stop-when"));
    free(text);
    run.resume = true;
    support_train_ok(&run); /* it is through */
    check_result(run.out, 2, 1);
    run = support_tune_run("stop",
                           (const char *const[]){"stop-when=kl>1e9", "epochs=3",
                                                 "eval-reward=clip:" SUPPORT_CLIP ",flavour=logit", NULL});
    run.resume = true;
    support_train_ok(&run); /* the rule was taken back */
    check_result(run.out, 2, 3);
    run = support_tune_run("stop2", (const char *const[]){"stop-when=kl>twenty", NULL});
    support_train_fails(&run, TL_USAGE, "METRIC<LIMIT");
    run = support_tune_run("stop2", (const char *const[]){"stop-when=held_out<90%", NULL});
    support_train_fails(&run, TL_USAGE, "--eval-reward");
    run = support_tune_run("stop2", (const char *const[]){"stop-when=diversity<50%", "reward=jpeg", NULL});
    support_train_fails(&run, TL_USAGE, "diversity");
    run = support_tune_run("stop2", (const char *const[]){"stop-when=reward<0.5", "eval-every=0", NULL});
    support_train_fails(&run, TL_USAGE, "--eval-every");
    run = support_tune_run("stop2", (const char *const[]){"stop-when=reward<50%", "reward=jpeg",
                                                          "reward=clip:" SUPPORT_CLIP, NULL});
    support_train_fails(&run, TL_USAGE, "deviations");
}

/* What the last reading shows is told, also where there is no other: a reward that never differs teaches
 * nothing. */
static void test_warned_at_the_end(void **state)
{
    (void)state;
    struct support_train run = support_tune_run(
        "flat", (const char *const[]){"reward=scene", "size=64x64", "epochs=1", "eval-every=0", NULL});
    support_log_start();
    support_train_ok(&run);
    if (strstr(support_log(), "no signal")) {
        char *text = support_read(support_path(run.out, "warnings.jsonl"));
        assert_non_null(strstr(text, "no signal"));
        free(text);
    } else {
        double spread[2];
        assert_int_equal(support_column(run.out, "train", "reward_spread", spread, 2), 1);
        assert_true(spread[0] > 0);
    }
}

/* Of 6 samples the 2 best and 2 worst are learnt from: the rewards that are told are those of all. */
static void test_learn_samples(void **state)
{
    (void)state;
    double mean[2], all[2], move[2];
    struct support_train run =
        support_tune_run("few", (const char *const[]){"samples-per-prompt=6", "learn-samples=4", NULL});
    support_train_ok(&run);
    assert_int_equal(support_column(run.out, "train", "reward_mean", mean, 2), 2);
    support_column(run.out, "train", "first_move", move, 2);
    assert_true(move[0] == 0 && move[1] == 0);
    run = support_tune_run("all", (const char *const[]){"samples-per-prompt=6", NULL});
    support_train_ok(&run);
    support_column(run.out, "train", "reward_mean", all, 2);
    assert_true(mean[0] == all[0] && mean[1] != all[1]);
    cJSON *result = read_json(support_path(run.out, "result.json"));
    assert_int_equal(tl_json_get(result, "reward_queries")->valueint, 2 * 2 * 6);
    cJSON_Delete(result);
    run = support_tune_run("wrong", (const char *const[]){"samples-per-prompt=4", "learn-samples=6", NULL});
    support_train_fails(&run, TL_USAGE, "--learn-samples");
}

/* On from a LoRA: what was learnt is where the run begins. */
static void test_lora_start(void **state)
{
    (void)state;
    char lora[600];
    double first[2], last[2], kl[2];
    struct support_train run = support_tune_run("start", NULL);
    support_train_ok(&run);
    snprintf(lora, sizeof lora, "lora=%s/start/lora/pytorch_lora_weights.safetensors", place);
    run = support_tune_run("on", (const char *const[]){lora, "rank=7", NULL});
    support_train_fails(&run, TL_USAGE, "--rank");
    run = support_tune_run("on", (const char *const[]){lora, "rank=8", NULL});
    support_train_ok(&run);
    check_lora(support_path(run.out, "lora/pytorch_lora_weights.safetensors"), 2);
    assert_int_equal(support_column(support_path(place, "start"), "eval_trained", "reward", last, 2), 2);
    support_column(run.out, "eval_trained", "reward", first, 2);
    assert_true(first[0] == last[1]); /* the same noise, the same weights */
    support_column(run.out, "train", "kl_nats", kl, 2);
    assert_true(kl[0] != 0); /* the reference is the model without it */
}

/* One prompt is read, too, and no cluster is wanted; a folder's name may end in a slash. */
static void test_one_prompt(void **state)
{
    (void)state;
    char prompts[600], others[600], out[600];
    snprintf(prompts, sizeof prompts, "prompts=%s/one.txt", place);
    snprintf(others, sizeof others, "eval-prompts=%s/one.txt", place);
    snprintf(out, sizeof out, "%s/one/", place);
    const char *const more[] = {prompts,    others, "prompts-per-epoch=1", "minibatches=1", "passes=2",
                                "epochs=1", NULL};
    struct support_train run = support_tune_run("one", more);
    run.out = out;
    support_train_ok(&run);
    check_result(run.out, 2, 1);
    assert_true(support_exists(support_path(place, "one/lora/one.kohya.safetensors")));
}

static void test_full(void **state)
{
    (void)state;
    struct tl_err err = {0};
    const char *const more[] = {"full=true", "lr=0.001", NULL};
    struct support_train run = support_tune_run("full", more);
    support_train_ok(&run);
    assert_false(support_exists(support_path(run.out, "lora")));
    struct tl_device *d = tl_device_open(&(struct tl_device_params){.name = "cpu", .threads = 1}, &err);
    struct tl_pipeline *p = tl_pipeline_open(d, support_path(run.out, "model"), &err);
    if (!p) fail_msg("%s", err.text);
    tl_pipeline_close(&p);
    tl_device_close(&d);
    assert_false(support_is_same_file(support_path(run.out, "model/unet/diffusion_pytorch_model.safetensors"),
                                      SUPPORT_PIPELINE "/unet/diffusion_pytorch_model.safetensors"));
    check_result(run.out, 1, 2);
}

/* With guidance and a negative prompt, scene as reward, steps of DDPM. */
static void test_guided(void **state)
{
    (void)state;
    const char *const more[] = {"guidance=3",           "negative-prompt=a cat",
                                "reward=scene",         "size=64x64",
                                "sampler=ddpm",         "epochs=1",
                                "samples-per-prompt=2", NULL};
    struct support_train run = support_tune_run("guided", more);
    double move[2];
    support_train_ok(&run);
    assert_int_equal(support_column(run.out, "train", "first_move", move, 2), 1);
    assert_true(move[0] == 0);
    check_result(run.out, 1, 1);
}

/* ---- rewards ---- */

static void test_several_rewards(void **state)
{
    (void)state;
    const char *const more[] = {"reward=clip:" SUPPORT_CLIP, "reward=clip:" SUPPORT_CLIP ",flavour=logit@0.5",
                                "epochs=2", NULL};
    struct support_train run = support_tune_run("sum", more);
    support_train_ok(&run);
    cJSON *about = read_json(support_path(run.out, "run.json"));
    const cJSON *list = tl_json_get(about, "reward_standards");
    assert_int_equal(cJSON_GetArraySize(list), 2);
    for (int i = 0; i < 2; i++)
        assert_true(cJSON_GetArrayItem(cJSON_GetArrayItem(list, i), 1)->valuedouble > 0);
    /* the logit flavour is the cosine times a scale: so are its numbers */
    double scale = cJSON_GetArrayItem(cJSON_GetArrayItem(list, 1), 1)->valuedouble /
                   cJSON_GetArrayItem(cJSON_GetArrayItem(list, 0), 1)->valuedouble;
    assert_true(scale > 2);
    cJSON_Delete(about);
    /* standardised, the sum of 1 and 1/2 of the same number has deviation 1.5: raw ones do not */
    double sd[4];
    assert_int_equal(support_column(run.out, "train", "reward_sd", sd, 4), 2);
    printf("deviation of the standardised sum: %.3f\n", sd[0]);
    assert_true(sd[0] > 0.4 && sd[0] < 4.5);
    const char *const raw[] = {"reward=clip:" SUPPORT_CLIP, "reward=clip:" SUPPORT_CLIP ",flavour=logit@0.5",
                               "raw-rewards=true", "epochs=1", NULL};
    run = support_tune_run("raw", raw);
    support_train_ok(&run);
    about = read_json(support_path(run.out, "run.json"));
    assert_null(tl_json_get(about, "reward_standards"));
    cJSON_Delete(about);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_leaves),
                                       cmocka_unit_test(test_ddpo),
                                       cmocka_unit_test(test_shuffled),
                                       cmocka_unit_test(test_stop_when),
                                       cmocka_unit_test(test_lora_start),
                                       cmocka_unit_test(test_learn_samples),
                                       cmocka_unit_test(test_warned_at_the_end),
                                       cmocka_unit_test(test_one_prompt),
                                       cmocka_unit_test(test_full),
                                       cmocka_unit_test(test_guided),
                                       cmocka_unit_test(test_several_rewards)};
    return cmocka_run_group_tests(tests, setup, support_folder_remove);
}
