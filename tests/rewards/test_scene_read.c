#include "support/check.h"

#include "rewards/scene.h"
#include "rewards/scene_draw.h"
#include "rewards/scene_facts.h"
#include "rewards/scene_read.h"

enum { SIDE = TL_SCENE_SIDE, BYTES = SIDE * SIDE * 3 };

static const struct tl_scene_choice choices[] = {{0}, {.held_out = true}};

static struct tl_rng_key key_of(uint32_t sample)
{
    return (struct tl_rng_key){.seed = 3, .stream = TL_RNG_TEST, .sample = sample};
}

/* ---- reading back ---- */

/* What an autoencoder does, roughly: the mean of a 3x3 blur and of 4x down and up sampling, and noise of sd
 * 6/255. */
static void degrade(const uint8_t *in, uint32_t sample, uint8_t *out)
{
    enum { LOW = SIDE / 4 };
    static float noise[BYTES], low[LOW][LOW][3];
    tl_rng_normal(key_of(sample), 0, BYTES, noise);
    memset(low, 0, sizeof low);
    for (int i = 0; i < BYTES; i++) low[i / 3 / SIDE / 4][i / 3 % SIDE / 4][i % 3] += in[i] / 16.0f;
    for (int i = 0; i < BYTES; i++) {
        int x = i / 3 % SIDE, y = i / 3 / SIDE, c = i % 3, n = 0;
        float near = 0, u = ((float)x + 0.5f) / 4 - 0.5f, v = ((float)y + 0.5f) / 4 - 0.5f;
        for (int dy = -1; dy <= 1; dy++)
            for (int dx = -1; dx <= 1; dx++) {
                if (x + dx < 0 || x + dx >= SIDE || y + dy < 0 || y + dy >= SIDE) continue;
                near += in[((y + dy) * SIDE + x + dx) * 3 + c];
                n++;
            }
        u = fminf(fmaxf(u, 0), LOW - 1);
        v = fminf(fmaxf(v, 0), LOW - 1);
        int x0 = (int)u, y0 = (int)v, x1 = x0 + (x0 < LOW - 1), y1 = y0 + (y0 < LOW - 1);
        u -= (float)x0;
        v -= (float)y0;
        float top = low[y0][x0][c] + u * (low[y0][x1][c] - low[y0][x0][c]);
        float bottom = low[y1][x0][c] + u * (low[y1][x1][c] - low[y1][x0][c]);
        float value = 0.5f * near / (float)n + 0.5f * (top + v * (bottom - top)) + 6 * noise[i];
        out[i] = (uint8_t)fminf(fmaxf(value + 0.5f, 0), 255);
    }
}

static void measure(bool degraded, const struct tl_scene_choice *choice, uint32_t n, double *share,
                    double *exact, double *fooled)
{
    *share = *exact = *fooled = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct tl_scene s;
        struct tl_scene_spec no;
        struct tl_scene_reading r;
        struct tl_scene_facts f;
        struct tl_err err = {0};
        uint8_t drawn[BYTES], rgb[BYTES];
        tl_scene_random(77, 0, i, choice, &s);
        tl_scene_draw(s.object, s.n_objects, s.ground, drawn);
        memcpy(rgb, drawn, BYTES);
        if (degraded) degrade(drawn, i, rgb);
        check_ok(tl_scene_read(rgb, SIDE, SIDE, &r, &err), &err);
        tl_scene_check(&s.spec, &r, &f);
        *share += tl_scene_score(&f) / (double)n;
        *exact += (f.n_true == f.n) / (double)n;
        tl_scene_negative(&s.spec, key_of(i), &no);
        tl_scene_check(&no, &r, &f);
        *fooled += (f.n_true == f.n) / (double)n;
    }
    printf("%s%s: facts %.4f exact %.4f, hard negatives taken for true %.4f (%u scenes)\n",
           degraded ? "blurred and noisy" : "as drawn", choice->held_out ? ", held-out" : "", *share, *exact,
           *fooled, n);
}

static void test_read_drawn(void **state)
{
    (void)state;
    double share, exact, fooled;
    for (int c = 0; c < 2; c++) {
        measure(false, &choices[c], 2000, &share, &exact, &fooled);
        assert_true(exact >= 0.999 && share >= 0.999 && fooled <= 0.001);
    }
}

static void test_read_degraded(void **state)
{
    (void)state;
    double share, exact, fooled;
    for (int c = 0; c < 2; c++) {
        measure(true, &choices[c], 1000, &share, &exact, &fooled);
        assert_true(exact >= 0.99 && share >= 0.995 && fooled <= 0.01);
    }
}

static void test_read_geometry(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 500; i++) {
        struct tl_scene s;
        struct tl_scene_reading r;
        uint8_t rgb[BYTES];
        tl_scene_random(4, 0, i, &choices[0], &s);
        tl_scene_draw(s.object, s.n_objects, s.ground, rgb);
        assert_true(tl_scene_read(rgb, SIDE, SIDE, &r, NULL));
        assert_int_equal(r.ground, s.ground);
        assert_int_equal(r.n_objects, s.n_objects);
        for (int k = 0; k < r.n_objects; k++) {
            const struct tl_scene_object *o = NULL;
            for (int j = 0; j < s.n_objects; j++)
                if (fabsf(s.object[j].x - r.object[k].x) < 0.3f &&
                    fabsf(s.object[j].y - r.object[k].y) < 0.3f)
                    o = &s.object[j];
            assert_non_null(o);
            assert_int_equal(o->colour, r.object[k].colour);
            assert_int_equal(o->shape, r.object[k].shape);
            check_near(r.object[k].r, o->r, 0.2);
            if (k) assert_true(r.object[k].area <= r.object[k - 1].area);
        }
    }
}

static void test_read_sizes(void **state)
{
    (void)state;
    struct tl_scene s;
    struct tl_scene_reading a, b;
    struct tl_err err = {0};
    uint8_t rgb[BYTES];
    static uint8_t big[9 * BYTES];
    tl_scene_random(6, 0, 1, &choices[0], &s);
    tl_scene_draw(s.object, s.n_objects, s.ground, rgb);
    for (int i = 0; i < 9 * SIDE * SIDE; i++)
        memcpy(big + 3 * i, rgb + 3 * (i / (3 * SIDE) / 3 * SIDE + i % (3 * SIDE) / 3), 3);
    check_ok(tl_scene_read(rgb, SIDE, SIDE, &a, &err), &err);
    check_ok(tl_scene_read(big, 3 * SIDE, 3 * SIDE, &b, &err), &err);
    assert_memory_equal(&a, &b, sizeof a);
    static const int bad[][2] = {{100, 100}, {128, 64}, {32, 32}, {0, 0}, {-64, -64}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char size[40];
        tl_err_clear(&err);
        assert_false(tl_scene_read(big, bad[i][0], bad[i][1], &a, &err));
        snprintf(size, sizeof size, "%d x %d px", bad[i][0], bad[i][1]);
        assert_non_null(strstr(err.text, size));
        assert_int_equal(err.code, TL_BAD_INPUT);
    }
}

/* ---- facts ---- */

static void score(const char *prompt, const struct tl_scene_reading *r, int n_true, int n)
{
    struct tl_scene_spec spec;
    struct tl_scene_facts f;
    struct tl_err err = {0};
    check_ok(tl_scene_parse(prompt, &spec, &err), &err);
    tl_scene_check(&spec, r, &f);
    if (f.n_true != n_true || f.n != n)
        fail_msg("\"%s\": %d of %d facts, expected %d of %d", prompt, f.n_true, f.n, n_true, n);
    check_near(tl_scene_score(&f), (float)n_true / (float)n, 1e-6);
}

static void test_facts(void **state)
{
    (void)state;
    /* A small red circle above a large blue square on white. */
    struct tl_scene_reading r = {
        .ground = 0,
        .n_objects = 2,
        .object = {{.colour = 2, .shape = TL_SCENE_SQUARE, .x = 30, .y = 45, .r = 12},
                   {.colour = 0, .shape = TL_SCENE_CIRCLE, .x = 32, .y = 15, .r = 8}}};
    score("a small red circle above a large blue square on a white background", &r, 10, 10);
    score("a large blue square below a red circle", &r, 8, 8);
    score("a red circle below a blue square", &r, 6, 7);
    score("a red circle left of a blue square", &r, 6, 7);
    score("a large red circle above a small blue square", &r, 7, 9);
    score("a red square above a blue circle", &r, 5, 7); /* shapes swapped */
    score("a blue circle above a red square", &r, 4, 7); /* and so stands the relation */
    score("a red circle and a blue square on a black background", &r, 6, 7);
    score("a red circle and a green square", &r, 5, 6);
    score("a red circle", &r, 2, 3);                      /* one object too many */
    score("two red circles", &r, 1, 3);                   /* the second is neither red nor a circle */
    score("a red circle and two blue squares", &r, 5, 6); /* one too few */
    score("a green triangle", &r, 0, 3);
    struct tl_scene_reading none = {.ground = 2};
    score("a red circle above a blue square on a gray background", &none, 1, 8);
    score("a red circle", &none, 0, 3);
    struct tl_scene_reading many = {.ground = 0, .n_objects = TL_SCENE_SEEN};
    for (int i = 0; i < TL_SCENE_SEEN; i++)
        many.object[i] = (struct tl_scene_seen){.colour = 0, .shape = TL_SCENE_CIRCLE, .x = (float)i, .r = 8};
    score("a small red circle", &many, 3, 4);
    score("three red circles and two red circles", &many, 5, 6);
}

/* Pictures that are no scenes: nothing may break, and little may be found. */
static void test_odd_pictures(void **state)
{
    (void)state;
    uint8_t rgb[BYTES];
    struct tl_scene_reading r;
    for (int c = 0; c < TL_SCENE_COLOURS + TL_SCENE_GROUNDS; c++) {
        const uint8_t *v =
            c < TL_SCENE_COLOURS ? tl_scene_colour_rgb[c] : tl_scene_ground_rgb[c - TL_SCENE_COLOURS];
        for (int i = 0; i < BYTES; i++) rgb[i] = v[i % 3];
        assert_true(tl_scene_read(rgb, SIDE, SIDE, &r, NULL));
        assert_int_equal(r.n_objects, 0);
        assert_int_equal(r.ground, c < TL_SCENE_COLOURS ? -1 : c - TL_SCENE_COLOURS);
    }
    for (uint32_t s = 0; s < 50; s++) { /* noise of cells of 1, 2, 4, 8 or 16 px */
        int cell = 1 << s % 5;
        for (int i = 0; i < BYTES; i++)
            rgb[i] = (uint8_t)(tl_rng_u32(key_of(s),
                                          (uint32_t)(i / 3 / SIDE / cell * 64 + i / 3 % SIDE / cell) * 4 +
                                              (uint32_t)(i % 3)) >>
                               24);
        assert_true(tl_scene_read(rgb, SIDE, SIDE, &r, NULL));
        assert_true(r.n_objects >= 0 && r.n_objects <= TL_SCENE_SEEN);
    }
    /* A bar is an object of its colour, and no shape; a pink disc is a shape of no colour. */
    for (int i = 0; i < BYTES; i++) {
        int x = i / 3 % SIDE, y = i / 3 / SIDE;
        bool bar = x > 4 && x < 60 && y > 10 && y < 18;
        bool disc = (x - 30) * (x - 30) + (y - 42) * (y - 42) < 100;
        rgb[i] = bar ? tl_scene_colour_rgb[0][i % 3] : disc ? (uint8_t)(i % 3 == 1 ? 0 : 255) : 20;
    }
    assert_true(tl_scene_read(rgb, SIDE, SIDE, &r, NULL));
    assert_int_equal(r.n_objects, 2);
    assert_int_equal(r.object[0].colour, 0);
    assert_int_equal(r.object[0].shape, -1);
    assert_int_equal(r.object[1].colour, -1);
    assert_int_equal(r.object[1].shape, TL_SCENE_CIRCLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_drawn),    cmocka_unit_test(test_read_degraded),
        cmocka_unit_test(test_read_geometry), cmocka_unit_test(test_read_sizes),
        cmocka_unit_test(test_facts),         cmocka_unit_test(test_odd_pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
