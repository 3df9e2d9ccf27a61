/* cut_tiles: captioned pictures out of one large picture of clothing tiles.
 *
 * SPRITE is 30x30 tiles of 28x28 pixels on black, three rows of tiles a class. A tile becomes pictures of
 * 32x32 with a black rim, its grey tinted, captioned "a COLOUR CLASS". DIR/train and DIR/test get
 * TILE-COLOUR.png and, last, metadata.jsonl. Training tiles come in every colour, so that colour and class
 * are independent; of the test's 6 tiles of a class each comes in one colour, so each of the 60 captions
 * stands there once. */
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "io/file.h"
#include "io/image.h"

enum { TILES = 30, TILE = 28, SIDE = 32, CLASSES = 10, COLOURS = 6, PER_CLASS = TILES * TILES / CLASSES };
enum { TEST_GROUP = 7 }; /* which of a class's groups of COLOURS tiles is held out */

static const char *const classes[CLASSES] = {"t-shirt", "trouser", "pullover", "dress", "coat",
                                             "sandal",  "shirt",   "sneaker",  "bag",   "ankle boot"};
static const struct {
    const char *name;
    int rgb[3];
} colours[COLOURS] = {{"red", {235, 45, 45}},     {"green", {50, 190, 70}},   {"blue", {60, 100, 245}},
                      {"yellow", {245, 215, 50}}, {"purple", {170, 60, 210}}, {"white", {255, 255, 255}}};

static void tint(const struct tl_image *sprite, int tile, int colour, struct tl_image *out)
{
    const int *rgb = colours[colour].rgb;
    int left = tile % TILES * TILE, top = tile / TILES * TILE, rim = (SIDE - TILE) / 2;
    for (int y = 0; y < TILE; y++)
        for (int x = 0; x < TILE; x++) {
            const uint8_t *in = sprite->px + (size_t)((top + y) * sprite->width + left + x) * 3;
            uint8_t *px = out->px + (size_t)((rim + y) * SIDE + rim + x) * 3;
            for (int k = 0; k < 3; k++) px[k] = (uint8_t)((in[0] * rgb[k] + 127) / 255);
        }
}

/* Not synced one by one: the set counts as whole once its metadata.jsonl is there. */
static bool write_picture(const char *path, const struct tl_image *image, struct tl_err *err)
{
    uint8_t *png = NULL;
    size_t n = 0;
    if (!tl_image_encode_png(image, NULL, 0, &png, &n, err)) return false;
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(png, 1, n, f) == n;
    if (f && fclose(f) != 0) ok = false;
    free(png);
    return ok || tl_err_set(err, TL_OUTPUT, "%s: cannot write", path);
}

static bool is_wanted(int tile, int colour, bool test)
{
    bool held_out = tile % PER_CLASS / COLOURS == TEST_GROUP;
    return held_out ? test && tile % COLOURS == colour : !test;
}

static bool cut(const struct tl_image *sprite, const char *folder, bool test, struct tl_err *err)
{
    struct tl_image image = {0};
    struct tl_str path = {0}, rows = {0};
    int n = 0;
    bool ok = tl_image_init(&image, SIDE, SIDE, 3, err) && tl_file_make_folder(folder, err);
    for (int i = 0; i < TILES * TILES * COLOURS && ok; i++) {
        int tile = i / COLOURS, colour = i % COLOURS;
        if (!is_wanted(tile, colour, test)) continue;
        char name[64];
        snprintf(name, sizeof name, "%03d-%s.png", tile, colours[colour].name);
        tl_path_join(&path, folder, name);
        tint(sprite, tile, colour, &image);
        ok = write_picture(path.data, &image, err);
        tl_str_printf(&rows, "{\"file_name\": \"%s\", \"text\": \"a %s %s\"}\n", name, colours[colour].name,
                      classes[tile / PER_CLASS]);
        n++;
    }
    tl_path_join(&path, folder, "metadata.jsonl");
    if (ok && rows.failed) ok = tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && tl_file_write(path.data, rows.data, rows.len, err);
    if (ok) printf("%s: %d pictures\n", folder, n);
    tl_str_finish(&path);
    tl_str_finish(&rows);
    tl_image_finish(&image);
    return ok;
}

static bool run(const char *file, const char *folder, struct tl_err *err)
{
    struct tl_image sprite = {0};
    struct tl_str path = {0};
    bool ok = tl_image_load(file, &sprite, err);
    if (ok && (sprite.width != TILES * TILE || sprite.height != TILES * TILE))
        ok = tl_err_set(err, TL_BAD_INPUT, "%s: %dx%d pixels; %d tiles of %d a side make %dx%d", file,
                        sprite.width, sprite.height, TILES, TILE, TILES * TILE, TILES * TILE);
    tl_path_join(&path, folder, "test");
    ok = ok && cut(&sprite, path.data, true, err);
    tl_path_join(&path, folder, "train");
    ok = ok && cut(&sprite, path.data, false, err);
    tl_str_finish(&path);
    tl_image_finish(&sprite);
    return ok;
}

int main(int argc, char **argv)
{
    struct tl_err err = {0};
    if (argc != 3) {
        fprintf(stderr,
                "usage: cut_tiles SPRITE DIR      pictures and metadata.jsonl in DIR/train and DIR/test\n");
        return TL_USAGE;
    }
    if (!run(argv[1], argv[2], &err)) fprintf(stderr, "cut_tiles: %s\n", err.text);
    return err.code;
}
