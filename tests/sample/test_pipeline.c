/* The whole small pipeline of tests/fixtures/pipeline_sd1, from prompt to picture, against what diffusers
 * made of it; on the cpu and, where it opens, on vulkan. */
#include "support/check.h"

#include <ftw.h>
#include <unistd.h>

#include <tiller/log.h>

#include "io/file.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "sample/latents.h"
#include "sample/sampler_run.h"

#define PIPELINE TL_SOURCE_DIR "/tests/fixtures/pipeline_sd1"

enum { SIDE = 8, CHANNELS = 4, DIM = SIDE * SIDE * CHANNELS, PICTURE = 16 * 16 * 3, STEPS = 4 };

static struct tl_device *device;
static struct tl_pipeline *pipeline;
static struct tl_st_file *io;

static float *tensor(const char *name, size_t n)
{
    struct tl_err err = {0};
    const struct tl_st_tensor *t = tl_st_find(io, name);
    if (!t || t->n != n) fail_msg("%s of %zu values is not in the fixture", name, n);
    float *v = malloc(n * sizeof *v);
    check_ok(tl_st_to_f32(t, v, &err), &err);
    return v;
}

/* A picture tensor of the fixture, channels last. */
static float *nhwc(const char *name, size_t n, int side, int channels)
{
    size_t count = n * (size_t)side * (size_t)side * (size_t)channels;
    float *nchw = tensor(name, count), *out = malloc(count * sizeof *out);
    tl_latents_from_nchw(nchw, n, side, side, channels, out);
    free(nchw);
    return out;
}

static struct tl_encoding encode(const char *const *prompts, size_t n)
{
    struct tl_err err = {0};
    struct tl_encoding e;
    check_ok(tl_pipeline_encode(pipeline, prompts, n, &e, &err), &err);
    return e;
}

static const char *prompt_of(void)
{
    return tl_st_meta_find(io, "prompt");
}

static const char *negative_of(void)
{
    return tl_st_meta_find(io, "negative_prompt");
}

static void test_prompts(void **state)
{
    (void)state;
    struct tl_err err = {0};
    int32_t ids[77];
    check_ok(tl_clip_bpe_encode(pipeline->tokenizer[0], prompt_of(), 77, ids, NULL, NULL, NULL, &err), &err);
    float *want = tensor("input_ids", 77);
    for (int i = 0; i < 77; i++) assert_int_equal(ids[i], (int32_t)want[i]);
    free(want);
    assert_int_equal(pipeline->tokens, 77);

    const char *prompts[] = {prompt_of(), negative_of(), prompt_of(), ""};
    struct tl_encoding e = encode(prompts, 4);
    const char *const names[] = {"out.prompt_embeds", "out.negative_prompt_embeds"};
    for (size_t i = 0; i < 2; i++) {
        want = tensor(names[i], 77 * 8);
        double error = check_rel_l2(e.context + i * 77 * 8, want, 77 * 8);
        printf("%s %s: %.1e\n", device->name, names[i], error);
        assert_true(error < 1e-4);
        free(want);
    }
    assert_memory_equal(e.context, e.context + 2 * 77 * 8, 77 * 8 * sizeof(float));
    struct tl_encoding alone = encode((const char *const[]){NULL}, 1); /* absent is "" here */
    assert_memory_equal(alone.context, e.context + 3 * 77 * 8, 77 * 8 * sizeof(float));
    tl_encoding_finish(&alone);
    tl_pipeline_forget_prompts(pipeline);
    alone = encode(&prompts[1], 1); /* made anew, in other company */
    assert_memory_equal(alone.context, e.context + 77 * 8, 77 * 8 * sizeof(float));
    tl_encoding_finish(&alone);
    tl_encoding_finish(&e);
}

static int n_cut;
static char cut_text[4096];

static void see_cut(void *user, enum tl_log_level level, const char *text)
{
    (void)user;
    if (level != TL_LOG_WARN) return;
    n_cut++;
    snprintf(cut_text, sizeof cut_text, "%s", text);
}

static void test_long_prompt_is_named(void **state)
{
    (void)state;
    struct tl_str text = {0};
    for (int i = 0; i < 80; i++) tl_str_append(&text, "a ");
    tl_str_append(&text, "yellow cat");
    n_cut = 0;
    tl_log_set(see_cut, NULL);
    const char *prompts[] = {text.data, text.data};
    struct tl_encoding e = encode(prompts, 2);
    tl_encoding_finish(&e);
    e = encode(prompts, 1);
    tl_encoding_finish(&e);
    tl_log_set(NULL, NULL);
    assert_int_equal(n_cut, 1); /* once a text */
    assert_non_null(strstr(cut_text, "77 tokens"));
    assert_non_null(strstr(cut_text, "yellow cat\""));
    tl_str_finish(&text);
}

/* A run of n samples on `batch` rows; the fixture's settings. */
struct drawn {
    float *x0;
    struct tl_trajectory t;
    double *log_prob;
};

static struct drawn draw(size_t n, int batch, const uint32_t *numbers, const float *initial, double eta,
                         double guidance)
{
    struct tl_err err = {0};
    struct drawn d = {.x0 = malloc(n * DIM * sizeof(float)), .log_prob = malloc(n * STEPS * sizeof(double))};
    struct tl_step steps[STEPS];
    check_ok(
        tl_scheduler_plan(&pipeline->scheduler,
                          &(struct tl_plan_params){.n_steps = STEPS, .eta = eta, .last = TL_LAST_DIFFUSERS},
                          steps, &err),
        &err);
    struct tl_denoiser *denoiser =
        tl_denoiser_create(&(struct tl_denoiser_params){.unet = pipeline->unet,
                                                        .batch = batch,
                                                        .height = SIDE,
                                                        .width = SIDE,
                                                        .tokens = pipeline->tokens,
                                                        .guided = tl_guidance_active(guidance)},
                           &err);
    if (!denoiser) fail_msg("%s", err.text);
    const char *texts[] = {prompt_of()}, *negatives[] = {negative_of()};
    struct tl_encoding prompts = encode(texts, 1), negative = encode(negatives, 1);
    size_t *prompt = calloc(n, sizeof *prompt);
    check_ok(tl_trajectory_init(&d.t, STEPS, n, DIM, &err), &err);
    struct tl_sampler_run run = {.pipeline = pipeline,
                                 .denoiser = denoiser,
                                 .weights = &(struct tl_denoiser_weights){0},
                                 .batch = batch,
                                 .height = SIDE,
                                 .width = SIDE,
                                 .steps = steps,
                                 .n_steps = STEPS,
                                 .guidance = guidance,
                                 .seed = 7,
                                 .n = n,
                                 .numbers = numbers,
                                 .prompts = &prompts,
                                 .prompt = prompt,
                                 .negative = &negative,
                                 .initial = initial};
    check_ok(tl_sampler_run(&run, d.x0, &d.t, d.log_prob, &err), &err);
    free(prompt);
    tl_encoding_finish(&prompts);
    tl_encoding_finish(&negative);
    tl_denoiser_destroy(&denoiser);
    return d;
}

static void drop(struct drawn *d)
{
    free(d->x0);
    free(d->log_prob);
    tl_trajectory_finish(&d->t);
}

static void test_latents_after_every_step(void **state)
{
    (void)state;
    float *initial = nhwc("latents", 2, SIDE, CHANNELS);
    struct drawn d = draw(2, 2, NULL, initial, 0, 5);
    assert_memory_equal(tl_trajectory_slot(&d.t, 0), initial, 2 * DIM * sizeof(float));
    for (size_t k = 0; k < STEPS; k++) {
        char name[32];
        snprintf(name, sizeof name, "out.latents.%zu", k);
        float *want = nhwc(name, 2, SIDE, CHANNELS);
        double error = check_rel_l2(tl_trajectory_slot(&d.t, k + 1), want, 2 * DIM);
        printf("%s %s: %.1e\n", device->name, name, error);
        assert_true(error < 1e-4);
        free(want);
    }
    float *want = nhwc("out.latents", 2, SIDE, CHANNELS);
    assert_true(check_rel_l2(d.x0, want, 2 * DIM) < 1e-4);
    free(want);
    drop(&d);
    free(initial);
}

static void test_picture(void **state)
{
    (void)state;
    struct tl_err err = {0};
    float *initial = nhwc("latents", 2, SIDE, CHANNELS), *want = nhwc("out.image", 2, 16, 3),
          *want_u8 = tensor("out.image_u8", 2 * PICTURE);
    struct drawn d = draw(2, 2, NULL, initial, 0, 5);
    float image[2 * PICTURE];
    uint8_t u8[2 * PICTURE];
    struct tl_latent_codec *codec = tl_latent_codec_create(pipeline->vae, &err);
    check_ok(tl_latent_codec_decode(codec, d.x0, 2, SIDE, SIDE, image, u8, &err), &err);
    double error = check_rel_l2(image, want, 2 * PICTURE);
    printf("%s picture: %.1e\n", device->name, error);
    assert_true(error < 1e-4);
    int far = 0;
    for (size_t i = 0; i < 2 * PICTURE; i++) {
        assert_true(abs((int)u8[i] - (int)want_u8[i]) <= 1);
        far += u8[i] != (int)want_u8[i];
    }
    assert_true(far < 10); /* only where the float lies on the edge between two levels */
    tl_latent_codec_destroy(&codec);
    drop(&d);
    free(initial);
    free(want);
    free(want_u8);
}

/* Picture 5 alone, first of three, and last of a padded batch. */
static void test_same_picture_in_any_batch(void **state)
{
    (void)state;
    const uint32_t one[] = {5}, three[] = {5, 6, 7}, five[] = {1, 2, 3, 4, 5};
    for (int fresh_noise = 0; fresh_noise < 2; fresh_noise++) {
        struct drawn a = draw(1, 1, one, NULL, fresh_noise, 5), b = draw(3, 2, three, NULL, fresh_noise, 5),
                     c = draw(5, 4, five, NULL, fresh_noise, 5);
        assert_memory_equal(tl_trajectory_slot(&a.t, 0), tl_trajectory_at(&c.t, 0, 4), DIM * sizeof(float));
        double ab = check_rel_l2(b.x0, a.x0, DIM), ac = check_rel_l2(c.x0 + 4 * DIM, a.x0, DIM);
        printf("%s in a batch: %.1e, %.1e\n", device->name, ab, ac);
        assert_true(ab < 1e-5 && ac < 1e-5);
        assert_true(check_rel_l2(b.x0 + DIM, a.x0, DIM) > 0.1); /* and others differ */
        for (int k = 0; k < STEPS; k++) {
            check_near(a.log_prob[k], b.log_prob[k], 1e-9);
            if (!fresh_noise && k < STEPS - 1) assert_true(a.log_prob[k] == 0);
        }
        drop(&a);
        drop(&b);
        drop(&c);
    }
}

/* The stored log-probability is that of the transition that the trajectory shows. */
static void test_log_probability(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_step steps[STEPS];
    check_ok(
        tl_scheduler_plan(&pipeline->scheduler,
                          &(struct tl_plan_params){.n_steps = STEPS, .eta = 1, .last = TL_LAST_DIFFUSERS},
                          steps, &err),
        &err);
    struct drawn d = draw(1, 1, NULL, NULL, 1, 1);
    struct tl_denoiser *denoiser = tl_denoiser_create(
        &(struct tl_denoiser_params){
            .unet = pipeline->unet, .batch = 1, .height = SIDE, .width = SIDE, .tokens = 77},
        &err);
    const char *texts[] = {prompt_of()};
    struct tl_encoding e = encode(texts, 1);
    for (size_t k = 0; k < STEPS; k++) {
        float m[DIM], mean[DIM], t = (float)steps[k].t;
        const float *x = tl_trajectory_slot(&d.t, k), *next = tl_trajectory_slot(&d.t, k + 1);
        check_ok(tl_denoiser_run(denoiser, &(struct tl_denoiser_weights){0}, x, &t,
                                 &(struct tl_condition){.context = e.context}, 1, m, &err),
                 &err);
        tl_step_mean(&steps[k], x, m, DIM, mean);
        double sum = 0, s = steps[k].sigma;
        assert_true(s > 0);
        for (int i = 0; i < DIM; i++)
            sum -= 0.5 * (next[i] - mean[i]) * (next[i] - mean[i]) / (s * s) + log(s) +
                   0.5 * log(2 * 3.14159265358979324);
        /* x is float: its rounding, about 1e-7 of it, is divided by sigma and met dim times */
        check_near(d.log_prob[k], sum, 1e-3 + 1e-6 / s * DIM);
    }
    tl_encoding_finish(&e);
    tl_denoiser_destroy(&denoiser);
    drop(&d);
}

static void test_codec(void **state)
{
    (void)state;
    struct tl_err err = {0};
    enum { N = 5 };
    float z[N * DIM], all[N * PICTURE], one[PICTURE], mean[N * DIM], logvar[N * DIM], mean1[DIM],
        logvar1[DIM];
    uint8_t u8[N * PICTURE];
    for (uint32_t i = 0; i < N; i++) tl_latents_initial(3, i, DIM, z + i * DIM);
    struct tl_latent_codec *codec = tl_latent_codec_create(pipeline->vae, &err);
    check_ok(tl_latent_codec_decode(codec, z, N, SIDE, SIDE, all, u8, &err), &err);
    for (size_t i = 0; i < N * PICTURE; i++) assert_int_equal(u8[i], lrintf(all[i] * 255));
    for (size_t i = 0; i < N; i++) {
        check_ok(tl_latent_codec_decode(codec, z + i * DIM, 1, SIDE, SIDE, one, NULL, &err), &err);
        assert_true(check_rel_l2(one, all + i * PICTURE, PICTURE) < 1e-5);
    }
    for (size_t i = 0; i < N * PICTURE; i++) all[i] = 2 * all[i] - 1;
    check_ok(tl_latent_codec_encode(codec, all, N, 16, 16, mean, logvar, &err), &err);
    for (size_t i = 0; i < N; i++) {
        check_ok(tl_latent_codec_encode(codec, all + i * PICTURE, 1, 16, 16, mean1, logvar1, &err), &err);
        assert_true(check_rel_l2(mean1, mean + i * DIM, DIM) < 1e-5 &&
                    check_rel_l2(logvar1, logvar + i * DIM, DIM) < 1e-5);
    }
    assert_false(tl_latent_codec_encode(codec, all, 1, 15, 16, mean1, logvar1, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    tl_latents_from_moments(&pipeline->vae->config.vae, mean, logvar, NULL, DIM, mean1);
    check_near(mean1[3], mean[3] * 0.18215f, 1e-6);
    tl_latent_codec_destroy(&codec);
}

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *f)
{
    (void)s;
    (void)kind;
    (void)f;
    return remove(path);
}

/* Saved as f32 and opened again, the weights are the same; as f16 the folder is about half as large. */
static void test_save(void **state)
{
    (void)state;
    struct tl_err err = {0};
    char folder[] = "/tmp/tiller-pipeline-XXXXXX", path[256];
    assert_non_null(mkdtemp(folder));
    check_ok(tl_pipeline_save(pipeline, folder, &(struct tl_pipeline_save_params){.dtype = TL_ST_F32}, &err),
             &err);
    struct tl_pipeline *again = tl_pipeline_open(device, folder, &err);
    if (!again) fail_msg("%s", err.text);
    struct tl_component *const a[] = {pipeline->unet, pipeline->vae, pipeline->text[0]}, *const b[] = {
                                                                                             again->unet,
                                                                                             again->vae,
                                                                                             again->text[0]};
    for (int i = 0; i < 3; i++) {
        size_t n = a[i]->layout->n_elements;
        float *x = malloc(n * sizeof *x), *y = malloc(n * sizeof *y);
        check_ok(tl_store_read_flat(a[i]->store, x, &err) && tl_store_read_flat(b[i]->store, y, &err), &err);
        assert_int_equal(b[i]->layout->n_elements, n);
        assert_memory_equal(x, y, n * sizeof *x);
        free(x);
        free(y);
    }
    assert_int_equal(again->scheduler.config.steps_offset, 1);
    tl_pipeline_close(&again);
    check_ok(tl_pipeline_save(pipeline, folder, &(struct tl_pipeline_save_params){.dtype = TL_ST_F16}, &err),
             &err);
    again = tl_pipeline_open(device, folder, &err);
    if (!again) fail_msg("%s", err.text);
    tl_pipeline_close(&again);
    snprintf(path, sizeof path, "%s/model_index.json", folder);
    check_ok(tl_file_write(path, "{\"_class_name\": \"FluxPipeline\"}", 31, &err), &err);
    assert_null(tl_pipeline_open(device, folder, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    assert_non_null(strstr(err.text, "FluxPipeline"));
    tl_err_clear(&err);
    unlink(path);
    assert_null(tl_pipeline_open(device, folder, &err));
    assert_non_null(strstr(err.text, "model_index.json"));
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* The adapter of the fixture merged through the pipeline, and as a live LoRA in the denoiser: both give its
 * output. */
static void test_lora(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_pipeline *p = tl_pipeline_open(device, PIPELINE, &err);
    struct tl_st_file *lora_io = tl_st_open(TL_SOURCE_DIR "/tests/fixtures/lora_wide/io.safetensors", &err);
    float nchw[2 * DIM], x[2 * DIM], out[2 * DIM], want[2 * DIM], context[2 * 7 * 8], t[2];
    if (!p || !lora_io) fail_msg("%s", err.text);
    check_ok(
        tl_pipeline_merge_lora(p, TL_SOURCE_DIR "/tests/fixtures/lora_wide/kohya.safetensors", 1, NULL, &err),
        &err);
    check_ok(tl_st_to_f32(tl_st_find(lora_io, "sample"), nchw, &err) &&
                 tl_st_to_f32(tl_st_find(lora_io, "timestep"), t, &err) &&
                 tl_st_to_f32(tl_st_find(lora_io, "encoder_hidden_states"), context, &err),
             &err);
    tl_latents_from_nchw(nchw, 2, SIDE, SIDE, CHANNELS, x);
    check_ok(tl_st_to_f32(tl_st_find(lora_io, "out.sample"), nchw, &err), &err);
    tl_latents_from_nchw(nchw, 2, SIDE, SIDE, CHANNELS, want);
    struct tl_denoiser *d = tl_denoiser_create(
        &(struct tl_denoiser_params){.unet = p->unet, .batch = 2, .height = SIDE, .width = SIDE, .tokens = 7},
        &err);
    if (!d) fail_msg("%s", err.text);
    check_ok(tl_denoiser_run(d, &(struct tl_denoiser_weights){0}, x, t,
                             &(struct tl_condition){.context = context}, 1, out, &err),
             &err);
    assert_true(check_rel_l2(out, want, 2 * DIM) < 1e-4);
    assert_false(tl_pipeline_merge_lora(p, PIPELINE "/io.safetensors", 1, NULL, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    tl_denoiser_destroy(&d);
    tl_st_close(&lora_io);
    tl_pipeline_close(&p);
}

static void test_sizes(void **state)
{
    (void)state;
    struct tl_err err = {0};
    int h, w;
    check_ok(tl_pipeline_latent_size(pipeline, 0, 0, &h, &w, &err) && h == 8 && w == 8, &err);
    check_ok(tl_pipeline_latent_size(pipeline, 24, 10, &h, &w, &err) && h == 12 && w == 5, &err);
    assert_false(tl_pipeline_latent_size(pipeline, 24, 11, &h, &w, &err));
    assert_int_equal(err.code, TL_USAGE);
}

static int run_on(const char *name)
{
    struct tl_err err = {0};
    device = tl_device_open(&(struct tl_device_params){.name = name}, &err);
    if (!device) {
        printf("skipped: %s: %s\n", name, err.text);
        return err.code == TL_DEVICE ? 0 : 1;
    }
    pipeline = tl_pipeline_open(device, PIPELINE, &err);
    io = tl_st_open(PIPELINE "/io.safetensors", &err);
    if (!pipeline || !io) {
        printf("%s\n", err.text);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prompts),
        cmocka_unit_test(test_long_prompt_is_named),
        cmocka_unit_test(test_latents_after_every_step),
        cmocka_unit_test(test_picture),
        cmocka_unit_test(test_same_picture_in_any_batch),
        cmocka_unit_test(test_log_probability),
        cmocka_unit_test(test_codec),
        cmocka_unit_test(test_save),
        cmocka_unit_test(test_lora),
        cmocka_unit_test(test_sizes),
    };
    int failed = cmocka_run_group_tests_name(name, tests, NULL, NULL);
    tl_pipeline_close(&pipeline);
    tl_st_close(&io);
    tl_device_close(&device);
    return failed;
}

int main(void)
{
    return run_on("cpu") + run_on("vulkan");
}
