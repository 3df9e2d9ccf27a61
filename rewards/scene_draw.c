#include "rewards/scene_draw.h"

#include <math.h>

enum { SUB = 4 };                /* samples along a side of a pixel */
static const float border = 1;   /* px between a shape and the picture's edge */
static const float gap = 3;      /* px between the boxes of two shapes */
static const float slope = 1.3f; /* how clearly a relation is drawn */

/* Extent of each shape of radius 1: to the sides, upwards, downwards. */
static const float extent[TL_SCENE_SHAPES][3] = {{1, 1, 1}, {0.9f, 0.9f, 0.9f}, {1.1f, 1.05f, 0.85f}};

static bool inside(int shape, float x, float y, float r)
{
    switch (shape) {
    case TL_SCENE_CIRCLE:
        return x * x + y * y <= r * r;
    case TL_SCENE_SQUARE:
        return fabsf(x) <= 0.9f * r && fabsf(y) <= 0.9f * r;
    default:
        return y <= 0.85f * r && fabsf(x) * 1.9f <= (y + 1.05f * r) * 1.1f;
    }
}

float tl_scene_cover(int shape, float x, float y, float r, int px, int py)
{
    float dx = (float)px - x, dy = (float)py - y, side = extent[shape][0] * r;
    if (dx > side || dx < -side - 1 || dy > extent[shape][2] * r || dy < -extent[shape][1] * r - 1) return 0;
    int n = 0;
    for (int i = 0; i < SUB * SUB; i++)
        n += inside(shape, dx + ((float)(i % SUB) + 0.5f) / SUB, dy + ((float)(i / SUB) + 0.5f) / SUB, r);
    return (float)n / (SUB * SUB);
}

float tl_scene_area(int shape)
{
    return shape == TL_SCENE_CIRCLE ? 3.14159265f : shape == TL_SCENE_SQUARE ? 3.24f : 2.09f;
}

float tl_scene_centroid(int shape)
{
    return shape == TL_SCENE_TRIANGLE ? (0.85f + 0.85f - 1.05f) / 3 : 0;
}

void tl_scene_draw(const struct tl_scene_object *objects, int n_objects, int ground, uint8_t *out_rgb)
{
    for (int p = 0; p < TL_SCENE_SIDE * TL_SCENE_SIDE; p++) {
        float left = 1, colour[3] = {0}; /* objects do not overlap: their shares add up */
        for (int k = 0; k < n_objects; k++) {
            const struct tl_scene_object *o = &objects[k];
            float share = tl_scene_cover(o->shape, o->x, o->y, o->r, p % TL_SCENE_SIDE, p / TL_SCENE_SIDE);
            share = share > left ? left : share;
            left -= share;
            for (int c = 0; c < 3; c++) colour[c] += share * tl_scene_colour_rgb[o->colour][c];
        }
        for (int c = 0; c < 3; c++)
            out_rgb[3 * p + c] = (uint8_t)(colour[c] + left * tl_scene_ground_rgb[ground][c] + 0.5f);
    }
}

/* ---- placing ---- */

struct dice {
    struct tl_rng_key key;
    uint32_t next;
};

static float between(struct dice *d, float low, float high)
{
    return low + (high - low) * tl_rng_uniform(d->key, d->next++);
}

static void draw_radius(struct dice *d, int size, struct tl_scene_object *o)
{
    bool large = size == TL_SCENE_LARGE;
    o->r = between(d, large ? TL_SCENE_LARGE_R : TL_SCENE_SMALL_R,
                   large ? TL_SCENE_LARGE_R_1 : TL_SCENE_SMALL_R_1);
}

static void draw_place(struct dice *d, struct tl_scene_object *o)
{
    const float *e = extent[o->shape], side = TL_SCENE_SIDE;
    o->x = between(d, border + e[0] * o->r, side - border - e[0] * o->r);
    o->y = between(d, border + e[1] * o->r, side - border - e[2] * o->r);
}

static bool apart(const struct tl_scene_object *a, const struct tl_scene_object *b)
{
    const float *ea = extent[a->shape], *eb = extent[b->shape];
    if (fabsf(a->x - b->x) >= ea[0] * a->r + eb[0] * b->r + gap) return true;
    if (a->y < b->y) return b->y - a->y >= ea[2] * a->r + eb[1] * b->r + gap;
    return a->y - b->y >= ea[1] * a->r + eb[2] * b->r + gap;
}

static bool related(const struct tl_scene_object *a, const struct tl_scene_object *b, int relation)
{
    float dx = b->x - a->x, dy = b->y - a->y;
    switch (relation) {
    case TL_SCENE_ABOVE:
        return dy >= slope * fabsf(dx);
    case TL_SCENE_BELOW:
        return -dy >= slope * fabsf(dx);
    case TL_SCENE_LEFT:
        return dx >= slope * fabsf(dy);
    case TL_SCENE_RIGHT:
        return -dx >= slope * fabsf(dy);
    default:
        return true;
    }
}

static bool fits(const struct tl_scene *s)
{
    int first = s->spec.group[0].count;
    for (int i = 0; i < s->n_objects; i++)
        for (int k = 0; k < i; k++) {
            if (!apart(&s->object[i], &s->object[k])) return false;
            if (k < first && i >= first && !related(&s->object[k], &s->object[i], s->spec.relation))
                return false;
        }
    return true;
}

bool tl_scene_place(const struct tl_scene_spec *spec, struct tl_rng_key key, struct tl_scene *out,
                    struct tl_err *err)
{
    struct dice d = {.key = key, .next = 1u << 16};
    struct tl_scene s = {.spec = *spec, .n_objects = tl_scene_total(spec)};
    uint32_t any = tl_rng_below(key, d.next++, TL_SCENE_GROUNDS);
    s.ground = spec->ground >= 0 ? spec->ground : (int)any;
    int size[TL_SCENE_MOST];
    for (int i = 0; i < s.n_objects; i++) {
        const struct tl_scene_group *g = &spec->group[i >= spec->group[0].count];
        uint32_t coin = tl_rng_below(key, d.next++, 2);
        size[i] = g->size >= 0 ? g->size : s.n_objects > 2 ? TL_SCENE_SMALL : (int)coin;
        s.object[i].colour = g->colour;
        s.object[i].shape = g->shape;
    }
    for (int attempt = 0; attempt < 40000; attempt++) {
        for (int i = 0; i < s.n_objects; i++) {
            if (attempt % 64 == 0) draw_radius(&d, size[i], &s.object[i]); /* else only the places */
            draw_place(&d, &s.object[i]);
        }
        if (!fits(&s)) continue;
        *out = s;
        return true;
    }
    char text[TL_SCENE_TEXT];
    tl_scene_write(spec, text);
    return tl_err_set(err, TL_BAD_INPUT, "scene \"%s\": found no place for %d objects in a %d px picture",
                      text, s.n_objects, TL_SCENE_SIDE);
}

void tl_scene_random(uint64_t seed, uint32_t part, uint32_t index, const struct tl_scene_choice *choice,
                     struct tl_scene *out)
{
    struct tl_rng_key key = {.seed = seed, .stream = TL_RNG_SCENE, .sample = index, .step = part};
    struct tl_scene_spec spec;
    do {
        tl_scene_random_spec(key, choice, &spec);
        key.step += 1u << 24; /* so should a place ever not be found, the next spec is another */
    } while (!tl_scene_place(&spec, key, out, NULL));
}
