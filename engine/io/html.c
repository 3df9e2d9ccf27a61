#include "io/html.h"

#include <string.h>

#include "base/sha256.h"
#include "io/base64.h"
#include "io/utf8.h"

static const char REPLACEMENT[] = "\xef\xbf\xbd";

/* Marks that order text from right to left beyond their own run, and invisible separators of lines. */
static bool is_unwanted(uint32_t c)
{
    return (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0) || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff || c == 0xfffe ||
           c == 0xffff;
}

static void append_char(struct tl_str *out, const char *p, size_t n, uint32_t c)
{
    switch (c) {
    case '&':
        tl_str_append(out, "&amp;");
        return;
    case '<':
        tl_str_append(out, "&lt;");
        return;
    case '>':
        tl_str_append(out, "&gt;");
        return;
    case '"':
        tl_str_append(out, "&quot;");
        return;
    case '\'':
        tl_str_append(out, "&#39;");
        return;
    default:
        break;
    }
    if (is_unwanted(c))
        tl_str_append(out, REPLACEMENT);
    else
        tl_str_append_n(out, p, n);
}

void tl_html_text_cut(struct tl_str *out, const char *text, size_t most)
{
    size_t n = text ? strlen(text) : 0, shown = 0;
    while (n > 0) {
        size_t good = tl_utf8_prefix(text, n);
        for (size_t i = 0; i < good && shown < most; shown++) {
            uint32_t c;
            size_t len = tl_utf8_decode(text + i, &c);
            append_char(out, text + i, len, c);
            i += len;
            if (shown + 1 == most && (i < good || good < n)) {
                tl_str_append(out, "\xe2\x80\xa6");
                return;
            }
        }
        text += good;
        n -= good;
        if (n == 0) return;
        tl_str_append(out, REPLACEMENT);
        text++;
        n--;
        if (++shown >= most) return;
    }
}

void tl_html_text(struct tl_str *out, const char *text)
{
    tl_html_text_cut(out, text, (size_t)-1);
}

bool tl_html_png_size(const uint8_t *png, size_t n, int *out_width, int *out_height)
{
    static const uint8_t begin[16] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n',
                                      0,    0,   0,   13,  'I',  'H',  'D',  'R'};
    if (n < 33 || memcmp(png, begin, sizeof begin) != 0) return false;
    uint32_t size[2];
    for (int i = 0; i < 2; i++) {
        const uint8_t *p = png + 16 + 4 * i;
        size[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
        if (size[i] == 0 || size[i] > 65535) return false;
    }
    *out_width = (int)size[0];
    *out_height = (int)size[1];
    return true;
}

void tl_html_png(struct tl_str *out, const uint8_t *png, size_t n, int width, int height, const char *alt)
{
    tl_str_printf(out, "<img width=\"%d\" height=\"%d\" alt=\"", width, height);
    tl_html_text_cut(out, alt, 300);
    tl_str_append(out, "\" src=\"data:image/png;base64,");
    tl_base64_append(out, png, n);
    tl_str_append(out, "\">");
}

static uint8_t nibble(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void append_hash(struct tl_str *out, const char *script)
{
    struct tl_sha256 hash;
    char hex[65];
    uint8_t digest[32];
    tl_sha256_init(&hash);
    tl_sha256_add(&hash, script, strlen(script));
    tl_sha256_hex(&hash, hex);
    for (int i = 0; i < 32; i++) digest[i] = (uint8_t)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
    tl_str_append(out, "'sha256-");
    tl_base64_append(out, digest, sizeof digest);
    tl_str_append(out, "'");
}

void tl_html_begin(struct tl_str *out, const char *title, const char *style, const char *script)
{
    tl_str_append(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                       "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                       "img-src data:; style-src 'unsafe-inline'; script-src ");
    append_hash(out, script);
    tl_str_append(out, "\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                       "<meta name=\"color-scheme\" content=\"light dark\">\n<title>");
    tl_html_text(out, title);
    tl_str_printf(out, "</title>\n<style>\n%s</style>\n</head>\n<body>\n", style);
}

void tl_html_end(struct tl_str *out, const char *script)
{
    tl_str_printf(out, "<script>%s</script>\n</body>\n</html>\n", script);
}
