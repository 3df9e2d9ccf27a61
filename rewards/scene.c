#include "rewards/scene.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "rewards/scene_draw.h"

const char *const tl_scene_colour_name[] = {"red", "green", "blue", "yellow", "purple", "cyan"};
const uint8_t tl_scene_colour_rgb[][3] = {{220, 40, 40},  {40, 170, 60},  {40, 70, 220},
                                          {240, 210, 40}, {150, 50, 180}, {60, 200, 220}};
const char *const tl_scene_shape_name[] = {"circle", "square", "triangle"};
const char *const tl_scene_ground_name[] = {"white", "black", "gray"};
const uint8_t tl_scene_ground_rgb[][3] = {{245, 245, 245}, {20, 20, 20}, {176, 176, 176}};
const char *const tl_scene_change_name[] = {"colour",     "shape",   "count",   "size",
                                            "background", "binding", "relation"};

static const char *const number_name[] = {"a", "two", "three"};
static const char *const size_name[] = {"small", "large"};
static const char *const join_name[] = {"and", "above", "below", "left of", "right of"};

static const int held_out[][2] = {{0, TL_SCENE_TRIANGLE}, /* red */
                                  {2, TL_SCENE_CIRCLE},   /* blue */
                                  {1, TL_SCENE_SQUARE},   /* green */
                                  {3, TL_SCENE_CIRCLE}};  /* yellow */

/* ---- reading ---- */

enum { MOST_WORDS = 24 };

struct words {
    char text[2 * TL_SCENE_TEXT]; /* lower case, words ended by NUL */
    const char *word[MOST_WORDS + 1];
    int n, at;
};

static bool split(const char *prompt, struct words *w)
{
    size_t len = strlen(prompt);
    if (len >= sizeof w->text) return false;
    for (size_t i = 0; i <= len; i++) w->text[i] = (char)tolower((unsigned char)prompt[i]);
    while (len && isspace((unsigned char)w->text[len - 1])) w->text[--len] = 0;
    if (len && w->text[len - 1] == '.') w->text[len - 1] = 0;
    w->n = w->at = 0;
    char *rest = NULL;
    for (char *t = strtok_r(w->text, " \t\r\n", &rest); t; t = strtok_r(NULL, " \t\r\n", &rest)) {
        if (w->n == MOST_WORDS) return false;
        w->word[w->n++] = t;
    }
    return true;
}

static bool take(struct words *w, const char *word)
{
    if (w->at >= w->n || strcmp(w->word[w->at], word) != 0) return false;
    w->at++;
    return true;
}

/* Index of the next word in a table, and takes it; -1 where it is none of them. */
static int take_of(struct words *w, const char *const *names, int n)
{
    for (int i = 0; i < n; i++)
        if (take(w, names[i])) return i;
    return -1;
}

static int take_shape(struct words *w)
{
    for (int i = 0; i < TL_SCENE_SHAPES && w->at < w->n; i++) {
        size_t len = strlen(tl_scene_shape_name[i]);
        const char *t = w->word[w->at];
        if (strncmp(t, tl_scene_shape_name[i], len) != 0 || strcmp(t + len + (t[len] == 's'), "") != 0)
            continue;
        w->at++;
        return i;
    }
    return -1;
}

/* Both return NULL, or what was expected instead of the next word. */
static const char *take_group(struct words *w, struct tl_scene_group *out)
{
    out->count = 1 + take_of(w, number_name, 3);
    if (!out->count) return "a, two or three";
    out->size = take_of(w, size_name, 2);
    out->colour = take_of(w, tl_scene_colour_name, TL_SCENE_COLOURS);
    if (out->colour < 0) return "a colour: red, green, blue, yellow, purple or cyan";
    out->shape = take_shape(w);
    return out->shape < 0 ? "a shape: circle, square or triangle" : NULL;
}

static const char *take_ground(struct words *w, int *out)
{
    if (!take(w, "on")) return NULL;
    if (!take(w, "a")) return "\"a\"";
    *out = take_of(w, tl_scene_ground_name, TL_SCENE_GROUNDS);
    if (*out < 0) return "a background: white, black or gray";
    return take(w, "background") ? NULL : "\"background\"";
}

static int take_join(struct words *w)
{
    int join = take_of(w, join_name, TL_SCENE_LEFT);
    if (join >= 0 || w->at + 1 >= w->n || strcmp(w->word[w->at + 1], "of") != 0) return join;
    if (take(w, "left"))
        join = TL_SCENE_LEFT;
    else if (take(w, "right"))
        join = TL_SCENE_RIGHT;
    if (join >= 0) w->at++;
    return join;
}

static const char *take_caption(struct words *w, struct tl_scene_spec *out)
{
    const char *expected = take_group(w, &out->group[0]);
    if (expected) return expected;
    int join = take_join(w);
    if (join >= 0) {
        out->relation = join;
        out->n_groups = 2;
        expected = take_group(w, &out->group[1]);
        if (expected) return expected;
    }
    expected = take_ground(w, &out->ground);
    if (expected) return expected;
    if (w->at == w->n) return NULL;
    return join < 0 ? "and, above, below, left of, right of, \"on a ... background\" or the end"
                    : "\"on a ... background\" or the end";
}

bool tl_scene_parse(const char *prompt, struct tl_scene_spec *out, struct tl_err *err)
{
    struct words w;
    if (!split(prompt, &w))
        return tl_err_set(err, TL_BAD_INPUT,
                          "scene reward: cannot read prompt \"%.200s...\": too long for a scene of shapes",
                          prompt);
    struct tl_scene_spec spec = {.n_groups = 1, .relation = TL_SCENE_AND, .ground = TL_SCENE_OPEN};
    const char *expected = take_caption(&w, &spec);
    if (expected)
        return tl_err_set(
            err, TL_BAD_INPUT,
            "scene reward: cannot read prompt \"%s\": expected %s at \"%s\" (word %d); prompts read like "
            "\"two small green triangles on a black background\" or \"a red circle above a blue square\"",
            prompt, expected, w.at < w.n ? w.word[w.at] : "the end", w.at + 1);
    *out = spec;
    return true;
}

/* ---- writing ---- */

void tl_scene_write(const struct tl_scene_spec *spec, char out[TL_SCENE_TEXT])
{
    size_t used = 0;
    for (int i = 0; i < spec->n_groups; i++) {
        const struct tl_scene_group *g = &spec->group[i];
        used += (size_t)snprintf(out + used, TL_SCENE_TEXT - used, "%s%s%s%s %s%s%s %s%s", i ? " " : "",
                                 i ? join_name[spec->relation] : "", i ? " " : "", number_name[g->count - 1],
                                 g->size < 0 ? "" : size_name[g->size], g->size < 0 ? "" : " ",
                                 tl_scene_colour_name[g->colour], tl_scene_shape_name[g->shape],
                                 g->count > 1 ? "s" : "");
    }
    if (spec->ground >= 0)
        snprintf(out + used, TL_SCENE_TEXT - used, " on a %s background", tl_scene_ground_name[spec->ground]);
}

/* ---- what the data set draws ---- */

int tl_scene_total(const struct tl_scene_spec *spec)
{
    return spec->group[0].count + (spec->n_groups == 2 ? spec->group[1].count : 0);
}

bool tl_scene_is_held_out(const struct tl_scene_spec *spec)
{
    if (spec->n_groups != 2) return false;
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < sizeof held_out / sizeof *held_out; k++)
            if (spec->group[i].colour == held_out[k][0] && spec->group[i].shape == held_out[k][1])
                return true;
    return false;
}

bool tl_scene_is_typical(const struct tl_scene_spec *spec)
{
    const struct tl_scene_group *a = &spec->group[0], *b = &spec->group[1];
    int total = tl_scene_total(spec);
    if (total > 3) return false;
    if (total == 3 && (a->size == TL_SCENE_LARGE || (spec->n_groups == 2 && b->size == TL_SCENE_LARGE)))
        return false;
    if (spec->n_groups == 1) return true;
    if (spec->relation != TL_SCENE_AND && total > 2) return false;
    return a->colour != b->colour || (spec->relation != TL_SCENE_AND && a->shape != b->shape);
}

struct dice {
    struct tl_rng_key key;
    uint32_t next;
};

static int below(struct dice *d, int n)
{
    return (int)tl_rng_below(d->key, d->next++, (uint32_t)n);
}

static bool chance(struct dice *d, float p)
{
    return tl_rng_uniform(d->key, d->next++) < p;
}

/* How many groups of how many objects, and the relation. */
static void draw_layout(struct dice *d, bool two_groups, struct tl_scene_spec *s)
{
    int percent = two_groups ? 45 + below(d, 55) : below(d, 100);
    *s = (struct tl_scene_spec){.n_groups = percent < 45 ? 1 : 2};
    s->group[0].count = 1;
    s->group[1].count = s->n_groups - 1;
    if (percent >= 85) {
        int doubled = below(d, 4); /* half of the time neither */
        if (doubled < 2) s->group[doubled].count = 2;
    } else if (percent >= 45) {
        s->relation = TL_SCENE_ABOVE + below(d, 4);
    } else if (percent >= 25) {
        s->group[0].count = chance(d, 0.6f) ? 2 : 3;
    }
}

static void draw_groups(struct dice *d, struct tl_scene_spec *s)
{
    for (int i = 0; i < s->n_groups; i++) {
        struct tl_scene_group *g = &s->group[i];
        g->size = chance(d, 0.5f) ? below(d, tl_scene_total(s) > 2 ? 1 : 2) : TL_SCENE_OPEN;
        g->colour = below(d, TL_SCENE_COLOURS);
        g->shape = below(d, TL_SCENE_SHAPES);
    }
}

void tl_scene_random_spec(struct tl_rng_key key, const struct tl_scene_choice *choice,
                          struct tl_scene_spec *out)
{
    struct dice d = {.key = key};
    int most = choice->most > 0 ? choice->most : 3;
    if (choice->held_out && most < 2) most = 2; /* else there would be nothing to find */
    do draw_layout(&d, choice->held_out, out);
    while (tl_scene_total(out) > most);
    do draw_groups(&d, out);
    while (!tl_scene_is_typical(out) || tl_scene_is_held_out(out) != choice->held_out);
    out->ground = chance(&d, 0.5f) ? below(&d, TL_SCENE_GROUNDS) : TL_SCENE_OPEN;
}

/* ---- hard negatives ---- */

static int other(struct dice *d, int value, int n)
{
    return (value + 1 + below(d, n - 1)) % n;
}

/* How often a kind is drawn; 0 where the spec has nothing to change. */
static int weight(const struct tl_scene_spec *s, enum tl_scene_change kind)
{
    const struct tl_scene_group *a = &s->group[0], *b = &s->group[1];
    bool two = s->n_groups == 2;
    switch (kind) {
    case TL_SCENE_CHANGE_SHAPE:
        return 4;
    case TL_SCENE_CHANGE_SIZE:
        return a->size >= 0 || (two && b->size >= 0);
    case TL_SCENE_CHANGE_GROUND:
        return s->ground >= 0;
    case TL_SCENE_CHANGE_BINDING:
        return two && a->colour != b->colour && a->shape != b->shape ? 2 : 0;
    case TL_SCENE_CHANGE_RELATION:
        return s->relation != TL_SCENE_AND ? 4 : 0;
    default:
        return 1;
    }
}

static int opposite(int relation)
{
    return TL_SCENE_ABOVE + ((relation - TL_SCENE_ABOVE) ^ 1);
}

static void change(struct dice *d, struct tl_scene_spec *s, enum tl_scene_change kind)
{
    struct tl_scene_group *g = &s->group[s->n_groups == 2 ? below(d, 2) : 0];
    int swap = s->group[0].colour;
    switch (kind) {
    case TL_SCENE_CHANGE_COLOUR:
        g->colour = other(d, g->colour, TL_SCENE_COLOURS);
        break;
    case TL_SCENE_CHANGE_SHAPE:
        g->shape = other(d, g->shape, TL_SCENE_SHAPES);
        break;
    case TL_SCENE_CHANGE_COUNT:
        g->count = 1 + other(d, g->count - 1, 3);
        break;
    case TL_SCENE_CHANGE_SIZE:
        if (g->size < 0) g = &s->group[g == &s->group[0]];
        g->size = !g->size;
        break;
    case TL_SCENE_CHANGE_GROUND:
        s->ground = other(d, s->ground, TL_SCENE_GROUNDS);
        break;
    case TL_SCENE_CHANGE_BINDING:
        s->group[0].colour = s->group[1].colour;
        s->group[1].colour = swap;
        break;
    default:
        if (chance(d, 0.7f))
            s->relation = opposite(s->relation);
        else
            s->relation = TL_SCENE_ABOVE + other(d, s->relation - TL_SCENE_ABOVE, 4);
    }
}

enum tl_scene_change tl_scene_negative(const struct tl_scene_spec *spec, struct tl_rng_key key,
                                       struct tl_scene_spec *out)
{
    struct dice d = {.key = key};
    bool typical = tl_scene_is_typical(spec), held = tl_scene_is_held_out(spec);
    int sum = 0;
    for (int k = 0; k < TL_SCENE_CHANGES; k++) sum += weight(spec, k);
    for (;;) { /* ends: some other colour always fits */
        int k = 0;
        for (int left = below(&d, sum); (left -= weight(spec, k)) >= 0;) k++;
        *out = *spec;
        change(&d, out, k);
        if ((!typical || tl_scene_is_typical(out)) && (held || !tl_scene_is_held_out(out))) return k;
    }
}

/* ---- labels of patches ---- */

void tl_scene_patches(const struct tl_scene_object *objects, int n_objects,
                      uint8_t out_colour[TL_SCENE_GRID * TL_SCENE_GRID],
                      uint8_t out_shape[TL_SCENE_GRID * TL_SCENE_GRID])
{
    enum { SIDE = TL_SCENE_SIDE / TL_SCENE_GRID };
    for (int p = 0; p < TL_SCENE_GRID * TL_SCENE_GRID; p++) {
        int x0 = p % TL_SCENE_GRID * SIDE, y0 = p / TL_SCENE_GRID * SIDE;
        float most = 0.25f * SIDE * SIDE;
        out_colour[p] = out_shape[p] = 0;
        for (int k = 0; k < n_objects; k++) {
            const struct tl_scene_object *o = &objects[k];
            float sum = 0;
            for (int i = 0; i < SIDE * SIDE; i++)
                sum += tl_scene_cover(o->shape, o->x, o->y, o->r, x0 + i % SIDE, y0 + i / SIDE);
            if (sum < most) continue;
            most = sum;
            out_colour[p] = (uint8_t)(o->colour + 1);
            out_shape[p] = (uint8_t)(o->shape + 1);
        }
    }
}
