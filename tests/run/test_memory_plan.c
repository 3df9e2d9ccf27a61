/* Memory of a run on rewards: the plan against what the device really held, on the cpu and on Vulkan; what
 * --memory chooses and refuses; --dry-run; half precision. */
#include "support/check.h"
#include "support_folder.h"
#include "support_train.h"

#include "io/file.h"
#include "io/json.h"
#include "run/memory_plan.h"
#include "run/task_sft.h"

static const char *place;

static int setup(void **state)
{
    if (support_folder_make(state)) return -1;
    place = *state;
    support_prompts(support_path(place, "two.txt"), 2);
    return 0;
}

/* A run into NAME of six samples in minibatches of three; later options win. */
static struct support_train run_of(const char *name, const char *device, const char *const *more)
{
    static const char *list[32];
    static char prompts[600], outs[4][600];
    static int turn;
    static const char *const first[] = {"model=" SUPPORT_PIPELINE,
                                        "reward=clip:" SUPPORT_CLIP,
                                        "epochs=1",
                                        "prompts-per-epoch=2",
                                        "samples-per-prompt=4",
                                        "steps=3",
                                        "guidance=2",
                                        "minibatches=2",
                                        "passes=1",
                                        "eval-samples=2",
                                        "rank=2",
                                        "lr=0.01"};
    size_t n = 0;
    turn = (turn + 1) % 4;
    snprintf(prompts, sizeof prompts, "prompts=%s/two.txt", place);
    snprintf(outs[turn], sizeof outs[turn], "%s/%s", place, name);
    list[n++] = prompts;
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) list[n++] = first[i];
    for (; more && *more && n < 31; more++) list[n++] = *more;
    list[n] = NULL;
    return (struct support_train){
        .method = "prdp", .options = list, .out = outs[turn], .device = device, .seed = 3};
}

static cJSON *about_of(const char *run)
{
    struct tl_err err = {0};
    cJSON *json = tl_json_read(support_path(run, "run.json"), &err);
    if (!json) fail_msg("%s", err.text);
    return json;
}

static double plan_number(const char *run, const char *key)
{
    cJSON *about = about_of(run);
    double x = cJSON_GetNumberValue(tl_json_get(tl_json_get(about, "plan"), key));
    cJSON_Delete(about);
    return x;
}

static double peak(const char *run)
{
    cJSON *about = about_of(run);
    double x = cJSON_GetNumberValue(tl_json_get(about, "device_peak_bytes"));
    cJSON_Delete(about);
    return x;
}

/* ---- the plan is right ---- */

static void check_plan(const char *device, size_t first, size_t step)
{
    static const char *const ways[][6] = {
        {NULL},
        {"recompute=true", "dtype=f16", NULL},
        {"full=true", "batch=2", "dtype=bf16", "guidance=1", NULL},
        {"reward=jpeg", "size=64x32", "recompute=true", NULL},
    };
    for (size_t i = first; i < sizeof ways / sizeof *ways; i += step) {
        char name[64];
        snprintf(name, sizeof name, "%.3s-%zu", device, i);
        struct support_train run = run_of(name, device, ways[i]);
        support_train_ok(&run);
        double planned = plan_number(run.out, "device_bytes"), taken = peak(run.out);
        printf("%s, way %zu: planned %.0f, taken %.0f (%+.2f %%)\n", device, i, planned, taken,
               100 * (taken / planned - 1));
        check_near(taken, planned, 0.05 * planned);
    }
}

static void test_cpu(void **state)
{
    (void)state;
    check_plan("cpu", 0, 1);
}

static void test_vulkan(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_device *d = tl_device_open(&(struct tl_device_params){.name = "vulkan"}, &err);
    if (!d) {
        printf("no Vulkan device: %s\n", err.text);
        skip();
    }
    tl_device_close(&d);
    check_plan("vulkan", 1, 2); /* recomputing, and pictures that are larger */
}

/* Supervised: what --dry-run would say, and what the run held. */
static void check_sft(const char *name, const char *const *more, const struct tl_supervised_params *params)
{
    struct tl_err err = {0};
    struct tl_device *d = tl_device_open(&(struct tl_device_params){.name = "cpu", .threads = 1}, &err);
    const struct tl_job job = {.device = "cpu", .threads = 1, .seed = 3};
    struct tl_sft_needs needs;
    char data[600], out[600];
    check_ok(tl_task_sft_needs(d, &job, params, &needs, &err), &err);
    size_t held;
    tl_device_bytes(d, NULL, &held);
    assert_true(held == 0); /* planning took nothing */
    tl_device_close(&d);
    const char *list[24] = {"model=" SUPPORT_PIPELINE, data, "steps=2", "batch=3", "size=32", "log-every=1"};
    size_t n = 6;
    snprintf(data, sizeof data, "data=%s/scenes", place);
    snprintf(out, sizeof out, "%s/%s", place, name);
    for (; *more; more++) list[n++] = *more;
    struct support_train run = {.method = "sft", .options = list, .out = out, .device = "cpu", .seed = 3};
    support_train_ok(&run);
    double planned = (double)needs.plan.device, taken = peak(out);
    printf("sft, %s: planned %.0f, taken %.0f (%+.2f %%)\n", name, planned, taken,
           100 * (taken / planned - 1));
    check_near(taken, planned, 0.05 * planned);
}

static void test_sft(void **state)
{
    (void)state;
    char data[600];
    snprintf(data, sizeof data, "%s/scenes", place);
    support_scenes(data, 6);
    struct tl_supervised_params p = {.model = SUPPORT_PIPELINE,
                                     .data = data,
                                     .steps = 2,
                                     .batch = 3,
                                     .size = 32,
                                     .ema = 0.999,
                                     .targets = "to_q,to_k,to_v,to_out.0,ff.net.0.proj,ff.net.2",
                                     .text_targets = "q_proj,k_proj,v_proj,out_proj",
                                     .dtype = TL_F16,
                                     .sample_guidance = -1};
    check_sft("sft-lora", (const char *const[]){"dtype=f16", NULL}, &p);
    p.dtype = TL_F32;
    p.full = true;
    p.ema = 0;
    check_sft("sft-full", (const char *const[]){"full=true", "ema=0", NULL}, &p);
    struct support_train run = {.method = "sft", .out = support_path(place, "sft-half"), .device = "cpu"};
    char folder[620];
    snprintf(folder, sizeof folder, "data=%s", data);
    run.options = (const char *const[]){"model=" SUPPORT_PIPELINE, folder, "full=true", "dtype=f16", NULL};
    support_train_fails(&run, TL_USAGE, "--dtype f16 is for training a LoRA");
    run.out = support_path(place, "sft-dry");
    run.options = (const char *const[]){"model=" SUPPORT_PIPELINE, folder, "dry-run=true", "size=32", NULL};
    support_train_ok(&run);
    assert_false(support_exists(run.out));
}

/* ---- --memory ---- */

static void test_chooses(void **state)
{
    (void)state;
    struct support_train run = run_of("whole", "cpu", (const char *const[]){"memory=1G", NULL});
    support_train_ok(&run);
    double whole = plan_number(run.out, "device_bytes") + plan_number(run.out, "program_bytes");
    assert_int_equal((int)plan_number(run.out, "batch"), 4);
    char half[64], tight[64];
    snprintf(half, sizeof half, "memory=%.0f", 0.75 * whole);
    run = run_of("half", "cpu", (const char *const[]){half, NULL});
    support_train_ok(&run);
    double less = plan_number(run.out, "device_bytes") + plan_number(run.out, "program_bytes");
    int batch = (int)plan_number(run.out, "batch");
    printf("all of it %.0f, three quarters of it %.0f with a batch of %d\n", whole, less, batch);
    assert_true(less <= 0.75 * whole && batch < 4 && batch >= 1);
    /* a run that goes on keeps its batch, whatever --memory says then */
    run = run_of("half", "cpu", (const char *const[]){"memory=1G", "epochs=2", NULL});
    run.resume = true;
    support_train_ok(&run);
    assert_int_equal((int)plan_number(run.out, "batch"), batch);
    snprintf(tight, sizeof tight, "memory=%.0f", 0.05 * whole);
    run = run_of("tight", "cpu", (const char *const[]){tight, NULL});
    support_train_fails(&run, TL_USAGE, "the smallest plan takes");
    support_train_fails(&run, TL_USAGE, "--dtype f16");
    assert_false(support_exists(support_path(run.out, "config.json")));
    run = run_of("words", "cpu", (const char *const[]){"memory=much", NULL});
    support_train_fails(&run, TL_USAGE, "--memory: 'much' is no size");
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{NULL, 0},
                {"", 0},
                {"6G", UINT64_C(6) << 30},
                {"6.5G", UINT64_C(13) << 29},
                {"800M", UINT64_C(800) << 20},
                {"4GiB", UINT64_C(4) << 30},
                {"4gb", UINT64_C(4) << 30},
                {"123456", 123456}};
    static const char *const bad[] = {"G", "-1G", "4X", "4G4", "0", "nan", "1e30", "inf"};
    struct tl_err err = {0};
    uint64_t n;
    char text[32];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        check_ok(tl_memory_parse(good[i].text, &n, &err), &err);
        assert_true(n == good[i].bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err = (struct tl_err){0};
        assert_false(tl_memory_parse(bad[i], &n, &err));
        assert_int_equal(err.code, TL_USAGE);
    }
    assert_string_equal(tl_memory_text(UINT64_C(13) << 29, text), "6.50 GiB");
}

/* ---- --dry-run ---- */

static void test_dry(void **state)
{
    (void)state;
    struct support_train run = run_of("dry", "cpu", (const char *const[]){"dry-run=true", NULL});
    support_train_ok(&run);
    assert_false(support_exists(run.out));
    run = run_of("dry", "cpu", (const char *const[]){"dry-run=true", "memory=1M", NULL});
    support_train_fails(&run, TL_USAGE, "the smallest plan takes");
    assert_false(support_exists(run.out));
}

/* ---- half precision ---- */

/* With weights rounded to halves the first losses and rewards are close to those of F32. */
static void test_half(void **state)
{
    (void)state;
    static const char *const types[] = {"dtype=f32", "dtype=f16", "dtype=bf16"};
    static const double tolerance[] = {0, 2e-3, 2e-2};
    double loss[3], reward[3];
    for (int i = 0; i < 3; i++) {
        struct support_train run = run_of(types[i] + 6, "cpu", (const char *const[]){types[i], NULL});
        support_train_ok(&run);
        assert_int_equal(support_column(run.out, "train", "first_loss", &loss[i], 1), 1);
        assert_int_equal(support_column(run.out, "train", "reward_mean", &reward[i], 1), 1);
        printf("%s: loss %.6f, reward %.6f\n", types[i], loss[i], reward[i]);
        check_near(reward[i], reward[0], tolerance[i] + 1e-12);
    }
    assert_true(reward[1] != reward[0] || loss[1] != loss[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),   cmocka_unit_test(test_cpu), cmocka_unit_test(test_vulkan),
        cmocka_unit_test(test_chooses), cmocka_unit_test(test_sft), cmocka_unit_test(test_dry),
        cmocka_unit_test(test_half),
    };
    return cmocka_run_group_tests(tests, setup, support_folder_remove);
}
