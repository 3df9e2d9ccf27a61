/* The bitmap font of draw.h, drawn for this project. */
#ifndef TL_IO_DRAW_FONT_H
#define TL_IO_DRAW_FONT_H

#include <stdint.h>

enum { TL_DRAW_GLYPH_WIDTH = 5, TL_DRAW_GLYPH_ROWS = 9 };

/* Rows from the top; bit 4 is the leftmost column. The baseline lies under row 6. Anything but printable
 * ASCII gives a box. */
const uint8_t *tl_draw_glyph(uint32_t code);

#endif
