/* Scenes of coloured shapes: from a spec to objects with places, and from objects to a picture. */
#ifndef TL_REWARDS_SCENE_DRAW_H
#define TL_REWARDS_SCENE_DRAW_H

#include "rewards/scene.h"

/* A spec and one way to have it. Objects of group 0 come first. */
struct tl_scene {
    struct tl_scene_spec spec;
    int ground; /* index: the named one, else any */
    int n_objects;
    struct tl_scene_object object[TL_SCENE_MOST];
};

/* Radii: small 7.5-9, large 11.5-13.5 px; with more than two objects, sizes left open are small. Objects
 * stand 1 px off the border and their boxes at least 3 px apart. "a above b" is drawn with dy at least 1.3
 * |dx|, likewise the others. */
#define TL_SCENE_SMALL_R   7.5f
#define TL_SCENE_SMALL_R_1 9.0f
#define TL_SCENE_LARGE_R   11.5f
#define TL_SCENE_LARGE_R_1 13.5f

/* Places the objects of a spec; fails (TL_BAD_INPUT) where they do not fit, as six large ones. The same key
 * gives the same scene; it uses the key's elements from 2^16 up, so a spec may be drawn with the same key. */
bool tl_scene_place(const struct tl_scene_spec *spec, struct tl_rng_key key, struct tl_scene *out,
                    struct tl_err *err);

/* Scene number `index` of a data set: tl_scene_random_spec, then tl_scene_place. Keyed by TL_RNG_SCENE,
 * sample `index`, step `part`: parts (train, test, ...) share no scene. Always succeeds: every typical spec
 * fits. */
void tl_scene_random(uint64_t seed, uint32_t part, uint32_t index, const struct tl_scene_choice *choice,
                     struct tl_scene *out);

/* Share of pixel (px, py) that a shape covers, in 16 samples: 0, 1/16 .. 1. Circle: radius r. Square: half
 * side 0.9 r. Triangle: apex 1.05 r above, base 0.85 r below (x, y), half base 1.1 r. */
float tl_scene_cover(int shape, float x, float y, float r, int px, int py);

/* Area of a shape of radius 1, and how far its centroid lies below its (x, y). */
float tl_scene_area(int shape);
float tl_scene_centroid(int shape);

/* Draws; out_rgb is TL_SCENE_SIDE^2 x 3 bytes, rows from the top. */
void tl_scene_draw(const struct tl_scene_object *objects, int n_objects, int ground, uint8_t *out_rgb);

#endif
