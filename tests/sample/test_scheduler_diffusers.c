/* Every step of DDIM and DDPM against diffusers' own results: tests/fixtures/schedulers, made by
 * tests/reference. */
#include "support/check.h"

#include "io/file.h"
#include "io/json.h"
#include "sample/scheduler_config.h"

enum { WIDTH = 4, MAX_STEPS = 16 };

static double number_at(const cJSON *list, size_t i)
{
    const cJSON *item = list ? list->child : NULL;
    while (item && i--) item = item->next;
    if (!cJSON_IsNumber(item)) fail_msg("the fixture lacks a number");
    return item->valuedouble;
}

static void floats_of(const cJSON *list, float out[WIDTH])
{
    for (size_t j = 0; j < WIDTH; j++) out[j] = (float)number_at(list, j);
}

static const cJSON *item_at(const cJSON *list, size_t i)
{
    const cJSON *item = list ? list->child : NULL;
    while (item && i--) item = item->next;
    return item;
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

static void check_alphas(const cJSON *root)
{
    const cJSON *row;
    size_t n = 0;
    cJSON_ArrayForEach(row, tl_json_get(root, "alphas"))
    {
        struct tl_scheduler s = scheduler_of(tl_json_get(row, "config"));
        const cJSON *at = tl_json_get(row, "at"), *want = tl_json_get(row, "alphas_cumprod");
        for (size_t i = 0; i < (size_t)cJSON_GetArraySize(at); i++, n++) {
            double a = number_at(want, i); /* theirs is a float32 product of up to 1000 factors */
            check_near(s.noise.alpha_bar[(size_t)number_at(at, i)], a, 1e-4 * a + 1e-15);
        }
        tl_scheduler_finish(&s);
    }
    assert_true(n >= 28);
}

/* |got - want| per unit of what the step computes with: x0 = (x - ..)/sqrt(a) amplifies float rounding where
 * a is small. */
static void compare(const char *what, const float *got, const cJSON *want, double scale, double *worst)
{
    for (size_t j = 0; j < WIDTH; j++) {
        double off = fabs((double)got[j] - number_at(want, j)) / (scale + fabs(number_at(want, j)));
        *worst = fmax(*worst, off);
        if (!(off < 3e-5))
            fail_msg("%s[%zu] = %.8g, diffusers has %.8g", what, j, (double)got[j], number_at(want, j));
    }
}

/* How far sigma may be off, relative: diffusers subtracts float32 alpha_bars near 1, so 1 - a has their
 * rounding, not ours. */
static double rounding(const struct tl_step *s)
{
    double least = fmin(1 - s->alpha_t, 1 - s->alpha_t / s->alpha_s);
    if (s->alpha_s < 1) least = fmin(least, 1 - s->alpha_s);
    return least > 0 ? 1e-5 + 1.2e-7 / least : 1e-5;
}

/* Runs the case on its own output, so that errors may add up, and looks at every step. */
static double check_case(const cJSON *root, const cJSON *entry)
{
    struct tl_err err = {0};
    struct tl_scheduler s = scheduler_of(tl_json_get(entry, "config"));
    struct tl_plan_params p = {.last = TL_LAST_DIFFUSERS};
    int64_t n;
    check_ok(tl_json_int(entry, "steps", 0, &n, &err), &err);
    check_ok(tl_json_double(entry, "eta", 0, &p.eta, &err), &err);
    assert_in_range(n, 1, MAX_STEPS);
    p.n_steps = (int)n;
    struct tl_step st[MAX_STEPS];
    check_ok(tl_scheduler_plan(&s, &p, st, &err), &err);
    float x[WIDTH], m[WIDTH], z[WIDTH], x0[WIDTH];
    double worst = 0;
    floats_of(tl_json_get(root, "start"), x);
    for (size_t k = 0; k < (size_t)n; k++) {
        const cJSON *row = item_at(tl_json_get(entry, "rows"), k);
        int64_t t, prev;
        double std;
        check_ok(tl_json_int(row, "t", -1, &t, &err) && tl_json_int(row, "prev", -2, &prev, &err), &err);
        check_ok(tl_json_double(row, "std", NAN, &std, &err), &err);
        assert_int_equal(st[k].t, t);
        assert_int_equal(st[k].t_prev < 0 ? -1 : st[k].t_prev, prev);
        check_near(st[k].sigma, std,
                   std * rounding(&st[k]) + 1e-9); /* 1e-9: DDPM's clamp, 1e-10, stands for our 0 */
        floats_of(item_at(tl_json_get(root, "noise"), k), z);
        for (size_t j = 0; j < WIDTH; j++) m[j] = x[j] / 2 + (float)t / 2000;
        tl_step_apply(&st[k], x, m, z, WIDTH, x, x0);
        compare("x0", x0, tl_json_get(row, "x0"), 1, &worst);
        compare("x", x, tl_json_get(row, "x"), 1, &worst);
    }
    tl_scheduler_finish(&s);
    return worst;
}

static void check_file(const char *name, size_t least)
{
    struct tl_err err = {0};
    char path[1024];
    snprintf(path, sizeof path, "%s/tests/fixtures/schedulers/%s", TL_SOURCE_DIR, name);
    cJSON *root = tl_json_read(path, &err);
    if (!root) fail_msg("%s", err.text);
    check_alphas(root);
    size_t n = 0;
    double worst = 0;
    const cJSON *entry;
    cJSON_ArrayForEach(entry, tl_json_get(root, "cases"))
    {
        char *config = cJSON_PrintUnformatted(tl_json_get(entry, "config"));
        double off = check_case(root, entry);
        if (off > 1e-5) print_message("%.1e %s\n", off, config);
        cJSON_free(config);
        worst = fmax(worst, off);
        n++;
    }
    print_message("%s: %zu cases, largest deviation %.1e\n", name, n, worst);
    assert_true(n >= least);
    cJSON_Delete(root);
}

static void test_ddim(void **state)
{
    (void)state;
    check_file("ddim.json", 40);
}

static void test_ddpm(void **state)
{
    (void)state;
    check_file("ddpm.json", 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ddim), cmocka_unit_test(test_ddpm)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
