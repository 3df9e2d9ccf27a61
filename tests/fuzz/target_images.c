#include <string.h>

#include "fuzz/fuzz.h"
#include "io/image.h"
#include "io/image_samples.h"
#include "io/utf8.h"

/* The samples whose names end in one of the target's extensions. */
static void seed_images(const struct fuzz_target *target, struct fuzz_pool *pool)
{
    for (size_t i = 0; i < sizeof image_samples / sizeof *image_samples; i++) {
        const char *end = strrchr(image_samples[i].name, '.') + 1;
        for (const char *const *name = target->names; *name; name++) {
            if (strcmp(end, *name) == 0) fuzz_pool_add(pool, image_samples[i].bytes, image_samples[i].n);
        }
    }
}

/* Larger than the samples, several chunks of pixels, texts of both kinds. */
static void seed_own_png(struct fuzz_pool *pool, int channels)
{
    static const struct tl_png_text texts[] = {{"parameters", "a red cube\nSteps: 20, Seed: 7"},
                                               {"Title", "caf\xc3\xa9"},
                                               {"Comment", "\xe7\x8c\xab \xf0\x9f\x90\x88"}};
    struct tl_image image = {0};
    struct tl_err err = {0};
    uint8_t *bytes = NULL;
    size_t n = 0;
    fuzz_require(tl_image_init(&image, 37, 19, channels, &err));
    for (int i = 0; i < 37 * 19 * channels; i++) image.px[i] = (uint8_t)(i * i / 7);
    fuzz_require(tl_image_encode_png(&image, texts, 3, &bytes, &n, &err));
    fuzz_pool_add(pool, bytes, n);
    free(bytes);
    tl_image_finish(&image);
}

static void seed_png(const struct fuzz_target *target, struct fuzz_pool *pool)
{
    seed_images(target, pool);
    seed_own_png(pool, 1);
    seed_own_png(pool, 3);
}

static void run_image(const struct fuzz_target *target, const uint8_t *data, size_t n)
{
    struct tl_image image = {0};
    struct tl_err err = {0};
    char what[32];
    snprintf(what, sizeof what, "mutant.%s", target->names[0]);
    bool ok = tl_image_decode(data, n, what, &image, &err);
    fuzz_check_err(ok, &err);
    if (ok) {
        fuzz_require(image.channels == 3 && image.width > 0 && image.height > 0);
        fuzz_require((int64_t)image.width * image.height <= TL_IMAGE_MAX_PIXELS);
        fuzz_touch(image.px, (size_t)image.width * (size_t)image.height * 3);
    } else {
        fuzz_require(!image.px);
    }
    tl_image_finish(&image);
}

static void run_png_text(const struct fuzz_target *target, const uint8_t *data, size_t n)
{
    (void)target;
    struct tl_arena arena = {0};
    struct tl_err err = {0};
    struct tl_png_text *texts = NULL;
    size_t n_texts = 0;
    bool ok = tl_image_png_texts(fuzz_scratch_put("text.png", data, n), &arena, &texts, &n_texts, &err);
    fuzz_check_err(ok, &err);
    for (size_t i = 0; ok && i < n_texts; i++) {
        size_t len = strlen(texts[i].value), key = strlen(texts[i].key);
        fuzz_require(tl_utf8_prefix(texts[i].value, len) == len);
        fuzz_require(tl_utf8_prefix(texts[i].key, key) == key);
    }
    tl_arena_finish(&arena);
}

static const char *const png_words[] = {"IHDR", "PLTE", "tRNS", "IDAT", "IEND", "tEXt", "zTXt", "iTXt",
                                        "gAMA", "iCCP", "eXIf", "sBIT", "acTL", "fdAT", NULL};
static const char *const jpeg_words[] = {"\xff\xd8", "\xff\xd9", "\xff\xc0", "\xff\xc2",
                                         "\xff\xc4", "\xff\xda", "\xff\xdb", "\xff\xdd",
                                         "\xff\xe1", "\xff\xee", "\xff\xd0", NULL};
static const char *const webp_words[] = {"VP8 ", "VP8L", "VP8X", "ALPH", "ANIM", "ANMF", "ICCP", NULL};

#define NAMES(...)                                                                                           \
    (const char *const[])                                                                                    \
    {                                                                                                        \
        __VA_ARGS__, NULL                                                                                    \
    }

const struct fuzz_target fuzz_images[] = {
    {"png", "PNG pictures", seed_png, run_image, fuzz_repair_png, png_words, NAMES("png")},
    {"png_text", "texts of PNG pictures", seed_png, run_png_text, fuzz_repair_png, png_words, NAMES("png")},
    {"jpeg", "JPEG pictures", seed_images, run_image, NULL, jpeg_words, NAMES("jpg")},
    {"webp", "WebP pictures", seed_images, run_image, NULL, webp_words, NAMES("webp")},
    {"bmp", "BMP pictures", seed_images, run_image, NULL, NULL, NAMES("bmp")},
    {"tga", "TGA pictures", seed_images, run_image, NULL, NULL, NAMES("tga")},
    {"gif", "GIF pictures", seed_images, run_image, NULL, NULL, NAMES("gif")},
    {"pnm", "PPM and PGM pictures", seed_images, run_image, NULL, NULL, NAMES("ppm", "pgm")},
    {0},
};
