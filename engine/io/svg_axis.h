/* Axes of SVG charts: ranges, ticks at 1, 2 or 5 times a power of ten, their labels. Numbers are printed in
 * the locale of the caller, who sets it to "C". */
#ifndef TL_IO_SVG_AXIS_H
#define TL_IO_SVG_AXIS_H

#include <stdbool.h>

#include "base/str.h"

/* Values lo .. hi at from .. to in the drawing, ticks every `step` from the first multiple of it. Begins as
 * tl_svg_axis_empty. */
struct tl_svg_axis {
    double lo, hi, step;
    double from, to;
    bool percent; /* labels are 100 times the value, with % */
};

struct tl_svg_axis tl_svg_axis_empty(void);
/* Takes a value into the range; ignores what is not finite or beyond 1e300. */
void tl_svg_axis_widen(struct tl_svg_axis *axis, double v);

/* Ends the range and chooses at most about `n_ticks` of them. round: the range grows to whole steps. whole:
 * no ticks between whole numbers. */
void tl_svg_axis_close(struct tl_svg_axis *axis, int n_ticks, bool round, bool whole);

double tl_svg_axis_place(const struct tl_svg_axis *axis, double v);
double tl_svg_axis_first(const struct tl_svg_axis *axis); /* the first tick */
bool tl_svg_axis_holds(const struct tl_svg_axis *axis, double v);

enum { TL_SVG_LABEL = 32 };
/* A tick's label: digits enough to tell neighbours apart. */
void tl_svg_axis_label(const struct tl_svg_axis *axis, double v, char out[TL_SVG_LABEL]);

/* A value for people: four significant digits (of a share three), without trailing zeros. */
void tl_svg_number(double v, bool percent, char out[TL_SVG_LABEL]);

/* About how wide a label is in a chart's 11 px type. */
double tl_svg_text_width(const char *text);

#endif
