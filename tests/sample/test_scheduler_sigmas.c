/* Every step of the samplers of sigmas against diffusers' own results (tests/fixtures/schedulers, made by
 * tests/reference), and what of them no fixture says. */
#include "support/check.h"

#include "io/json.h"
#include "sample/scheduler_config.h"

enum { WIDTH = 4, MAX_STEPS = 20 };

static double number_at(const cJSON *list, size_t i)
{
    const cJSON *item = list ? list->child : NULL;
    while (item && i--) item = item->next;
    if (!cJSON_IsNumber(item)) fail_msg("the fixture lacks a number");
    return item->valuedouble;
}

static void floats_of(const cJSON *list, size_t from, float out[WIDTH])
{
    for (size_t j = 0; j < WIDTH; j++) out[j] = (float)number_at(list, from + j);
}

static struct tl_scheduler scheduler_of(const cJSON *config)
{
    struct tl_err err = {0};
    struct tl_arena arena = {0};
    struct tl_scheduler_config c;
    struct tl_scheduler s;
    check_ok(tl_scheduler_config_from_json(config, &arena, &c, &err), &err);
    check_ok(tl_scheduler_init(&s, &c, &err), &err);
    tl_arena_finish(&arena);
    return s;
}

/* Per unit of what the step computes with. Two float32 units of the sample before are passed over: diffusers
 * takes the step as a difference from it, and a zero-SNR schedule begins at 4096. */
static void compare(const char *what, size_t k, const float *got, const cJSON *row, size_t from,
                    const float *before, double most, double *worst)
{
    for (size_t j = 0; j < WIDTH; j++) {
        double want = number_at(row, from + j), theirs = 0x1p-22 * fabs((double)before[j]);
        double off = fmax(fabs((double)got[j] - want) - theirs, 0) / (1 + fabs(want));
        *worst = fmax(*worst, off);
        if (!(off < most))
            fail_msg("step %zu: %s[%zu] = %.8g, diffusers has %.8g", k, what, j, (double)got[j], want);
    }
}

/* Runs the case on its own output, so that errors may add up, and looks at every step. */
static double check_case(const cJSON *root, const cJSON *entry, const char *sampler)
{
    struct tl_err err = {0};
    struct tl_scheduler s = scheduler_of(tl_json_get(entry, "config"));
    struct tl_step st[MAX_STEPS];
    int64_t n;
    /* diffusers multiplies 1 - beta in float32, where the cosine's last betas are 0.99; and takes the first
     * zero-SNR step as a difference of numbers near 4096. */
    bool rough = s.config.beta.schedule == TL_BETA_SQUAREDCOS_CAP_V2 || s.config.beta.rescale_zero_snr;
    double init, worst = 0, most = rough ? 2e-4 : 3e-5;
    assert_string_equal(s.config.sampler, sampler);
    check_ok(tl_json_int(entry, "steps", 0, &n, &err) && tl_json_double(entry, "init", 0, &init, &err), &err);
    assert_in_range(n, 1, MAX_STEPS);
    struct tl_plan_params p = {.n_steps = (int)n, .last = TL_LAST_DIFFUSERS};
    check_ok(tl_scheduler_plan(&s, &p, st, &err), &err);
    check_near(st[0].start, init, 1e-5 * init + 1e-6); /* 1 - alpha_bar of theirs is float32 */
    float x[WIDTH], m[WIDTH], z[WIDTH], x0[WIDTH], next[WIDTH], before[WIDTH] = {NAN, NAN, NAN, NAN};
    floats_of(tl_json_get(root, "start"), 0, x);
    for (size_t j = 0; j < WIDTH; j++) x[j] = (float)(st[0].start * (double)x[j]);
    const cJSON *row = tl_json_get(entry, "rows")->child, *noise = tl_json_get(root, "noise")->child;
    for (size_t k = 0; k < (size_t)n; k++, row = row->next, noise = noise->next) {
        check_near(st[k].t, number_at(row, 0), 1e-4 * (1 + st[k].t)); /* karras: interpolated in float32 */
        floats_of(noise, 0, z);
        for (size_t j = 0; j < WIDTH; j++) {
            m[j] = (float)(st[k].c_in * (double)x[j] / 2 + number_at(row, 0) / 2000);
            x0[j] = (float)tl_step_x0_at(&st[k], (double)x[j], (double)m[j]);
        }
        tl_step_apply_after(&st[k], x, m, before, z, WIDTH, next);
        compare("x0", k, x0, row, 1, x, most, &worst);
        compare("x", k, next, row, 1 + WIDTH, x, most, &worst);
        memcpy(before, x0, sizeof before);
        memcpy(x, next, sizeof x);
    }
    assert_true(st[n - 1].sigma == 0 || s.config.final_sigma_min);
    tl_scheduler_finish(&s);
    return worst;
}

static void check_file(const char *sampler, size_t least)
{
    struct tl_err err = {0};
    char path[1024];
    snprintf(path, sizeof path, "%s/tests/fixtures/schedulers/%s.json", TL_SOURCE_DIR, sampler);
    cJSON *root = tl_json_read(path, &err);
    if (!root) fail_msg("%s", err.text);
    size_t n = 0;
    double worst = 0;
    const cJSON *entry;
    cJSON_ArrayForEach(entry, tl_json_get(root, "cases"))
    {
        char *config = cJSON_PrintUnformatted(tl_json_get(entry, "config"));
        double off = check_case(root, entry, sampler);
        if (off > 1.5e-5) print_message("%.1e %s\n", off, config);
        cJSON_free(config);
        worst = fmax(worst, off);
        n++;
    }
    print_message("%s: %zu cases, largest deviation %.1e\n", sampler, n, worst);
    assert_true(n >= least);
    cJSON_Delete(root);
}

static void test_euler(void **state)
{
    (void)state;
    check_file("euler", 38);
}

static void test_euler_a(void **state)
{
    (void)state;
    check_file("euler_a", 22);
}

static void test_dpmpp2m(void **state)
{
    (void)state;
    check_file("dpmpp2m", 43);
}

static void test_dpmpp2m_sde(void **state)
{
    (void)state;
    check_file("dpmpp2m_sde", 43);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_euler),
        cmocka_unit_test(test_euler_a),
        cmocka_unit_test(test_dpmpp2m),
        cmocka_unit_test(test_dpmpp2m_sde),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
