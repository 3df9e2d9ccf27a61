/* The policy trainer on a small UNet: an unchanged policy has log-ratios of exactly zero; the two-pass
 * gradient equals finite differences of the loss (with and without guidance, LoRA and full); updates are
 * deterministic; rewards move the policy. */
#include "support/check.h"

#include "algo/ddpo.h"
#include "algo/policy_trainer.h"
#include "algo/prdp.h"
#include "base/rng.h"
#include "models/weights.h"

#define UNET TL_SOURCE_DIR "/tests/fixtures/unet_sd1"
enum { GROUPS = 2, SIZE = 3, STEPS = 4, TOKENS = 7, WIDTH = 8 };

struct fixture {
    struct tl_device *device;
    struct tl_component *unet;
    struct tl_scheduler scheduler;
    struct tl_lora_spec lora;
    float contexts[GROUPS + 1][TOKENS * WIDTH];
};

static const float *context(void *user, size_t sample, bool negative)
{
    struct fixture *f = user;
    return negative ? f->contexts[GROUPS] : f->contexts[sample / SIZE % GROUPS];
}

static void setup(struct fixture *f, const char *targets)
{
    struct tl_err err = {0};
    memset(f, 0, sizeof *f);
    f->device = tl_device_open(&(struct tl_device_params){.name = "cpu", .threads = 1, .f64 = true}, &err);
    if (!f->device) fail_msg("%s", err.text);
    f->unet = tl_component_open(f->device, UNET, &err);
    if (!f->unet) fail_msg("%s", err.text);
    struct tl_scheduler_config c = tl_scheduler_config_default();
    c.clip_sample = false;
    check_ok(tl_scheduler_init(&f->scheduler, &c, &err), &err);
    check_ok(tl_lora_spec_parse(targets, 2, 2, &f->lora, &err), &err);
    for (int i = 0; i <= GROUPS; i++)
        tl_rng_normal((struct tl_rng_key){.stream = TL_RNG_TEST, .sample = (uint32_t)i}, 0, TOKENS * WIDTH,
                      f->contexts[i]);
}

static void teardown(struct fixture *f)
{
    tl_lora_spec_finish(&f->lora);
    tl_scheduler_finish(&f->scheduler);
    tl_component_close(&f->unet);
    tl_device_close(&f->device);
}

static struct tl_policy_trainer *trainer(struct fixture *f, double guidance, bool full, double clip)
{
    struct tl_err err = {0};
    struct tl_policy_trainer_params p = {
        .unet = f->unet,
        .scheduler = &f->scheduler,
        .sampling = {.sampler = "ddim", .n_steps = STEPS, .eta = 1},
        .n_groups = GROUPS,
        .group_size = SIZE,
        .minibatches = 1,
        .passes = 1,
        .height = 8,
        .width = 8,
        .tokens = TOKENS,
        .guidance = guidance,
        .lora = full ? NULL : &f->lora,
        .objective = tl_prdp_loss,
        .loss = {.beta = 0.5, .clip = clip},
        .adamw = {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .clip_norm = 1},
        .seed = 11};
    struct tl_policy_trainer *t = tl_policy_trainer_create(&p, &err);
    if (!t) fail_msg("%s", err.text);
    return t;
}

static const double rewards[GROUPS * SIZE] = {0.3, -0.2, 0.9, 0.1, 0.4, -0.6};

/* Moves the policy off the reference, so that nothing is zero by accident. */
static void perturb(struct tl_policy_trainer *t, double size)
{
    struct tl_err err = {0};
    size_t n = t->weights->layout->n_elements;
    float *flat = malloc(n * sizeof *flat), *noise = malloc(n * sizeof *noise);
    check_ok(tl_store_read_flat(t->weights, flat, &err), &err);
    tl_rng_normal((struct tl_rng_key){.stream = TL_RNG_TEST, .step = 9}, 0, n, noise);
    for (int32_t e = 0; e < t->weights->layout->n_entries; e++) {
        const struct tl_store_entry *x = &t->weights->layout->entries[e];
        for (size_t i = x->offset; i < x->offset + (size_t)tl_shape_count(&x->shape); i++)
            flat[i] += (float)size * noise[i];
    }
    check_ok(tl_store_write_flat(t->weights, flat, &err), &err);
    free(flat);
    free(noise);
}

/* Loss of the present policy on the stored trajectories, from snapshots' machinery: the same ratios, no
 * gradient. */
static double loss_now(struct tl_policy_trainer *t, const struct tl_policy_conditions *c, const double *old)
{
    struct tl_err err = {0};
    double keep[GROUPS * SIZE * STEPS], ratio[GROUPS * SIZE * STEPS];
    struct tl_policy_stats stats;
    memcpy(keep, t->paths.old_ratio, sizeof keep);
    check_ok(tl_policy_trainer_snapshot(t, c, &err), &err);
    memcpy(ratio, t->paths.old_ratio, sizeof ratio);
    memcpy(t->paths.old_ratio, keep, sizeof keep);
    check_ok(t->p.objective(&t->p.loss, ratio, old, rewards, NULL, &stats, &err), &err);
    return stats.loss;
}

static void check_gradient(double guidance, bool full, double clip, tl_policy_loss *objective)
{
    struct fixture f;
    struct tl_err err = {0};
    setup(&f, "to_q,to_out.0,ff.net.2");
    struct tl_policy_trainer *t = trainer(&f, guidance, full, clip);
    t->p.objective = objective;
    struct tl_policy_conditions c = {.context = context, .user = &f};
    check_ok(tl_policy_trainer_draw(t, &c, 0, &err), &err);
    check_ok(tl_policy_trainer_keep(t, &c, NULL, &err), &err);
    for (int i = 0; i < GROUPS * SIZE * STEPS; i++)
        if (t->paths.old_ratio[i] != 0)
            fail_msg("ratio %d of an unchanged policy is %g", i, t->paths.old_ratio[i]);
    perturb(t, full ? 5e-5 : 2e-3);
    double old[GROUPS * SIZE * STEPS];
    memcpy(old, t->paths.old_ratio, sizeof old);
    /* the gradient that the optimiser would see: an update with lr 0 and the gradients caught by a second
     * store */
    struct tl_policy_epoch stats = {0};
    t->p.adamw = (struct tl_adamw_params){.lr = 0, .beta1 = 0, .beta2 = 0, .eps = 1e-30};
    check_ok(tl_policy_trainer_update(t, &c, rewards, 0, &stats, &err), &err);
    size_t n = t->weights->layout->n_elements;
    float *flat = malloc(n * sizeof *flat), *gradient = malloc(n * sizeof *gradient),
          *direction = calloc(n, sizeof *direction);
    check_ok(tl_store_read_flat(t->optimizer->m, gradient, &err), &err); /* beta1 0: m is the gradient */
    check_ok(tl_store_read_flat(t->weights, flat, &err), &err);
    check_near(loss_now(t, &c, old), stats.loss, 1e-6 * fabs(stats.loss));
    double worst = 0;
    for (uint32_t trial = 0; trial < 4;
         trial++) { /* along the gradient, whole and with random parts left out: where the signal is */
        double predicted = 0, norm = 0, h = full ? 2e-4 : clip < 1 ? 3e-4 : 3e-3, up, down;
        float *moved = malloc(n * sizeof *moved);
        for (size_t i = 0; i < n; i++) {
            direction[i] = trial && tl_rng_u32((struct tl_rng_key){.stream = TL_RNG_TEST, .sample = trial},
                                               (uint32_t)i) &
                                        1
                               ? 0
                               : gradient[i];
            norm += (double)direction[i] * direction[i];
        }
        for (size_t i = 0; i < n; i++) direction[i] /= (float)sqrt(norm);
        for (size_t i = 0; i < n; i++) predicted += (double)gradient[i] * direction[i];
        for (int side = 0; side < 2; side++) {
            for (size_t i = 0; i < n; i++) moved[i] = flat[i] + (float)(side ? -h : h) * direction[i];
            check_ok(tl_store_write_flat(t->weights, moved, &err), &err);
            *(side ? &down : &up) = loss_now(t, &c, old);
        }
        double measured = (up - down) / (2 * h), e = fabs(measured - predicted) / (fabs(predicted) + 1e-3);
        if (e > worst) worst = e;
        free(moved);
    }
    printf("guidance %g, %s, clip %g: loss %.4f, gradient against differences %.1e\n", guidance,
           full ? "full" : "LoRA", clip, stats.loss, worst);
    assert_true(worst < 5e-3);
    free(flat);
    free(gradient);
    free(direction);
    tl_policy_trainer_destroy(&t);
    teardown(&f);
}

static void test_gradient(void **state)
{
    (void)state;
    check_gradient(1, false, INFINITY, tl_prdp_loss);
    check_gradient(3, false, INFINITY, tl_prdp_loss);
    check_gradient(1, true, INFINITY, tl_prdp_loss);
    check_gradient(1, false, 0.05, tl_prdp_loss);
}

static void test_ddpo_gradient(void **state)
{
    (void)state;
    check_gradient(1, false, INFINITY, tl_ddpo_loss);
    check_gradient(1, false, INFINITY, tl_ddpo_plain_loss);
}

static size_t runs_left;

static bool count_down(void *user)
{
    (void)user;
    return runs_left > 0 && runs_left-- > 0;
}

static struct tl_policy_trainer *two_passes(struct fixture *f)
{
    struct tl_err err = {0};
    setup(f, "to_q,to_v");
    struct tl_policy_trainer *t = trainer(f, 1, false, 10);
    struct tl_policy_trainer_params p = t->p;
    tl_policy_trainer_destroy(&t);
    p.minibatches = GROUPS;
    p.passes = 2;
    p.go_on = count_down;
    p.lora = &f->lora;
    t = tl_policy_trainer_create(&p, &err);
    if (!t) fail_msg("%s", err.text);
    return t;
}

/* An epoch that is broken off before any of its network runs and goes on ends in the same bytes. */
static void test_interrupted(void **state)
{
    (void)state;
    struct fixture f;
    struct tl_err err = {0};
    struct tl_policy_conditions c = {.context = context, .user = &f};
    runs_left = SIZE_MAX;
    struct tl_policy_trainer *t = two_passes(&f);
    size_t n = t->weights->layout->n_elements, stops = 0;
    float *whole = malloc(n * sizeof *whole), *parts = malloc(n * sizeof *parts);
    struct tl_policy_epoch sums = {0};
    check_ok(tl_policy_trainer_draw(t, &c, 0, &err), &err);
    check_ok(tl_policy_trainer_keep(t, &c, NULL, &err), &err);
    check_ok(tl_policy_trainer_update(t, &c, rewards, 0, &sums, &err), &err);
    assert_int_equal(sums.updates, 4);
    check_ok(tl_store_read_flat(t->weights, whole, &err), &err);
    tl_policy_trainer_destroy(&t);
    teardown(&f);
    for (size_t length = 3; length < 40; length += 9) { /* an update is 8 runs */
        t = two_passes(&f);
        struct tl_policy_epoch again = {0};
        runs_left = SIZE_MAX;
        check_ok(tl_policy_trainer_draw(t, &c, 0, &err), &err);
        check_ok(tl_policy_trainer_keep(t, &c, NULL, &err), &err);
        runs_left = length;
        while (!tl_policy_trainer_update(t, &c, rewards, 0, &again, &err)) {
            assert_int_equal(err.code, TL_INTERRUPTED);
            tl_err_clear(&err);
            stops++;
            runs_left = length + 8 * (stops % 3 + 1);
        }
        check_ok(tl_store_read_flat(t->weights, parts, &err), &err);
        assert_memory_equal(whole, parts, n * sizeof *whole);
        assert_memory_equal(&sums, &again, sizeof sums);
        tl_policy_trainer_destroy(&t);
        teardown(&f);
    }
    printf("%zu stops\n", stops);
    assert_true(stops >= 4);
    free(whole);
    free(parts);
}

/* Steps that are not learnt from: their ratios stay 0, and nothing of them reaches the gradient. */
static void test_learn_steps(void **state)
{
    (void)state;
    struct fixture f;
    struct tl_err err = {0};
    setup(&f, "to_q");
    struct tl_policy_trainer *t = trainer(&f, 1, false, 10);
    struct tl_policy_trainer_params p = t->p;
    tl_policy_trainer_destroy(&t);
    p.lora = &f.lora;
    p.learn_steps = 2;
    t = tl_policy_trainer_create(&p, &err);
    if (!t) fail_msg("%s", err.text);
    struct tl_policy_conditions c = {.context = context, .user = &f};
    check_ok(tl_policy_trainer_draw(t, &c, 0, &err), &err);
    check_ok(tl_policy_trainer_keep(t, &c, NULL, &err), &err);
    perturb(t, 1e-2);
    check_ok(tl_policy_trainer_snapshot(t, &c, &err), &err);
    for (int i = 0; i < GROUPS * SIZE; i++)
        for (int k = 0; k < STEPS; k++) assert_true((t->paths.old_ratio[i * STEPS + k] != 0) == (k < 2));
    struct tl_policy_epoch stats = {0};
    check_ok(tl_policy_trainer_update(t, &c, rewards, 0, &stats, &err), &err);
    assert_true(stats.grad_norm > 0);
    tl_policy_trainer_destroy(&t);
    p.learn_steps = STEPS + 1;
    assert_null(tl_policy_trainer_create(&p, &err));
    assert_non_null(strstr(err.text, "--learn-steps"));
    teardown(&f);
}

/* Same seeds, same bytes; and the mean reward direction is learnt: the ratio of better samples rises above
 * that of worse ones. */
static void test_updates(void **state)
{
    (void)state;
    float *first = NULL;
    for (int round = 0; round < 2; round++) {
        struct fixture f;
        struct tl_err err = {0};
        setup(&f, "to_q,to_k,to_v,to_out.0,ff.net.2");
        struct tl_policy_trainer *t = trainer(&f, 1, false, 10);
        struct tl_policy_conditions c = {.context = context, .user = &f};
        struct tl_policy_epoch start = {0}, stats = {0};
        t->p.adamw.lr = 5e-4;
        check_ok(tl_policy_trainer_draw(t, &c, 0, &err), &err);
        check_ok(tl_policy_trainer_keep(t, &c, NULL, &err), &err);
        for (uint32_t i = 0; i < 20; i++) {
            stats = (struct tl_policy_epoch){0};
            check_ok(tl_policy_trainer_update(t, &c, rewards, i, i ? &stats : &start, &err), &err);
        }
        printf("loss %.4f -> %.4f, correlation of ratio and reward %.3f\n", start.loss, stats.loss,
               stats.last.correlation);
        assert_true(start.first.drift_max == 0);
        assert_true(stats.loss < start.loss && stats.last.correlation > 0.5);
        size_t n = t->weights->layout->n_elements;
        float *flat = malloc(n * sizeof *flat);
        check_ok(tl_store_read_flat(t->weights, flat, &err), &err);
        if (round == 0)
            first = flat;
        else {
            assert_memory_equal(first, flat, n * sizeof *flat);
            free(flat);
        }
        tl_policy_trainer_destroy(&t);
        teardown(&f);
    }
    free(first);
}

static void test_refusals(void **state)
{
    (void)state;
    struct fixture f;
    struct tl_err err = {0};
    setup(&f, "to_q");
    struct tl_policy_trainer_params p = {.unet = f.unet,
                                         .scheduler = &f.scheduler,
                                         .sampling = {.n_steps = 4, .eta = 0},
                                         .n_groups = 1,
                                         .group_size = 2,
                                         .minibatches = 1,
                                         .passes = 1,
                                         .height = 8,
                                         .width = 8,
                                         .tokens = TOKENS,
                                         .guidance = 1,
                                         .lora = &f.lora,
                                         .loss = {.beta = 1, .clip = 1}};
    assert_null(tl_policy_trainer_create(&p, &err));
    assert_non_null(strstr(err.text, "--eta"));
    p.sampling.eta = 1;
    p.group_size = 1;
    tl_err_clear(&err);
    assert_null(tl_policy_trainer_create(&p, &err));
    assert_non_null(strstr(err.text, "--samples-per-prompt"));
    struct tl_lora_spec none;
    tl_err_clear(&err);
    check_ok(tl_lora_spec_parse("no_such_layer", 2, 2, &none, &err), &err);
    p.group_size = 2;
    p.lora = &none;
    assert_null(tl_policy_trainer_create(&p, &err));
    assert_non_null(strstr(err.text, "LoRA"));
    tl_lora_spec_finish(&none);
    p.lora = &f.lora;
    static const char *const samplers[] = {"euler", "euler_a", "dpmpp2m", "dpmpp2m_sde"};
    for (size_t i = 0; i < 4; i++) {
        p.sampling.sampler = samplers[i];
        tl_err_clear(&err);
        assert_null(tl_policy_trainer_create(&p, &err));
        assert_non_null(strstr(err.text, samplers[i]));
        assert_non_null(strstr(err.text, "take ddim or ddpm"));
    }
    teardown(&f);
}

/* A model whose own sampler cannot be trained on is sampled by DDIM, with the same steps as ever. */
static void test_other_sampler(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, "to_q");
    struct tl_policy_trainer *plain = trainer(&f, 1, false, 1);
    f.scheduler.config.sampler = "euler_a";
    struct tl_policy_trainer_params p = plain->p;
    p.sampling.sampler = NULL;
    struct tl_err err = {0};
    struct tl_policy_trainer *t = tl_policy_trainer_create(&p, &err);
    check_ok(t, &err);
    assert_string_equal(t->p.sampling.sampler, "ddim");
    for (size_t k = 0; k < STEPS; k++) {
        const struct tl_step *got = &t->steps[k], *want = &plain->steps[k];
        assert_true(got->t == want->t && got->sigma == want->sigma && got->c_x == want->c_x &&
                    got->c_m == want->c_m && got->c_in == 1 && got->k_prev == 0);
    }
    tl_policy_trainer_destroy(&t);
    tl_policy_trainer_destroy(&plain);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradient),     cmocka_unit_test(test_ddpo_gradient),
        cmocka_unit_test(test_interrupted),  cmocka_unit_test(test_learn_steps),
        cmocka_unit_test(test_updates),      cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_other_sampler)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
