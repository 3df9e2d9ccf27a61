/* HTML pieces that are appended to a string. Texts are hostile (prompts, file names, options): they go in
 * through tl_html_text alone, which is right between tags and inside quoted attributes. */
#ifndef TL_IO_HTML_H
#define TL_IO_HTML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* Escaped; what is no UTF-8, control characters and those that turn the direction of writing become U+FFFD;
 * tab and line end stay. NULL: nothing. */
void tl_html_text(struct tl_str *out, const char *text);
/* At most `most` characters of it, then an ellipsis. */
void tl_html_text_cut(struct tl_str *out, const char *text, size_t most);

/* Whether the bytes begin as a PNG does, and its size from the header (at most 65535 either way). */
bool tl_html_png_size(const uint8_t *png, size_t n, int *out_width, int *out_height);

/* <img> with the PNG's bytes as a data URI; alt may be NULL. */
void tl_html_png(struct tl_str *out, const uint8_t *png, size_t n, int width, int height, const char *alt);

/* A page that loads nothing: its scripts are those given here, and the content policy lets no other run.
 * `style` and `script` are trusted text without "</". */
void tl_html_begin(struct tl_str *out, const char *title, const char *style, const char *script);
void tl_html_end(struct tl_str *out, const char *script);

#endif
