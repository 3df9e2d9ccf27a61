#include "support/check.h"

#include <unistd.h>

#include "io/draw.h"
#include "io/draw_font.h"

static uint32_t at(const struct tl_image *image, int x, int y)
{
    const uint8_t *p = image->px + 3 * ((size_t)y * (size_t)image->width + (size_t)x);
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static struct tl_image blank(int width, int height)
{
    struct tl_image image;
    struct tl_err err = {0};
    check_ok(tl_image_init(&image, width, height, 3, &err), &err);
    tl_draw_fill(&image, 0, 0, width, height, TL_DRAW_WHITE);
    return image;
}

/* How many pixels of a colour a rectangle holds. */
static size_t count_in(const struct tl_image *image, int x, int y, int width, int height, uint32_t rgb)
{
    size_t n = 0;
    for (int v = y; v < y + height; v++)
        for (int u = x; u < x + width; u++) n += at(image, u, v) == rgb;
    return n;
}

static size_t count(const struct tl_image *image, uint32_t rgb)
{
    return count_in(image, 0, 0, image->width, image->height, rgb);
}

/* ---- pieces ---- */

static void test_font(void **state)
{
    (void)state;
    for (uint32_t a = 0x20; a < 0x7f; a++) {
        const uint8_t *rows = tl_draw_glyph(a);
        int ink = 0;
        for (int r = 0; r < TL_DRAW_GLYPH_ROWS; r++) {
            assert_true(rows[r] < 32);
            ink += rows[r] != 0;
        }
        assert_true(a == ' ' ? ink == 0 : ink > 0);
        for (uint32_t b = 0x20; b < a; b++)
            assert_memory_not_equal(rows, tl_draw_glyph(b), TL_DRAW_GLYPH_ROWS);
        assert_memory_not_equal(rows, tl_draw_glyph(0xe9), TL_DRAW_GLYPH_ROWS);
    }
    assert_ptr_equal(tl_draw_glyph(0xe9), tl_draw_glyph(0x7f));
}

static void test_text(void **state)
{
    (void)state;
    static const char *const L[] = {"#....", "#....", "#....", "#....", "#....", "#....", "#####"};
    struct tl_image image = blank(40, 30);
    tl_draw_text(&image, 3, 4, "L", 2, TL_DRAW_RED);
    for (int y = 0; y < 7; y++)
        for (int x = 0; x < 5; x++)
            for (int k = 0; k < 4; k++)
                assert_int_equal(at(&image, 3 + 2 * x + k % 2, 4 + 2 * y + k / 2),
                                 L[y][x] == '#' ? TL_DRAW_RED : TL_DRAW_WHITE);
    assert_int_equal(count(&image, TL_DRAW_RED), 4 * 11);
    assert_int_equal(tl_draw_text_width("a\u00e9\u65e5\xff", 3), 4 * 3 * TL_DRAW_CELL_WIDTH);
    assert_int_equal(tl_draw_text_width("", 3), 0);
    tl_image_finish(&image);

    /* the second character stands one cell further on; a byte that is no UTF-8 is a box, as a character
     * beyond ASCII */
    struct tl_image a = blank(40, 12), b = blank(40, 12);
    tl_draw_text(&a, 0, 0, "x\xff\tx", 1, TL_DRAW_INK);
    tl_draw_text(&b, 0, 0, "x", 1, TL_DRAW_INK);
    tl_draw_text(&b, TL_DRAW_CELL_WIDTH, 0, "\u00e9", 1, TL_DRAW_INK);
    tl_draw_text(&b, 3 * TL_DRAW_CELL_WIDTH, 0, "x", 1, TL_DRAW_INK);
    assert_memory_equal(a.px, b.px, 40 * 12 * 3);
    tl_image_finish(&a);
    tl_image_finish(&b);
}

/* Whatever lies outside is left out; the picture's edge shows what lies inside. */
static void test_clipped(void **state)
{
    (void)state;
    struct tl_image image = blank(16, 12), dot = blank(4, 4);
    tl_draw_fill(&dot, 0, 0, 4, 4, TL_DRAW_GREEN);
    tl_draw_fill(&image, -5, -5, 7, 7, TL_DRAW_INK);
    assert_int_equal(count(&image, TL_DRAW_INK), 4);
    tl_draw_fill(&image, 0, 0, 16, 12, TL_DRAW_WHITE);
    tl_draw_fill(&image, 2, 2, -3, 5, TL_DRAW_INK);
    tl_draw_fill(&image, 100, 2, 3, 5, TL_DRAW_INK);
    tl_draw_fill(&image, INT32_MAX, 2, INT32_MAX, 5, TL_DRAW_INK);
    assert_int_equal(count(&image, TL_DRAW_WHITE), 16 * 12);
    tl_draw_picture(&image, -6, 8, &dot, 2); /* 2 of 8 columns, 4 of 8 rows */
    assert_int_equal(count(&image, TL_DRAW_GREEN), 2 * 4);
    assert_int_equal(at(&image, 1, 8), TL_DRAW_GREEN);
    tl_draw_picture(&image, 14, -7, &dot, 2);
    assert_int_equal(count(&image, TL_DRAW_GREEN), 2 * 4 + 2);
    static const int PLACES[] = {-1000, -20, -3, 0, 7, 14, 17, 1000};
    for (int x = 0; x < 8; x++)
        for (int y = 0; y < 8; y++) {
            tl_draw_text(&image, PLACES[x], PLACES[y], "Qq#", 3, TL_DRAW_RED);
            tl_draw_line(&image, PLACES[x], PLACES[y], PLACES[y], 1e9 * PLACES[x], 3, TL_DRAW_RED);
        }
    size_t red = count(&image, TL_DRAW_RED);
    tl_draw_line(&image, NAN, 0, 5, 5, 3, TL_DRAW_RED);
    tl_draw_line(&image, 0, 0, INFINITY, 5, 3, TL_DRAW_RED);
    assert_int_equal(count(&image, TL_DRAW_RED), red);
    tl_image_finish(&image);
    tl_image_finish(&dot);
}

static void test_line(void **state)
{
    (void)state;
    struct tl_image image = blank(30, 30);
    tl_draw_line(&image, 5, 10, 24, 10, 3, TL_DRAW_INK);
    assert_int_equal(count_in(&image, 5, 9, 20, 3, TL_DRAW_INK), 60); /* three whole rows */
    assert_int_equal(at(&image, 15, 7), TL_DRAW_WHITE);
    assert_int_equal(at(&image, 15, 13), TL_DRAW_WHITE);
    assert_int_equal(at(&image, 1, 10), TL_DRAW_WHITE);
    tl_draw_line(&image, 15, 22, 15, 22, 5, TL_DRAW_RED); /* a dot */
    assert_int_equal(at(&image, 15, 22), TL_DRAW_RED);
    assert_int_equal(at(&image, 17, 22), TL_DRAW_RED);
    assert_int_equal(at(&image, 19, 22), TL_DRAW_WHITE);
    tl_image_finish(&image);
}

static void test_wrapped(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int columns, most, lines;
    } ROWS[] = {{"", 10, 3, 0},
                {"one", 10, 3, 1},
                {"exactly te", 10, 3, 1},
                {"exactly ten", 10, 3, 2},
                {"exactly te n", 10, 3, 2}, /* the space behind a full line is the break */
                {"aaaaaaaaaaaaaaaaaaaaa", 10, 5, 3},
                {"a b c d e f g h i j k l m n", 3, 99, 7},
                {"many words that do not fit at all", 10, 2, 2},
                {"\u65e5\u672c\u8a9e\u65e5\u672c\u8a9e", 3, 9, 2}};
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        struct tl_image image = blank(200, 120);
        int counted = tl_draw_wrapped(NULL, 0, 0, ROWS[i].text, ROWS[i].columns, ROWS[i].most, 1, 0);
        int drawn =
            tl_draw_wrapped(&image, 0, 0, ROWS[i].text, ROWS[i].columns, ROWS[i].most, 1, TL_DRAW_INK);
        if (counted != ROWS[i].lines || drawn != counted)
            fail_msg("'%s': %d lines counted, %d drawn, expected %d", ROWS[i].text, counted, drawn,
                     ROWS[i].lines);
        int right = ROWS[i].columns * TL_DRAW_CELL_WIDTH, below = drawn * TL_DRAW_CELL_HEIGHT;
        assert_int_equal(count_in(&image, right, 0, 200 - right, 120, TL_DRAW_INK), 0);
        assert_int_equal(count_in(&image, 0, below, 200, 120 - below, TL_DRAW_INK), 0);
        tl_image_finish(&image);
    }
    /* what is cut ends in dots */
    struct tl_image a = blank(70, 12), b = blank(70, 12);
    tl_draw_wrapped(&a, 0, 0, "abcdefgh ijkl", 10, 1, 1, TL_DRAW_INK);
    tl_draw_text(&b, 0, 0, "abcdefg...", 1, TL_DRAW_INK);
    assert_memory_equal(a.px, b.px, 70 * 12 * 3);
    tl_image_finish(&a);
    tl_image_finish(&b);
}

/* ---- grids ---- */

enum { SIDE = 8 };

/* SIDE x SIDE of one colour; grey: 1 channel with the lowest byte. */
static struct tl_image plain(uint32_t rgb, bool grey)
{
    struct tl_image image;
    struct tl_err err = {0};
    check_ok(tl_image_init(&image, SIDE, SIDE, grey ? 1 : 3, &err), &err);
    for (int i = 0; i < SIDE * SIDE * image.channels; i++)
        image.px[i] = (uint8_t)(grey ? rgb : rgb >> (16 - 8 * (i % 3)));
    return image;
}

static void test_grid(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_image pictures[6], page;
    for (uint32_t i = 0; i < 6; i++)
        pictures[i] = plain(0x010101 * (10 + i) + (i == 4 ? 0 : 0x300000), i == 4);
    tl_image_finish(&pictures[5]);
    struct tl_draw_grid grid = {.rows = 2, .columns = 3, .pictures = pictures, .scale = 5};
    check_ok(tl_draw_grid(&grid, &page, &err), &err);
    for (uint32_t i = 0; i < 5; i++) {
        uint32_t rgb = 0x010101 * (10 + i) + (i == 4 ? 0 : 0x300000);
        assert_int_equal(count(&page, rgb), SIDE * SIDE * 25);
        int x = 12 + (int)(i % 3) * (SIDE * 5 + 8);
        assert_int_equal(at(&page, x, i < 3 ? 12 : 12 + SIDE * 5 + 4 + 16), rgb);
    }
    assert_int_equal(count(&page, TL_DRAW_INK), 0);
    int plain_height = page.height;
    tl_image_finish(&page);

    static const char *const CAPTIONS[6] = {"0.61", NULL, "words words words", "x", "", "y"};
    static const char *const ROWS[2] = {"first", "second"};
    const uint32_t colors[6] = {TL_DRAW_GREEN, 0, TL_DRAW_RED, TL_DRAW_INK, 0, TL_DRAW_INK};
    grid.captions = CAPTIONS;
    grid.row_titles = ROWS;
    grid.caption_colors = colors;
    grid.title = "Title";
    check_ok(tl_draw_grid(&grid, &page, &err), &err);
    assert_true(page.height > plain_height + 60);
    assert_true(count(&page, TL_DRAW_GREEN) > 20 && count(&page, TL_DRAW_RED) > 60 &&
                count(&page, TL_DRAW_INK) > 100);
    assert_int_equal(count(&page, 0x3a0a0a), SIDE * SIDE * 25); /* no text over a picture */
    tl_image_finish(&page);

    grid.scale = 0;
    check_ok(tl_draw_grid(&grid, &page, &err), &err);
    assert_int_equal(count(&page, 0x3a0a0a), 192 * 192);
    tl_image_finish(&page);
    for (int i = 0; i < 6; i++) tl_image_finish(&pictures[i]);
}

static void test_grid_refused(void **state)
{
    (void)state;
    struct tl_image pictures[2] = {plain(0, false), blank(SIDE, SIDE + 1)}, page;
    struct tl_draw_grid grids[] = {{.rows = 1, .columns = 2, .pictures = pictures},
                                   {.rows = 0, .columns = 2, .pictures = pictures},
                                   {.rows = 1, .columns = 1, .pictures = pictures, .scale = -1},
                                   {.rows = 1, .columns = 1, .pictures = &(struct tl_image){0}}};
    for (int i = 0; i < 4; i++) {
        struct tl_err err = {0};
        page.px = (uint8_t *)1;
        assert_false(tl_draw_grid(&grids[i], &page, &err));
        assert_int_equal(err.code, TL_USAGE);
        assert_null(page.px);
    }
    struct tl_image *many = calloc(4096, sizeof *many);
    for (int i = 0; i < 4096; i++) many[i] = pictures[0];
    struct tl_draw_grid huge = {.rows = 1, .columns = 4096, .pictures = many, .scale = 64};
    struct tl_err err = {0};
    assert_false(tl_draw_grid(&huge, &page, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    free(many);
    tl_image_finish(&pictures[0]);
    tl_image_finish(&pictures[1]);
}

static void test_before_after(void **state)
{
    (void)state;
    enum { PROMPTS = 2, EACH = 2, N = PROMPTS * EACH };
    struct tl_err err = {0};
    struct tl_image before[N], after[N], page;
    for (uint32_t i = 0; i < N; i++) {
        before[i] = plain(0x100000 + i, false);
        after[i] = plain(0x001000 + i, false);
    }
    const double was[N] = {0.5, 0.6, 0.7, 0.8}, is[N] = {0.55, 0.5, 0.7, 0.9};
    static const char *const TEXTS[PROMPTS] = {"a red circle", "two blue squares"};
    struct tl_draw_before_after what = {.n_prompts = PROMPTS,
                                        .n_each = EACH,
                                        .before = before,
                                        .after = after,
                                        .prompts = TEXTS,
                                        .title = "T",
                                        .scale = 20};
    check_ok(tl_draw_before_after(&what, &page, &err), &err);
    int side = SIDE * 20, right = 12 + EACH * (side + 8) + 20;
    for (uint32_t i = 0; i < N; i++) {
        int x = (int)(i % EACH) * (side + 8);
        assert_int_equal(count_in(&page, 12 + x, 0, side, page.height, 0x100000 + i), side * side);
        assert_int_equal(count_in(&page, right + x, 0, side, page.height, 0x001000 + i), side * side);
    }
    assert_int_equal(count(&page, TL_DRAW_GREEN) + count(&page, TL_DRAW_RED), 0);
    tl_image_finish(&page);

    what.reward_before = was;
    what.reward_after = is;
    what.reward_name = "clip";
    check_ok(tl_draw_before_after(&what, &page, &err), &err);
    /* green under the first and the last of the later ones, red under the second */
    assert_true(count_in(&page, right, 0, side, page.height / 2, TL_DRAW_GREEN) > 50);
    assert_true(count_in(&page, right + side + 8, 0, side, page.height / 2, TL_DRAW_RED) > 50);
    assert_true(count_in(&page, right + side + 8, page.height / 2, side, page.height / 2, TL_DRAW_GREEN) >
                50);
    assert_int_equal(count_in(&page, 0, 0, right - 8, page.height, TL_DRAW_GREEN), 0);
    assert_int_equal(count_in(&page, right, page.height / 2, side, page.height / 2, TL_DRAW_RED), 0);

    char path[] = "/tmp/tiller-draw-XXXXXX";
    struct tl_image read;
    close(mkstemp(path));
    check_ok(tl_image_save_png(path, &page, NULL, 0, &err), &err);
    check_ok(tl_image_load(path, &read, &err), &err);
    assert_int_equal(read.width, page.width);
    assert_int_equal(read.height, page.height);
    assert_memory_equal(read.px, page.px, (size_t)page.width * (size_t)page.height * 3);
    unlink(path);
    tl_image_finish(&read);
    tl_image_finish(&page);
    for (int i = 0; i < N; i++) {
        tl_image_finish(&before[i]);
        tl_image_finish(&after[i]);
    }
}

/* ---- charts ---- */

enum { FIRST = 0x0072b2, SECOND = 0xd55e00 }; /* colours of the first two series */

/* Mean row of a colour's pixels in a column band of the picture, above the legend. */
static double mean_row(const struct tl_image *image, int from, int to, int bottom, uint32_t rgb)
{
    double sum = 0, n = 0;
    for (int y = 0; y < bottom; y++)
        for (int x = from; x < to; x++)
            if (at(image, x, y) == rgb) sum += y, n++;
    assert_true(n > 0);
    return sum / n;
}

static void test_chart(void **state)
{
    (void)state;
    enum { N = 11 };
    double rising[N], falling[N], error[N];
    for (int i = 0; i < N; i++) {
        rising[i] = 0.1 * i;
        falling[i] = 1 - 0.1 * i;
        error[i] = 0.05;
    }
    struct tl_draw_series series[] = {{.name = "up", .y = rising, .n = N},
                                      {.name = "down", .y = falling, .n = N}};
    struct tl_draw_chart chart = {
        .title = "Both", .x_label = "step", .y_label = "value", .series = series, .n_series = 2};
    struct tl_err err = {0};
    struct tl_image page, banded;
    check_ok(tl_draw_chart(&chart, &page, &err), &err);
    assert_int_equal(page.width, 960);
    assert_int_equal(page.height, 540);
    int bottom = 440;
    /* one rises to where the other started, and they cross in the middle */
    double up_left = mean_row(&page, 120, 140, bottom, FIRST),
           up_right = mean_row(&page, 880, 900, bottom, FIRST);
    double down_left = mean_row(&page, 120, 140, bottom, SECOND),
           down_right = mean_row(&page, 880, 900, bottom, SECOND);
    assert_true(up_left > up_right + 200 && down_right > down_left + 200);
    check_near(up_left - down_right, down_left - up_right, 60);
    check_near(mean_row(&page, 300, 320, bottom, FIRST) - up_left, (up_right - up_left) * 180 / 760, 4);
    /* both swatches in the legend */
    assert_true(count_in(&page, 0, 460, 200, 80, FIRST) > 100 &&
                count_in(&page, 0, 460, 200, 80, SECOND) > 100);

    series[0].error = error;
    check_ok(tl_draw_chart(&chart, &banded, &err), &err);
    assert_true(count(&banded, TL_DRAW_WHITE) + 5000 < count(&page, TL_DRAW_WHITE));
    tl_image_finish(&page);
    tl_image_finish(&banded);
}

/* A gap where a value is missing, a dot where one stands alone. */
static void test_chart_gaps(void **state)
{
    (void)state;
    double y[] = {1, 1, 1, NAN, NAN, NAN, 1, INFINITY, 1, 1, 1}, x[11];
    for (int i = 0; i < 11; i++) x[i] = 10 * i;
    struct tl_draw_series series = {.name = "gappy", .x = x, .y = y, .n = 11};
    struct tl_draw_chart chart = {.series = &series, .n_series = 1};
    struct tl_err err = {0};
    struct tl_image page;
    check_ok(tl_draw_chart(&chart, &page, &err), &err);
    int left = 0, bottom = 460; /* the axis: the first column with a long run of its colour */
    while (left < page.width && count_in(&page, left, 0, 1, bottom, 0x909090) < 100) left++;
    assert_true(left < page.width / 4);
    double step = (page.width - 16 - 20 - left) / 10.0;
    size_t seen[10];
    for (int i = 0; i < 10; i++)
        seen[i] = count_in(&page, left + (int)(i * step + step / 4), 0, (int)(step / 2), bottom, FIRST);
    static const bool DRAWN[10] = {true, true, false, false, false, false, false, false, true, true};
    for (int i = 1; i < 10; i++)
        assert_int_equal(seen[i] > 20, DRAWN[i]); /* the first holds the maximum's label */
    assert_true(count_in(&page, left + (int)(6 * step) - 8, 0, 16, bottom, FIRST) > 10);
    tl_image_finish(&page);
}

static void test_chart_odd(void **state)
{
    (void)state;
    static const double NONE[] = {NAN, INFINITY}, ONE[] = {0.25}, HUGE_ONES[] = {-1e300, 1e300, 1e308, 3},
                        TINY[] = {1e-300, 2e-300, 0}, SAME[] = {7, 7, 7},
                        NEAR[] = {1e9, 1e9 + 1e-6, 1e9 + 2e-6};
    const struct tl_draw_series rows[] = {{.y = NONE, .n = 2},
                                          {.n = 0},
                                          {.y = ONE, .n = 1},
                                          {.y = HUGE_ONES, .n = 4},
                                          {.y = TINY, .n = 3},
                                          {.y = SAME, .n = 3, .error = HUGE_ONES},
                                          {.y = NEAR, .n = 3},
                                          {.x = HUGE_ONES, .y = HUGE_ONES, .n = 4},
                                          {.x = NEAR, .y = SAME, .n = 3}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tl_draw_chart chart = {
            .series = &rows[i], .n_series = 1, .width = 300 + 400 * (int)(i % 2), .height = 200};
        struct tl_err err = {0};
        struct tl_image page;
        check_ok(tl_draw_chart(&chart, &page, &err), &err);
        assert_true(count(&page, 0x909090) > 100); /* axes are always there */
        tl_image_finish(&page);
    }
    struct tl_image page;
    struct tl_err err = {0};
    struct tl_draw_chart none = {.title = "nothing yet"};
    check_ok(tl_draw_chart(&none, &page, &err), &err);
    tl_image_finish(&page);
    static const int SIZES[][2] = {{60, 200}, {300, 60}, {-5, 100}, {1, 1}};
    for (int i = 0; i < 4; i++) {
        tl_err_clear(&err);
        none.width = SIZES[i][0];
        none.height = SIZES[i][1];
        assert_false(tl_draw_chart(&none, &page, &err));
        assert_int_equal(err.code, TL_USAGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_font),         cmocka_unit_test(test_text),
        cmocka_unit_test(test_clipped),      cmocka_unit_test(test_line),
        cmocka_unit_test(test_wrapped),      cmocka_unit_test(test_grid),
        cmocka_unit_test(test_grid_refused), cmocka_unit_test(test_before_after),
        cmocka_unit_test(test_chart),        cmocka_unit_test(test_chart_gaps),
        cmocka_unit_test(test_chart_odd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
