/* Supervised fine-tuning on a tiny pipeline: what a LoRA on UNet and text encoder learns, gradients against
 * differences, batches that are gathered, buckets, validation, going on from a run and from a LoRA file, and
 * what is refused. */
#include "support/check.h"
#include "support_folder.h"
#include "support_train.h"

#include "base/rng.h"
#include "io/file.h"
#include "io/image.h"
#include "io/json.h"
#include "run/checkpoint.h"
#include "run/task_sft.h"
#include "sample/noise_schedule.h"

#define OPTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define LORA         "lora/pytorch_lora_weights.safetensors"

static const char *place;
static char data_option[600], mixed_option[600], prompts_option[600], cache_option[600];

static void write_picture(const char *path, int width, int height, int k)
{
    struct tl_err err = {0};
    struct tl_image image = {0};
    check_ok(tl_image_init(&image, width, height, 3, &err), &err);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++)
                image.px[(y * width + x) * 3 + c] = (uint8_t)((x * (3 + k) + y * (5 + c) + 40 * k * c) & 255);
    check_ok(tl_image_save_png(path, &image, NULL, 0, &err), &err);
    tl_image_finish(&image);
}

/* Fourteen pictures of three shapes, with tags. */
static void make_mixed(void)
{
    static const int sizes[3][2] = {{64, 64}, {96, 48}, {40, 80}};
    static const char *const tags[] = {"red, circle, small", "blue, square", "green, ring, large, left",
                                       "red, cross"};
    struct tl_err err = {0};
    check_ok(tl_file_make_folder(support_path(place, "mixed"), &err), &err);
    for (int i = 0; i < 14; i++) {
        write_picture(support_path(place, "mixed/%02d.png", i), sizes[i % 3][0], sizes[i % 3][1], i);
        support_write(support_path(place, "mixed/%02d.txt", i), tags[i % 4]);
    }
}

static int setup(void **state)
{
    if (support_folder_make(state)) return -1;
    place = *state;
    support_scenes(support_path(place, "data"), 16);
    make_mixed();
    support_prompts(support_path(place, "prompts.txt"), 2);
    snprintf(data_option, sizeof data_option, "data=%s/data", place);
    snprintf(mixed_option, sizeof mixed_option, "data=%s/mixed", place);
    snprintf(prompts_option, sizeof prompts_option, "sample-prompts=%s/prompts.txt", place);
    snprintf(cache_option, sizeof cache_option, "latent-cache=%s/cache", place);
    return 0;
}

/* ---- tasks by themselves ---- */

struct bench {
    struct tl_device *device;
    struct tl_job job;
    struct tl_task task;
    size_t n;     /* floats of the flat blocks */
    float *w, *g; /* of the trained store, of its gradient */
};

static struct tl_supervised_params params_of(const char *folder)
{
    return (struct tl_supervised_params){.model = SUPPORT_PIPELINE,
                                         .data = support_path(place, "%s", folder),
                                         .batch = 4,
                                         .accumulate = 1,
                                         .size = 64,
                                         .rank = 3,
                                         .alpha = 6,
                                         .targets = "to_q,to_v,ff.net.2",
                                         .text_targets = "q_proj,out_proj",
                                         .caption_dropout = 0.3};
}

static void bench_open(struct bench *b, const struct tl_supervised_params *p, bool f64)
{
    struct tl_err err = {0};
    *b = (struct bench){.job = {.device = "cpu", .seed = 5}};
    b->device = tl_device_open(&(struct tl_device_params){.name = "cpu", .threads = 1, .f64 = f64}, &err);
    if (!b->device) fail_msg("%s", err.text);
    check_ok(tl_task_sft_create(b->device, &b->job, p, &b->task, &err), &err);
    b->n = b->task.weights->layout->n_elements;
    b->w = calloc(b->n, sizeof *b->w);
    b->g = calloc(b->n, sizeof *b->g);
    /* B of a LoRA starts at zero, and then A has no gradient */
    if (!p->full) tl_rng_normal((struct tl_rng_key){.stream = TL_RNG_TEST}, 0, b->n, b->w);
    for (size_t i = 0; i < b->n; i++) b->w[i] *= 0.1f;
    if (p->full) check_ok(tl_store_read_flat(b->task.weights, b->w, &err), &err);
    check_ok(tl_store_write_flat(b->task.weights, b->w, &err), &err);
}

static void bench_close(struct bench *b)
{
    b->task.destroy(b->task.self);
    tl_device_close(&b->device);
    free(b->w);
    free(b->g);
}

/* The gradient of a step into b->g, its loss. */
static double step_of(struct bench *b, uint64_t step, int parts)
{
    struct tl_err err = {0};
    double loss = 0;
    check_ok(tl_store_zero(b->task.grads, &err), &err);
    for (int part = 0; part < parts; part++) {
        double out[TL_TASK_METRICS] = {0};
        check_ok(b->task.gradient(b->task.self, step, (uint32_t)part, out, &err), &err);
        loss += out[0] / parts;
    }
    check_ok(tl_store_read_flat(b->task.grads, b->g, &err), &err);
    for (size_t i = 0; i < b->n; i++) b->g[i] /= (float)parts;
    return loss;
}

/* The part of the gradient that belongs to names with this beginning, as a direction; returns its length. */
static double direction_of(const struct bench *b, const char *beginning, bool is, float *out)
{
    const struct tl_store_layout *l = b->task.weights->layout;
    double norm = 0;
    memset(out, 0, b->n * sizeof *out);
    for (int32_t i = 0; i < l->n_entries; i++) {
        const struct tl_store_entry *e = &l->entries[i];
        if ((strncmp(e->name, beginning, strlen(beginning)) == 0) != is) continue;
        for (size_t k = e->offset; k < e->offset + (size_t)tl_shape_count(&e->shape); k++) {
            out[k] = b->g[k];
            norm += (double)b->g[k] * (double)b->g[k];
        }
    }
    return sqrt(norm);
}

/* Along its own gradient a loss rises by the gradient's length. */
static void check_slope(struct bench *b, const char *beginning, bool is, double step)
{
    struct tl_err err = {0};
    float *direction = malloc(b->n * sizeof *direction), *moved = malloc(b->n * sizeof *moved);
    double loss[2];
    step_of(b, 3, 1);
    double length = direction_of(b, beginning, is, direction);
    assert_true(length > 1e-5);
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < b->n; i++)
            moved[i] = b->w[i] + (float)((side ? -step : step) / length * (double)direction[i]);
        check_ok(tl_store_write_flat(b->task.weights, moved, &err), &err);
        loss[side] = step_of(b, 3, 1);
    }
    double slope = (loss[0] - loss[1]) / (2 * step);
    if (fabs(slope / length - 1) > 5e-3)
        fail_msg("%s%s: slope %.6g, gradient %.6g", is ? "" : "not ", beginning, slope, length);
    check_ok(tl_store_write_flat(b->task.weights, b->w, &err), &err);
    free(direction);
    free(moved);
}

static void test_gradient(void **state)
{
    (void)state;
    struct bench b;
    struct tl_supervised_params p = params_of("data");
    p.train_text = true;
    p.snr_gamma = 5;
    p.noise_offset = 0.1;
    bench_open(&b, &p, true);
    check_slope(&b, "text_model.", false, 1e-2); /* the UNet's */
    check_slope(&b, "text_model.", true, 1e-2);
    bench_close(&b);
    p.full = true; /* everything of both */
    p.rank = 0;
    bench_open(&b, &p, true);
    assert_non_null(tl_store_layout_find(b.task.weights->layout, "conv_in.weight"));
    assert_non_null(
        tl_store_layout_find(b.task.weights->layout, "text_model.embeddings.token_embedding.weight"));
    check_slope(&b, "text_model.", false, 1e-3);
    check_slope(&b, "text_model.", true, 1e-3);
    bench_close(&b);
}

/* 2 x 4 pictures are 8, text encoder and half-filled batches included. */
static void test_accumulation(void **state)
{
    (void)state;
    struct bench one, two;
    struct tl_supervised_params p = params_of("mixed");
    p.fit = 1;
    p.bucket_step = 16;
    p.train_text = p.flip = p.shuffle_caption = true;
    p.tag_dropout = 0.2;
    p.batch = 8;
    bench_open(&one, &p, false);
    p.batch = 4;
    p.accumulate = 2;
    bench_open(&two, &p, false);
    assert_int_equal(one.n, two.n);
    for (uint64_t step = 0; step < 4; step++) { /* three buckets of 4 and 5 make a pass of 3 */
        double loss = step_of(&one, step, 1);
        check_near(step_of(&two, step, 2), loss, 1e-6 * loss);
        if (check_rel_l2(two.g, one.g, one.n) > 1e-6)
            fail_msg("step %d: gradients differ by %g", (int)step, check_rel_l2(two.g, one.g, one.n));
    }
    bench_close(&one);
    bench_close(&two);
}

/* Hang et al. 2023: min(SNR, 5) / SNR of the epsilon loss, min(SNR, 5) / (SNR + 1) of the v loss. */
static void test_snr(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_noise_schedule noise;
    const struct tl_beta_params beta = {
        .schedule = TL_BETA_SCALED_LINEAR, .beta_start = 0.00085, .beta_end = 0.012, .n = 1000};
    check_ok(tl_noise_schedule_init(&noise, &beta, &err), &err);
    char *scheduler = support_read(support_path(SUPPORT_PIPELINE, "scheduler/scheduler_config.json"));
    char v[600], *at = scheduler ? strstr(scheduler, "epsilon") : NULL;
    snprintf(v, sizeof v, "%s/v-model", place);
    struct tl_str text = {0};
    support_bare_pipeline(v);
    if (at)
        tl_str_printf(&text, "%.*sv_prediction%s", (int)(at - scheduler), scheduler, at + strlen("epsilon"));
    else
        tl_str_printf(&text, "%.*s, \"prediction_type\": \"v_prediction\"}",
                      (int)(strrchr(scheduler, '}') - scheduler), scheduler);
    support_write(support_path(v, "scheduler/scheduler_config.json"), text.data);
    for (int kind = 0; kind < 2; kind++) {
        struct bench b;
        struct tl_supervised_params p = params_of("data");
        int high = 0;
        p.batch = 1;
        p.snr_gamma = 5;
        if (kind) {
            p.model = v;
            p.rank = 0; /* no weights: all are trained */
            p.full = true;
        }
        bench_open(&b, &p, false);
        for (uint32_t step = 0; step < 24; step++) {
            double out[TL_TASK_METRICS] = {0};
            check_ok(b.task.gradient(b.task.self, step, 0, out, &err), &err);
            double snr = tl_noise_snr(
                &noise, tl_rng_below((struct tl_rng_key){5, TL_RNG_TRAIN_TIME, 0, step}, 0, 1000));
            check_near(out[0] / out[1], fmin(snr, 5) / (kind ? snr + 1 : snr), 1e-5);
            high += snr > 5;
        }
        assert_true(high > 0 && high < 24);
        bench_close(&b);
    }
    tl_noise_schedule_finish(&noise);
    tl_str_finish(&text);
    free(scheduler);
}

static void test_validation(void **state)
{
    (void)state;
    struct bench b;
    struct tl_err err = {0};
    struct tl_supervised_params p = params_of("mixed");
    p.fit = 1;
    p.bucket_step = 16;
    p.val_share = 0.4;
    p.val_every = 1;
    p.train_text = true;
    bench_open(&b, &p, false);
    double first[TL_TASK_METRICS], again[TL_TASK_METRICS], other[TL_TASK_METRICS], mean = 0;
    check_ok(b.task.validate(b.task.self, b.task.weights, first, &err), &err);
    step_of(&b, 2, 1); /* in between, training draws what it draws */
    check_ok(b.task.validate(b.task.self, b.task.weights, again, &err), &err);
    assert_string_equal(b.task.validation[0], "loss");
    for (int i = 0; i < 5; i++) assert_true(first[i] == again[i] && isfinite(first[i]) && first[i] > 0);
    for (int i = 1; i < 5; i++) mean += first[i] / 4;
    check_near(first[0], mean, 1e-9);
    for (size_t i = 0; i < b.n; i++) b.w[i] *= 1.5f;
    check_ok(tl_store_write_flat(b.task.weights, b.w, &err), &err);
    check_ok(b.task.validate(b.task.self, b.task.weights, other, &err), &err);
    assert_true(other[0] != first[0]);
    bench_close(&b);
    /* another seed, batch, weights of the loss and course of training: the same question */
    p.batch = 3;
    p.snr_gamma = 5;
    bench_open(&b, &p, false);
    assert_string_equal(b.task.validation[0], "mse"); /* beside the training's, not its weighted loss */
    b.job.seed = 77;
    check_ok(b.task.validate(b.task.self, b.task.weights, again, &err), &err);
    for (int i = 0; i < 5; i++) check_near(again[i], first[i], 1e-6);
    bench_close(&b);
}

/* ---- runs ---- */

#define BOTH                                                                                                 \
    "model=" SUPPORT_PIPELINE, "size=64", "batch=4", "rank=4", "train-text-encoder=true", "warmup=2",        \
        "log-every=1"

static struct support_train run_of(const char *name, const char *const *options)
{
    static char out[4][600];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(out[turn], sizeof out[turn], "%s/%s", place, name);
    return (struct support_train){.method = "sft", .options = options, .out = out[turn], .seed = 9};
}

static void test_learns(void **state)
{
    (void)state;
    double loss[64];
    struct support_train run =
        run_of("learns", OPTIONS(data_option, BOTH, "steps=40", "lr=0.02", "ema=0", "val-share=0.25",
                                 "val-every=20", "save-every=20", "size=32"));
    support_train_ok(&run);
    size_t n = support_column(run.out, "validation", "loss", loss, 64);
    assert_int_equal(n, 3);
    if (!(loss[2] < loss[0] - 0.01)) fail_msg("validation went from %g to %g", loss[0], loss[2]);
    assert_true(support_exists(support_path(run.out, LORA)));
    assert_true(support_exists(support_path(run.out, "lora/learns.kohya.safetensors")));
    assert_false(support_exists(support_path(run.out, "model")));
}

/* Every option at once, stopped after each step: the same bytes. */
static void test_resumes(void **state)
{
    (void)state;
    const char *const options[] = {mixed_option,
                                   BOTH,
                                   "steps=7",
                                   "accumulate=2",
                                   "fit=bucket",
                                   "bucket-step=16",
                                   "flip=true",
                                   "no-upscale=true",
                                   "shuffle-caption=true",
                                   "keep-tokens=1",
                                   "tag-dropout=0.3",
                                   "caption-dropout=0.3",
                                   "snr-gamma=5",
                                   "noise-offset=0.05",
                                   "schedule=restarts",
                                   "cycles=2",
                                   "ema=0.9",
                                   "val-share=0.3",
                                   "val-every=2",
                                   "sample-every=3",
                                   "sample-steps=2",
                                   "save-every=3",
                                   prompts_option,
                                   cache_option,
                                   NULL};
    struct support_train whole = run_of("whole", options), parts = run_of("parts", options);
    support_train_ok(&whole);
    assert_true(support_train_stopping(parts) > 5);
    support_same_metrics(whole.out, parts.out);
    support_same_checkpoint(whole.out, parts.out);
    static const char *const files[] = {LORA, "summary.txt", "samples/step-00000000/grid.png",
                                        "samples/step-00000006/00001.png", "samples/step-00000007/00000.png"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        support_same_file(support_path(whole.out, "%s", files[i]), support_path(parts.out, "%s", files[i]));
    support_same_file(support_path(whole.out, "lora/whole.kohya.safetensors"),
                      support_path(parts.out, "lora/parts.kohya.safetensors"));
}

/* The bytes behind the headers, which may name the same layers in another way. */
static void same_tensors(const char *a, const char *b)
{
    struct tl_err err = {0};
    size_t n[2];
    uint64_t header[2];
    uint8_t *data[2] = {tl_file_read(a, 1 << 26, &n[0], &err), tl_file_read(b, 1 << 26, &n[1], &err)};
    for (int i = 0; i < 2; i++) {
        if (!data[i]) fail_msg("%s", err.text);
        memcpy(&header[i], data[i], 8);
        assert_true(header[i] + 8 < n[i]);
    }
    assert_int_equal(n[0] - header[0], n[1] - header[1]);
    assert_memory_equal(data[0] + 8 + header[0], data[1] + 8 + header[1], n[0] - 8 - header[0]);
    free(data[0]);
    free(data[1]);
}

/* The LoRA of a run, trained no further, leaves as it came; trained further, it begins where it was. */
static void test_goes_on(void **state)
{
    (void)state;
    char lora[700];
    double before[8], after[8];
    struct support_train first = run_of(
        "first", OPTIONS(data_option, BOTH, "steps=8", "lr=0.02", "ema=0", "val-share=0.25", "val-every=8"));
    support_train_ok(&first);
    snprintf(lora, sizeof lora, "lora=%s/" LORA, first.out);
    struct support_train same =
        run_of("same", OPTIONS(data_option, "model=" SUPPORT_PIPELINE, "size=64", "batch=4",
                               "train-text-encoder=true", "steps=0", lora));
    support_train_ok(&same);
    support_same_file(support_path(first.out, LORA), support_path(same.out, LORA));
    struct support_train more =
        run_of("more", OPTIONS(data_option, "model=" SUPPORT_PIPELINE, "size=64", "batch=4",
                               "train-text-encoder=true", "steps=1", "val-share=0.25", "val-every=8", lora));
    support_train_ok(&more);
    assert_int_equal(support_column(first.out, "validation", "loss", before, 8), 2);
    assert_int_equal(support_column(more.out, "validation", "loss", after, 8), 2);
    check_near(after[0], before[1], 1e-6);
    /* name ends in the config: the text encoder's full names are others in transformers 5 */
    size_t n;
    struct tl_err err = {0};
    char *bytes = (char *)tl_file_read(support_path(first.out, LORA), 1 << 26, &n, &err);
    assert_non_null(bytes);
    assert_non_null(strstr(bytes + 8, "\\\"q_proj\\\""));
    assert_non_null(strstr(bytes + 8, "\\\"to_q\\\""));
    free(bytes);
    /* the UNet's alone */
    struct support_train unet =
        run_of("unet", OPTIONS(data_option, "model=" SUPPORT_PIPELINE, "size=64", "batch=4", "rank=2",
                               "alpha=1", "steps=2", "lr=0.01", "ema=0"));
    support_train_ok(&unet);
    snprintf(lora, sizeof lora, "lora=%s/" LORA, unet.out);
    same = run_of("same-unet",
                  OPTIONS(data_option, "model=" SUPPORT_PIPELINE, "size=64", "steps=0", "batch=4", lora));
    support_train_ok(&same);
    same_tensors(support_path(unet.out, LORA), support_path(same.out, LORA));
    /* it has its own shape */
    same = run_of("other-shape", OPTIONS(data_option, "model=" SUPPORT_PIPELINE, "size=64", "alpha=4",
                                         "targets=to_q", lora));
    support_train_fails(&same, TL_USAGE, "leave --alpha, --targets out");
}

/* What trains: a LoRA where there are weights, all of them where there are none or it is asked for. */
static void test_full(void **state)
{
    (void)state;
    char bare[600];
    support_bare_pipeline(support_path(place, "bare"));
    snprintf(bare, sizeof bare, "model=%s/bare", place);
    struct support_train run = run_of("fresh", OPTIONS(data_option, bare, "size=64", "batch=2", "steps=1"));
    support_train_ok(&run);
    assert_true(support_exists(support_path(run.out, "model/unet/diffusion_pytorch_model.safetensors")));
    assert_false(support_exists(support_path(run.out, "lora")));
    run = run_of("all", OPTIONS(data_option, "model=" SUPPORT_PIPELINE, "size=64", "batch=2", "steps=2",
                                "full=true", "train-text-encoder=true", "ema=0", "lr=0.01"));
    support_train_ok(&run);
    assert_false(support_is_same_file(support_path(run.out, "model/text_encoder/model.safetensors"),
                                      support_path(SUPPORT_PIPELINE, "text_encoder/model.safetensors")));
    run = run_of("misfit", OPTIONS(data_option, bare, "rank=4"));
    support_train_fails(&run, TL_USAGE, "has no weights, so all are trained");
    run.options = OPTIONS(data_option, "model=" SUPPORT_PIPELINE, "full=true", "rank=4");
    support_train_fails(&run, TL_USAGE, "--full trains all weights, --rank a LoRA");
    run.options = OPTIONS(data_option, "model=" SUPPORT_PIPELINE, "full=true", "alpha=4");
    support_train_fails(&run, TL_USAGE, "--alpha shapes a LoRA");
    run.options = OPTIONS(data_option, "model=" SUPPORT_PIPELINE, "targets=nothing");
    support_train_fails(&run, TL_USAGE, "no layer of the UNet ends in");
    run.options = OPTIONS(data_option, "model=" SUPPORT_PIPELINE, "lora=nowhere.safetensors");
    support_train_fails(&run, TL_BAD_INPUT, "nowhere.safetensors");
    run.options = OPTIONS(data_option, "model=" SUPPORT_PIPELINE, "val-share=0.5", "val-every=0");
    support_train_fails(&run, TL_USAGE, "--val-every 0");
    run.options = OPTIONS(data_option, "model=" SUPPORT_PIPELINE, "sample-guidance=-0.5", prompts_option);
    support_train_fails(&run, TL_USAGE, "--sample-guidance -0.5: 0 or more, or -1");
    assert_false(support_exists(support_path(run.out, "config.json")));
    /* named before a folder is made */
    run.out = support_path(place, "slip");
    run.options = OPTIONS("data=nodata", "model=" SUPPORT_PIPELINE);
    support_train_fails(&run, TL_BAD_INPUT, "--data nodata: there is no such folder");
    run.options = OPTIONS(data_option, "model=nomodel");
    support_train_fails(&run, TL_BAD_INPUT, "--model nomodel: there is no such folder");
    run.options = OPTIONS(data_option, "model=" SUPPORT_PIPELINE, "sample-prompts=none.txt");
    support_train_fails(&run, TL_BAD_INPUT, "--sample-prompts none.txt: there is no such file");
    assert_false(support_exists(run.out));
}

/* Options that do nothing alone are told, with what they need; in company they are not. */
static void test_partners(void **state)
{
    (void)state;
    static const char *const without[][2] = {
        {"cycles=4", "--cycles does nothing without --schedule restarts"},
        {"no-upscale=true", "--fit bucket"},
        {"bucket-step=8", "--fit bucket"},
        {"keep-tokens=1", "--shuffle-caption or --tag-dropout"},
        {"text-targets=q_proj", "--train-text-encoder"},
        {"val-every=3", "--val-share"},
        {"sample-every=3", "--sample-prompts"}};
    for (size_t i = 0; i < sizeof without / sizeof *without; i++) {
        support_log_start();
        struct support_train run = run_of("alone", OPTIONS(data_option, "model=" SUPPORT_PIPELINE, "size=64",
                                                           "dry-run=true", without[i][0]));
        support_train_ok(&run);
        assert_non_null(strstr(support_log(), without[i][1]));
    }
    support_log_start();
    struct support_train run =
        run_of("together", OPTIONS(mixed_option, "model=" SUPPORT_PIPELINE, "size=64", "dry-run=true",
                                   "cycles=3", "schedule=restarts", "fit=bucket", "bucket-step=16",
                                   "no-upscale=true", "keep-tokens=1", "tag-dropout=0.1", "steps=14",
                                   "batch=2", "val-share=0.4", "val-every=3"));
    support_train_ok(&run);
    assert_null(strstr(support_log(), "does nothing"));
    assert_null(strstr(support_log(), "(0 held out"));
    assert_null(strstr(support_log(), "are 2.0 passes")); /* what is held out is not seen */
}

/* A broken file is left out, told, and counted at the end: the training itself is whole. */
static void test_skips(void **state)
{
    (void)state;
    char data[600];
    struct tl_err err = {0};
    check_ok(tl_file_make_folder(support_path(place, "torn"), &err), &err);
    for (int i = 0; i < 3; i++) {
        write_picture(support_path(place, "torn/%d.png", i), 16, 16, i);
        support_write(support_path(place, "torn/%d.txt", i), "a red circle");
    }
    support_write(support_path(place, "torn/metadata.jsonl"), "{\"file_name\": \"gone.png\"}\n");
    support_write(support_path(place, "torn/1.png"), "\x89PNG\r\n\x1a\n and no more");
    snprintf(data, sizeof data, "data=%s/torn", place);
    struct support_train run =
        run_of("torn-run", OPTIONS(data, "model=" SUPPORT_PIPELINE, "size=16", "batch=2", "steps=2"));
    support_train_fails(&run, TL_PARTIAL,
                        "1 of 3 pictures could not be used, and 1 row of metadata names no picture");
    assert_true(support_exists(support_path(run.out, LORA)));
    assert_true(support_exists(support_newest_checkpoint(run.out)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient), cmocka_unit_test(test_accumulation),
                                       cmocka_unit_test(test_snr),      cmocka_unit_test(test_validation),
                                       cmocka_unit_test(test_learns),   cmocka_unit_test(test_resumes),
                                       cmocka_unit_test(test_goes_on),  cmocka_unit_test(test_full),
                                       cmocka_unit_test(test_partners), cmocka_unit_test(test_skips)};
    return cmocka_run_group_tests(tests, setup, support_folder_remove);
}
