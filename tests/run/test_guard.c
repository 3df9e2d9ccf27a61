/* Guards: rules as they are written, when they fire, and what a run is warned of. */
#include "support/check.h"

#include "run/guard.h"

static struct tl_guard_rule rule(const char *text)
{
    struct tl_err err = {0};
    struct tl_guard_rule r;
    check_ok(tl_guard_parse(text, &r, &err), &err);
    return r;
}

static void test_grammar(void **state)
{
    (void)state;
    struct tl_guard_rule r = rule("kl>20");
    assert_true(r.metric == TL_GUARD_KL && r.above && !r.percent && r.limit == 20);
    r = rule("held_out < 95%");
    assert_true(r.metric == TL_GUARD_HELD_OUT && !r.above && r.percent && r.limit == 95);
    static const char *const wrong[] = {
        "kl",    "kl>",    "kl>x",   "kl=3",      "KL>3",  ">3", "kl>3%%",
        "kl>3x", "kl>nan", "kl>20%", "reward<>3", "klx>3", "",   "clip_fraction<50%",
        "k>1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct tl_err err = {0};
        if (tl_guard_parse(wrong[i], &r, &err)) fail_msg("'%s' was taken", wrong[i]);
        assert_int_equal(err.code, TL_USAGE);
    }
}

static struct tl_guard_value value(double now, double start, double z)
{
    return (struct tl_guard_value){
        .now = now, .start = start, .z = z, .scale = 0.1, .known = true, .has_start = true};
}

static void test_fires(void **state)
{
    (void)state;
    struct tl_guard_readings r = {0};
    struct tl_guard_rule below = rule("held_out<95%"), kl = rule("kl>20");
    assert_false(tl_guard_fires(&below, &r) || tl_guard_fires(&kl, &r)); /* nothing is known */
    r.of[TL_GUARD_HELD_OUT] = value(0.96, 1, 0);
    r.of[TL_GUARD_KL] = value(20, 0, 0);
    assert_false(tl_guard_fires(&below, &r) || tl_guard_fires(&kl, &r));
    r.of[TL_GUARD_HELD_OUT].now = 0.94;
    r.of[TL_GUARD_KL].now = 20.1;
    assert_true(tl_guard_fires(&below, &r) && tl_guard_fires(&kl, &r));
    r.of[TL_GUARD_HELD_OUT] = value(-10.4, -10, 0); /* of a negative score: 5 % of its size below it */
    assert_false(tl_guard_fires(&below, &r));
    r.of[TL_GUARD_HELD_OUT].now = -10.6;
    assert_true(tl_guard_fires(&below, &r));
}

static const char *only_warning(const struct tl_guard_readings *r)
{
    static struct tl_guard_warning w[TL_GUARD_WARNINGS];
    size_t n = tl_guard_warnings(r, "a larger --beta", w);
    if (n > 1) fail_msg("%zu warnings: %s, %s", n, w[0].kind, w[1].kind);
    if (n == 1) assert_true(strstr(w[0].text, "try") || strstr(w[0].text, "take"));
    return n ? w[0].kind : "";
}

static void test_warnings(void **state)
{
    (void)state;
    struct tl_guard_readings r = {0};
    assert_string_equal(only_warning(&r), "");
    r.of[TL_GUARD_REWARD] = value(0.8, 0.7, 4);
    r.of[TL_GUARD_HELD_OUT] = value(0.7, 0.7, 0.1);
    r.of[TL_GUARD_DIVERSITY] = value(0.3, 0.35, 0);
    r.of[TL_GUARD_CLIP_FRACTION] = value(0.1, 0, 0);
    r.of[TL_GUARD_REWARD_SPREAD] = value(0.1, 0, 0);
    assert_string_equal(only_warning(&r), ""); /* all is well */
    r.of[TL_GUARD_HELD_OUT] = value(0.6, 0.7, -2.5);
    assert_string_equal(only_warning(&r), "reward hacking");
    r.of[TL_GUARD_HELD_OUT] = value(0.695, 0.7, -9); /* certain, and nothing */
    assert_string_equal(only_warning(&r), "");
    r.of[TL_GUARD_HELD_OUT] = value(0.6, 0.7, -INFINITY); /* every picture lost as much */
    assert_string_equal(only_warning(&r), "reward hacking");
    r.of[TL_GUARD_HELD_OUT] = value(0.69, 0.7, -0.5);
    r.of[TL_GUARD_DIVERSITY] = value(0.1, 0.35, 0);
    assert_string_equal(only_warning(&r), "collapse");
    r.of[TL_GUARD_DIVERSITY] = value(0.3, 0.35, 0);
    r.of[TL_GUARD_REWARD] = value(0.6, 0.7, -4);
    assert_string_equal(only_warning(&r), "divergence");
    r.of[TL_GUARD_REWARD] = value(0.7, 0.7, 0);
    r.of[TL_GUARD_CLIP_FRACTION] = value(0.7, 0, 0);
    assert_string_equal(only_warning(&r), "clipping");
    r.of[TL_GUARD_CLIP_FRACTION] = value(0.1, 0, 0);
    r.of[TL_GUARD_REWARD_SPREAD] = value(0, 0, 0);
    assert_string_equal(only_warning(&r), "no signal");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_grammar), cmocka_unit_test(test_fires),
                                       cmocka_unit_test(test_warnings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
