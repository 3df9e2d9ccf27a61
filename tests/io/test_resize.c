#include "io/resize.h"

#include "io/support_io.h"

/* Random picture of 9 x 7, and what Pillow 13.0's Image.resize makes of it. */
static const uint8_t picture[7 * 9 * 3] = {
    248, 194, 190, 207, 147, 26,  237, 21,  245, 211, 239, 45,  5,   157, 159, 60,  54,  236, 109, 46,  199,
    82,  32,  205, 36,  7,   134, 222, 57,  146, 8,   149, 14,  15,  22,  10,  144, 208, 24,  24,  7,   41,
    11,  85,  59,  104, 225, 110, 226, 201, 8,   159, 26,  27,  163, 122, 33,  41,  201, 67,  70,  166, 228,
    40,  50,  179, 0,   177, 137, 63,  13,  188, 255, 64,  94,  8,   8,   156, 25,  29,  157, 146, 190, 115,
    219, 135, 39,  100, 237, 127, 72,  227, 168, 21,  73,  132, 16,  153, 140, 107, 80,  163, 61,  110, 47,
    229, 148, 170, 97,  110, 56,  150, 74,  193, 62,  44,  238, 239, 226, 188, 14,  205, 185, 193, 73,  238,
    205, 244, 160, 110, 68,  201, 79,  104, 193, 72,  88,  197, 234, 81,  148, 48,  7,   166, 149, 40,  126,
    166, 40,  54,  59,  178, 13,  153, 135, 222, 59,  191, 239, 74,  193, 154, 82,  240, 115, 167, 97,  0,
    185, 210, 176, 19,  76,  177, 52,  249, 109, 94,  162, 241, 197, 5,   100, 76,  50,  247, 166, 35,  250,
};

static const struct {
    enum tl_resize_filter filter;
    uint8_t small[3 * 4 * 3]; /* 4 x 3 */
    uint32_t large;           /* FNV-1a hash of 13 x 10 */
} expected[] = {
    {TL_RESIZE_BICUBIC,
     {147, 126, 90,  94,  122, 88,  63,  92,  133, 117, 71,  107, 130, 139, 102, 75,  154, 165,
      91,  112, 149, 114, 101, 139, 135, 108, 134, 113, 103, 148, 122, 141, 142, 110, 115, 214},
     0x077aa308u},
    {TL_RESIZE_LANCZOS,
     {153, 129, 89,  83,  121, 84,  62,  93,  134, 121, 65,  106, 129, 137, 103, 68,  151, 167,
      92,  112, 144, 118, 107, 137, 139, 105, 139, 118, 103, 147, 122, 146, 144, 112, 114, 220},
     0x394500ccu},
    {TL_RESIZE_BILINEAR,
     {139, 123, 92,  99,  125, 93,  69,  91,  132, 115, 76,  109, 131, 140, 105, 85,  151, 154,
      87,  112, 149, 113, 101, 140, 133, 109, 133, 114, 105, 148, 119, 136, 147, 109, 115, 206},
     0xee2b665eu},
    {TL_RESIZE_BOX,
     {172, 137, 94,  106, 109, 88,  72,  103, 152, 126, 67,  94,  136, 139, 84,  69, 156, 176,
      140, 105, 164, 86,  78,  154, 139, 127, 116, 103, 104, 135, 126, 121, 145, 94, 118, 223},
     0xde34cc83u},
};

static uint32_t fnv(const uint8_t *p, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 16777619u;
    return h;
}

static void test_pillow(void **state)
{
    (void)state;
    const struct tl_image in = {.width = 9, .height = 7, .channels = 3, .px = (uint8_t *)(uintptr_t)picture};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        struct tl_err err = {0};
        struct tl_image out;
        check_ok(tl_resize_image(&in, 4, 3, expected[i].filter, &out, &err), &err);
        assert_true(out.width == 4 && out.height == 3 && out.channels == 3);
        assert_memory_equal(out.px, expected[i].small, sizeof expected[i].small);
        tl_image_finish(&out);
        check_ok(tl_resize_image(&in, 13, 10, expected[i].filter, &out, &err), &err);
        assert_int_equal(fnv(out.px, 13 * 10 * 3), expected[i].large);
        tl_image_finish(&out);
        check_ok(tl_resize_image(&in, 9, 7, expected[i].filter, &out, &err), &err);
        assert_memory_equal(out.px, picture, sizeof picture);
        tl_image_finish(&out);
    }
}

/* One channel alone gives what it gives among three; one axis alone is skipped properly. */
static void test_channels(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_image grey, colour, out_grey, out;
    check_ok(tl_image_init(&grey, 11, 6, 1, &err) && tl_image_init(&colour, 11, 6, 3, &err), &err);
    for (int i = 0; i < 66; i++) {
        grey.px[i] = (uint8_t)(i * 89);
        colour.px[3 * i + 1] = grey.px[i];
        colour.px[3 * i] = 255;
    }
    static const int sizes[][2] = {{5, 6}, {11, 4}, {20, 17}, {1, 1}};
    for (size_t s = 0; s < 4; s++) {
        int w = sizes[s][0], h = sizes[s][1];
        check_ok(tl_resize_image(&grey, w, h, TL_RESIZE_LANCZOS, &out_grey, &err), &err);
        check_ok(tl_resize_image(&colour, w, h, TL_RESIZE_LANCZOS, &out, &err), &err);
        for (int i = 0; i < w * h; i++) {
            assert_int_equal(out.px[3 * i + 1], out_grey.px[i]);
            assert_int_equal(out.px[3 * i], 255); /* flat stays flat: the weights sum to 1 */
            assert_int_equal(out.px[3 * i + 2], 0);
        }
        tl_image_finish(&out);
        tl_image_finish(&out_grey);
    }
    tl_image_finish(&grey);
    tl_image_finish(&colour);
}

/* Floats agree with 8 bits to the rounding of two passes where nothing is clipped, and are linear. */
static void test_floats(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_image in, out;
    float from[9 * 7 * 3], twice[9 * 7 * 3], to[13 * 10 * 3], scaled[13 * 10 * 3];
    static const int sizes[][2] = {{4, 3}, {13, 10}, {9, 3}, {4, 7}, {9, 7}};
    check_ok(tl_image_init(&in, 9, 7, 3, &err), &err);
    for (int p = 0; p < 9 * 7 * 3; p++) {
        in.px[p] = (uint8_t)(64 + picture[p] / 2); /* room for the filters' overshoot */
        from[p] = in.px[p];
        twice[p] = -2.0f * from[p];
    }
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        for (size_t s = 0; s < 5; s++) {
            int w = sizes[s][0], h = sizes[s][1];
            check_ok(tl_resize_image(&in, w, h, expected[i].filter, &out, &err), &err);
            check_ok(tl_resize_floats(from, 9, 7, 3, w, h, expected[i].filter, to, &err), &err);
            check_ok(tl_resize_floats(twice, 9, 7, 3, w, h, expected[i].filter, scaled, &err), &err);
            for (int p = 0; p < w * h * 3; p++) {
                check_near(to[p], out.px[p], 1.4);
                check_near(scaled[p], -2.0f * to[p], 1e-3);
            }
            tl_image_finish(&out);
        }
    }
    tl_image_finish(&in);
    check_fails(tl_resize_floats(from, 9, 7, 0, 4, 3, TL_RESIZE_BOX, to, &err), &err, TL_BAD_INPUT,
                "0 channels");
    check_fails(tl_resize_floats(from, 9, 7, 3, 0, 3, TL_RESIZE_BOX, to, &err), &err, TL_BAD_INPUT, "9 to 0");
}

static void test_axis(void **state)
{
    (void)state;
    static const enum tl_resize_filter filters[] = {TL_RESIZE_LANCZOS, TL_RESIZE_BILINEAR, TL_RESIZE_BICUBIC,
                                                    TL_RESIZE_BOX};
    static const int sizes[][2] = {{1, 1}, {1, 9}, {9, 1}, {640, 224}, {3, 1000}, {1000, 3}, {224, 225}};
    for (size_t f = 0; f < 4; f++) {
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            struct tl_err err = {0};
            struct tl_resize_axis axis;
            check_ok(tl_resize_axis_init(&axis, sizes[s][0], sizes[s][1], filters[f], &err), &err);
            for (int x = 0; x < axis.n_out; x++) {
                double sum = 0;
                assert_true(axis.first[x] >= 0 && axis.count[x] > 0 && axis.count[x] <= axis.most);
                assert_true(axis.first[x] + axis.count[x] <= axis.n_in);
                for (int k = 0; k < axis.count[x]; k++) sum += axis.weight[x * axis.most + k];
                check_near(sum, 1.0, 1e-12);
            }
            tl_resize_axis_finish(&axis);
        }
    }
    struct tl_err err = {0};
    struct tl_resize_axis axis;
    check_fails(tl_resize_axis_init(&axis, 4, 4, 0, &err), &err, TL_BAD_INPUT, "resample filter 0");
    check_fails(tl_resize_axis_init(&axis, 4, 4, 5, &err), &err, TL_BAD_INPUT, "resample filter 5");
    check_fails(tl_resize_axis_init(&axis, 0, 4, 3, &err), &err, TL_BAD_INPUT, "0 to 4");
    check_fails(tl_resize_axis_init(&axis, 4, -1, 3, &err), &err, TL_BAD_INPUT, "4 to -1");
}

static void test_shortest(void **state)
{
    (void)state;
    /* in w, h, edge, out w, h: the long side is truncated. */
    static const int rows[][5] = {{640, 480, 224, 298, 224}, {480, 640, 224, 224, 298},
                                  {10, 10, 4, 4, 4},         {3, 10, 7, 7, 23},
                                  {100, 99, 50, 50, 50},     {224, 300, 224, 224, 300}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tl_err err = {0};
        struct tl_image in, out;
        check_ok(tl_image_init(&in, rows[i][0], rows[i][1], 1, &err), &err);
        check_ok(tl_resize_shortest(&in, rows[i][2], TL_RESIZE_BICUBIC, &out, &err), &err);
        assert_int_equal(out.width, rows[i][3]);
        assert_int_equal(out.height, rows[i][4]);
        tl_image_finish(&in);
        tl_image_finish(&out);
    }
    struct tl_err err = {0};
    struct tl_image thin, out;
    check_ok(tl_image_init(&thin, 1, 1000000, 1, &err), &err);
    check_fails(tl_resize_shortest(&thin, 224, TL_RESIZE_BOX, &out, &err), &err, TL_BAD_INPUT,
                "too long and narrow");
    check_fails(tl_resize_shortest(&thin, 0, TL_RESIZE_BOX, &out, &err), &err, TL_BAD_INPUT, "cannot resize");
    tl_image_finish(&thin);
}

/* Value of a crop at x, y is where it came from, or 0. */
static void test_crop(void **state)
{
    (void)state;
    /* in w, h, crop w, h, left, top */
    static const int rows[][6] = {{10, 8, 4, 4, 3, 2}, {9, 8, 4, 3, 2, 2},  {3, 3, 6, 6, -2, -2},
                                  {9, 2, 4, 6, 2, -2}, {2, 9, 5, 4, -2, 2}, {5, 5, 5, 5, 0, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tl_err err = {0};
        struct tl_image in, out;
        const int *r = rows[i];
        check_ok(tl_image_init(&in, r[0], r[1], 3, &err), &err);
        for (int p = 0; p < r[0] * r[1] * 3; p++) in.px[p] = (uint8_t)(p + 1);
        check_ok(tl_resize_center_crop(&in, r[2], r[3], &out, &err), &err);
        for (int y = 0; y < r[3]; y++) {
            for (int x = 0; x < r[2] * 3; x++) {
                int sx = x / 3 + r[4], sy = y + r[5];
                bool inside = sx >= 0 && sx < r[0] && sy >= 0 && sy < r[1];
                int wanted = inside ? in.px[(sy * r[0] + sx) * 3 + x % 3] : 0;
                assert_int_equal(out.px[y * r[2] * 3 + x], wanted);
            }
        }
        tl_image_finish(&in);
        tl_image_finish(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pillow), cmocka_unit_test(test_channels), cmocka_unit_test(test_floats),
        cmocka_unit_test(test_axis),   cmocka_unit_test(test_shortest), cmocka_unit_test(test_crop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
