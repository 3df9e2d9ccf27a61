/* The gradient of a reward of the predicted clean sample by the noisy one: the slope of the whole chain, in
 * double, whatever the sampler walks in and clips. */
#include "support/check.h"

#include "base/rng.h"
#include "run/steer_guide.h"
#include "sample/scheduler.h"

#define FIXTURES TL_SOURCE_DIR "/tests/fixtures"
#define CLIP     "clip:" FIXTURES "/clip_score"
enum { N = 3, BATCH = 2, SIDE = 8, DIM = SIDE * SIDE * 4, STEPS = 4, AT = 2 };

static const char *const prompts[N] = {"a red square", "a blue circle", "a cat"};

struct how {
    const char *device; /* "cpu", "f64" (the oracle), "vulkan" */
    const char *sampler;
    double guidance, clip; /* clip 0: none */
};

struct kit {
    struct tl_device *device;
    struct tl_pipeline *pipeline;
    struct tl_scheduler scheduler;
    struct tl_step steps[STEPS];
    struct tl_reward_set *set;
    struct tl_reward_lens *lens;
    struct tl_denoiser *denoiser;
    struct tl_denoiser_weights weights;
    struct tl_encoding encodings, negative;
    struct tl_sampler_run run;
    struct tl_walk walk;
};

static void plan_steps(struct kit *k, const struct how *how)
{
    struct tl_err err = {0};
    struct tl_scheduler_config config = tl_scheduler_config_default();
    config.clip_sample = how->clip > 0;
    config.clip_sample_range = how->clip;
    check_ok(tl_scheduler_init(&k->scheduler, &config, &err), &err);
    check_ok(tl_scheduler_plan(&k->scheduler,
                               &(struct tl_plan_params){.sampler = how->sampler, .n_steps = STEPS, .eta = 1},
                               k->steps, &err),
             &err);
}

static void open_models(struct kit *k, const struct how *how)
{
    struct tl_err err = {0};
    const char *specs[] = {CLIP "@2", "colour:orange"};
    k->pipeline = tl_pipeline_open(k->device, FIXTURES "/pipeline_sd1", &err);
    check_ok(k->pipeline, &err);
    k->set = tl_reward_set_open(
        &(struct tl_reward_set_params){.specs = specs, .n_specs = 2, .raw = true, .device = k->device}, &err);
    check_ok(k->set, &err);
    k->lens = tl_reward_lens_create(&(struct tl_reward_lens_params){.vae = k->pipeline->vae,
                                                                    .rewards = k->set,
                                                                    .batch = BATCH,
                                                                    .height = SIDE,
                                                                    .width = SIDE,
                                                                    .gradient = true},
                                    &err);
    check_ok(k->lens, &err);
    k->denoiser = tl_denoiser_create(&(struct tl_denoiser_params){.unet = k->pipeline->unet,
                                                                  .batch = BATCH,
                                                                  .height = SIDE,
                                                                  .width = SIDE,
                                                                  .tokens = k->pipeline->tokens,
                                                                  .guided = tl_guidance_active(how->guidance),
                                                                  .input_gradient = true},
                                     &err);
    check_ok(k->denoiser, &err);
    const char *nothing[] = {""};
    check_ok(tl_pipeline_encode(k->pipeline, prompts, N, &k->encodings, &err), &err);
    check_ok(tl_pipeline_encode(k->pipeline, nothing, 1, &k->negative, &err), &err);
}

/* A walk that stands at step AT, its latents on a grid, so that small sums of them are exact in float. False:
 * there is no such device. */
static bool open_kit(struct kit *k, const struct how *how)
{
    struct tl_err err = {0};
    bool f64 = strcmp(how->device, "f64") == 0;
    *k = (struct kit){0};
    k->device = tl_device_open(
        &(struct tl_device_params){.name = f64 ? "cpu" : how->device, .threads = 1, .f64 = f64}, &err);
    if (!k->device && err.code == TL_DEVICE) return false;
    check_ok(k->device, &err);
    plan_steps(k, how);
    open_models(k, how);
    k->run = (struct tl_sampler_run){.pipeline = k->pipeline,
                                     .denoiser = k->denoiser,
                                     .weights = &k->weights,
                                     .batch = BATCH,
                                     .height = SIDE,
                                     .width = SIDE,
                                     .steps = k->steps,
                                     .n_steps = STEPS,
                                     .guidance = how->guidance,
                                     .seed = 7,
                                     .n = N,
                                     .prompts = &k->encodings,
                                     .negative = &k->negative};
    check_ok(tl_walk_begin(&k->walk, &k->run, 0, N, &err), &err);
    k->walk.k = AT;
    for (size_t i = 0; i < N * DIM; i++) k->walk.x[i] = rintf(k->walk.x[i] * 0x1p16f) * 0x1p-16f;
    return true;
}

static void close_kit(struct kit *k)
{
    tl_walk_finish(&k->walk);
    tl_encoding_finish(&k->encodings);
    tl_encoding_finish(&k->negative);
    tl_denoiser_destroy(&k->denoiser);
    tl_reward_lens_destroy(&k->lens);
    tl_reward_set_close(&k->set);
    tl_pipeline_close(&k->pipeline);
    tl_scheduler_finish(&k->scheduler);
    tl_device_close(&k->device);
}

/* Sum of the rewards of x0hat at x + s v. */
static double value(struct kit *k, const float *x, const float *v, float s)
{
    struct tl_err err = {0};
    double total[N], sum = 0;
    for (size_t i = 0; i < N * DIM; i++) k->walk.x[i] = x[i] + s * v[i];
    check_ok(tl_walk_predict(&k->walk, &err), &err);
    check_ok(tl_reward_lens_score(k->lens, k->walk.x0, prompts, N, total, NULL, &err), &err);
    for (size_t i = 0; i < N; i++) sum += total[i];
    return sum;
}

static void check_differences(struct kit *k, const float *g)
{
    static float x[N * DIM], v[N * DIM];
    const float h = 0x1p-8f;
    double length = 0, worst = 0;
    memcpy(x, k->walk.x, sizeof x);
    for (size_t i = 0; i < N * DIM; i++) length += (double)g[i] * g[i];
    length = sqrt(length);
    assert_true(length > 0);
    for (uint32_t seed = 20; seed < 25; seed++) { /* along the gradient, then along anything */
        double along = 0, slope;
        tl_rng_normal((struct tl_rng_key){.seed = seed, .stream = TL_RNG_TEST}, 0, N * DIM, v);
        for (size_t i = 0; i < N * DIM; i++) {
            v[i] = rintf((seed == 20 ? (float)(g[i] / length) : v[i] / 32) * 0x1p8f) * 0x1p-8f;
            along += (double)v[i] * g[i];
        }
        slope =
            8 * (value(k, x, v, h) - value(k, x, v, -h)) - (value(k, x, v, 2 * h) - value(k, x, v, -2 * h));
        worst = fmax(worst, fabs(along - slope / (12 * h)) / length);
    }
    printf("gradient %.2e long, differences off by %.1e of it\n", length, worst);
    assert_true(worst < 1e-3);
}

static void gradients(struct kit *k, float *out)
{
    struct tl_err err = {0};
    double total[N], again[N];
    check_ok(tl_walk_predict(&k->walk, &err), &err);
    check_ok(tl_steer_guide_gradient(&k->walk, k->lens, prompts, total, out, &err), &err);
    check_ok(tl_reward_lens_score(k->lens, k->walk.x0, prompts, N, again, NULL, &err), &err);
    for (size_t i = 0; i < N; i++) check_near(total[i], again[i], 1e-5);
}

static const struct how ways[] = {{"", "ddpm", 1, 0},
                                  {"", "ddim", 3, 0},
                                  {"", "ddpm", 3, 0.8},
                                  {"", "euler_a", 3, 0},
                                  {"", "dpmpp2m_sde", 1, 0}};
enum { WAYS = sizeof ways / sizeof *ways };

static void it_is_the_slope_of_the_chain(void **state)
{
    (void)state;
    for (size_t w = 0; w < WAYS; w++) {
        struct how how = ways[w];
        struct kit k;
        static float g[N * DIM];
        size_t clipped = 0;
        how.device = "f64";
        open_kit(&k, &how);
        gradients(&k, g);
        for (size_t i = 0; i < N * DIM; i++)
            clipped += tl_step_clips_at(&k.steps[AT], k.walk.x[i], k.walk.model[i]);
        assert_true(clipped < N * DIM && (clipped > 0) == (how.clip > 0));
        printf("%s, guidance %g, c_in %.3f, %zu of %d clipped: ", how.sampler, how.guidance, k.steps[AT].c_in,
               clipped, N * DIM);
        check_differences(&k, g);
        close_kit(&k);
    }
}

static void devices_agree(void **state)
{
    (void)state;
    static float exact[N * DIM], g[N * DIM];
    struct how how = ways[3];
    struct kit k;
    const char *const names[] = {"cpu", "vulkan"};
    how.device = "f64";
    open_kit(&k, &how);
    gradients(&k, exact);
    close_kit(&k);
    for (int i = 0; i < 2; i++) {
        how.device = names[i];
        if (!open_kit(&k, &how)) {
            printf("skipped: no %s\n", names[i]);
            continue;
        }
        gradients(&k, g);
        double error = check_rel_l2(g, exact, N * DIM);
        printf("%s: off by %.1e\n", names[i], error);
        assert_true(error < 1e-4);
        close_kit(&k);
    }
}

static void runaways_are_refused(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct kit k;
    static float g[N * DIM];
    open_kit(&k, &(struct how){"cpu", "ddpm", 1, 0});
    assert_false(tl_walk_pullback(&k.walk, k.walk.x, g, &err));
    assert_non_null(strstr(err.text, "has not predicted"));
    tl_err_clear(&err);
    gradients(&k, g);
    float first = g[5];
    check_ok(tl_steer_guide_shift(&k.steps[AT], 0.5, 10, N * DIM, g, &err), &err);
    double sigma = k.steps[AT].sigma;
    check_near(g[5], 0.5 * 10 * sigma * sigma * first, 1e-6 * fabs(first));
    assert_false(tl_steer_guide_shift(&k.steps[AT], 1e300, 10, N * DIM, g, &err));
    assert_int_equal(err.code, TL_NUMERIC);
    assert_non_null(strstr(err.text, "a smaller --guide"));
    tl_err_clear(&err);
    k.walk.x0[DIM] = NAN;
    assert_false(tl_steer_guide_gradient(&k.walk, k.lens, prompts, NULL, g, &err));
    assert_int_equal(err.code, TL_NUMERIC);
    assert_non_null(strstr(err.text, "sample 1"));
    close_kit(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_is_the_slope_of_the_chain),
                                       cmocka_unit_test(devices_agree),
                                       cmocka_unit_test(runaways_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
