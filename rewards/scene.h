/* Scenes of coloured shapes: what a caption may say.
 *
 * Grammar (words in lower case, single spaces; the reader also takes capitals, more spaces and a final full
 * stop): caption  = group [join group] [" on a " ground " background"] group    = ("a" | "two" | "three")
 * [size] colour shape, the shape with "s" where there are several join     = "and" | "above" | "below" |
 * "left of" | "right of" size     = "small" | "large" colour   = "red" | "green" | "blue" | "yellow" |
 * "purple" | "cyan" shape    = "circle" | "square" | "triangle" ground   = "white" | "black" | "gray" What is
 * not named is open: a scene may have it in any way.
 *
 * Held-out compositions: a caption of two groups with a red triangle, blue circle, green square or yellow
 * circle is never drawn for training (each occurs alone), so that unseen compositions exist.
 *
 * All randomness is a function of the key given, elements 0 upwards: no state, thread-safe. */
#ifndef TL_REWARDS_SCENE_H
#define TL_REWARDS_SCENE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

#include "base/rng.h"

enum {
    TL_SCENE_SIDE = 64, /* pictures are 64 x 64 RGB, 8 bit, rows from the top */
    TL_SCENE_COLOURS = 6,
    TL_SCENE_SHAPES = 3,
    TL_SCENE_GROUNDS = 3,
    TL_SCENE_MOST = 6,   /* objects that a caption can name: two groups of three */
    TL_SCENE_TEXT = 128, /* bytes that hold every caption */
    TL_SCENE_GRID = 8,   /* patches along a side, of 8 x 8 pixels */
    TL_SCENE_OPEN = -1,  /* size or ground that the caption does not name */
};

enum tl_scene_shape { TL_SCENE_CIRCLE, TL_SCENE_SQUARE, TL_SCENE_TRIANGLE };
enum tl_scene_size { TL_SCENE_SMALL, TL_SCENE_LARGE };

/* Of the first group to the second. */
enum tl_scene_relation { TL_SCENE_AND, TL_SCENE_ABOVE, TL_SCENE_BELOW, TL_SCENE_LEFT, TL_SCENE_RIGHT };

/* The one change that makes a hard negative. */
enum tl_scene_change {
    TL_SCENE_CHANGE_COLOUR,
    TL_SCENE_CHANGE_SHAPE,
    TL_SCENE_CHANGE_COUNT,
    TL_SCENE_CHANGE_SIZE,
    TL_SCENE_CHANGE_GROUND,
    TL_SCENE_CHANGE_BINDING, /* the two groups swap colours */
    TL_SCENE_CHANGE_RELATION,
    TL_SCENE_CHANGES,
};

struct tl_scene_group {
    int count;         /* 1 .. 3 */
    int size;          /* enum tl_scene_size or TL_SCENE_OPEN */
    int colour, shape; /* indices into the tables below */
};

struct tl_scene_spec {
    int n_groups; /* 1 or 2 */
    struct tl_scene_group group[2];
    int relation; /* enum tl_scene_relation; TL_SCENE_AND with one group */
    int ground;   /* index or TL_SCENE_OPEN */
};

/* x, y in pixels (pixel p covers p .. p + 1), r the shape's radius; tl_scene_cover in scene_draw.h has the
 * outlines. */
struct tl_scene_object {
    int colour, shape;
    float x, y, r;
};

/* Names and 8-bit RGB values. The order is that of the indices in metadata.jsonl. */
extern const char *const tl_scene_colour_name[TL_SCENE_COLOURS];
extern const uint8_t tl_scene_colour_rgb[TL_SCENE_COLOURS][3];
extern const char *const tl_scene_shape_name[TL_SCENE_SHAPES];
extern const char *const tl_scene_ground_name[TL_SCENE_GROUNDS];
extern const uint8_t tl_scene_ground_rgb[TL_SCENE_GROUNDS][3];
extern const char *const tl_scene_change_name[TL_SCENE_CHANGES];

/* Reads a caption. On failure (TL_BAD_INPUT) the text quotes the prompt and names the word that did not fit.
 */
bool tl_scene_parse(const char *prompt, struct tl_scene_spec *out, struct tl_err *err);

/* Writes the caption of a spec; tl_scene_parse gives back the same spec. */
void tl_scene_write(const struct tl_scene_spec *spec, char out[TL_SCENE_TEXT]);

int tl_scene_total(const struct tl_scene_spec *spec); /* objects named */
bool tl_scene_is_held_out(const struct tl_scene_spec *spec);

/* Whether the data set draws such a caption: at most three objects, three only as small ones, a relation only
 * between single objects, two groups of different colour (or, with a relation, at least of different shape).
 * Held-out or not. */
bool tl_scene_is_typical(const struct tl_scene_spec *spec);

/* What random specs may be. Zeroed: training compositions of up to three objects. */
struct tl_scene_choice {
    bool held_out; /* only held-out compositions (these have two groups) */
    int most;      /* most objects; 0: three. At least 2 with held_out */
};

/* A typical spec: 25 % one object, 20 % two or three equal ones, 40 % a relation, 15 % "and"; size words for
 * half of the groups, the background named in half of the captions. */
void tl_scene_random_spec(struct tl_rng_key key, const struct tl_scene_choice *choice,
                          struct tl_scene_spec *out);

/* A caption that one minimal change has made false for every scene of `spec`; shape and relation, the hard
 * kinds, are drawn more often. Typical when `spec` is, and never held-out unless `spec` is. Returns what was
 * changed. */
enum tl_scene_change tl_scene_negative(const struct tl_scene_spec *spec, struct tl_rng_key key,
                                       struct tl_scene_spec *out);

/* For each patch (row by row) the colour index + 1 and shape index + 1 of the object that covers most of it,
 * at least a quarter; 0 elsewhere. */
void tl_scene_patches(const struct tl_scene_object *objects, int n_objects,
                      uint8_t out_colour[TL_SCENE_GRID * TL_SCENE_GRID],
                      uint8_t out_shape[TL_SCENE_GRID * TL_SCENE_GRID]);

#endif
