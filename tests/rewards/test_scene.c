#include "support/check.h"

#include "rewards/scene.h"
#include "rewards/scene_draw.h"
#include "rewards/scene_facts.h"

enum { SIDE = TL_SCENE_SIDE, BYTES = SIDE * SIDE * 3 };

static const struct tl_scene_choice choices[] = {{0}, {.held_out = true}, {.most = 2}, {.most = 1}};
enum { N_CHOICES = sizeof choices / sizeof *choices };

static struct tl_rng_key key_of(uint32_t sample)
{
    return (struct tl_rng_key){.seed = 3, .stream = TL_RNG_TEST, .sample = sample};
}

static bool same_spec(const struct tl_scene_spec *a, const struct tl_scene_spec *b)
{
    if (a->n_groups != b->n_groups || a->relation != b->relation || a->ground != b->ground) return false;
    return !memcmp(a->group, b->group, (size_t)a->n_groups * sizeof *a->group);
}

static struct tl_scene_spec spec_of(const char *prompt)
{
    struct tl_scene_spec spec;
    struct tl_err err = {0};
    check_ok(tl_scene_parse(prompt, &spec, &err), &err);
    return spec;
}

/* ---- grammar ---- */

static void test_round_trip(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 20000; i++) {
        struct tl_scene_spec spec, back;
        struct tl_err err = {0};
        char text[TL_SCENE_TEXT], again[TL_SCENE_TEXT];
        tl_scene_random_spec(key_of(i), &choices[i % N_CHOICES], &spec);
        tl_scene_write(&spec, text);
        check_ok(tl_scene_parse(text, &back, &err), &err);
        assert_true(same_spec(&spec, &back));
        tl_scene_write(&back, again);
        assert_string_equal(text, again);
        assert_true(strlen(text) + 1 < sizeof text);
    }
}

/* Not only what is drawn: every sentence of the grammar with these words. */
static void test_round_trip_all_counts(void **state)
{
    (void)state;
    for (int i = 0; i < 3 * 3 * 3 * 3 * 5 * 4; i++) {
        struct tl_scene_spec spec = {.n_groups = 2}, back;
        char text[TL_SCENE_TEXT];
        int k = i;
        for (int g = 0; g < 2; g++) {
            spec.group[g].count = 1 + k % 3;
            spec.group[g].size = k / 3 % 3 - 1;
            spec.group[g].colour = (i + g) % TL_SCENE_COLOURS;
            spec.group[g].shape = (i / 7 + g) % TL_SCENE_SHAPES;
            k /= 9;
        }
        spec.relation = k % 5;
        spec.ground = k / 5 - 1;
        tl_scene_write(&spec, text);
        back = spec_of(text);
        assert_true(same_spec(&spec, &back));
    }
}

static void test_parse_words(void **state)
{
    (void)state;
    struct tl_scene_spec s = spec_of("  Two small  GREEN triangles on a black background. ");
    assert_int_equal(s.n_groups, 1);
    assert_int_equal(s.group[0].count, 2);
    assert_int_equal(s.group[0].size, TL_SCENE_SMALL);
    assert_int_equal(s.group[0].colour, 1);
    assert_int_equal(s.group[0].shape, TL_SCENE_TRIANGLE);
    assert_int_equal(s.ground, 1);
    s = spec_of("a red circle left of a large blue square");
    assert_int_equal(s.relation, TL_SCENE_LEFT);
    assert_int_equal(s.group[0].size, TL_SCENE_OPEN);
    assert_int_equal(s.group[1].size, TL_SCENE_LARGE);
    assert_int_equal(s.ground, TL_SCENE_OPEN);
}

static void test_parse_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *prompt, *word;
    } bad[] = {
        {"", "\"the end\""},
        {"a photo of a cat", "\"photo\""},
        {"a red", "expected a shape"},
        {"a red star", "\"star\""},
        {"four red circles", "\"four\""},
        {"a pink circle", "\"pink\""},
        {"red circle", "expected a, two or three"},
        {"a red circless", "\"circless\""},
        {"a red circle above", "\"the end\""},
        {"a red circle left a blue square", "\"left\""},
        {"a red circle of of a blue square", "\"of\""},
        {"a red circle on a red background", "a background: white"},
        {"a red circle on a white", "\"background\""},
        {"a red circle on a white background and more", "\"and\""},
        {"a red circle and a blue square and a green square", "(word 8)"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct tl_scene_spec spec = {.n_groups = 77};
        struct tl_err err = {0};
        assert_false(tl_scene_parse(bad[i].prompt, &spec, &err));
        assert_int_equal(err.code, TL_BAD_INPUT);
        assert_int_equal(spec.n_groups, 77);
        if (strncmp(err.text, "scene reward: cannot read prompt \"", 34) || !strstr(err.text, bad[i].word))
            fail_msg("\"%s\": %s", bad[i].prompt, err.text);
    }
    char longish[4000];
    memset(longish, 'x', sizeof longish - 1);
    longish[sizeof longish - 1] = 0;
    struct tl_scene_spec spec;
    struct tl_err err = {0};
    assert_false(tl_scene_parse(longish, &spec, &err));
    assert_non_null(strstr(err.text, "too long"));
    for (size_t i = 0; i + 1 < 200; i += 2) memcpy(longish + i, "a ", 2);
    longish[200] = 0;
    assert_false(tl_scene_parse(longish, &spec, NULL));
}

static void test_random_specs(void **state)
{
    (void)state;
    enum { N = 20000 };
    int one = 0, several = 0, related = 0, joined = 0, ground = 0, seen[18] = {0}, three = 0;
    for (uint32_t i = 0; i < N; i++) {
        struct tl_scene_spec s;
        for (int c = 1; c < N_CHOICES; c++) {
            tl_scene_random_spec(key_of(i), &choices[c], &s);
            assert_true(tl_scene_is_typical(&s));
            assert_int_equal(tl_scene_is_held_out(&s), choices[c].held_out);
            assert_true(tl_scene_total(&s) <= (choices[c].most ? choices[c].most : 3));
        }
        tl_scene_random_spec(key_of(i), &choices[0], &s);
        assert_true(tl_scene_is_typical(&s) && !tl_scene_is_held_out(&s));
        int total = tl_scene_total(&s);
        three += total == 3;
        one += s.n_groups == 1 && total == 1;
        several += s.n_groups == 1 && total > 1;
        related += s.relation != TL_SCENE_AND;
        joined += s.n_groups == 2 && s.relation == TL_SCENE_AND;
        ground += s.ground >= 0;
        if (total == 1) seen[s.group[0].colour * 3 + s.group[0].shape]++;
    }
    check_near(one / (double)N, 0.25, 0.015);
    check_near(several / (double)N, 0.20, 0.015);
    check_near(related / (double)N, 0.40, 0.015);
    check_near(joined / (double)N, 0.15, 0.015);
    check_near(ground / (double)N, 0.50, 0.015);
    assert_true(three > N / 20);
    for (int i = 0; i < 18; i++) assert_true(seen[i] > 200); /* each composition occurs alone */
}

static void test_held_out(void **state)
{
    (void)state;
    static const char *const held[] = {
        "a red triangle and a blue square", "a cyan square above a blue circle",
        "a green square left of a red circle on a gray background", "two yellow circles and a red square"};
    static const char *const seen[] = {"a red triangle", "three small yellow circles",
                                       "a red circle and a blue square",
                                       "a green triangle below a purple circle"};
    for (int i = 0; i < 4; i++) {
        struct tl_scene_spec h = spec_of(held[i]), s = spec_of(seen[i]);
        assert_true(tl_scene_is_held_out(&h));
        assert_false(tl_scene_is_held_out(&s));
    }
}

/* ---- scenes ---- */

/* What a perfect reader would say. */
static struct tl_scene_reading perfect(const struct tl_scene *s)
{
    struct tl_scene_reading r = {.ground = s->ground, .n_objects = s->n_objects};
    for (int i = 0; i < s->n_objects; i++) {
        const struct tl_scene_object *o = &s->object[i];
        r.object[i] =
            (struct tl_scene_seen){.colour = o->colour, .shape = o->shape, .x = o->x, .y = o->y, .r = o->r};
    }
    return r;
}

static void test_negatives(void **state)
{
    (void)state;
    enum { N = 12000 };
    int kinds[TL_SCENE_CHANGES] = {0};
    for (uint32_t i = 0; i < N; i++) {
        struct tl_scene s;
        struct tl_scene_spec no;
        struct tl_scene_facts facts;
        tl_scene_random(5, 0, i, &choices[i % 2], &s);
        struct tl_scene_reading r = perfect(&s);
        tl_scene_check(&s.spec, &r, &facts);
        assert_int_equal(facts.n_true, facts.n);
        kinds[tl_scene_negative(&s.spec, key_of(i), &no)]++;
        assert_true(tl_scene_is_typical(&no));
        if (!tl_scene_is_held_out(&s.spec)) assert_false(tl_scene_is_held_out(&no));
        tl_scene_check(&no, &r, &facts);
        if (facts.n_true == facts.n) {
            char text[2][TL_SCENE_TEXT];
            tl_scene_write(&s.spec, text[0]);
            tl_scene_write(&no, text[1]);
            fail_msg("scene %u \"%s\" also holds for \"%s\"", i, text[0], text[1]);
        }
    }
    for (int k = 0; k < TL_SCENE_CHANGES; k++) assert_true(kinds[k] > N / 100);
    assert_true(kinds[TL_SCENE_CHANGE_SHAPE] > 2 * kinds[TL_SCENE_CHANGE_COLOUR]);
    assert_true(kinds[TL_SCENE_CHANGE_RELATION] > 2 * kinds[TL_SCENE_CHANGE_GROUND]);
}

static void test_places(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 3000; i++) {
        struct tl_scene s;
        tl_scene_random(1, 0, i, &choices[i % N_CHOICES], &s);
        assert_int_equal(s.n_objects, tl_scene_total(&s.spec));
        if (s.spec.ground >= 0) assert_int_equal(s.ground, s.spec.ground);
        uint8_t owner[SIDE * SIDE] = {0};
        for (int k = 0; k < s.n_objects; k++) {
            const struct tl_scene_object *o = &s.object[k];
            const struct tl_scene_group *g = &s.spec.group[k >= s.spec.group[0].count];
            assert_int_equal(o->colour, g->colour);
            assert_int_equal(o->shape, g->shape);
            bool small = o->r >= TL_SCENE_SMALL_R && o->r <= TL_SCENE_SMALL_R_1;
            bool large = o->r >= TL_SCENE_LARGE_R && o->r <= TL_SCENE_LARGE_R_1;
            assert_true(small || large);
            if (g->size >= 0) assert_int_equal(large, g->size == TL_SCENE_LARGE);
            for (int p = 0; p < SIDE * SIDE; p++)
                if (tl_scene_cover(o->shape, o->x, o->y, o->r, p % SIDE, p / SIDE) > 0) {
                    assert_int_equal(owner[p], 0);
                    owner[p] = (uint8_t)(k + 1);
                }
        }
        for (int p = 0; p < SIDE * SIDE; p++) { /* two free pixels between objects, none at the border */
            int x = p % SIDE, y = p / SIDE;
            if (!owner[p]) continue;
            assert_true(x > 0 && y > 0 && x < SIDE - 1 && y < SIDE - 1);
            for (int d = 1; d <= 2; d++) {
                if (x + d < SIDE) assert_true(!owner[p + d] || owner[p + d] == owner[p]);
                if (y + d < SIDE) assert_true(!owner[p + d * SIDE] || owner[p + d * SIDE] == owner[p]);
            }
        }
    }
}

static void test_same_scene(void **state)
{
    (void)state;
    int differ = 0;
    for (uint32_t i = 0; i < 200; i++) {
        struct tl_scene a = {0}, b = {0}, other = {0};
        tl_scene_random(9, 2, 199 - i, &choices[0], &a);
        tl_scene_random(9, 2, 199 - i, &choices[0], &b);
        assert_memory_equal(a.object, b.object, sizeof a.object);
        assert_true(same_spec(&a.spec, &b.spec));
        tl_scene_random(9, 3, 199 - i, &choices[0], &other);
        differ += memcmp(a.object, other.object, sizeof a.object) != 0;
        tl_scene_random(10, 2, 199 - i, &choices[0], &other);
        differ += memcmp(a.object, other.object, sizeof a.object) != 0;
    }
    assert_int_equal(differ, 400);
    struct tl_scene s;
    struct tl_err err = {0};
    struct tl_scene_spec full = spec_of("three large red squares and three large blue squares");
    assert_false(tl_scene_place(&full, key_of(0), &s, &err));
    assert_non_null(strstr(err.text, "three large red squares"));
}

static void test_draw(void **state)
{
    (void)state;
    uint8_t rgb[BYTES];
    for (int shape = 0; shape < TL_SCENE_SHAPES; shape++) {
        struct tl_scene_object o = {.colour = 2, .shape = shape, .x = 30.3f, .y = 33.9f, .r = 12};
        double area = 0, cy = 0;
        for (int p = 0; p < SIDE * SIDE; p++) {
            double v = tl_scene_cover(shape, o.x, o.y, o.r, p % SIDE, p / SIDE);
            area += v;
            cy += v * (p / SIDE + 0.5);
        }
        check_near(area, tl_scene_area(shape) * 144, 4);
        check_near(cy / area - o.y, tl_scene_centroid(shape) * 12, 0.1);
        tl_scene_draw(&o, 1, 1, rgb);
        double blue = 0;
        for (int p = 0; p < SIDE * SIDE; p++) blue += (rgb[3 * p + 2] - 20) / 200.0;
        check_near(blue, area, 0.2);
        assert_memory_equal(rgb + 3 * (34 * SIDE + 30), tl_scene_colour_rgb[2], 3);
        assert_memory_equal(rgb, tl_scene_ground_rgb[1], 3);
    }
}

static void test_patches(void **state)
{
    (void)state;
    uint8_t colour[64], shape[64];
    struct tl_scene_object two[] = {{.colour = 4, .shape = TL_SCENE_SQUARE, .x = 12, .y = 12, .r = 9},
                                    {.colour = 0, .shape = TL_SCENE_CIRCLE, .x = 52, .y = 44, .r = 8}};
    tl_scene_patches(two, 2, colour, shape);
    assert_int_equal(colour[1 * 8 + 1], 5);
    assert_int_equal(shape[1 * 8 + 1], TL_SCENE_SQUARE + 1);
    assert_int_equal(colour[5 * 8 + 6], 1);
    assert_int_equal(shape[5 * 8 + 6], TL_SCENE_CIRCLE + 1);
    assert_int_equal(colour[7 * 8], 0);
    assert_int_equal(shape[7 * 8], 0);
    for (uint32_t i = 0; i < 300; i++) {
        struct tl_scene s;
        tl_scene_random(2, 0, i, &choices[0], &s);
        tl_scene_patches(s.object, s.n_objects, colour, shape);
        for (int k = 0; k < s.n_objects; k++) {
            int near = 0;
            for (int p = 0; p < 64; p++) {
                bool close = fabsf((float)(p % 8 * 8 + 4) - s.object[k].x) < 15 &&
                             fabsf((float)(p / 8 * 8 + 4) - s.object[k].y) < 15;
                near += close && colour[p] == s.object[k].colour + 1 && shape[p] == s.object[k].shape + 1;
            }
            assert_true(near > 0);
        }
        for (int p = 0; p < 64; p++) assert_int_equal(!colour[p], !shape[p]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_round_trip_all_counts),
        cmocka_unit_test(test_parse_words),  cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_random_specs), cmocka_unit_test(test_held_out),
        cmocka_unit_test(test_negatives),    cmocka_unit_test(test_places),
        cmocka_unit_test(test_same_scene),   cmocka_unit_test(test_draw),
        cmocka_unit_test(test_patches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
