/* Charts as inline SVG for HTML pages: lines with error bands, and histograms. They take the page's colours
 * (light and dark) from tl_svg_style and answer the pointer with tl_svg_script; without the script every
 * marked point still has its values as a tooltip.
 *
 * Texts are escaped, numbers printed with '.': the caller sets the "C" locale. The same input gives the same
 * bytes. Arrays are borrowed during the call. */
#ifndef TL_IO_SVG_CHART_H
#define TL_IO_SVG_CHART_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

enum { TL_SVG_COLOURS = 8 }; /* told apart by colour-blind people; more repeat, dashed */

struct tl_svg_series {
    const char *name;
    const double *x, *y;
    const double *error; /* NULL: none; drawn as a band y - error .. y + error */
    size_t n;
    int colour;  /* 0 to TL_SVG_COLOURS - 1, then the same dashed */
    bool faint;  /* background: thin, no end label */
    bool smooth; /* a long noisy one: drawn faint, with its running mean over it */
};

struct tl_svg_mark { /* a vertical line; one without a label is short */
    double x;
    const char *label;
};

struct tl_svg_chart {
    const char *title; /* for screen readers; the page writes its own */
    const char *x_label;
    const struct tl_svg_series *series;
    size_t n_series;
    const struct tl_svg_mark *marks;
    size_t n_marks;
    double x_lo, x_hi; /* the axis holds at least these; equal: only the data */
    bool percent;      /* values are shares */
};
/* Long series are thinned: of each of some hundred stretches the lowest and the highest point stay, and
 * the last point of all. */
void tl_svg_chart(struct tl_str *out, const struct tl_svg_chart *chart);

/* A legend: one entry a series that has points. */
void tl_svg_legend(struct tl_str *out, const struct tl_svg_chart *chart);

struct tl_svg_sample {
    const char *name;
    const double *values;
    size_t n;
    int colour;
};
/* Shares of each sample over common bins, with a line at each mean. */
void tl_svg_histogram(struct tl_str *out, const char *title, const struct tl_svg_sample *samples,
                      size_t n_samples);

/* Pairs as points, both axes of one range, with the line where y = x. At most some 2000 points are drawn. */
struct tl_svg_point {
    double x, y;      /* one that is not finite is left out */
    const char *name; /* its tooltip, before the values; may be NULL */
};
void tl_svg_scatter(struct tl_str *out, const char *title, const char *x_label,
                    const struct tl_svg_point *points, size_t n, int colour);

extern const char tl_svg_style[], tl_svg_script[];

#endif
