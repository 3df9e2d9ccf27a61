/* What the files of draw.h share. Not for others. */
#ifndef TL_IO_DRAW_INNER_H
#define TL_IO_DRAW_INNER_H

#include "io/draw.h"

/* An RGB picture filled with white; sizes as they come out of layouts, checked here. */
bool tl_draw_page(int64_t width, int64_t height, struct tl_image *out, struct tl_err *err);

/* Mixes a colour in with weight alpha, 0 to 1. */
void tl_draw_blend(struct tl_image *image, int x, int y, uint32_t rgb, double alpha);

#endif
