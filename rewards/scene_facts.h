/* Scenes of coloured shapes: which facts of a caption hold in a picture that was read back. */
#ifndef TL_REWARDS_SCENE_FACTS_H
#define TL_REWARDS_SCENE_FACTS_H

#include "rewards/scene_read.h"

enum { TL_SCENE_FACTS = 10 };

enum tl_scene_fact_kind {
    TL_SCENE_FACT_COLOUR, /* there are objects for the group, and all counted for it have its colour */
    TL_SCENE_FACT_SHAPE,
    TL_SCENE_FACT_COUNT,    /* exactly as many as named, and no other object in the picture */
    TL_SCENE_FACT_SIZE,     /* only if named; r = 10.25 parts small from large */
    TL_SCENE_FACT_GROUND,   /* only if named */
    TL_SCENE_FACT_RELATION, /* only if named; between objects of the right colours */
    TL_SCENE_FACT_KINDS,
};
extern const char *const tl_scene_fact_name[TL_SCENE_FACT_KINDS];

struct tl_scene_facts {
    int n, n_true;
    struct {
        int kind, group; /* group -1 for facts about the whole picture */
        bool holds;
    } fact[TL_SCENE_FACTS];
};

/* Objects are shared out between the groups in the way that makes most facts true. Every object belongs to a
 * group, so one that the caption does not name costs a count. */
void tl_scene_check(const struct tl_scene_spec *spec, const struct tl_scene_reading *reading,
                    struct tl_scene_facts *out);

/* Share of facts that hold, 0 .. 1: the reward. 1 exactly when all hold. */
float tl_scene_score(const struct tl_scene_facts *facts);

#endif
