/* What the SVG charts share. */
#ifndef TL_IO_SVG_INNER_H
#define TL_IO_SVG_INNER_H

#include "io/svg_axis.h"

enum { TL_SVG_WIDTH = 420, TL_SVG_HEIGHT = 220 };

/* <svg ...> with title, plot area, grid, ticks, labels. `x` and `y` are closed; their places are set here.
 * right: room behind the plot. */
void tl_svg_frame(struct tl_str *out, const char *title, const char *x_label, struct tl_svg_axis *x,
                  struct tl_svg_axis *y, double right);

#endif
