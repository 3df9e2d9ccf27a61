/* Scenes of coloured shapes: reads a picture back by image analysis alone (scene_facts.h compares with a
 * caption).
 *
 * Method: the background is the ground colour that most border pixels are near to. A pixel belongs to the
 * colour whose line from the background colour passes nearest, if it lies in the farther half of that line:
 * blurred rims stay with their object. Connected pixels of a colour (16, of which 4 inside) are an object.
 * How far a pixel lies along the line is its coverage; coverage gives area and centroid, and the shape is the
 * ideal one of the same area and centroid, sharp or a little blurred, that overlaps best. Blobs of no known
 * colour or shape count as objects, too. No state, thread-safe; about 0.2 ms a picture. */
#ifndef TL_REWARDS_SCENE_READ_H
#define TL_REWARDS_SCENE_READ_H

#include "rewards/scene.h"

enum { TL_SCENE_SEEN = 8 };

struct tl_scene_seen {
    int colour;    /* -1: none of the six */
    int shape;     /* -1: like none of the three */
    float x, y, r; /* as drawn (scene.h), if the shape is the best match */
    float overlap; /* sum of minima / sum of maxima of coverage and the best shape, 0 .. 1 */
    float area;    /* px */
};

struct tl_scene_reading {
    int ground; /* -1: none of the three */
    int n_objects;
    struct tl_scene_seen object[TL_SCENE_SEEN]; /* the largest, largest first */
};

/* rgb: width x height x 3 bytes, rows from the top. Pictures whose side is a multiple of 64 are averaged
 * down; others are an error (TL_BAD_INPUT) that names the size. */
bool tl_scene_read(const uint8_t *rgb, int width, int height, struct tl_scene_reading *out,
                   struct tl_err *err);

#endif
