/* Walks of the samplers of sigmas on the small pipeline: where they start, what the network is shown, what a
 * gather moves, and the densities of shifted steps. */
#include "support/check.h"

#include "sample/latents.h"
#include "sample/scheduler.h"
#include "sample/walk.h"

enum { SIDE = 8, DIM = SIDE * SIDE * 4, N = 3, BATCH = 2, STEPS = 5 };

static struct tl_device *device;
static struct tl_pipeline *pipeline;
static struct tl_denoiser *denoiser;
static struct tl_denoiser_weights weights;
static struct tl_encoding prompts; /* the same one for all */

struct kit {
    struct tl_step steps[STEPS];
    struct tl_sampler_run run;
    struct tl_walk walk;
};

static int open_all(void **state)
{
    (void)state;
    struct tl_err err = {0};
    const char *texts[N] = {"a red circle", "a red circle", "a red circle"};
    device = tl_device_open(&(struct tl_device_params){.name = "cpu", .threads = 1}, &err);
    check_ok(device, &err);
    pipeline = tl_pipeline_open(device, TL_SOURCE_DIR "/tests/fixtures/pipeline_sd1", &err);
    check_ok(pipeline, &err);
    denoiser = tl_denoiser_create(&(struct tl_denoiser_params){.unet = pipeline->unet,
                                                               .batch = BATCH,
                                                               .height = SIDE,
                                                               .width = SIDE,
                                                               .tokens = pipeline->tokens},
                                  &err);
    check_ok(denoiser, &err);
    check_ok(tl_pipeline_encode(pipeline, texts, N, &prompts, &err), &err);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    tl_encoding_finish(&prompts);
    tl_denoiser_destroy(&denoiser);
    tl_pipeline_close(&pipeline);
    tl_device_close(&device);
    return 0;
}

static void begin(struct kit *k, const char *sampler, const float *initial)
{
    struct tl_err err = {0};
    struct tl_plan_params p = {.sampler = sampler, .n_steps = STEPS, .last = TL_LAST_DIFFUSERS};
    check_ok(tl_scheduler_plan(&pipeline->scheduler, &p, k->steps, &err), &err);
    k->run = (struct tl_sampler_run){.pipeline = pipeline,
                                     .denoiser = denoiser,
                                     .weights = &weights,
                                     .batch = BATCH,
                                     .height = SIDE,
                                     .width = SIDE,
                                     .steps = k->steps,
                                     .n_steps = STEPS,
                                     .guidance = 1,
                                     .seed = 11,
                                     .n = N,
                                     .prompts = &prompts,
                                     .initial = initial};
    check_ok(tl_walk_begin(&k->walk, &k->run, 0, N, &err), &err);
}

static void steps_to(struct kit *k, size_t to)
{
    struct tl_err err = {0};
    while (k->walk.k < to) {
        check_ok(tl_walk_predict(&k->walk, &err), &err);
        check_ok(tl_walk_advance(&k->walk, NULL, NULL, NULL, &err), &err);
    }
}

/* Given noise and drawn noise are both unit noise. The fixture's scheduler is of leading spacing: Euler's
 * start is sqrt(sigma^2 + 1); 801 is its first timestep at 5 steps (1 + 4 * 200). */
static void test_start(void **state)
{
    (void)state;
    static float noise[N * DIM];
    struct kit k;
    for (uint32_t i = 0; i < N; i++) tl_latents_initial(11, i, DIM, noise + i * DIM);
    double a = pipeline->scheduler.noise.alpha_bar[801], sigma = sqrt((1 - a) / a);
    for (int given = 0; given < 2; given++) {
        begin(&k, "euler", given ? noise : NULL);
        check_near(k.steps[0].start, sqrt(sigma * sigma + 1), 1e-9);
        for (size_t i = 0; i < N * DIM; i++)
            assert_true(k.walk.x[i] == (float)(k.steps[0].start * (double)noise[i]));
        assert_null(k.walk.x0_prev);
        tl_walk_finish(&k.walk);
        begin(&k, "dpmpp2m", given ? noise : NULL);
        assert_memory_equal(k.walk.x, noise, sizeof noise);
        assert_non_null(k.walk.x0_prev);
        tl_walk_finish(&k.walk);
    }
}

/* The walk against its definition, written out for one batch; samples of the short run, too. */
static void test_walk(void **state)
{
    (void)state;
    static const char *const samplers[] = {"ddim", "euler", "euler_a", "dpmpp2m", "dpmpp2m_sde"};
    for (size_t s = 0; s < sizeof samplers / sizeof *samplers; s++) {
        static float x[BATCH * DIM], seen[BATCH * DIM], m[BATCH * DIM], x0[BATCH * DIM], before[BATCH * DIM],
            z[DIM];
        struct tl_err err = {0};
        struct kit k;
        begin(&k, samplers[s], NULL);
        memcpy(x, k.walk.x, sizeof x);
        const struct tl_condition condition = {.context = prompts.context};
        for (size_t n = 0; n < STEPS; n++) {
            const struct tl_step *st = &k.steps[n];
            float t[BATCH] = {(float)st->t, (float)st->t};
            for (size_t i = 0; i < BATCH * DIM; i++) seen[i] = (float)(st->c_in * (double)x[i]);
            check_ok(tl_denoiser_run(denoiser, &weights, seen, t, &condition, 1, m, &err), &err);
            for (size_t i = 0; i < BATCH * DIM; i++)
                x0[i] = (float)(st->p_x * (double)x[i] + st->p_m * (double)m[i]);
            for (size_t i = 0; i < BATCH; i++) {
                tl_latents_step_noise(11, (uint32_t)i, (uint32_t)n, DIM, z);
                tl_step_apply_after(st, x + i * DIM, m + i * DIM, before + i * DIM, z, DIM, x + i * DIM);
            }
            memcpy(before, x0, sizeof x0);
        }
        steps_to(&k, STEPS);
        assert_memory_equal(k.walk.x, x, sizeof x);
        tl_walk_finish(&k.walk);
    }
}

/* A copy made in the middle goes the way of what it copies: x, the output, x0 and, multistep, the x0 before.
 * The sampler adds no noise and all have one prompt, so the ways stay together. */
static void test_gather(void **state)
{
    (void)state;
    static const size_t ancestors[N] = {2, 1, 0};
    struct tl_err err = {0};
    for (int predicted = 0; predicted < 2; predicted++) {
        struct kit plain, moved;
        begin(&plain, "dpmpp2m", NULL);
        begin(&moved, "dpmpp2m", NULL);
        steps_to(&plain, 2);
        steps_to(&moved, 2);
        if (predicted) check_ok(tl_walk_predict(&plain.walk, &err), &err);
        if (predicted) check_ok(tl_walk_predict(&moved.walk, &err), &err);
        tl_walk_gather(&moved.walk, ancestors);
        for (size_t i = 0; i < N; i++) {
            size_t from = ancestors[i] * DIM, bytes = DIM * sizeof(float);
            assert_memory_equal(moved.walk.x + i * DIM, plain.walk.x + from, bytes);
            assert_memory_equal(moved.walk.x0_prev + i * DIM, plain.walk.x0_prev + from, bytes);
            if (!predicted) continue;
            assert_memory_equal(moved.walk.model + i * DIM, plain.walk.model + from, bytes);
            assert_memory_equal(moved.walk.x0 + i * DIM, plain.walk.x0 + from, bytes);
        }
        if (predicted) check_ok(tl_walk_advance(&plain.walk, NULL, NULL, NULL, &err), &err);
        if (predicted) check_ok(tl_walk_advance(&moved.walk, NULL, NULL, NULL, &err), &err);
        steps_to(&plain, STEPS);
        steps_to(&moved, STEPS);
        for (size_t i = 0; i < N; i++)
            assert_true(check_rel_l2(moved.walk.x + i * DIM, plain.walk.x + ancestors[i] * DIM, DIM) < 1e-6);
        assert_true(check_rel_l2(plain.walk.x, plain.walk.x + 2 * DIM, DIM) > 0.1);
        tl_walk_finish(&plain.walk);
        tl_walk_finish(&moved.walk);
    }
}

/* log N(x; mean, sigma^2), summed over a sample. */
static double density(const float *x, const float *mean, const float *shift, double sigma)
{
    double sum = 0;
    for (size_t i = 0; i < DIM; i++) {
        double d = ((double)x[i] - (double)mean[i] - (shift ? (double)shift[i] : 0)) / sigma;
        sum -= 0.5 * d * d + log(sigma) + 0.5 * log(2 * 3.14159265358979323846);
    }
    return sum;
}

static void test_shift(void **state)
{
    (void)state;
    static const char *const samplers[] = {"euler_a", "dpmpp2m_sde", "ddpm"};
    static float mean[N * DIM], shift[N * DIM];
    struct tl_err err = {0};
    double log_prob[N], log_ratio[N];
    for (size_t s = 0; s < sizeof samplers / sizeof *samplers; s++) {
        struct kit k;
        begin(&k, samplers[s], NULL);
        steps_to(&k, 2);
        const struct tl_step *st = &k.steps[2];
        assert_true(st->sigma > 0);
        check_ok(tl_walk_predict(&k.walk, &err), &err);
        for (size_t i = 0; i < N; i++)
            tl_step_apply_after(st, k.walk.x + i * DIM, k.walk.model + i * DIM,
                                k.walk.x0_prev ? k.walk.x0_prev + i * DIM : NULL, NULL, DIM, mean + i * DIM);
        for (size_t i = 0; i < N * DIM; i++) shift[i] = (float)(0.1 * st->sigma * ((double)(i % 7) - 2));
        check_ok(tl_walk_advance(&k.walk, shift, log_prob, log_ratio, &err), &err);
        for (size_t i = 0; i < N; i++) {
            const float *x = k.walk.x + i * DIM;
            double base = density(x, mean + i * DIM, NULL, st->sigma);
            double moved = density(x, mean + i * DIM, shift + i * DIM, st->sigma);
            check_near(log_prob[i], base, 1e-4 * fabs(base));
            check_near(log_ratio[i], base - moved, 1e-4 * (1 + fabs(base - moved)));
            assert_true(fabs(log_ratio[i]) > 0.1);
        }
        steps_to(&k, STEPS - 1);
        check_ok(tl_walk_predict(&k.walk, &err), &err);
        assert_false(tl_walk_advance(&k.walk, shift, NULL, NULL, &err)); /* the last adds no noise */
        assert_int_equal(err.code, TL_USAGE);
        tl_err_clear(&err);
        check_ok(tl_walk_advance(&k.walk, NULL, log_prob, log_ratio, &err), &err);
        assert_true(log_prob[0] == 0 && log_ratio[0] == 0);
        tl_walk_finish(&k.walk);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start),
        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_gather),
        cmocka_unit_test(test_shift),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
