/* Schedulers against diffusers' numbers (v0.31, recorded) and against the identities that define them. */
#include "support/check.h"

#include "base/rng.h"
#include "sample/scheduler.h"
#include "sample/trajectory.h"

static struct tl_scheduler_config sd_config(void)
{
    struct tl_scheduler_config c = tl_scheduler_config_default();
    c.beta = (struct tl_beta_params){
        .schedule = TL_BETA_SCALED_LINEAR, .beta_start = 0.00085, .beta_end = 0.012, .n = 1000};
    c.clip_sample = false;
    c.set_alpha_to_one = false;
    c.steps_offset = 1;
    return c;
}

static struct tl_scheduler make(struct tl_scheduler_config c)
{
    struct tl_err err = {0};
    struct tl_scheduler s;
    check_ok(tl_scheduler_init(&s, &c, &err), &err);
    return s;
}

static void plan(const struct tl_scheduler *s, struct tl_plan_params p, struct tl_step *out)
{
    struct tl_err err = {0};
    check_ok(tl_scheduler_plan(s, &p, out, &err), &err);
}

static void test_alpha_bar(void **state)
{
    (void)state;
    struct tl_scheduler_config c = sd_config();
    struct tl_scheduler s = make(c);
    static const struct {
        int t;
        double a;
    } sd[] = {{0, 0.99914998},   {1, 0.99829602},   {250, 0.67379230},
              {500, 0.27633250}, {750, 0.05616981}, {999, 0.00466010}};
    for (size_t i = 0; i < sizeof sd / sizeof *sd; i++) check_near(s.noise.alpha_bar[sd[i].t], sd[i].a, 1e-6);
    check_near(tl_noise_snr(&s.noise, 500), 0.27633250 / (1 - 0.27633250), 1e-5);
    tl_scheduler_finish(&s);
    c.beta.rescale_zero_snr = true;
    s = make(c);
    check_near(s.noise.alpha_bar[0], 0.99914998, 1e-6);
    check_near(s.noise.alpha_bar[250], 0.65245670, 1e-6);
    assert_true(s.noise.alpha_bar[999] == 0);
    tl_scheduler_finish(&s);
    c.beta =
        (struct tl_beta_params){.schedule = TL_BETA_LINEAR, .beta_start = 1e-4, .beta_end = 0.02, .n = 1000};
    s = make(c);
    check_near(s.noise.alpha_bar[500], 0.07779666, 1e-7);
    check_near(s.noise.alpha_bar[999], 4.035831e-5, 1e-9);
    tl_scheduler_finish(&s);
    c.beta.schedule = TL_BETA_SQUAREDCOS_CAP_V2;
    s = make(c);
    check_near(s.noise.alpha_bar[250], 0.84588802, 1e-6);
    check_near(s.noise.alpha_bar[999], 2.428735e-9, 1e-13);
    tl_scheduler_finish(&s);
    const double betas[] = {0.1, 0.5};
    c.beta = (struct tl_beta_params){.n = 2, .trained_betas = betas};
    c.steps_offset = 0;
    s = make(c);
    check_near(s.noise.alpha_bar[1], 0.45, 1e-15);
    tl_scheduler_finish(&s);
}

static void test_timesteps(void **state)
{
    (void)state;
    static const struct {
        enum tl_spacing spacing;
        int offset, n, t[5];
    } rows[] = {
        {TL_SPACING_LEADING, 1, 5, {801, 601, 401, 201, 1}},
        {TL_SPACING_TRAILING, 0, 5, {999, 799, 599, 399, 199}},
        {TL_SPACING_LINSPACE, 0, 5, {999, 749, 500, 250, 0}},
        {TL_SPACING_LEADING, 0, 3, {666, 333, 0}},
        {TL_SPACING_TRAILING, 0, 3, {999, 666, 332}},
        {TL_SPACING_LINSPACE, 0, 1, {0}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tl_scheduler_config c = sd_config();
        c.spacing = rows[i].spacing;
        c.steps_offset = rows[i].offset;
        struct tl_scheduler s = make(c);
        struct tl_err err = {0};
        int t[5];
        check_ok(tl_scheduler_timesteps(&s, rows[i].n, t, &err), &err);
        for (int k = 0; k < rows[i].n; k++) assert_int_equal(t[k], rows[i].t[k]);
        tl_scheduler_finish(&s);
    }
}

/* Spec vectors: x = [1, -0.5, 0.25, 2], m = 0.5 x + t / 2000, five steps of DDIM without noise. */
static void test_ddim_vectors(void **state)
{
    (void)state;
    static const struct {
        enum tl_spacing spacing;
        enum tl_prediction prediction;
        bool zero_snr, to_one;
        int offset;
        double x[4];
    } rows[] = {
        {TL_SPACING_LEADING, TL_PREDICT_EPSILON, 0, 0, 1, {0.924277, -1.806632, -0.441177, 2.744883}},
        {TL_SPACING_TRAILING, TL_PREDICT_V, 0, 0, 0, {0.135942, -0.355434, -0.109746, 0.463526}},
        {TL_SPACING_LINSPACE, TL_PREDICT_EPSILON, 0, 1, 0, {0.954618, -3.579005, -1.312194, 3.977033}},
        {TL_SPACING_TRAILING, TL_PREDICT_V, 1, 1, 0, {0.101612, -0.335966, -0.117177, 0.393330}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tl_scheduler_config c = sd_config();
        c.spacing = rows[i].spacing;
        c.prediction = rows[i].prediction;
        c.beta.rescale_zero_snr = rows[i].zero_snr;
        c.set_alpha_to_one = rows[i].to_one;
        c.steps_offset = rows[i].offset;
        struct tl_scheduler s = make(c);
        struct tl_step steps[5];
        plan(&s, (struct tl_plan_params){.n_steps = 5}, steps);
        float x[4] = {1, -0.5f, 0.25f, 2}, m[4];
        for (int k = 0; k < 5; k++) {
            for (int j = 0; j < 4; j++) m[j] = 0.5f * x[j] + (float)steps[k].t / 2000;
            tl_step_apply(&steps[k], x, m, NULL, 4, x, NULL);
        }
        for (int j = 0; j < 4; j++) check_near(x[j], rows[i].x[j], 1e-5);
        tl_scheduler_finish(&s);
    }
}

/* diffusers' own suite: sum |x| after ten steps of DDIM with clipping from x = arange(768) / 768, m = x t /
 * (t + 1). */
static void test_ddim_upstream_sums(void **state)
{
    (void)state;
    static const double sums[] = {[TL_PREDICT_EPSILON] = 172.0067, [TL_PREDICT_V] = 52.5302};
    for (int v = TL_PREDICT_EPSILON; v <= TL_PREDICT_V; v++) {
        struct tl_scheduler_config c = tl_scheduler_config_default();
        c.prediction = (enum tl_prediction)v;
        struct tl_scheduler s = make(c);
        struct tl_step steps[10];
        plan(&s, (struct tl_plan_params){.n_steps = 10}, steps);
        float x[768], m[768];
        for (int i = 0; i < 768; i++) x[i] = (float)i / 768;
        for (int k = 0; k < 10; k++) {
            for (int i = 0; i < 768; i++) m[i] = x[i] * (float)steps[k].t / (float)(steps[k].t + 1);
            tl_step_apply(&steps[k], x, m, NULL, 768, x, NULL);
        }
        double sum = 0;
        for (int i = 0; i < 768; i++) sum += fabs((double)x[i]);
        check_near(sum, sums[v], 2e-4);
        tl_scheduler_finish(&s);
    }
}

static void test_variance(void **state)
{
    (void)state;
    struct tl_scheduler s = make(sd_config());
    struct tl_step steps[5], half[5], ddpm[5];
    plan(&s, (struct tl_plan_params){.n_steps = 5, .eta = 1}, steps);
    plan(&s, (struct tl_plan_params){.n_steps = 5, .eta = 0.5}, half);
    plan(&s, (struct tl_plan_params){.sampler = "ddpm", .n_steps = 5}, ddpm);
    check_near(steps[0].sigma * steps[0].sigma, 0.67263448, 1e-6);
    check_near(steps[3].sigma * steps[3].sigma, 0.00169515, 1e-7);
    for (int k = 0; k < 4; k++) { /* eta 1 is DDPM's posterior: same mean, same variance */
        check_near(half[k].sigma, steps[k].sigma / 2, 1e-15);
        check_near(ddpm[k].sigma, steps[k].sigma, 1e-12);
        check_near(ddpm[k].c_x, steps[k].c_x, 1e-12);
        check_near(ddpm[k].c_m, steps[k].c_m, 1e-12);
    }
    tl_scheduler_finish(&s);
    struct tl_scheduler_config c = sd_config();
    c.variance = TL_VARIANCE_FIXED_LARGE;
    s = make(c);
    plan(&s, (struct tl_plan_params){.sampler = "ddpm", .n_steps = 5}, ddpm);
    check_near(ddpm[1].sigma, sqrt(1 - s.noise.alpha_bar[601] / s.noise.alpha_bar[401]), 1e-12);
    tl_scheduler_finish(&s);
}

/* The printed choice for the last step, on both samplers. */
static void test_last_step(void **state)
{
    (void)state;
    struct tl_scheduler_config c = sd_config();
    struct tl_scheduler s = make(c);
    double a0 = s.noise.alpha_bar[0], a1 = s.noise.alpha_bar[1];
    double clamp = sqrt((1 - a0) / (1 - a1) * (1 - a1 / a0));
    struct tl_step st[5];
    plan(&s, (struct tl_plan_params){.n_steps = 5, .eta = 1}, st);
    assert_true(st[4].sigma == 0 && st[3].sigma > 0);
    plan(&s, (struct tl_plan_params){.n_steps = 5, .eta = 1, .last = TL_LAST_DIFFUSERS}, st);
    check_near(st[4].sigma, clamp, 1e-12);
    plan(&s, (struct tl_plan_params){.sampler = "ddpm", .n_steps = 5, .last = TL_LAST_DIFFUSERS}, st);
    assert_true(st[4].sigma == 0 && st[4].alpha_s == 1);
    check_near(st[4].c_x, st[4].p_x, 1e-12); /* the mean is x0 itself */
    check_near(st[4].c_m, st[4].p_m, 1e-12);
    plan(&s, (struct tl_plan_params){.sampler = "ddpm", .n_steps = 5, .last = TL_LAST_CLAMP}, st);
    check_near(st[4].sigma, clamp, 1e-12);
    tl_scheduler_finish(&s);
    c.set_alpha_to_one = true;
    s = make(c);
    plan(&s, (struct tl_plan_params){.n_steps = 5, .eta = 1, .last = TL_LAST_DIFFUSERS}, st);
    assert_true(st[4].sigma == 0);
    plan(&s, (struct tl_plan_params){.n_steps = 5, .eta = 1, .last = TL_LAST_CLAMP}, st);
    check_near(st[4].sigma, clamp, 1e-12);
    assert_string_equal(tl_last_step_name(TL_LAST_CLAMP), "clamp");
    tl_scheduler_finish(&s);
}

/* Noise x0 at t, answer with the exact target: every step recovers x0 and eps, and DDIM at eta 0 lands on the
 * same pair. */
static void test_targets_invert(void **state)
{
    (void)state;
    struct tl_rng_key key = {.seed = 1, .stream = TL_RNG_TEST};
    float x0[64], eps[64], xt[64], m[64], got[64], next[64], want[64];
    tl_rng_normal(key, 0, 64, x0);
    tl_rng_normal(key, 64, 64, eps);
    for (int p = 0; p < TL_PREDICTIONS; p++) {
        struct tl_scheduler_config c = sd_config();
        c.prediction = (enum tl_prediction)p;
        struct tl_scheduler s = make(c);
        struct tl_step st[10];
        plan(&s, (struct tl_plan_params){.n_steps = 10}, st);
        for (int k = 0; k < 9; k++) {
            tl_noise_add(&s.noise, (size_t)st[k].t, x0, eps, 64, xt);
            tl_noise_target(&s.noise, c.prediction, (size_t)st[k].t, x0, eps, 64, m);
            tl_step_apply(&st[k], xt, m, NULL, 64, next, got);
            assert_true(check_rel_l2(got, x0, 64) < 3e-6);
            tl_noise_add(&s.noise, (size_t)st[k].t_prev, x0, eps, 64, want);
            assert_true(check_rel_l2(next, want, 64) < 3e-6);
        }
        tl_scheduler_finish(&s);
    }
}

/* Unclipped steps are c_x x + c_m m; clipped ones clamp x0 only; the cotangent is the mean's derivative in
 * both. */
static void test_linear_and_clipped(void **state)
{
    (void)state;
    struct tl_rng_key key = {.seed = 2, .stream = TL_RNG_TEST};
    float x[32], m[32], z[32], ones[32], out[32], x0[32], dx[32], dm[32];
    tl_rng_normal(key, 0, 32, x);
    tl_rng_normal(key, 32, 32, m);
    tl_rng_normal(key, 64, 32, z);
    for (int i = 0; i < 32; i++) ones[i] = 1;
    for (int row = 0; row < 2 * TL_PREDICTIONS * 2; row++) {
        struct tl_scheduler_config c = sd_config();
        c.prediction = (enum tl_prediction)(row / 4);
        c.clip_sample = row & 1;
        c.clip_sample_range = 0.7;
        struct tl_scheduler s = make(c);
        struct tl_step st[5];
        plan(&s, (struct tl_plan_params){.sampler = row & 2 ? "ddpm" : "ddim", .n_steps = 5, .eta = 0.6}, st);
        for (int k = 0; k < 5; k++) {
            const struct tl_step *t = &st[k];
            tl_step_apply(t, x, m, z, 32, out, x0);
            tl_step_cotangent(t, x, m, ones, 32, dx, dm);
            for (int i = 0; i < 32; i++) {
                double raw = t->p_x * x[i] + t->p_m * m[i], e = t->e_x * x[i] + t->e_m * m[i];
                double kept = c.clip_sample ? fmin(fmax(raw, -0.7), 0.7) : raw;
                double mean = t->k_x0 * kept + t->k_eps * e + t->k_x * x[i];
                check_near(x0[i], kept, 1e-5 * (1 + fabs(kept)));
                check_near(out[i], mean + t->sigma * z[i], 1e-5 * (1 + fabs(mean)));
                if (fabs(fabs(raw) - 0.7) < 1e-3 && c.clip_sample) continue; /* the kink */
                double h = 1e-6;
                double fx =
                    (tl_step_mean_at(t, x[i] + h, m[i]) - tl_step_mean_at(t, x[i] - h, m[i])) / (2 * h);
                double fm =
                    (tl_step_mean_at(t, x[i], m[i] + h) - tl_step_mean_at(t, x[i], m[i] - h)) / (2 * h);
                check_near(dx[i], fx, 1e-6 * (1 + fabs(fx)));
                check_near(dm[i], fm, 1e-6 * (1 + fabs(fm)));
            }
        }
        tl_scheduler_finish(&s);
    }
}

static void refuse_plan(struct tl_scheduler_config c, struct tl_plan_params p, const char *says)
{
    struct tl_err err = {0};
    struct tl_step st[8];
    struct tl_scheduler s;
    bool ok = tl_scheduler_init(&s, &c, &err);
    if (ok) ok = tl_scheduler_plan(&s, &p, st, &err);
    tl_scheduler_finish(&s);
    assert_false(ok);
    if (!strstr(err.text, says)) fail_msg("expected \"%s\" in \"%s\"", says, err.text);
}

static void test_refusals(void **state)
{
    (void)state;
    struct tl_plan_params five = {.n_steps = 5};
    struct tl_scheduler_config c = sd_config();
    refuse_plan(c, (struct tl_plan_params){.n_steps = 0}, "0 steps asked");
    refuse_plan(c, (struct tl_plan_params){.n_steps = 1001}, "1001 steps asked");
    refuse_plan(c, (struct tl_plan_params){.n_steps = 5, .eta = 1.5}, "eta is 1.5");
    refuse_plan(c, (struct tl_plan_params){.n_steps = 5, .eta = NAN}, "eta is");
    refuse_plan(c, (struct tl_plan_params){.n_steps = 5, .sampler = "heun"}, "no sampler heun");
    c.beta.n = 4;
    refuse_plan(c, (struct tl_plan_params){.n_steps = 4}, "reach timestep 4");
    c = sd_config();
    c.beta.n = 0;
    refuse_plan(c, five, "num_train_timesteps is 0");
    c = sd_config();
    c.beta.beta_end = 1.2;
    refuse_plan(c, five, "expected [0, 1)");
    c = sd_config();
    c.beta.beta_start = -0.1; /* its root is not a number */
    refuse_plan(c, five, "beta of timestep 0");
    c = sd_config();
    c.beta.rescale_zero_snr = true;
    c.spacing = TL_SPACING_TRAILING;
    refuse_plan(c, five, "v_prediction");
    c = sd_config();
    c.clip_sample = true;
    c.clip_sample_range = 0;
    refuse_plan(c, five, "clip_sample_range");
    c = sd_config();
    c.beta.beta_start = c.beta.beta_end = 0;
    refuse_plan(c, five, "carries no noise");
}

static void test_trajectory(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_trajectory t;
    check_ok(tl_trajectory_init(&t, 3, 2, 5, &err), &err);
    for (size_t k = 0; k <= 3; k++)
        for (size_t i = 0; i < 10; i++) tl_trajectory_slot(&t, k)[i] = (float)(k * 10 + i);
    assert_true(tl_trajectory_at(&t, 3, 1)[4] == 39 && t.ratio[5] == 0 && t.old_ratio[5] == 0);
    tl_trajectory_finish(&t);
    assert_null(t.x);
    tl_trajectory_finish(&t);
    size_t bytes;
    assert_true(tl_trajectory_bytes(3, 2, 5, &bytes));
    assert_int_equal(bytes, 4 * 10 * sizeof(float) + 2 * 6 * sizeof(double));
    assert_false(tl_trajectory_bytes(SIZE_MAX, 1, 1, &bytes));
    assert_false(tl_trajectory_init(&t, 50, SIZE_MAX / 64, 1 << 20, &err));
    assert_non_null(strstr(err.text, "too large"));
    tl_err_clear(&err);
    assert_false(tl_trajectory_init(&t, 0, 2, 5, &err));
}

static void test_sampler_table(void **state)
{
    (void)state;
    assert_true(tl_n_samplers == 6);
    for (size_t i = 0; i < tl_n_samplers; i++) {
        assert_ptr_equal(tl_sampler_find(tl_samplers[i].name), &tl_samplers[i]);
        assert_true(strlen(tl_samplers[i].help) > 10 && strlen(tl_samplers[i].title) > 3);
    }
    assert_null(tl_sampler_find("heun"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alpha_bar),      cmocka_unit_test(test_timesteps),
        cmocka_unit_test(test_ddim_vectors),   cmocka_unit_test(test_ddim_upstream_sums),
        cmocka_unit_test(test_variance),       cmocka_unit_test(test_last_step),
        cmocka_unit_test(test_targets_invert), cmocka_unit_test(test_linear_and_clipped),
        cmocka_unit_test(test_refusals),       cmocka_unit_test(test_trajectory),
        cmocka_unit_test(test_sampler_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
