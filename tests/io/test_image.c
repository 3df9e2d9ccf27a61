#include "io/image.h"

#include "io/file.h"
#include "io/image_samples.h"
#include "io/support_io.h"

/* Decodes from an own block, so that the sanitizer sees a read beyond it. */
static bool decode(const void *bytes, size_t n, const char *what, struct tl_image *out, struct tl_err *err)
{
    uint8_t *copy = calloc(1, n + 1);
    memcpy(copy, bytes, n);
    bool ok = tl_image_decode(copy, n, what, out, err);
    free(copy);
    return ok;
}

/* Grey of 16 bits is cut to its upper 8 here and clipped by Pillow: not among the samples, tested below.
 * Lossy decoders are the same libraries, but other versions may differ by a level. */
static void test_samples(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof image_samples / sizeof *image_samples; i++) {
        const struct image_sample *s = &image_samples[i];
        struct tl_err err = {0};
        struct tl_image image;
        check_ok(decode(s->bytes, s->n, s->name, &image, &err), &err);
        assert_int_equal(image.width, s->width);
        assert_int_equal(image.height, s->height);
        assert_int_equal(image.channels, 3);
        int most = strstr(s->name, ".jpg") || strstr(s->name, "lossy") ? 2 : 0;
        for (size_t p = 0; p < 3 * (size_t)s->width * (size_t)s->height; p++) {
            int wanted = (uint8_t)s->rgb[p], got = image.px[p];
            if (abs(got - wanted) > most) fail_msg("%s: sample %zu is %d, not %d", s->name, p, got, wanted);
        }
        tl_image_finish(&image);
        /* The content decides, not the name; only TGA needs its own. */
        bool tga = strstr(s->name, ".tga") != NULL;
        if (tga) {
            check_fails(decode(s->bytes, s->n, "x.png", &image, &err), &err, TL_BAD_INPUT,
                        "x.png: not a picture");
        } else {
            check_ok(tl_image_load(io_put("x.tga", s->bytes, s->n), &image, &err), &err);
        }
        tl_image_finish(&image);
    }
}

/* Each cut of each sample is refused or gives a whole picture; PNG, BMP and PNM miss pixels by any cut before
 * the end. */
static void test_cuts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof image_samples / sizeof *image_samples; i++) {
        const struct image_sample *s = &image_samples[i];
        for (size_t n = 0; n < s->n; n++) {
            struct tl_err err = {0};
            struct tl_image image;
            bool ok = decode(s->bytes, n, s->name, &image, &err);
            assert_true(ok == (image.px != NULL));
            assert_true(ok == (err.code == TL_OK));
            if (strstr(s->name, ".png") || strstr(s->name, ".ppm") || strstr(s->name, ".pgm") || n < 8) {
                assert_false(ok);
            }
            if (strstr(s->name, ".jpg") && n + 2 < s->n) assert_false(ok);
            if (!ok) assert_int_equal(err.code, TL_BAD_INPUT);
            tl_image_finish(&image);
        }
    }
}

static void test_grey16(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_image image;
    static const uint8_t png[] =
        "\x89\x50\x4e\x47\x0d\x0a\x1a\x0a\x00\x00\x00\x0d\x49\x48\x44\x52\x00\x00\x00\x02\x00\x00\x00\x01"
        "\x10\x00\x00\x00\x00\x81\xd9\xfc\x15\x00\x00\x00\x0d\x49\x44\x41\x54\x78\x9c\x63\x10\x32\xf9\xcf"
        "\x08\x00\x02\xe8\x01\x47\xef\xf3\x79\x84\x00\x00\x00\x00\x49\x45\x4e\x44\xae\x42\x60\x82";
    check_ok(decode(png, sizeof png - 1, "g.png", &image, &err), &err);
    assert_memory_equal(image.px, "\x12\x12\x12\xff\xff\xff", 6);
    tl_image_finish(&image);
}

/* Comments, other maxima (scaled and rounded), 16 bits (most significant byte first). */
static void test_pnm(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        const char *px; /* NULL: refused */
    } rows[] = {
        {"P5 2 1 65535\n\x12\x34\xff\x01", 17, "\x12\x12\x12\xfe\xfe\xfe"},
        {"P6\n# a comment 9\n1 # and\r2\n15\n\0\1\x0f\2\7\x10", 36, "\0\x11\xff\x22\x77\xff"},
        {"P5 2 1 2 \1\2", 11, "\x80\x80\x80\xff\xff\xff"},
        {"P5\t2\r\n1\v255\f\1\2 more", 17, "\1\1\1\2\2\2"},
        {"P5 2 1 65535\n\x12\x34\xff", 16, NULL},
        {"P5 2 1 255\n\1", 12, NULL},
        {"P5 2 1 0\n\1\1", 11, NULL},
        {"P5 2 1 65536\n\1\1\1\1", 17, NULL},
        {"P5 2 1 255", 10, NULL},
        {"P5 -2 1 255\n\1\1", 14, NULL},
        {"P5 4294967298 1 255\n\1\1", 22, NULL},
        {"P5 18446744073709551618 1 255\n\1\1", 32, NULL},
        {"P5", 2, NULL},
        {"P5#", 3, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tl_err err = {0};
        struct tl_image image;
        if (rows[i].px) {
            check_ok(decode(rows[i].bytes, rows[i].n, "x.pnm", &image, &err), &err);
            assert_memory_equal(image.px, rows[i].px, 6);
            tl_image_finish(&image);
        } else {
            check_fails(decode(rows[i].bytes, rows[i].n, "x.pnm", &image, &err), &err, TL_BAD_INPUT, "x.pnm");
        }
    }
}

static void test_refuses(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_image image;
    check_fails(decode("", 0, "e.png", &image, &err), &err, TL_BAD_INPUT,
                "e.png: not a picture, the file is empty");
    check_fails(decode("hello world", 11, "t.png", &image, &err), &err, TL_BAD_INPUT,
                "not a picture that can be read");
    check_fails(decode("%!PS-Adobe", 10, "t.jpg", &image, &err), &err, TL_BAD_INPUT,
                "not a picture that can be read");
    check_fails(decode("P3 1 1 255 0 0 0", 16, "t.ppm", &image, &err), &err, TL_BAD_INPUT, "binary PNM");
    check_fails(decode("P6 20000 20000 255\n", 19, "t.ppm", &image, &err), &err, TL_BAD_INPUT, "67108864");
    check_fails(decode("P6 0 5 255\n", 11, "t.ppm", &image, &err), &err, TL_BAD_INPUT, "t.ppm");
    check_fails(tl_image_load(io_path("absent.png"), &image, &err), &err, TL_BAD_INPUT,
                "absent.png: cannot open");
    assert_null(image.px);
    /* An IHDR of 20000 x 20000: nothing is taken before the size is known to fit. */
    static const uint8_t large[] =
        "\x89\x50\x4e\x47\x0d\x0a\x1a\x0a\x00\x00\x00\x0d\x49\x48\x44\x52\x00\x00\x4e\x20\x00\x00\x4e\x20"
        "\x08\x02\x00\x00\x00\x6c\x12\xd1\x6e\x00\x00\x00\x0c\x49\x44\x41\x54\x78\x9c\x63\x60\xa0\x0c\x00"
        "\x00\x00\x40\x00\x01\xb7\x34\x7c\xef";
    check_fails(decode(large, sizeof large - 1, "large.png", &image, &err), &err, TL_BAD_INPUT,
                "large.png: picture of 20000 x 20000");
    check_fails(decode("RIFF\x10\0\0\0WEBPVP8 ....", 20, "w.webp", &image, &err), &err, TL_BAD_INPUT,
                "bad WebP");
    check_fails(decode("\xff\xd8\xff\xd9", 4, "j.jpg", &image, &err), &err, TL_BAD_INPUT, "j.jpg: bad JPEG");
    check_fails(tl_image_init(&image, 0, 5, 3, &err), &err, TL_BAD_INPUT, "0 x 5");
    check_fails(tl_image_init(&image, 8193, 8193, 3, &err), &err, TL_BAD_INPUT, "8193 x 8193");
    check_fails(tl_image_init(&image, INT32_MAX, INT32_MAX, 3, &err), &err, TL_BAD_INPUT, "pixels");
    check_fails(tl_image_init(&image, 5, 5, 5, &err), &err, TL_BAD_INPUT, "5 channels");
}

static void fill(struct tl_image *image, int width, int height, int channels)
{
    struct tl_err err = {0};
    check_ok(tl_image_init(image, width, height, channels, &err), &err);
    for (int i = 0; i < width * height * channels; i++) image->px[i] = (uint8_t)(i * i * 31 + i / 7);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const int sizes[][3] = {{1, 1, 3}, {17, 5, 3}, {64, 64, 3}, {9, 31, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct tl_err err = {0};
        struct tl_image image, back;
        int c = sizes[i][2];
        fill(&image, sizes[i][0], sizes[i][1], c);
        check_ok(tl_image_save_png(io_path("r.png"), &image, NULL, 0, &err), &err);
        check_ok(tl_image_load(io_path("r.png"), &back, &err), &err);
        assert_int_equal(back.width, image.width);
        assert_int_equal(back.height, image.height);
        for (int p = 0; p < 3 * image.width * image.height; p++) {
            assert_int_equal(back.px[p], image.px[c == 3 ? p : p / 3]);
        }
        uint8_t *one, *two;
        size_t n_one, n_two;
        check_ok(tl_image_encode_png(&image, NULL, 0, &one, &n_one, &err), &err);
        check_ok(tl_image_encode_png(&image, NULL, 0, &two, &n_two, &err), &err);
        assert_int_equal(n_one, n_two);
        assert_memory_equal(one, two, n_one);
        free(one);
        free(two);
        tl_image_finish(&back);
        tl_image_finish(&image);
    }
    struct tl_err err = {0};
    struct tl_image rgba;
    fill(&rgba, 2, 2, 4);
    check_fails(tl_image_save_png(io_path("no.png"), &rgba, NULL, 0, &err), &err, TL_FAIL, "1 or 3 channels");
    tl_image_finish(&rgba);
    fill(&rgba, 2, 2, 3);
    check_fails(tl_image_save_png(io_path("no/no.png"), &rgba, NULL, 0, &err), &err, TL_OUTPUT,
                "No such file");
    tl_image_finish(&rgba);
    assert_int_equal(io_count("no"), 0);
    assert_int_equal(io_count(".tmp"), 0);
}

/* Whether the bytes hold a chunk of this type. */
static bool has(const uint8_t *data, size_t n, const char *chunk)
{
    for (size_t at = 8; at + 12 <= n;) {
        if (memcmp(data + at + 4, chunk, 4) == 0) return true;
        at += 12 + ((size_t)data[at] << 24 | (size_t)data[at + 1] << 16 | (size_t)data[at + 2] << 8 |
                    data[at + 3]);
    }
    return false;
}

static void test_texts(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_arena arena = {0};
    struct tl_image image;
    fill(&image, 5, 4, 3);
    char *longish = malloc(100001);
    memset(longish, 'p', 100000);
    longish[100000] = 0;
    struct tl_png_text texts[] = {
        {"parameters", "a red circle\nNegative prompt: caf\xc3\xa9\nSteps: 20, Seed: 7"},
        {"prompt", "\xe7\xba\xa2\xe8\x89\xb2 \xf0\x9f\x8e\xa8"},
        {"empty", ""},
        {"tiller", longish},
    };
    const char *path = io_path("t.png");
    check_ok(tl_image_save_png(path, &image, texts, 4, &err), &err);
    struct tl_png_text *back;
    size_t n;
    check_ok(tl_image_png_texts(path, &arena, &back, &n, &err), &err);
    assert_int_equal(n, 4);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(back[i].key, texts[i].key);
        assert_string_equal(back[i].value, texts[i].value);
    }
    uint8_t *data = tl_file_read(path, 1 << 20, &n, &err);
    check_ok(data, &err);
    assert_true(has(data, n, "tEXt") && has(data, n, "iTXt"));
    free(data);
    check_ok(tl_image_encode_png(&image, texts, 1, &data, &n, &err), &err);
    assert_true(has(data, n, "tEXt") && !has(data, n, "iTXt"));
    free(data);
    /* The pixels are not disturbed. */
    struct tl_image again;
    check_ok(tl_image_load(path, &again, &err), &err);
    assert_memory_equal(again.px, image.px, 60);
    tl_image_finish(&again);

    struct tl_png_text bad[] = {{"", "x"}};
    static const char *const keys[] = {"", " a", "a ", "a  b", "tab\t", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        bad[0].key = keys[i];
        check_fails(tl_image_save_png(path, &image, bad, 1, &err), &err, TL_FAIL, "cannot be the key");
    }
    bad[0] = (struct tl_png_text){"k", "\xff"};
    check_fails(tl_image_save_png(path, &image, bad, 1, &err), &err, TL_FAIL, "not UTF-8");

    for (size_t i = 0; i < sizeof image_samples / sizeof *image_samples; i++) {
        if (!strstr(image_samples[i].name, ".png")) continue;
        io_put("plain.png", image_samples[i].bytes, image_samples[i].n);
        check_ok(tl_image_png_texts(io_path("plain.png"), &arena, &back, &n, &err), &err);
        assert_int_equal(n, 0);
    }
    check_fails(tl_image_png_texts(io_put_text("x.png", "no"), &arena, &back, &n, &err), &err, TL_BAD_INPUT,
                "x.png: bad PNG");
    tl_image_finish(&image);
    free(longish);
    tl_arena_finish(&arena);
}

/* A text behind the pixels, as other programs write it, and a compressed one. */
static void test_texts_of_others(void **state)
{
    (void)state;
    static const uint8_t png[] =
        "\x89\x50\x4e\x47\x0d\x0a\x1a\x0a\x00\x00\x00\x0d\x49\x48\x44\x52\x00\x00\x00\x01\x00\x00\x00\x01"
        "\x08\x00\x00\x00\x00\x3a\x7e\x9b\x55\x00\x00\x00\x1a\x7a\x54\x58\x74\x43\x6f\x6d\x6d\x65\x6e\x74"
        "\x00\x00\x78\x9c\xab\xca\x2c\x28\x48\x4d\x51\xa8\x42\xa6\x00\x53\xa5\x07\xe5\x93\x23\x3a\xd4\x00"
        "\x00\x00\x0a\x49\x44\x41\x54\x78\x9c\x63\x08\x05\x00\x00\x57\x00\x56\x3f\x43\x1f\x4c\x00\x00\x00"
        "\x11\x74\x45\x58\x74\x70\x61\x72\x61\x6d\x65\x74\x65\x72\x73\x00\x6c\x61\x74\x65\x20\xe9\xfd\x1a"
        "\x76\xed\x00\x00\x00\x1a\x69\x54\x58\x74\x70\x72\x6f\x6d\x70\x74\x00\x01\x00\x00\x00\x78\x9c\xab"
        "\xca\x2c\x50\x78\xd4\xb4\x06\x00\x0c\xd9\x03\x84\x3c\x91\x8a\xed\x00\x00\x00\x00\x49\x45\x4e\x44"
        "\xae\x42\x60\x82";
    struct tl_err err = {0};
    struct tl_arena arena = {0};
    struct tl_png_text *back;
    size_t n;
    io_put("o.png", png, sizeof png - 1);
    check_ok(tl_image_png_texts(io_path("o.png"), &arena, &back, &n, &err), &err);
    assert_int_equal(n, 3);
    assert_string_equal(back[0].key, "Comment");
    assert_string_equal(back[0].value, "zipped zipped zipped");
    assert_string_equal(back[1].key, "parameters");
    assert_string_equal(back[1].value, "late \xc3\xa9");
    assert_string_equal(back[2].value, "zip \xe2\x82\xac");
    /* A chunk that says it is larger than the file; one without its end; no last one. */
    static const struct {
        size_t at;
        uint8_t byte;
        size_t n;
    } bad[] = {{33, 0x7f, sizeof png - 1},
               {33, 0x00, 60},
               {95, 0x60, sizeof png - 1},
               {0, 0x89, sizeof png - 13},
               {0, 0x89, 8}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t copy[sizeof png];
        memcpy(copy, png, sizeof png);
        copy[bad[i].at] = bad[i].byte;
        io_put("bad.png", copy, bad[i].n);
        check_fails(tl_image_png_texts(io_path("bad.png"), &arena, &back, &n, &err), &err, TL_BAD_INPUT,
                    "cut short");
        assert_int_equal(n, 0);
    }
    tl_arena_finish(&arena);
}

/* Sizes that the file's bytes cannot hold are refused before memory is taken or time spent; the largest that
 * they can hold are read. */
static void test_sizes_of_nothing(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_image image;
    uint8_t bmp[62 + 32] =
        "BM\x5e\0\0\0\0\0\0\0\x3e\0\0\0\x28\0\0\0\x20\0\0\0\x08\0\0\0\1\0\1"; /* 32 x 8 bits */
    bmp[58] = bmp[59] = bmp[60] = 0xff;                                       /* palette */
    bmp[62] = 0x80;
    check_ok(decode(bmp, sizeof bmp, "full.bmp", &image, &err), &err);
    assert_int_equal(image.width * image.height, 256);
    assert_memory_equal(image.px + 7 * 32 * 3, "\xff\xff\xff\0\0\0", 6);
    tl_image_finish(&image);
    bmp[19] = 0x20; /* 8224 wide */
    bmp[23] = 0x10; /* 4104 high */
    check_fails(decode(bmp, sizeof bmp, "much.bmp", &image, &err), &err, TL_BAD_INPUT,
                "much.bmp: bad BMP or TGA: cut short, 94 bytes cannot hold 8224 x 4104");
    /* Grey runs of 128: 2 bytes each. */
    uint8_t tga[18 + 32] = {[2] = 11, [12] = 64, [14] = 32, [16] = 8};
    for (int i = 0; i < 16; i++) {
        tga[18 + 2 * i] = 0xff;
        tga[19 + 2 * i] = (uint8_t)i;
    }
    check_ok(decode(tga, sizeof tga, "runs.tga", &image, &err), &err);
    assert_int_equal(image.px[0], 15);
    assert_int_equal(image.px[64 * 32 * 3 - 1], 0);
    tl_image_finish(&image);
    tga[13] = tga[15] = 0x1f;
    check_fails(decode(tga, sizeof tga, "much.tga", &image, &err), &err, TL_BAD_INPUT,
                "50 bytes cannot hold 8000 x 7968");
}

/* A picture is read whatever its texts and profiles say of their size: they are passed over. */
static void test_passes_over(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_image image = {0}, back;
    uint8_t *bytes = NULL;
    size_t n = 0;
    const struct tl_png_text text = {"parameters", "a red cube"};
    check_ok(tl_image_init(&image, 3, 2, 3, &err), &err);
    check_ok(tl_image_encode_png(&image, &text, 1, &bytes, &n, &err), &err);
    assert_memory_equal(bytes + 37, "tEXt", 4);
    memcpy(bytes + 37, "iCCP", 4); /* its CRC is wrong now, and what it says of a profile */
    check_ok(decode(bytes, n, "p.png", &back, &err), &err);
    assert_memory_equal(back.px, image.px, 18);
    tl_image_finish(&back);
    bytes[33] = 0x7f; /* 2 GB */
    check_fails(decode(bytes, n, "p.png", &back, &err), &err, TL_BAD_INPUT, "cut short");
    free(bytes);
    tl_image_finish(&image);
}

/* A camera's note that the picture is to be turned is not followed: pixels are as they are stored, as they
 * are for Pillow's convert("RGB") and for all that computes FID. */
static void test_orientation(void **state)
{
    (void)state;
    static const uint8_t turned[] = {0xff, 0xe1, 0, 34, 'E', 'x', 'i', 'f', 0, 0, 'M', 'M',
                                     0,    42,   0, 0,  0,   8,   0,   1,                 /* one entry: */
                                     0x01, 0x12, 0, 3,  0,   0,   0,   1,   0, 6, 0,   0, /* turned left */
                                     0,    0,    0, 0};
    const struct image_sample *s = image_samples;
    while (strcmp(s->name, "plain.jpg") != 0) s++;
    struct tl_err err = {0};
    struct tl_image image;
    uint8_t *file = malloc(s->n + sizeof turned);
    memcpy(file, s->bytes, 2);
    memcpy(file + 2, turned, sizeof turned);
    memcpy(file + 2 + sizeof turned, s->bytes + 2, s->n - 2);
    check_ok(tl_image_decode(file, s->n + sizeof turned, "turned.jpg", &image, &err), &err);
    assert_true(image.width == s->width && image.height == s->height && s->width != s->height);
    struct tl_image plain;
    check_ok(tl_image_decode(s->bytes, s->n, "plain.jpg", &plain, &err), &err);
    assert_memory_equal(image.px, plain.px, 3 * (size_t)s->width * (size_t)s->height);
    tl_image_finish(&image);
    tl_image_finish(&plain);
    free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_orientation),
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_grey16),
        cmocka_unit_test(test_pnm),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_texts_of_others),
        cmocka_unit_test(test_passes_over),
        cmocka_unit_test(test_sizes_of_nothing),
    };
    return cmocka_run_group_tests(tests, io_setup, io_teardown);
}
