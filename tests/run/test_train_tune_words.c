/* What runs that learn from rewards refuse or warn of, each with one message: options, files, models, and a
 * reward that gives no number. */
#include "support/check.h"
#include "support_folder.h"
#include "support_tune.h"

#include "io/file.h"
#include "io/json.h"
#include "io/safetensors.h"

static const char *place;

static int setup(void **state)
{
    int failed = support_tune_setup(state);
    place = *state;
    return failed;
}

/* An encoder with a NaN in its last layer: every score is one. */
static void make_bad_encoder(const char *path)
{
    static const char *const files[] = {"config.json",
                                        "vocab.json",
                                        "merges.txt",
                                        "special_tokens_map.json",
                                        "tokenizer_config.json",
                                        "preprocessor_config.json",
                                        "model.safetensors"};
    struct tl_err err = {0};
    char folder[512];
    snprintf(folder, sizeof folder, "%s", path);
    check_ok(tl_file_make_folder(folder, &err), &err);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        size_t n = 0;
        uint8_t *data = tl_file_read(support_path(SUPPORT_CLIP, "%s", files[i]), 1 << 24, &n, &err);
        if (!data) fail_msg("%s", err.text);
        struct tl_st_file *st = i == 6 ? tl_st_open_memory(data, n, "the encoder", &err) : NULL;
        const struct tl_st_tensor *t = st ? tl_st_find(st, "visual_projection.weight") : NULL;
        const float nan = NAN;
        assert_true(i < 6 || t);
        if (t) memcpy(data + (t->data - data), &nan, sizeof nan);
        tl_st_close(&st);
        check_ok(tl_file_write(support_path(folder, "%s", files[i]), data, n, &err), &err);
        free(data);
    }
}

static void test_reward_without_a_number(void **state)
{
    (void)state;
    char reward[600], held_out[600];
    make_bad_encoder(support_path(place, "bad"));
    snprintf(reward, sizeof reward, "reward=clip:%s/bad", place);
    snprintf(held_out, sizeof held_out, "eval-reward=clip:%s/bad", place);
    struct support_train run = support_tune_run("nan", (const char *const[]){reward, NULL});
    support_train_fails(&run, TL_NUMERIC, "sample 0 (a red circle)");
    run = support_tune_run("nan2", (const char *const[]){held_out, NULL});
    support_train_fails(&run, TL_NUMERIC, "sample 0 (a red circle)");
    assert_false(support_exists(support_path(run.out, "lora")));
}

/* ---- refusals: one message, and a folder that is no run ---- */

static void refused(const char *const *more, enum tl_code code, const char *says)
{
    struct support_train run = support_tune_run("refused", more);
    support_train_fails(&run, code, says);
    assert_false(support_exists(support_path(run.out, "config.json")));
    assert_false(support_exists(support_path(run.out, "metrics.jsonl")));
}

#define OPTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_refusals(void **state)
{
    (void)state;
    char empty[600], latin[600], missing[600];
    support_write(support_path(place, "empty.txt"), "\n# nothing\n");
    support_write(support_path(place, "latin.txt"), "a red circle\na caf\xe9\n");
    snprintf(empty, sizeof empty, "prompts=%s/empty.txt", place);
    snprintf(latin, sizeof latin, "prompts=%s/latin.txt", place);
    snprintf(missing, sizeof missing, "prompts=%s/missing.txt", place);
    refused(OPTIONS(empty), TL_BAD_INPUT, "empty.txt");
    refused(OPTIONS(latin), TL_BAD_INPUT, "2");
    refused(OPTIONS(missing), TL_BAD_INPUT, "missing.txt");
    refused(OPTIONS("prompts-per-epoch=3", "minibatches=3"), TL_USAGE,
            "two.txt has 2 prompts, --prompts-per-epoch wants 3");
    refused(OPTIONS("minibatches=4"), TL_USAGE, "--minibatches 4 must divide --prompts-per-epoch 2");
    refused(OPTIONS("eta=0"), TL_USAGE, "--eta must be above 0");
    refused(OPTIONS("sampler=euler"), TL_USAGE, "--sampler euler");
    refused(OPTIONS("size=16"), TL_USAGE, "WIDTHxHEIGHT");
    refused(OPTIONS("size=16x16x"), TL_USAGE, "WIDTHxHEIGHT");
    refused(OPTIONS("size=17x16"), TL_USAGE, "multiples of 2");
    refused(OPTIONS("targets=no_such_layer"), TL_USAGE, "no_such_layer");
    refused(OPTIONS("steps=1000", "eta=1", "last-step=clamp", "reward=nosuch"), TL_USAGE, "nosuch");
    refused(OPTIONS("model=" TL_SOURCE_DIR "/tests/fixtures/pipeline_xl"), TL_BAD_INPUT, "XL");
    refused(OPTIONS("model=nowhere"), TL_BAD_INPUT, "nowhere");
    refused(OPTIONS("reward=scene"), TL_BAD_INPUT, "16 x 16");
    struct support_train run = support_tune_run("refused", OPTIONS("epochs=1"));
    support_train_ok(&run); /* the folder is as good as new */
    support_train_fails(&run, TL_USAGE, "another run");
    run.out = NULL;
    support_train_fails(&run, TL_USAGE, "-o FOLDER");
    run = support_tune_run("no-run", NULL);
    run.resume = true;
    support_train_fails(&run, TL_USAGE, "no run to resume");
    assert_false(support_exists(run.out));
}

static void test_targets(void **state)
{
    (void)state;
    support_log_start();
    struct support_train run = support_tune_run("targets", OPTIONS("targets=to_q,to_quu", "epochs=1"));
    support_train_ok(&run);
    assert_non_null(strstr(support_log(), "ends in to_quu"));
    assert_null(strstr(support_log(), "ends in to_q\n"));
}

/* One update an epoch: the clip has nothing to hold on to, and the user is told. */
static void test_inert_clip(void **state)
{
    (void)state;
    support_log_start();
    struct support_train run = support_tune_run("inert", OPTIONS("minibatches=1", "passes=1", "epochs=1"));
    support_train_ok(&run);
    assert_non_null(strstr(support_log(), "the clip cannot act"));
    double clipped[2];
    assert_int_equal(support_column(run.out, "train", "clip_fraction", clipped, 2), 1);
    assert_true(clipped[0] == 0);
    support_log_start();
    run = support_tune_run("acting", OPTIONS("minibatches=2", "passes=1", "epochs=1"));
    support_train_ok(&run);
    assert_null(strstr(support_log(), "the clip cannot act"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reward_without_a_number),
                                       cmocka_unit_test(test_refusals), cmocka_unit_test(test_targets),
                                       cmocka_unit_test(test_inert_clip)};
    return cmocka_run_group_tests(tests, setup, support_folder_remove);
}
