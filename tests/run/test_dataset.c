/* Data sets: bucket sizes, who is in which, repeats, held-out pictures, what is left out and how it is told.
 */
#include "support/check.h"
#include "support_data.h"
#include "support_folder.h"

#include "io/file.h"
#include "io/image.h"
#include "run/dataset.h"
#include "run/dataset_buckets.h"

static const char *place;

static int setup(void **state)
{
    if (support_folder_make(state)) return -1;
    place = *state;
    return 0;
}

/* ---- bucket sizes ---- */

static struct tl_bucket_rule rule_of(const struct tl_dataset_params *p)
{
    struct tl_err err = {0};
    struct tl_bucket_rule r;
    check_ok(tl_bucket_rule_init(&r, p, &err), &err);
    return r;
}

/* kohya's list for 512: height = 262144 / width, cut to steps of 64, from 256 to 1024. */
static void test_sizes(void **state)
{
    (void)state;
    static const struct tl_size wanted[] = {{256, 832}, {256, 896}, {256, 960}, {256, 1024}, {320, 704},
                                            {320, 768}, {384, 640}, {448, 576}, {512, 512},  {576, 448},
                                            {640, 384}, {704, 320}, {768, 320}, {832, 256},  {896, 256},
                                            {960, 256}, {1024, 256}};
    struct tl_bucket_rule r = rule_of(&(struct tl_dataset_params){.area_side = 512});
    assert_int_equal(r.n, 17);
    for (int i = 0; i < r.n; i++) {
        assert_int_equal(r.sizes[i].width, wanted[i].width);
        assert_int_equal(r.sizes[i].height, wanted[i].height);
    }
    tl_bucket_rule_finish(&r);
    /* a side that is no multiple of the step, and sides that are close together */
    r = rule_of(&(struct tl_dataset_params){.area_side = 40, .bucket_step = 16});
    assert_int_equal(r.n, 7);
    assert_true(r.sizes[0].width == 16 && r.sizes[0].height == 64);
    assert_true(r.sizes[1].width == 16 && r.sizes[1].height == 80);
    assert_true(r.sizes[2].width == 32 && r.sizes[2].height == 32);
    assert_true(r.sizes[3].width == 32 && r.sizes[3].height == 48);
    assert_true(r.sizes[4].width == 48 && r.sizes[4].height == 32);
    tl_bucket_rule_finish(&r);
}

struct pick {
    int width, height;
    struct tl_size wanted;
};

static void check_picks(const struct tl_dataset_params *p, const struct pick *picks, size_t n)
{
    struct tl_bucket_rule r = rule_of(p);
    for (size_t i = 0; i < n; i++) {
        struct tl_size s = tl_bucket_rule_pick(&r, picks[i].width, picks[i].height);
        if (s.width != picks[i].wanted.width || s.height != picks[i].wanted.height)
            fail_msg("%dx%d: %dx%d, expected %dx%d", picks[i].width, picks[i].height, s.width, s.height,
                     picks[i].wanted.width, picks[i].wanted.height);
    }
    tl_bucket_rule_finish(&r);
}

static void test_picks(void **state)
{
    (void)state;
    static const struct pick any[] = {
        {512, 512, {512, 512}},   {100, 100, {512, 512}},  {4000, 4000, {512, 512}},
        {1920, 1080, {640, 384}},                         /* 1.778: 1.667 is nearer than 2.2 */
        {1080, 1920, {384, 640}}, {800, 600, {576, 448}}, /* 1.333: 1.286 */
        {3000, 1000, {832, 256}},                         /* 3: 3.25 is nearer than 2.4 */
        {704, 320, {704, 320}},   {9000, 10, {1024, 256}}, {10, 9000, {256, 1024}},
    };
    check_picks(&(struct tl_dataset_params){.area_side = 512}, any, sizeof any / sizeof *any);
    static const struct pick down[] = {
        {500, 300, {448, 256}}, /* small: cut to steps */
        {64, 64, {64, 64}},      {63, 500, {0, 0}},
        {530, 530, {512, 512}},  {1920, 1080, {640, 384}}, /* shrunk to 683x384 */
        {4000, 100, {2560, 64}}, /* shrunk to 3238x81: 3200x64 is 50, 2560x64 is 40 as the picture is */
    };
    check_picks(&(struct tl_dataset_params){.area_side = 512, .no_upscale = true}, down,
                sizeof down / sizeof *down);
}

static void test_bad_rules(void **state)
{
    (void)state;
    static const struct tl_dataset_params bad[] = {{.area_side = 0},
                                                   {.area_side = 32}, /* less than a step of 64 */
                                                   {.area_side = 512, .bucket_step = -8},
                                                   {.area_side = 100000}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct tl_err err = {0};
        struct tl_bucket_rule r;
        assert_false(tl_bucket_rule_init(&r, &bad[i], &err));
        assert_int_equal(err.code, TL_USAGE);
        tl_bucket_rule_finish(&r);
    }
}

/* ---- a folder ---- */

static struct tl_dataset open_set(const char *name, struct tl_dataset_params p)
{
    struct tl_err err = {0};
    struct tl_dataset d;
    char folder[600];
    snprintf(folder, sizeof folder, "%s", support_path(place, "%s", name));
    p.folder = folder;
    check_ok(tl_dataset_open(&p, &d, &err), &err);
    return d;
}

static const char *name_of(const struct tl_dataset *d, int i)
{
    return d->folder.items[d->item[i]].name;
}

static int find(const struct tl_dataset *d, const char *name)
{
    for (int i = 0; i < d->n; i++)
        if (!strcmp(name_of(d, i), name)) return i;
    fail_msg("%s is not in the set", name);
    return -1;
}

static void make_mixed(void)
{
    support_picture(support_path(place, "mixed/3_tall thing/a.png"), 30, 60, 200);
    support_picture(support_path(place, "mixed/3_tall thing/b.png"), 31, 61, 180);
    support_picture(support_path(place, "mixed/wide/c.png"), 90, 40, 160);
    support_picture(support_path(place, "mixed/d.png"), 64, 64, 140);
    support_picture(support_path(place, "mixed/e.png"), 8, 8, 120);
    support_picture(support_path(place, "mixed/0_off/f.png"), 64, 64, 100);
    support_write(support_path(place, "mixed/d.txt"), "a square\n");
    support_write(support_path(place, "mixed/e.caption"), "small");
    support_write(support_path(place, "mixed/wide/c.txt"), "wide");
}

static void check_bucket(const struct tl_dataset *d, const char *name, int width, int height)
{
    const struct tl_bucket *b = tl_dataset_bucket(d, find(d, name));
    if (b->width != width || b->height != height)
        fail_msg("%s: %dx%d, expected %dx%d", name, b->width, b->height, width, height);
}

static void test_buckets(void **state)
{
    (void)state;
    make_mixed();
    /* on offer: 16x48 16x56 16x64 24x40 32x32 and these on their side */
    struct tl_dataset_params p = {
        .fit = TL_FIT_BUCKET, .area_side = 32, .bucket_step = 8, .need_captions = true};
    struct tl_dataset d = open_set("mixed", p);
    assert_int_equal(d.n, 5);
    assert_int_equal(d.n_skipped, 0); /* 0_NAME is a choice */
    assert_null(d.px);
    check_bucket(&d, "3_tall thing/a.png", 24, 40); /* 0.5: 0.6 is nearer than 0.33 */
    check_bucket(&d, "3_tall thing/b.png", 24, 40);
    check_bucket(&d, "wide/c.png", 40, 24); /* 2.25: 1.67, not 3 */
    check_bucket(&d, "d.png", 32, 32);
    check_bucket(&d, "e.png", 32, 32);
    assert_int_equal(d.n_buckets, 3);
    int n = 0;
    for (int k = 0; k < d.n_buckets; k++) {
        for (int j = 0; j < d.buckets[k].n; j++) assert_int_equal(d.bucket[d.buckets[k].pictures[j]], k);
        n += d.buckets[k].n;
        assert_true(d.buckets[k].n > 0);
    }
    assert_int_equal(n, 5);
    assert_int_equal(tl_dataset_repeats(&d, find(&d, "3_tall thing/a.png")), 3);
    assert_int_equal(tl_dataset_repeats(&d, find(&d, "d.png")), 1);
    assert_string_equal(tl_dataset_caption(&d, find(&d, "3_tall thing/b.png")), "tall thing");
    assert_string_equal(tl_dataset_caption(&d, find(&d, "e.png")), "small");
    tl_dataset_finish(&d);
    p.no_upscale = true;
    d = open_set("mixed", p);
    check_bucket(&d, "e.png", 8, 8);
    tl_dataset_finish(&d);
    tl_dataset_finish(&d);
}

/* Kept or decoded again, whole or in part, mirrored: the same pixels. */
static void test_pixels(void **state)
{
    (void)state;
    struct tl_err err = {0};
    make_mixed();
    struct tl_dataset_params p = {.fit = TL_FIT_BUCKET, .area_side = 32, .bucket_step = 8};
    struct tl_dataset lazy = open_set("mixed", p);
    p.keep_pixels = true;
    struct tl_dataset kept = open_set("mixed", p);
    assert_int_equal(lazy.n, kept.n);
    assert_non_null(kept.px);
    enum { N = 2 * 64 * 64 * 3 };
    static float a[N], b[N], c[N];
    for (int k = 0; k < kept.n_buckets; k++) {
        const struct tl_bucket *u = &kept.buckets[k];
        int n = u->n < 2 ? u->n : 2;
        size_t floats = (size_t)(n * u->width * u->height * 3);
        check_ok(tl_dataset_read(&lazy, u->pictures, n, u->height, u->width, false, a, &err), &err);
        check_ok(tl_dataset_read(&kept, u->pictures, n, u->height, u->width, false, b, &err), &err);
        assert_memory_equal(a, b, floats * sizeof *a);
        tl_dataset_pixels(&kept, u->pictures[n - 1], 0, 0, u->height, u->width, c);
        assert_memory_equal(c, b + floats / (size_t)n * (size_t)(n - 1), floats / (size_t)n * sizeof *a);
        tl_dataset_rest(&lazy); /* begins again */
        check_ok(tl_dataset_read(&lazy, u->pictures, n, u->height, u->width, true, b, &err), &err);
        for (int y = 0; y < u->height; y++)
            for (int x = 0; x < u->width * 3; x++)
                assert_true(a[y * u->width * 3 + x] == b[(y * u->width + u->width - 1 - x / 3) * 3 + x % 3]);
        assert_memory_not_equal(a, b, floats * sizeof *a);
        check_ok(tl_dataset_read(&lazy, u->pictures, n, 8, 8, false, b, &err), &err);
        assert_true(b[8 * 3] == a[u->width * 3]);
    }
    /* a file that went away */
    int gone = find(&lazy, "d.png");
    assert_int_equal(remove(lazy.folder.items[lazy.item[gone]].path), 0);
    assert_false(tl_dataset_read(&lazy, &gone, 1, 32, 32, false, a, &err));
    assert_true(err.code == TL_BAD_INPUT && strstr(err.text, "d.png") &&
                strstr(err.text, "when the run began"));
    tl_dataset_finish(&lazy);
    tl_dataset_finish(&kept);
}

/* ---- held out ---- */

static void test_held_out(void **state)
{
    (void)state;
    enum { N = 60 };
    for (int i = 0; i < N; i++)
        support_picture(support_path(place, "many/%02d.png", i), 8, 8, (uint8_t)(3 * i));
    struct tl_dataset_params p = {.width = 8, .height = 8, .val_share = 0.25};
    struct tl_dataset few = open_set("many", p);
    assert_int_equal(few.n, N);
    assert_true(few.n_held_out > 5 && few.n_held_out < 28);
    for (int i = 0; i < 20; i++) support_picture(support_path(place, "many/0%02d.png", i), 8, 8, 9);
    struct tl_dataset more = open_set("many", p);
    p.val_share = 0.5;
    struct tl_dataset larger = open_set("many", p);
    for (int i = 0; i < N; i++) {
        int j = find(&more, name_of(&few, i));
        assert_true(few.held_out[i] == more.held_out[j]); /* files that are added move no other */
        if (more.held_out[j]) assert_true(larger.held_out[j]);
    }
    assert_true(larger.n_held_out > more.n_held_out);
    tl_dataset_finish(&few);
    tl_dataset_finish(&more);
    tl_dataset_finish(&larger);
    p.val_share = 1;
    struct tl_err err = {0};
    struct tl_dataset d;
    p.folder = support_path(place, "many");
    assert_false(tl_dataset_open(&p, &d, &err));
    assert_true(err.code == TL_USAGE && strstr(err.text, "none is left to train on"));
}

/* ---- left out ---- */

static int count(const char *text, const char *part)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, part)); p++) n++;
    return n;
}

static void test_skipped(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_dataset d;
    support_picture(support_path(place, "bad/a.png"), 20, 20, 100);
    support_picture(support_path(place, "bad/b.png"), 20, 20, 100);
    support_picture(support_path(place, "bad/none.png"), 20, 20, 100);
    support_write(support_path(place, "bad/a.txt"), "a");
    support_write(support_path(place, "bad/b.txt"), "caf\xe9");
    support_write(support_path(place, "bad/metadata.jsonl"), "{\"file_name\":\"gone.png\",\"text\":\"x\"}\n");
    for (int i = 0; i < 30; i++) {
        support_write(support_path(place, "bad/torn%02d.jpg", i), i % 2 ? "" : "\xff\xd8\xff\xe0 no more");
        support_write(support_path(place, "bad/torn%02d.txt", i), "torn");
    }
    struct tl_dataset_params p = {
        .fit = TL_FIT_BUCKET, .area_side = 16, .bucket_step = 8, .need_captions = true};
    support_log_start();
    d = open_set("bad", p);
    assert_true(d.n == 1 && d.n_skipped == 32 && d.folder.n_strays == 1);
    assert_string_equal(name_of(&d, 0), "a.png");
    assert_non_null(strstr(support_log(), "gone.png"));
    assert_non_null(strstr(support_log(), "b.txt: line 1: not valid UTF-8"));
    assert_non_null(strstr(support_log(), "none.png: no caption"));
    assert_non_null(strstr(support_log(), "torn00.jpg"));
    assert_int_equal(count(support_log(), "skipped: "), 21);
    assert_non_null(strstr(support_log(), "skipped: 13 more, 33 in all"));
    tl_dataset_finish(&d);
    char folder[600];
    snprintf(folder, sizeof folder, "%s/bad", place);
    p.folder = folder;
    p.strict = true;
    assert_false(tl_dataset_open(&p, &d, &err));
    assert_true(err.code == TL_BAD_INPUT && strstr(err.text, "gone.png"));
    tl_err_clear(&err);
    assert_int_equal(remove(support_path(place, "bad/metadata.jsonl")), 0);
    assert_int_equal(remove(support_path(place, "bad/b.txt")), 0);
    assert_int_equal(remove(support_path(place, "bad/b.png")), 0);
    assert_int_equal(remove(support_path(place, "bad/none.png")), 0);
    assert_false(tl_dataset_open(&p, &d, &err));
    assert_true(err.code == TL_BAD_INPUT && strstr(err.text, "torn00.jpg"));
    tl_err_clear(&err);
    p.strict = false;
    support_picture(support_path(place, "4_alone/a.png"), 16, 16, 100);
    char alone[600];
    snprintf(alone, sizeof alone, "%s/4_alone", place);
    p.folder = alone; /* of the folder itself the name says nothing */
    assert_false(tl_dataset_open(&p, &d, &err));
    assert_true(err.code == TL_BAD_INPUT && strstr(err.text, "none has a caption (a .txt"));
    tl_err_clear(&err);
    /* all in one size: kept in memory, the same verdicts */
    d = open_set("bad", (struct tl_dataset_params){.keep_pixels = true});
    assert_true(d.n == 1 && d.n_skipped == 30 && d.width == 20 && d.height == 20 && d.px);
    tl_dataset_finish(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),   cmocka_unit_test(test_picks),  cmocka_unit_test(test_bad_rules),
        cmocka_unit_test(test_buckets), cmocka_unit_test(test_pixels), cmocka_unit_test(test_held_out),
        cmocka_unit_test(test_skipped),
    };
    return cmocka_run_group_tests(tests, setup, support_folder_remove);
}
