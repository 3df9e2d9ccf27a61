#include "io/draw.h"

#include <math.h>
#include <string.h>

#include "io/draw_font.h"
#include "io/draw_inner.h"
#include "io/utf8.h"

bool tl_draw_page(int64_t width, int64_t height, struct tl_image *out, struct tl_err *err)
{
    *out = (struct tl_image){0};
    if (width < 1 || height < 1 || width > TL_IMAGE_MAX_PIXELS || height > TL_IMAGE_MAX_PIXELS)
        return tl_err_set(err, TL_BAD_INPUT,
                          "a drawn picture of %lld x %lld is too large; draw fewer or smaller ones",
                          (long long)width, (long long)height);
    if (!tl_image_init(out, (int)width, (int)height, 3, err)) return false;
    memset(out->px, 0xff, (size_t)width * (size_t)height * 3);
    return true;
}

static void set(struct tl_image *image, int x, int y, uint32_t rgb)
{
    uint8_t *p = image->px + 3 * ((size_t)y * (size_t)image->width + (size_t)x);
    p[0] = (uint8_t)(rgb >> 16);
    p[1] = (uint8_t)(rgb >> 8);
    p[2] = (uint8_t)rgb;
}

void tl_draw_blend(struct tl_image *image, int x, int y, uint32_t rgb, double alpha)
{
    if (x < 0 || y < 0 || x >= image->width || y >= image->height || !(alpha > 0)) return;
    uint8_t *p = image->px + 3 * ((size_t)y * (size_t)image->width + (size_t)x);
    for (int c = 0; c < 3; c++) {
        double to = (double)(rgb >> (16 - 8 * c) & 0xff);
        p[c] = (uint8_t)lround(p[c] + (to - p[c]) * (alpha < 1 ? alpha : 1));
    }
}

/* Cuts [at, at + n) to [0, size). */
static void clip(int at, int64_t n, int size, int *out_from, int *out_to)
{
    int64_t end = at + n;
    *out_from = at > 0 ? at : 0;
    *out_to = end < size ? (int)end : size;
}

void tl_draw_fill(struct tl_image *image, int x, int y, int width, int height, uint32_t rgb)
{
    int x0, x1, y0, y1;
    clip(x, width, image->width, &x0, &x1);
    clip(y, height, image->height, &y0, &y1);
    for (int v = y0; v < y1; v++)
        for (int u = x0; u < x1; u++) set(image, u, v, rgb);
}

void tl_draw_picture(struct tl_image *image, int x, int y, const struct tl_image *picture, int scale)
{
    int x0, x1, y0, y1;
    clip(x, (int64_t)picture->width * scale, image->width, &x0, &x1);
    clip(y, (int64_t)picture->height * scale, image->height, &y0, &y1);
    size_t step = (size_t)picture->channels;
    for (int v = y0; v < y1; v++) {
        const uint8_t *row = picture->px + (size_t)((v - y) / scale) * (size_t)picture->width * step;
        for (int u = x0; u < x1; u++) {
            const uint8_t *p = row + (size_t)((u - x) / scale) * step;
            bool grey = step < 3;
            set(image, u, v, (uint32_t)p[0] << 16 | (uint32_t)p[grey ? 0 : 1] << 8 | p[grey ? 0 : 2]);
        }
    }
}

void tl_draw_line(struct tl_image *image, double x0, double y0, double x1, double y1, double width,
                  uint32_t rgb)
{
    double half = width / 2, reach = half + 1, dx = x1 - x0, dy = y1 - y0, len2 = dx * dx + dy * dy;
    if (!isfinite(x0 + y0 + x1 + y1) || !isfinite(len2)) return;
    int from_x = (int)fmax(0, floor(fmin(fmin(x0, x1) - reach, image->width)));
    int to_x = (int)fmin(image->width - 1, ceil(fmax(fmax(x0, x1) + reach, -1)));
    int from_y = (int)fmax(0, floor(fmin(fmin(y0, y1) - reach, image->height)));
    int to_y = (int)fmin(image->height - 1, ceil(fmax(fmax(y0, y1) + reach, -1)));
    for (int y = from_y; y <= to_y; y++)
        for (int x = from_x; x <= to_x; x++) { /* coverage by distance to the segment */
            double t = len2 > 0 ? ((x - x0) * dx + (y - y0) * dy) / len2 : 0;
            t = t < 0 ? 0 : t > 1 ? 1 : t;
            tl_draw_blend(image, x, y, rgb, half + 0.5 - hypot(x - x0 - t * dx, y - y0 - t * dy));
        }
}

/* ---- text ---- */

/* The next character of text[0..n), n > 0: its length, and its code or one that the font lacks. */
static size_t next_char(const char *text, size_t n, uint32_t *out_code)
{
    *out_code = 0xfffd;
    if (tl_utf8_prefix(text, n < 4 ? n : 4) == 0) return 1;
    size_t len = tl_utf8_decode(text, out_code);
    if (*out_code == '\t' || *out_code == '\n' || *out_code == '\r') *out_code = ' ';
    return len;
}

static size_t count_chars(const char *text, size_t n)
{
    size_t chars = 0;
    uint32_t code;
    for (size_t at = 0; at < n; chars++) at += next_char(text + at, n - at, &code);
    return chars;
}

static void draw_glyph(struct tl_image *image, int x, int y, uint32_t code, int scale, uint32_t rgb)
{
    const uint8_t *rows = tl_draw_glyph(code);
    for (int r = 0; r < TL_DRAW_GLYPH_ROWS; r++)
        for (int c = 0; c < TL_DRAW_GLYPH_WIDTH; c++)
            if (rows[r] >> (TL_DRAW_GLYPH_WIDTH - 1 - c) & 1)
                tl_draw_fill(image, x + c * scale, y + r * scale, scale, scale, rgb);
}

/* Returns the x behind the last cell. Characters right of the picture are passed over. */
static int draw_chars(struct tl_image *image, int x, int y, const char *text, size_t n, int scale,
                      uint32_t rgb)
{
    for (size_t at = 0; at < n && x < image->width; x += TL_DRAW_CELL_WIDTH * scale) {
        uint32_t code;
        at += next_char(text + at, n - at, &code);
        draw_glyph(image, x, y, code, scale, rgb);
    }
    return x;
}

void tl_draw_text(struct tl_image *image, int x, int y, const char *text, int scale, uint32_t rgb)
{
    draw_chars(image, x, y, text, strlen(text), scale, rgb);
}

int tl_draw_text_width(const char *text, int scale)
{
    size_t chars = count_chars(text, strlen(text)),
           most = (size_t)(TL_IMAGE_MAX_PIXELS / (TL_DRAW_CELL_WIDTH * scale));
    return (int)(chars < most ? chars : most) * TL_DRAW_CELL_WIDTH *
           scale; /* wider than any picture is enough */
}

/* The bytes of the line that starts at text, of at most `columns` characters; *out_next: where the next
 * begins. */
static size_t break_line(const char *text, size_t n, size_t columns, size_t *out_next)
{
    size_t at = 0, chars = 0, fit = 0, space = 0;
    uint32_t code = 0;
    while (at < n && chars <= columns) { /* one further, so that a space behind a full line is a break */
        size_t from = at;
        at += next_char(text + at, n - at, &code);
        if (code == ' ' && from > 0) space = from;
        if (++chars <= columns) fit = at;
    }
    size_t end = chars <= columns && at == n ? n : space > 0 ? space : fit;
    *out_next = end;
    while (*out_next < n && strchr(" \t\r\n", text[*out_next])) (*out_next)++;
    return end;
}

/* The bytes of the first `chars` characters. */
static size_t first_chars(const char *text, size_t n, size_t chars)
{
    size_t at = 0;
    uint32_t code;
    for (; at < n && chars > 0; chars--) at += next_char(text + at, n - at, &code);
    return at;
}

int tl_draw_wrapped(struct tl_image *image, int x, int y, const char *text, int columns, int most_lines,
                    int scale, uint32_t rgb)
{
    size_t n = strlen(text), next, width = columns > 3 ? (size_t)columns : 3;
    int line = 0;
    for (; n > 0 && line < most_lines; line++, text += next, n -= next) {
        size_t len = break_line(text, n, width, &next);
        bool cut = next < n && line + 1 == most_lines;
        if (cut && count_chars(text, len) + 3 > width) len = first_chars(text, len, width - 3);
        if (!image) continue;
        int end = draw_chars(image, x, y + line * TL_DRAW_CELL_HEIGHT * scale, text, len, scale, rgb);
        if (cut) tl_draw_text(image, end, y + line * TL_DRAW_CELL_HEIGHT * scale, "...", scale, rgb);
    }
    return line;
}
