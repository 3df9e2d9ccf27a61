/* scheduler_config.json: fields and defaults per class, refusals by name, and diffusers' own results where
 * recorded. */
#include "support/check.h"

#include <tiller/log.h>

#include "io/file.h"
#include "io/json.h"
#include "sample/scheduler_config.h"

static char last_warning[512];
static int n_warnings;

static void on_log(void *user, enum tl_log_level level, const char *text)
{
    (void)user;
    if (level != TL_LOG_WARN) return;
    n_warnings++;
    snprintf(last_warning, sizeof last_warning, "%s", text);
}

static bool parse(const char *text, struct tl_scheduler *s, struct tl_err *err)
{
    struct tl_arena arena = {0};
    struct tl_scheduler_config c;
    *s = (struct tl_scheduler){0};
    cJSON *json = tl_json_parse(text, strlen(text), "config", err);
    bool ok = json && tl_scheduler_config_from_json(json, &arena, &c, err) && tl_scheduler_init(s, &c, err);
    cJSON_Delete(json);
    tl_arena_finish(&arena);
    return ok;
}

#define SD_BETAS                                                                                             \
    "\"beta_start\": 0.00085, \"beta_end\": 0.012, \"beta_schedule\": \"scaled_linear\", "                   \
    "\"num_train_timesteps\": 1000"

static void test_sd15(void **state)
{
    (void)state;
    struct tl_scheduler s;
    struct tl_err err = {0};
    n_warnings = 0;
    check_ok(parse("{\"_class_name\": \"PNDMScheduler\", \"_diffusers_version\": \"0.6.0\", " SD_BETAS
                   ", \"set_alpha_to_one\": false, \"skip_prk_steps\": true, \"steps_offset\": 1, "
                   "\"trained_betas\": null, \"clip_sample\": false}",
                   &s, &err),
             &err);
    assert_int_equal(n_warnings, 1);
    assert_non_null(strstr(last_warning, "PNDMScheduler is sampled by DDIM"));
    assert_string_equal(s.config.sampler, "ddim");
    assert_string_equal(s.config.class_name, "PNDMScheduler");
    assert_true(!s.config.clip_sample && !s.config.set_alpha_to_one && s.config.steps_offset == 1);
    assert_int_equal(s.config.spacing, TL_SPACING_LEADING);
    check_near(s.noise.alpha_bar[999], 0.00466010, 1e-7);
    tl_scheduler_finish(&s);
}

/* A field that a config leaves out takes its class's default; clipping would spoil latents of classes that
 * never clip. */
static void test_defaults(void **state)
{
    (void)state;
    static const struct {
        const char *text, *sampler;
        bool clip, to_one;
        enum tl_spacing spacing;
        int warnings;
    } rows[] = {
        {"{\"_class_name\": \"DDIMScheduler\"}", "ddim", true, true, TL_SPACING_LEADING, 0},
        {"{\"_class_name\": \"DDPMScheduler\"}", "ddpm", true, true, TL_SPACING_LEADING, 0},
        {"{\"_class_name\": \"PNDMScheduler\"}", "ddim", false, false, TL_SPACING_LEADING, 1},
        {"{\"_class_name\": \"EulerDiscreteScheduler\"}", "euler", false, true, TL_SPACING_LINSPACE, 0},
        {"{\"_class_name\": \"EulerAncestralDiscreteScheduler\"}", "euler_a", false, true,
         TL_SPACING_LINSPACE, 0},
        {"{\"_class_name\": \"DPMSolverMultistepScheduler\"}", "dpmpp2m", false, true, TL_SPACING_LINSPACE,
         0},
        {"{\"_class_name\": \"DPMSolverMultistepScheduler\", \"algorithm_type\": \"sde-dpmsolver++\"}",
         "dpmpp2m_sde", false, true, TL_SPACING_LINSPACE, 0},
        {"{\"_class_name\": \"UniPCMultistepScheduler\"}", "ddim", false, true, TL_SPACING_LINSPACE, 1},
        {"{\"_class_name\": \"NewScheduler\", " SD_BETAS "}", "ddim", false, true, TL_SPACING_LEADING, 1},
        {"{}", "ddim", true, true, TL_SPACING_LEADING, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tl_scheduler s;
        struct tl_err err = {0};
        n_warnings = 0;
        check_ok(parse(rows[i].text, &s, &err), &err);
        assert_string_equal(s.config.sampler, rows[i].sampler);
        assert_int_equal(s.config.clip_sample, rows[i].clip);
        assert_int_equal(s.config.set_alpha_to_one, rows[i].to_one);
        assert_int_equal(s.config.spacing, rows[i].spacing);
        assert_int_equal(n_warnings, rows[i].warnings);
        assert_int_equal(s.noise.n, 1000);
        tl_scheduler_finish(&s);
    }
}

static void test_fields(void **state)
{
    (void)state;
    struct tl_scheduler s;
    struct tl_err err = {0};
    check_ok(
        parse("{\"_class_name\": \"DDPMScheduler\", \"num_train_timesteps\": 3, \"trained_betas\": [0.1, "
              "0.2, 0.5], "
              "\"prediction_type\": \"v_prediction\", \"variance_type\": \"fixed_large\", "
              "\"timestep_spacing\": \"trailing\", \"clip_sample_range\": 2.5, \"beta_schedule\": \"own\"}",
              &s, &err),
        &err);
    check_near(s.noise.alpha_bar[2], 0.9 * 0.8 * 0.5, 1e-15);
    assert_int_equal(s.config.prediction, TL_PREDICT_V);
    assert_int_equal(s.config.variance, TL_VARIANCE_FIXED_LARGE);
    assert_int_equal(s.config.spacing, TL_SPACING_TRAILING);
    check_near(s.config.clip_sample_range, 2.5, 0);
    assert_null(s.config.beta.trained_betas);
    tl_scheduler_finish(&s);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"[1]", "not a JSON object"},
        {"{\"_class_name\": \"FlowMatchEulerDiscreteScheduler\"}",
         "FlowMatchEulerDiscreteScheduler is a flow"},
        {"{\"_class_name\": \"NewScheduler\"}", "no betas"},
        {"{\"thresholding\": true}", "thresholding"},
        {"{\"variance_type\": \"learned_range\"}",
         "variance_type learned_range is not supported: fixed_small, "},
        {"{\"variance_type\": \"fixed_large_log\"}", "variance_type fixed_large_log"},
        {"{\"beta_schedule\": \"laplace\"}",
         "beta_schedule laplace is not supported: linear, scaled_linear, "},
        {"{\"prediction_type\": \"flow\"}", "prediction_type flow"},
        {"{\"timestep_spacing\": \"karras\"}", "timestep_spacing karras"},
        {"{\"trained_betas\": [0.1]}", "trained_betas has 1 numbers"},
        {"{\"trained_betas\": 0.1}", "not a list"},
        {"{\"trained_betas\": [0.1, \"x\"], \"num_train_timesteps\": 2}", "trained_betas[1]"},
        {"{\"trained_betas\": [0.1, 1.5], \"num_train_timesteps\": 2}", "beta of timestep 1 is 1.5"},
        {"{\"num_train_timesteps\": -1}", "num_train_timesteps is -1"},
        {"{\"num_train_timesteps\": 100000000000}", "num_train_timesteps is 100000000000"},
        {"{\"steps_offset\": 1000}", "steps_offset is 1000"},
        {"{\"beta_start\": \"small\"}", "beta_start"},
        {"{\"clip_sample\": 3}", "clip_sample"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tl_scheduler s;
        struct tl_err err = {0};
        bool ok = parse(rows[i].text, &s, &err);
        tl_scheduler_finish(&s);
        if (ok) fail_msg("%s was accepted", rows[i].text);
        if (!strstr(err.text, rows[i].says))
            fail_msg("%s: expected \"%s\" in \"%s\"", rows[i].text, rows[i].says, err.text);
        assert_int_equal(err.code, TL_BAD_INPUT);
    }
}

static void test_file(void **state)
{
    (void)state;
    struct tl_scheduler s;
    struct tl_err err = {0};
    assert_false(tl_scheduler_read(&s, "no/such/scheduler_config.json", &err));
    assert_non_null(strstr(err.text, "no/such/scheduler_config.json"));
    tl_scheduler_finish(&s);
}

/* What the classes of sigmas may ask beyond their samplers here: DDIM, and the warning names it. */
static void test_unlike(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"{\"_class_name\": \"DPMSolverMultistepScheduler\", \"solver_type\": \"heun\"}",
         "with solver_type heun"},
        {"{\"_class_name\": \"DPMSolverMultistepScheduler\", \"solver_order\": 3}", "with solver_order 3"},
        {"{\"_class_name\": \"DPMSolverMultistepScheduler\", \"algorithm_type\": \"dpmsolver\"}",
         "with algorithm_type dpmsolver"},
        {"{\"_class_name\": \"DPMSolverMultistepScheduler\", \"use_lu_lambdas\": true}",
         "with use_lu_lambdas"},
        {"{\"_class_name\": \"EulerDiscreteScheduler\", \"use_exponential_sigmas\": true}",
         "with use_exponential_sigmas"},
        {"{\"_class_name\": \"EulerDiscreteScheduler\", \"use_beta_sigmas\": true}", "with use_beta_sigmas"},
        {"{\"_class_name\": \"EulerDiscreteScheduler\", \"interpolation_type\": \"log_linear\"}",
         "with interpolation_type log_linear"},
        {"{\"_class_name\": \"EulerDiscreteScheduler\", \"sigma_min\": 0.1}", "with sigma_min"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tl_scheduler s;
        struct tl_err err = {0};
        n_warnings = 0;
        check_ok(parse(rows[i].text, &s, &err), &err);
        assert_string_equal(s.config.sampler, "ddim");
        assert_int_equal(n_warnings, 1);
        if (!strstr(last_warning, rows[i].says)) fail_msg("\"%s\" in \"%s\"", rows[i].says, last_warning);
        tl_scheduler_finish(&s);
    }
}

/* As diffusers writes them, with the fields that it fills in. */
static void test_sigma_fields(void **state)
{
    (void)state;
    struct tl_scheduler s;
    struct tl_err err = {0};
    n_warnings = 0;
    check_ok(parse("{\"_class_name\": \"DPMSolverMultistepScheduler\", \"algorithm_type\": \"dpmsolver++\", "
                   "\"solver_order\": 1, \"lower_order_final\": false, \"euler_at_final\": true, "
                   "\"use_karras_sigmas\": true, \"final_sigmas_type\": \"sigma_min\", "
                   "\"lambda_min_clipped\": -5.1, \"variance_type\": null, \"use_flow_sigmas\": false, "
                   "\"flow_shift\": 1.0, \"solver_type\": \"midpoint\", \"sigma_max\": null}",
                   &s, &err),
             &err);
    assert_int_equal(n_warnings, 0);
    assert_true(s.config.karras && s.config.final_sigma_min && s.config.euler_at_final);
    assert_true(!s.config.lower_order_final && s.config.solver_order == 1);
    check_near(s.config.lambda_min_clipped, -5.1, 0);
    tl_scheduler_finish(&s);
    check_ok(parse("{\"_class_name\": \"DPMSolverMultistepScheduler\"}", &s, &err), &err);
    assert_true(!s.config.karras && !s.config.final_sigma_min && !s.config.euler_at_final);
    assert_true(s.config.lower_order_final && s.config.solver_order == 2);
    assert_true(s.config.lambda_min_clipped == -INFINITY && s.config.spacing_unsaid);
    tl_scheduler_finish(&s);
}

int main(void)
{
    tl_log_set(on_log, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sd15),         cmocka_unit_test(test_defaults), cmocka_unit_test(test_fields),
        cmocka_unit_test(test_refusals),     cmocka_unit_test(test_file),     cmocka_unit_test(test_unlike),
        cmocka_unit_test(test_sigma_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
