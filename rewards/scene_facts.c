#include "rewards/scene_facts.h"

#include <math.h>

static const float size_limit = 10.25f;
static const float clear_px = 4, clear_slope = 0.85f; /* how clearly a relation must show */

const char *const tl_scene_fact_name[] = {"colour", "shape", "count", "size", "background", "relation"};

/* Objects counted for a group: those most like it, as many as it names. */
struct claim {
    int n_all, n; /* n = min(n_all, the group's count) */
    const struct tl_scene_seen *object[TL_SCENE_SEEN];
};

static bool size_is(const struct tl_scene_seen *o, int size)
{
    return (o->r > size_limit) == (size == TL_SCENE_LARGE);
}

static int likeness(const struct tl_scene_group *g, const struct tl_scene_seen *o)
{
    return 4 * (o->colour == g->colour) + 2 * (o->shape == g->shape) + (g->size >= 0 && size_is(o, g->size));
}

/* Takes the objects whose bit in `mask` is `bit`. */
static void make_claim(const struct tl_scene_group *g, const struct tl_scene_reading *r, unsigned mask,
                       unsigned bit, struct claim *out)
{
    out->n_all = 0;
    for (int i = 0; i < r->n_objects; i++) {
        if ((mask >> i & 1) != bit) continue;
        int at = out->n_all++;
        for (; at > 0 && likeness(g, out->object[at - 1]) < likeness(g, &r->object[i]); at--)
            out->object[at] = out->object[at - 1];
        out->object[at] = &r->object[i];
    }
    out->n = out->n_all < g->count ? out->n_all : g->count;
}

static void add(struct tl_scene_facts *f, int kind, int group, bool holds)
{
    f->fact[f->n].kind = kind;
    f->fact[f->n].group = group;
    f->fact[f->n++].holds = holds;
    f->n_true += holds;
}

static void add_group(struct tl_scene_facts *f, const struct tl_scene_group *g, int group,
                      const struct claim *c)
{
    bool colour = c->n > 0, shape = c->n > 0, size = c->n > 0;
    for (int i = 0; i < c->n; i++) {
        colour &= c->object[i]->colour == g->colour;
        shape &= c->object[i]->shape == g->shape;
        size &= g->size >= 0 && size_is(c->object[i], g->size);
    }
    add(f, TL_SCENE_FACT_COLOUR, group, colour);
    add(f, TL_SCENE_FACT_SHAPE, group, shape);
    add(f, TL_SCENE_FACT_COUNT, group, c->n_all == g->count);
    if (g->size >= 0) add(f, TL_SCENE_FACT_SIZE, group, size);
}

static bool related(const struct tl_scene_seen *a, const struct tl_scene_seen *b, int relation)
{
    bool upright = relation == TL_SCENE_ABOVE || relation == TL_SCENE_BELOW;
    float along = upright ? b->y - a->y : b->x - a->x, across = upright ? b->x - a->x : b->y - a->y;
    if (relation == TL_SCENE_BELOW || relation == TL_SCENE_RIGHT) along = -along;
    return along > clear_px && along > clear_slope * fabsf(across);
}

static bool all_related(const struct tl_scene_spec *s, const struct claim c[2])
{
    if (!c[0].n || !c[1].n) return false;
    for (int i = 0; i < c[0].n; i++)
        for (int k = 0; k < c[1].n; k++) {
            const struct tl_scene_seen *a = c[0].object[i], *b = c[1].object[k];
            if (a->colour != s->group[0].colour || b->colour != s->group[1].colour) return false;
            if (!related(a, b, s->relation)) return false;
        }
    return true;
}

void tl_scene_check(const struct tl_scene_spec *spec, const struct tl_scene_reading *reading,
                    struct tl_scene_facts *out)
{
    unsigned shares = spec->n_groups == 2 ? 1u << reading->n_objects : 1;
    *out = (struct tl_scene_facts){.n_true = -1};
    for (unsigned mask = 0; mask < shares; mask++) { /* bit i: object i goes to the second group */
        struct tl_scene_facts f = {0};
        struct claim claim[2];
        for (int g = 0; g < spec->n_groups; g++) {
            make_claim(&spec->group[g], reading, mask, (unsigned)g, &claim[g]);
            add_group(&f, &spec->group[g], g, &claim[g]);
        }
        if (spec->relation != TL_SCENE_AND) add(&f, TL_SCENE_FACT_RELATION, -1, all_related(spec, claim));
        if (spec->ground >= 0) add(&f, TL_SCENE_FACT_GROUND, -1, reading->ground == spec->ground);
        if (f.n_true > out->n_true) *out = f;
    }
}

float tl_scene_score(const struct tl_scene_facts *facts)
{
    return (float)facts->n_true / (float)facts->n;
}
