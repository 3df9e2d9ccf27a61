/* The grammar of rewards, sums and their standardisation, rewards that work elsewhere or score a whole set,
 * scores that are not finite, and the `scene` row. */
#include "support/check.h"

#include "rewards/rewards.h"
#include "rewards/scene_draw.h"

/* ---- rewards of our own: the first red value, its square elsewhere, the number of samples, a NaN for black
 * ---- */

static int n_open, n_tickets;

static struct tl_reward *open_any(const struct tl_reward_class *cls)
{
    struct tl_reward *r = calloc(1, sizeof *r);
    r->cls = cls;
    n_open++;
    return r;
}

static void close_any(struct tl_reward *r)
{
    n_open--;
    free(r);
}

static bool score_red(struct tl_reward *r, const struct tl_reward_item *items, size_t n, double *out,
                      struct tl_err *err)
{
    (void)r;
    (void)err;
    for (size_t i = 0; i < n; i++) out[i] = items[i].rgb[0];
    return true;
}

static bool score_size(struct tl_reward *r, const struct tl_reward_item *items, size_t n, double *out,
                       struct tl_err *err)
{
    (void)r;
    (void)items;
    (void)err;
    *out = (double)n;
    return true;
}

static bool score_log(struct tl_reward *r, const struct tl_reward_item *items, size_t n, double *out,
                      struct tl_err *err)
{
    (void)r;
    (void)err;
    for (size_t i = 0; i < n; i++) out[i] = log(items[i].rgb[0]);
    return true;
}

struct ticket {
    const struct tl_reward_item *items;
    size_t n;
};

static void *submit_square(struct tl_reward *r, const struct tl_reward_item *items, size_t n,
                           struct tl_err *err)
{
    (void)r;
    (void)err;
    struct ticket *t = malloc(sizeof *t);
    *t = (struct ticket){items, n};
    n_tickets++;
    return t;
}

static bool collect_square(struct tl_reward *r, void *ticket, double *out, struct tl_err *err)
{
    struct ticket *t = ticket;
    bool ok = true;
    (void)r;
    for (size_t i = 0; out && ok && i < t->n; i++) {
        out[i] = t->items[i].rgb[0] * t->items[i].rgb[0];
        if (t->items[i].rgb[0] == 99) ok = tl_err_set(err, TL_PLUGIN, "the judge went home");
    }
    free(t);
    n_tickets--;
    return ok;
}

static struct tl_reward *open_red(const struct tl_reward_env *, const char *, struct tl_err *);
static struct tl_reward *open_size(const struct tl_reward_env *, const char *, struct tl_err *);
static struct tl_reward *open_log(const struct tl_reward_env *, const char *, struct tl_err *);
static struct tl_reward *open_square(const struct tl_reward_env *, const char *, struct tl_err *);

static const struct tl_reward_class red = {
    .info = {.name = "red", .deterministic = true}, .open = open_red, .close = close_any, .score = score_red};
static const struct tl_reward_class size = {.info = {.name = "size", .kind = TL_REWARD_OF_SET},
                                            .open = open_size,
                                            .close = close_any,
                                            .score = score_size};
static const struct tl_reward_class loga = {
    .info = {.name = "log"}, .open = open_log, .close = close_any, .score = score_log};
static const struct tl_reward_class square = {.info = {.name = "square"},
                                              .open = open_square,
                                              .close = close_any,
                                              .submit = submit_square,
                                              .collect = collect_square};
static const struct tl_reward_class *const table[] = {&red, &size, &loga, &square, &tl_reward_ensemble, NULL};

#define OPENER(name, cls)                                                                                    \
    static struct tl_reward *name(const struct tl_reward_env *env, const char *arg, struct tl_err *err)      \
    {                                                                                                        \
        (void)env;                                                                                           \
        (void)arg;                                                                                           \
        (void)err;                                                                                           \
        return open_any(&cls);                                                                               \
    }
OPENER(open_red, red)
OPENER(open_size, size)
OPENER(open_log, loga)
OPENER(open_square, square)

static struct tl_reward_set *open_set(const char *const *specs, size_t n, bool raw)
{
    struct tl_err err = {0};
    struct tl_reward_set *set = tl_reward_set_open_among(
        table, &(struct tl_reward_set_params){.specs = specs, .n_specs = n, .raw = raw}, &err);
    if (!set) fail_msg("%s", err.text);
    return set;
}

enum { ITEMS = 4 };
static const uint8_t reds[ITEMS][3] = {{1}, {2}, {3}, {6}};
static const uint8_t black[3], leaving[3] = {99};

static void fill(struct tl_reward_item *items)
{
    for (int i = 0; i < ITEMS; i++)
        items[i] = (struct tl_reward_item){.prompt = "p", .rgb = reds[i], .width = 1, .height = 1};
}

/* ---- grammar ---- */

static void check_spec(const char *text, const char *name, const char *arg, double weight)
{
    struct tl_err err = {0};
    struct tl_reward_spec spec;
    check_ok(tl_reward_spec_parse(text, &spec, &err), &err);
    assert_string_equal(spec.name, name);
    if (arg)
        assert_string_equal(spec.arg, arg);
    else
        assert_null(spec.arg);
    assert_true(spec.weight == weight);
    tl_reward_spec_finish(&spec);
}

static void test_grammar(void **state)
{
    (void)state;
    check_spec("scene", "scene", NULL, 1);
    check_spec("jpeg@0.2", "jpeg", NULL, 0.2);
    check_spec("jpeg@-1e-3", "jpeg", NULL, -1e-3);
    check_spec("loudness:-16", "loudness", "-16", 1);
    check_spec("clip:a/b@0.5", "clip", "a/b", 0.5);
    check_spec("clip:a@b/c", "clip", "a@b/c", 1);
    check_spec("clip:a@2/c@3", "clip", "a@2/c", 3);
    check_spec("clip:a@2x", "clip", "a@2x", 1);
    check_spec("clip:C:/x", "clip", "C:/x", 1);
    check_spec("clip:", "clip", "", 1);
    check_spec("clip:a@", "clip", "a@", 1);
    check_spec("clip:a@nan", "clip", "a@nan", 1);

    struct tl_err err = {0};
    struct tl_reward_spec spec;
    assert_false(tl_reward_spec_parse("", &spec, &err));
    assert_int_equal(err.code, TL_USAGE);
    tl_err_clear(&err);
    assert_false(tl_reward_spec_parse(":x", &spec, &err));
    tl_err_clear(&err);
    assert_false(tl_reward_spec_parse("clip:a@1e999", &spec, &err));
    assert_int_equal(err.code, TL_USAGE);
}

static void check_unknown(const char *spec, const char *part)
{
    struct tl_err err = {0};
    const char *specs[] = {"scene", spec};
    assert_null(tl_reward_set_open(&(struct tl_reward_set_params){.specs = specs, .n_specs = 2}, &err));
    if (err.code != TL_USAGE || !strstr(err.text, part)) fail_msg("%s: %s", spec, err.text);
}

static void test_unknown(void **state)
{
    (void)state;
    struct tl_err err = {0};
    check_unknown("scen", "did you mean scene?");
    check_unknown("tempo:-16", "there are ");
    check_unknown("scene:all", "scene:exact");
    assert_null(tl_reward_set_open(&(struct tl_reward_set_params){0}, &err));
    assert_int_equal(err.code, TL_USAGE);
    size_t n = 0;
    for (const struct tl_reward_info *info; (info = tl_reward_at(n)); n++) {
        assert_true(info->name && info->help && info->argument && info->modality);
        assert_true(info->low < info->high);
        assert_non_null(tl_reward_kind_name(info->kind));
        const struct tl_reward_class *cls = tl_reward_classes[n];
        if (cls->members) {
            assert_true(!cls->open && !cls->score && !cls->submit);
            continue;
        }
        assert_true(info->has_gradient == (cls->build && cls->feed));
        assert_true(!cls->store == !(info->has_gradient && info->needs_encoder));
        assert_true(!cls->embed == !cls->embed_dim);
        assert_true(!cls->score == (cls->submit && cls->collect));
    }
    assert_true(n >= 2);
}

/* ---- sums ---- */

static void test_single(void **state)
{
    (void)state;
    struct tl_err err = {0};
    const char *spec = "red@-2";
    struct tl_reward_set *set = open_set(&spec, 1, false);
    struct tl_reward_item items[ITEMS];
    double total[ITEMS], parts[ITEMS];
    fill(items);
    assert_false(tl_reward_set_needs_standard(set));
    check_ok(tl_reward_set_score(set, items, ITEMS, total, parts, &err), &err);
    for (int i = 0; i < ITEMS; i++) {
        assert_true(total[i] == -2.0 * reds[i][0]);
        assert_true(parts[i] == reds[i][0]);
    }
    tl_reward_set_slopes(set, parts, parts + 1);
    assert_true(parts[1] == -2);
    tl_reward_set_close(&set);
}

/* red has mean 3 and variance 14/3; square 1, 4, 9, 36 mean 12.5 and variance 769/3 (both over n - 1). */
static void test_standardised(void **state)
{
    (void)state;
    struct tl_err err = {0};
    const char *specs[] = {"red", "square@0.5"};
    struct tl_reward_set *set = open_set(specs, 2, false), *other = open_set(specs, 2, false);
    struct tl_reward_item items[ITEMS];
    double total[ITEMS], again[ITEMS], parts[2 * ITEMS], slopes[2];
    fill(items);
    assert_true(tl_reward_set_needs_standard(set));
    assert_false(tl_reward_set_score(set, items, ITEMS, total, parts, &err));
    assert_int_equal(err.code, TL_FAIL);
    tl_err_clear(&err);
    assert_int_equal(n_tickets, 0);
    check_ok(tl_reward_set_score(set, items, ITEMS, NULL, parts, &err), &err);
    assert_null(tl_reward_set_standards(set));
    check_ok(tl_reward_set_measure(set, parts, ITEMS, &err), &err);
    assert_false(tl_reward_set_needs_standard(set));
    check_ok(tl_reward_set_score(set, items, ITEMS, total, parts, &err), &err);
    double sum = 0, d0 = sqrt(14.0 / 3), d1 = sqrt(769.0 / 3);
    for (int i = 0; i < ITEMS; i++) {
        double x = reds[i][0];
        assert_true(parts[2 * i] == x && parts[2 * i + 1] == x * x);
        check_near(total[i], (x - 3) / d0 + 0.5 * (x * x - 12.5) / d1, 1e-12);
        sum += total[i];
    }
    check_near(sum, 0, 1e-12);
    tl_reward_set_slopes(set, parts, slopes);
    check_near(slopes[0], 1 / d0, 1e-15);
    check_near(slopes[1], 0.5 / d1, 1e-15);
    check_ok(tl_reward_set_standardise(other, tl_reward_set_standards(set), &err), &err);
    check_ok(tl_reward_set_score(other, items, ITEMS, again, NULL, &err), &err);
    assert_memory_equal(total, again, sizeof total);
    tl_reward_set_close(&set);
    tl_reward_set_close(&other);
    assert_int_equal(n_open, 0);
}

static void test_raw(void **state)
{
    (void)state;
    struct tl_err err = {0};
    const char *specs[] = {"red", "square@0.5", "size@10"};
    struct tl_reward_set *set = open_set(specs, 3, true);
    struct tl_reward_item items[ITEMS];
    double total[ITEMS], parts[3 * ITEMS];
    fill(items);
    check_ok(tl_reward_set_score(set, items, ITEMS, total, parts, &err), &err);
    for (int i = 0; i < ITEMS; i++) {
        double x = reds[i][0];
        check_near(total[i], x + 0.5 * x * x + 10 * ITEMS, 1e-12);
        assert_true(parts[3 * i + 2] == ITEMS);
    }
    tl_reward_set_close(&set);
}

/* A reward that never varies has no scale. */
static void test_constant(void **state)
{
    (void)state;
    struct tl_err err = {0};
    const char *specs[] = {"red", "size"};
    struct tl_reward_set *set = open_set(specs, 2, false);
    static const double parts[] = {1, 0.1, 2, 0.1, 3, 0.1};
    assert_false(tl_reward_set_measure(set, parts, 3, &err));
    assert_int_equal(err.code, TL_NUMERIC);
    assert_non_null(strstr(err.text, "size"));
    tl_err_clear(&err);
    assert_false(tl_reward_set_measure(set, parts, 1, &err));
    assert_true(tl_reward_set_needs_standard(set));
    tl_reward_set_close(&set);
}

/* ---- failures and the two steps ---- */

static void test_not_finite(void **state)
{
    (void)state;
    struct tl_err err = {0};
    const char *specs[] = {"square", "log"};
    struct tl_reward_set *set = open_set(specs, 2, true);
    struct tl_reward_item items[ITEMS];
    double total[ITEMS];
    fill(items);
    items[2].rgb = black;
    assert_false(tl_reward_set_score(set, items, ITEMS, total, NULL, &err));
    assert_int_equal(err.code, TL_NUMERIC);
    if (!strstr(err.text, "log") || !strstr(err.text, "sample 2")) fail_msg("%s", err.text);
    items[2].name = "black.png";
    tl_err_clear(&err);
    assert_false(tl_reward_set_score(set, items, ITEMS, total, NULL, &err));
    assert_non_null(strstr(err.text, "black.png"));
    assert_int_equal(n_tickets, 0);
    tl_reward_set_close(&set);

    /* a member of an ensemble is never left out */
    specs[0] = "ensemble:median:red+log+square";
    set = open_set(specs, 1, true);
    tl_err_clear(&err);
    assert_false(tl_reward_set_score(set, items, ITEMS, total, NULL, &err));
    assert_int_equal(err.code, TL_NUMERIC);
    if (!strstr(err.text, "reward log") || !strstr(err.text, "black.png")) fail_msg("%s", err.text);
    assert_int_equal(n_tickets, 0);
    tl_reward_set_close(&set);
}

static void test_two_steps(void **state)
{
    (void)state;
    struct tl_err err = {0};
    const char *specs[] = {"square", "square@2"};
    struct tl_reward_set *set = open_set(specs, 2, true);
    struct tl_reward_item items[ITEMS];
    double total[ITEMS];
    fill(items);
    struct tl_reward_batch *a = tl_reward_set_submit(set, items, ITEMS, &err);
    struct tl_reward_batch *b = tl_reward_set_submit(set, items + 2, 2, &err);
    struct tl_reward_batch *c = tl_reward_set_submit(set, items, 1, &err);
    assert_int_equal(n_tickets, 6);
    check_ok(tl_reward_batch_collect(&b, total, NULL, &err), &err);
    assert_true(b == NULL && total[0] == 3.0 * 9 && total[1] == 3.0 * 36);
    check_ok(tl_reward_batch_collect(&a, total, NULL, &err), &err);
    assert_true(total[3] == 3.0 * 36);
    tl_reward_batch_drop(&c);
    assert_int_equal(n_tickets, 0);

    items[1].rgb = leaving;
    assert_false(tl_reward_set_score(set, items, ITEMS, total, NULL, &err));
    assert_int_equal(err.code, TL_PLUGIN);
    assert_int_equal(n_tickets, 0);
    tl_err_clear(&err);
    assert_null(tl_reward_set_submit(set, items, 0, &err));
    tl_reward_set_close(&set);
}

/* ---- scene ---- */

static double scene_score(const char *spec, const struct tl_reward_item *item, struct tl_err *err)
{
    double out = NAN;
    struct tl_reward_set *set =
        tl_reward_set_open(&(struct tl_reward_set_params){.specs = &spec, .n_specs = 1}, err);
    if (!set) fail_msg("%s", err->text);
    if (!tl_reward_set_score(set, item, 1, &out, NULL, err)) out = NAN;
    tl_reward_set_close(&set);
    return out;
}

static void test_scene(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_scene_spec spec;
    struct tl_scene scene;
    static uint8_t rgb[TL_SCENE_SIDE * TL_SCENE_SIDE * 3];
    check_ok(tl_scene_parse("a red circle above a blue square", &spec, &err), &err);
    check_ok(tl_scene_place(&spec, (struct tl_rng_key){.seed = 5, .stream = TL_RNG_TEST}, &scene, &err),
             &err);
    tl_scene_draw(scene.object, scene.n_objects, scene.ground, rgb);
    struct tl_reward_item item = {.name = "s.png",
                                  .prompt = "a red circle above a blue square",
                                  .rgb = rgb,
                                  .width = TL_SCENE_SIDE,
                                  .height = TL_SCENE_SIDE};
    check_near(scene_score("scene", &item, &err), 1, 0);
    check_near(scene_score("scene:exact", &item, &err), 1, 0);
    item.prompt = "a red circle above a blue triangle"; /* one fact of seven is wrong */
    check_near(scene_score("scene", &item, &err), 6.0 / 7, 1e-6);
    check_near(scene_score("scene:exact", &item, &err), 0, 0);
    item.prompt = "a blurry cat";
    assert_true(isnan(scene_score("scene", &item, &err)));
    assert_int_equal(err.code, TL_BAD_INPUT);
    if (!strstr(err.text, "s.png") || !strstr(err.text, "blurry")) fail_msg("%s", err.text);
    tl_err_clear(&err);
    item.prompt = NULL;
    assert_true(isnan(scene_score("scene", &item, &err)));
    assert_int_equal(err.code, TL_BAD_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grammar),    cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_single),     cmocka_unit_test(test_standardised),
        cmocka_unit_test(test_raw),        cmocka_unit_test(test_constant),
        cmocka_unit_test(test_not_finite), cmocka_unit_test(test_two_steps),
        cmocka_unit_test(test_scene),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
