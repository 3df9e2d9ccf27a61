/* The small SDXL pipeline of tests/fixtures/pipeline_xl against what diffusers made of it: both encoders'
 * states side by side, pooled text, picture sizes, zeros for the absent negative prompt, v-prediction. */
#include "support/check.h"

#include "io/safetensors.h"
#include "sample/latents.h"
#include "sample/sampler_run.h"

#define PIPELINE TL_SOURCE_DIR "/tests/fixtures/pipeline_xl"

enum {
    SIDE = 8,
    CHANNELS = 4,
    DIM = SIDE * SIDE * CHANNELS,
    PICTURE = 16 * 16 * 3,
    STEPS = 3,
    TOKENS = 77,
    WIDTH = 20,
    POOLED = 6
};

static struct tl_pipeline *pipeline;
static struct tl_st_file *io;

static void tensor(const char *name, size_t n, float *out)
{
    struct tl_err err = {0};
    const struct tl_st_tensor *t = tl_st_find(io, name);
    if (!t || t->n != n) fail_msg("%s of %zu values is not in the fixture", name, n);
    check_ok(tl_st_to_f32(t, out, &err), &err);
}

static void test_encoding(void **state)
{
    (void)state;
    struct tl_err err = {0};
    static float want[TOKENS * WIDTH];
    const char *prompts[] = {tl_st_meta_find(io, "prompt"), NULL, ""};
    struct tl_encoding e;
    check_ok(tl_pipeline_encode(pipeline, prompts, 3, &e, &err), &err);
    assert_int_equal(e.tokens, TOKENS);
    assert_int_equal(e.width, WIDTH);
    assert_int_equal(e.pooled_width, POOLED);
    tensor("out.prompt_embeds", TOKENS * WIDTH, want);
    assert_true(check_rel_l2(e.context, want, TOKENS * WIDTH) < 1e-4);
    tensor("out.pooled_prompt_embeds", POOLED, want);
    assert_true(check_rel_l2(e.pooled, want, POOLED) < 1e-4);
    for (size_t i = 0; i < TOKENS * WIDTH; i++)
        assert_true(e.context[TOKENS * WIDTH + i] == 0); /* absent: zeros */
    for (size_t i = 0; i < POOLED; i++)
        assert_true(e.pooled[POOLED + i] == 0 && e.pooled[2 * POOLED + i] != 0);
    tl_encoding_finish(&e);
}

static void test_latents_and_picture(void **state)
{
    (void)state;
    struct tl_err err = {0};
    float nchw[2 * DIM], initial[2 * DIM], x0[2 * DIM], want[2 * DIM];
    static float image[2 * PICTURE], want_nchw[2 * PICTURE], want_image[2 * PICTURE];
    struct tl_step steps[STEPS];
    struct tl_trajectory t;
    tensor("latents", 2 * DIM, nchw);
    tl_latents_from_nchw(nchw, 2, SIDE, SIDE, CHANNELS, initial);
    check_ok(tl_scheduler_plan(&pipeline->scheduler,
                               &(struct tl_plan_params){.n_steps = STEPS, .last = TL_LAST_DIFFUSERS}, steps,
                               &err),
             &err);
    struct tl_denoiser *denoiser = tl_denoiser_create(&(struct tl_denoiser_params){.unet = pipeline->unet,
                                                                                   .batch = 2,
                                                                                   .height = SIDE,
                                                                                   .width = SIDE,
                                                                                   .tokens = TOKENS,
                                                                                   .guided = true},
                                                      &err);
    if (!denoiser) fail_msg("%s", err.text);
    const char *prompt = tl_st_meta_find(io, "prompt"), *none = NULL;
    struct tl_encoding prompts, negative;
    check_ok(tl_pipeline_encode(pipeline, &prompt, 1, &prompts, &err) &&
                 tl_pipeline_encode(pipeline, &none, 1, &negative, &err),
             &err);
    check_ok(tl_trajectory_init(&t, STEPS, 2, DIM, &err), &err);
    const size_t which[2] = {0, 0};
    struct tl_sampler_run run = {.pipeline = pipeline,
                                 .denoiser = denoiser,
                                 .weights = &(struct tl_denoiser_weights){0},
                                 .batch = 2,
                                 .height = SIDE,
                                 .width = SIDE,
                                 .steps = steps,
                                 .n_steps = STEPS,
                                 .guidance = 4,
                                 .n = 2,
                                 .prompts = &prompts,
                                 .prompt = which,
                                 .negative = &negative,
                                 .initial = initial};
    check_ok(tl_sampler_run(&run, x0, &t, NULL, &err), &err);
    for (size_t k = 0; k < STEPS; k++) {
        char name[32];
        snprintf(name, sizeof name, "out.latents.%zu", k);
        tensor(name, 2 * DIM, nchw);
        tl_latents_from_nchw(nchw, 2, SIDE, SIDE, CHANNELS, want);
        double error = check_rel_l2(tl_trajectory_slot(&t, k + 1), want, 2 * DIM);
        printf("%s: %.1e\n", name, error);
        assert_true(error < 1e-4);
    }
    struct tl_latent_codec *codec = tl_latent_codec_create(pipeline->vae, &err);
    check_ok(tl_latent_codec_decode(codec, x0, 2, SIDE, SIDE, image, NULL, &err), &err);
    tensor("out.image", 2 * PICTURE, want_nchw);
    tl_latents_from_nchw(want_nchw, 2, 16, 16, 3, want_image);
    assert_true(check_rel_l2(image, want_image, 2 * PICTURE) < 1e-4);
    tl_latent_codec_destroy(&codec);
    tl_trajectory_finish(&t);
    tl_encoding_finish(&prompts);
    tl_encoding_finish(&negative);
    tl_denoiser_destroy(&denoiser);
}

static int run_on(const char *name)
{
    struct tl_err err = {0};
    struct tl_device *device = tl_device_open(&(struct tl_device_params){.name = name}, &err);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_encoding),
                                       cmocka_unit_test(test_latents_and_picture)};
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
