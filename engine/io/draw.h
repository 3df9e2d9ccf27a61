/* Pictures for people: text in a small bitmap font, grids of samples, before/after grids, line charts.
 *
 * Everything draws into RGB pictures of image.h; what falls outside a picture is left out. Colours are
 * 0xRRGGBB. Text is UTF-8; characters beyond ASCII and bytes that are no UTF-8 are drawn as a box, white
 * space as a space. The same input gives the same pixels. Pictures that are made belong to the caller
 * (tl_image_finish); on failure *out is left empty. TL_USAGE for sizes that do not fit together, TL_BAD_INPUT
 * beyond 64 Mpx. */
#ifndef TL_IO_DRAW_H
#define TL_IO_DRAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

#include "io/image.h"

/* A character's cell at scale 1, with its free column and row; capitals are 5 x 7. */
enum { TL_DRAW_CELL_WIDTH = 6, TL_DRAW_CELL_HEIGHT = 10 };

enum {
    TL_DRAW_WHITE = 0xffffff,
    TL_DRAW_INK = 0x202020,
    TL_DRAW_FAINT = 0x707070,
    TL_DRAW_GREEN = 0x007f4f,
    TL_DRAW_RED = 0xb83a00,
};

/* ---- pieces ---- */

void tl_draw_fill(struct tl_image *image, int x, int y, int width, int height, uint32_t rgb);

/* A picture of 1 or 3 channels with its upper left corner at (x, y), each of its pixels scale x scale. */
void tl_draw_picture(struct tl_image *image, int x, int y, const struct tl_image *picture, int scale);

/* A line with soft edges, `width` pixels thick; pixel centres are at whole numbers. Points that are not
 * finite draw nothing. */
void tl_draw_line(struct tl_image *image, double x0, double y0, double x1, double y1, double width,
                  uint32_t rgb);

/* One line of text, its cell's upper left corner at (x, y). */
void tl_draw_text(struct tl_image *image, int x, int y, const char *text, int scale, uint32_t rgb);
int tl_draw_text_width(const char *text, int scale); /* pixels */

/* Text broken at white space (a longer word anywhere) into lines of at most `columns` characters; what
 * most_lines do not hold ends in "...". Returns the number of lines drawn; image NULL: counts only. */
int tl_draw_wrapped(struct tl_image *image, int x, int y, const char *text, int columns, int most_lines,
                    int scale, uint32_t rgb);

/* ---- grids ---- */

/* Zero means the default everywhere; titles and captions may be NULL, whole or single ones. */
struct tl_draw_grid {
    int rows, columns;
    const struct tl_image
        *pictures; /* [rows][columns], borrowed; equal sizes, 1 or 3 channels; empty ones: a blank cell */
    int scale;     /* whole-number enlargement; 0: until a picture is 192 pixels wide */
    int group;     /* so many columns belong together, a wider gap follows; 0: all */
    const char *title;
    const char *const *group_titles; /* above each group */
    const char *const *row_titles;   /* [rows], above each row */
    const char *const *captions;     /* [rows][columns], under each picture, at most 3 lines */
    const uint32_t *caption_colors;  /* [rows][columns] */
};
bool tl_draw_grid(const struct tl_draw_grid *grid, struct tl_image *out, struct tl_err *err);

/* A row a prompt: n_each pictures before, as many after, the reward under each, the change in colour under
 * the later ones, and the row's means behind the prompt. */
struct tl_draw_before_after {
    int n_prompts, n_each;
    const struct tl_image *before, *after;      /* [n_prompts][n_each] */
    const double *reward_before, *reward_after; /* the same, both or neither */
    const char *const *prompts;                 /* [n_prompts] */
    const char *title, *reward_name;            /* NULL: none; "reward" */
    int scale;
};
bool tl_draw_before_after(const struct tl_draw_before_after *what, struct tl_image *out, struct tl_err *err);

/* ---- charts ---- */

struct tl_draw_series {
    const char *name;
    const double *x, *y; /* [n]; a point that is not finite leaves a gap; NULL x: 1, 2, 3 ... */
    const double *error; /* [n], NULL: none; drawn as a band y - error .. y + error */
    size_t n;
};

/* Lines over axes with ticks; minimum and maximum of each series are marked, and stand with its last value in
 * the legend under the plot. Any number of series, none included. */
struct tl_draw_chart {
    const char *title, *x_label, *y_label; /* may be NULL */
    const struct tl_draw_series *series;
    size_t n_series;
    int width, height; /* whole picture; 0: 960 x 540 */
};
bool tl_draw_chart(const struct tl_draw_chart *chart, struct tl_image *out, struct tl_err *err);

#endif
