/* make_scenes: the data set of scenes of coloured shapes (rewards/scene.h), or only its prompts.
 *
 * DIR gets 00000.png, 00001.png, ... and, last, metadata.jsonl with one row a picture:
 *   {"file_name": "00000.png", "text": CAPTION, "ground": G, "objects": [[COLOUR, SHAPE, X, Y, R], ...],
 *    "negatives": [CAPTION, ...], "patch_labels": [COLOURS, SHAPES]}
 * with indices into the tables of rewards/scene.c and lengths in pixels. The same options give the same
 * bytes. Prompts are distinct and come one a line. Splits and held-out compositions are drawn apart. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/str.h"
#include "io/file.h"
#include "io/image.h"
#include "io/prompts.h"
#include "rewards/scene_draw.h"

static const char usage[] =
    "usage: make_scenes --count N -o DIR [options]      pictures and metadata.jsonl\n"
    "       make_scenes --prompts N -o FILE [options]   distinct prompts, one a line\n"
    "  --seed S              default 0\n"
    "  --split train|test    test is drawn apart from train (default train)\n"
    "  --held-out            only compositions that no other scene has\n"
    "  --most K              at most K objects in a scene (1 to 3)\n"
    "  --without FILE        prompts: none that stands in FILE (may be given again)\n";

/* What is drawn, as the step of the random key: numbers stand in data sets, so append only. */
enum part { PART_TEST = 1, PART_HELD_OUT = 2, PART_PROMPTS = 4 };

enum { MOST_FILES = 16, MOST_COUNT = 1000000, NEGATIVES = 4 };

struct options {
    long count, prompts, most;
    uint64_t seed;
    bool held_out, test;
    const char *out, *without[MOST_FILES];
    int n_without;
};

static bool read_number(const char *name, const char *text, long low, long high, long *out,
                        struct tl_err *err)
{
    char *end;
    long v = strtol(text, &end, 10);
    if (end == text || *end || v < low || v > high)
        return tl_err_set(err, TL_USAGE, "--%s %s: not a whole number from %ld to %ld", name, text, low,
                          high);
    *out = v;
    return true;
}

static bool read_option(struct options *o, int c, const char *value, struct tl_err *err)
{
    long seed = 0;
    switch (c) {
    case 'c':
        return read_number("count", value, 1, MOST_COUNT, &o->count, err);
    case 'p':
        return read_number("prompts", value, 1, MOST_COUNT, &o->prompts, err);
    case 'm':
        return read_number("most", value, 1, 3, &o->most, err);
    case 's':
        if (!read_number("seed", value, 0, 0x7fffffffL, &seed, err)) return false;
        o->seed = (uint64_t)seed;
        return true;
    case 'h':
        return o->held_out = true;
    case 't':
        o->test = !strcmp(value, "test");
        if (o->test || !strcmp(value, "train")) return true;
        return tl_err_set(err, TL_USAGE, "--split %s: neither train nor test", value);
    case 'w':
        if (o->n_without == MOST_FILES)
            return tl_err_set(err, TL_USAGE, "more than %d --without", MOST_FILES);
        o->without[o->n_without++] = value;
        return true;
    case 'o':
        o->out = value;
        return true;
    default:
        return tl_err_set(err, TL_USAGE, "unknown option, or one without its value");
    }
}

static bool read_options(int argc, char **argv, struct options *o, struct tl_err *err)
{
    static const struct option table[] = {
        {"count", required_argument, NULL, 'c'}, {"prompts", required_argument, NULL, 'p'},
        {"seed", required_argument, NULL, 's'},  {"split", required_argument, NULL, 't'},
        {"most", required_argument, NULL, 'm'},  {"without", required_argument, NULL, 'w'},
        {"held-out", no_argument, NULL, 'h'},    {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "o:", table, NULL)) != -1;)
        if (!read_option(o, c, optarg, err)) return false;
    if (optind < argc) return tl_err_set(err, TL_USAGE, "%s: not an option", argv[optind]);
    if (!o->out) return tl_err_set(err, TL_USAGE, "-o is missing");
    if (!o->count == !o->prompts) return tl_err_set(err, TL_USAGE, "give either --count or --prompts");
    if (o->n_without && !o->prompts) return tl_err_set(err, TL_USAGE, "--without goes with --prompts");
    if (o->held_out && o->most == 1)
        return tl_err_set(err, TL_USAGE,
                          "--most 1 --held-out: held-out compositions have two objects or more");
    return true;
}

static uint32_t part_of(const struct options *o)
{
    return (o->test ? PART_TEST : 0u) | (o->held_out ? PART_HELD_OUT : 0u) | (o->prompts ? PART_PROMPTS : 0u);
}

/* ---- pictures ---- */

/* Not synced to disk one by one as tl_image_save_png would: a set counts as whole once its metadata.jsonl is
 * there. */
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

/* Captions that one change has made false: what contrastive training sets against the true one. */
static void add_negatives(struct tl_str *rows, const struct tl_scene *s, uint32_t index, uint64_t seed)
{
    tl_str_append(rows, ", \"negatives\": [");
    for (uint32_t i = 0; i < NEGATIVES; i++) {
        struct tl_scene_spec other;
        char text[TL_SCENE_TEXT];
        struct tl_rng_key key = {.seed = seed, .stream = TL_RNG_AUGMENT, .sample = index, .step = i};
        tl_scene_negative(&s->spec, key, &other);
        tl_scene_write(&other, text);
        tl_str_printf(rows, "%s\"%s\"", i ? ", " : "", text);
    }
    tl_str_append(rows, "]");
}

/* One digit a patch, row by row: colour and shape of what covers it, 0 for the ground. */
static void add_patches(struct tl_str *rows, const struct tl_scene *s)
{
    uint8_t label[2][TL_SCENE_GRID * TL_SCENE_GRID];
    tl_scene_patches(s->object, s->n_objects, label[0], label[1]);
    tl_str_append(rows, ", \"patch_labels\": [");
    for (int k = 0; k < 2; k++) {
        char digits[TL_SCENE_GRID * TL_SCENE_GRID + 1] = {0};
        for (int i = 0; i < TL_SCENE_GRID * TL_SCENE_GRID; i++) digits[i] = (char)('0' + label[k][i]);
        tl_str_printf(rows, "%s\"%s\"", k ? ", " : "", digits);
    }
    tl_str_append(rows, "]");
}

static void add_row(struct tl_str *rows, const char *name, const struct tl_scene *s, uint32_t index,
                    uint64_t seed)
{
    char text[TL_SCENE_TEXT];
    tl_scene_write(&s->spec, text);
    tl_str_printf(rows, "{\"file_name\": \"%s\", \"text\": \"%s\", \"ground\": %d, \"objects\": [", name,
                  text, s->ground);
    for (int i = 0; i < s->n_objects; i++) {
        const struct tl_scene_object *k = &s->object[i];
        tl_str_printf(rows, "%s[%d, %d, %.2f, %.2f, %.2f]", i ? ", " : "", k->colour, k->shape, (double)k->x,
                      (double)k->y, (double)k->r);
    }
    tl_str_append(rows, "]");
    add_negatives(rows, s, index, seed);
    add_patches(rows, s);
    tl_str_append(rows, "}\n");
}

static bool write_scenes(const struct options *o, struct tl_err *err)
{
    struct tl_scene_choice choice = {.held_out = o->held_out, .most = (int)o->most};
    struct tl_image image = {0};
    struct tl_str path = {0}, rows = {0};
    double start = tl_clock_s();
    bool ok = tl_image_init(&image, TL_SCENE_SIDE, TL_SCENE_SIDE, 3, err) && tl_file_make_folder(o->out, err);
    for (long i = 0; i < o->count && ok; i++) {
        struct tl_scene s;
        char name[32];
        snprintf(name, sizeof name, "%05ld.png", i);
        tl_scene_random(o->seed, part_of(o), (uint32_t)i, &choice, &s);
        tl_scene_draw(s.object, s.n_objects, s.ground, image.px);
        tl_path_join(&path, o->out, name);
        ok = write_picture(path.data, &image, err);
        add_row(&rows, name, &s, (uint32_t)i, o->seed);
    }
    tl_path_join(&path, o->out, "metadata.jsonl");
    if (ok && rows.failed) ok = tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && tl_file_write(path.data, rows.data, rows.len, err);
    if (ok) printf("%s: %ld scenes in %.1f s\n", o->out, o->count, tl_clock_s() - start);
    tl_str_finish(&path);
    tl_str_finish(&rows);
    tl_image_finish(&image);
    return ok;
}

/* ---- prompts ---- */

/* Captions seen: open addressing, n_slots a power of two at least twice the number of captions. */
struct seen {
    struct tl_arena arena;
    const char **slot;
    size_t n_slots;
};

static bool seen_add(struct seen *s, const char *text) /* false: was there already */
{
    uint64_t h = 1469598103934665603u;
    for (const char *c = text; *c; c++) h = (h ^ (unsigned char)*c) * 1099511628211u;
    size_t at = (size_t)(h ^ h >> 32) & (s->n_slots - 1);
    for (; s->slot[at]; at = (at + 1) & (s->n_slots - 1))
        if (!strcmp(s->slot[at], text)) return false;
    s->slot[at] = tl_arena_strdup(&s->arena, text);
    return true;
}

static bool seen_init(struct seen *s, const struct options *o, struct tl_prompts *without, struct tl_err *err)
{
    size_t n = (size_t)o->prompts;
    for (int i = 0; i < o->n_without; i++) {
        if (!tl_prompts_read(o->without[i], &without[i], err)) return false;
        n += without[i].n;
    }
    for (s->n_slots = 64; s->n_slots < 2 * n;) s->n_slots *= 2;
    s->slot = tl_arena_alloc(&s->arena, s->n_slots, sizeof *s->slot);
    if (!s->slot) return tl_err_set(err, TL_FAIL, "out of memory");
    for (int i = 0; i < o->n_without; i++)
        for (size_t k = 0; k < without[i].n; k++) seen_add(s, without[i].items[k].text);
    return true;
}

static bool draw_prompts(const struct options *o, struct seen *seen, struct tl_str *out, struct tl_err *err)
{
    struct tl_scene_choice choice = {.held_out = o->held_out, .most = (int)o->most};
    long tries = 1000 + 200 * o->prompts, n = 0;
    for (long i = 0; n < o->prompts && i < tries; i++) {
        struct tl_rng_key key = {
            .seed = o->seed, .stream = TL_RNG_SCENE, .sample = (uint32_t)i, .step = part_of(o)};
        struct tl_scene_spec spec;
        char text[TL_SCENE_TEXT];
        tl_scene_random_spec(key, &choice, &spec);
        tl_scene_write(&spec, text);
        if (!seen_add(seen, text)) continue;
        tl_str_printf(out, "%s\n", text);
        n++;
    }
    if (out->failed || seen->arena.failed) return tl_err_set(err, TL_FAIL, "out of memory");
    if (n == o->prompts) return true;
    return tl_err_set(err, TL_USAGE,
                      "found only %ld distinct prompts of this kind in %ld draws; ask for fewer", n, tries);
}

static bool write_prompts(const struct options *o, struct tl_err *err)
{
    struct tl_prompts without[MOST_FILES] = {0};
    struct seen seen = {0};
    struct tl_str out = {0};
    bool ok = seen_init(&seen, o, without, err) && draw_prompts(o, &seen, &out, err) &&
              tl_file_write(o->out, out.data, out.len, err);
    if (ok) printf("%s: %ld prompts\n", o->out, o->prompts);
    for (int i = 0; i < o->n_without; i++) tl_prompts_finish(&without[i]);
    tl_arena_finish(&seen.arena);
    tl_str_finish(&out);
    return ok;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct tl_err err = {0};
    opterr = 0;
    bool ok = read_options(argc, argv, &o, &err) && (o.count ? write_scenes : write_prompts)(&o, &err);
    if (!ok) fprintf(stderr, "make_scenes: %s\n%s", err.text, err.code == TL_USAGE ? usage : "");
    return err.code;
}
