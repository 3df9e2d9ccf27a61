/* Width and height as they stand in headers, without any library. */
#include "io/decode_inner.h"

#include <string.h>
#include <strings.h>

#include "io/file.h"

static uint32_t le16(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8;
}

static uint32_t le24(const uint8_t *p)
{
    return le16(p) | (uint32_t)p[2] << 16;
}

static uint32_t le32(const uint8_t *p)
{
    return le16(p) | le16(p + 2) << 16;
}

static uint32_t be16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t be32(const uint8_t *p)
{
    return be16(p) << 16 | be16(p + 2);
}

struct size {
    uint32_t width, height;
};

static bool png_size(const uint8_t *p, size_t n, struct size *out)
{
    if (n < 33 || memcmp(p, "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16) != 0) return false;
    *out = (struct size){be32(p + 16), be32(p + 20)};
    return true;
}

/* Walks the segments up to the frame header (SOF0 to SOF15 without DHT, JPG and DAC). */
static bool jpeg_size(const uint8_t *p, size_t n, struct size *out)
{
    if (n < 4 || memcmp(p, "\xff\xd8\xff", 3) != 0) return false;
    for (size_t at = 2; n - at >= 9;) {
        if (p[at] != 0xff) return false;
        unsigned marker = p[at + 1];
        if (marker == 0xff) {
            at++; /* fill */
            continue;
        }
        if (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc) {
            *out = (struct size){be16(p + at + 7), be16(p + at + 5)};
            return true;
        }
        size_t length = be16(p + at + 2);
        if (marker == 0 || marker == 0xda || (marker >= 0xd0 && marker <= 0xd9) || length < 2 ||
            length + 2 > n - at)
            return false;
        at += 2 + length;
    }
    return false;
}

static bool webp_size(const uint8_t *p, size_t n, struct size *out)
{
    if (n < 30 || memcmp(p, "RIFF", 4) != 0 || memcmp(p + 8, "WEBP", 4) != 0) return false;
    if (memcmp(p + 12, "VP8 ", 4) == 0 && memcmp(p + 23, "\x9d\x01\x2a", 3) == 0) {
        *out = (struct size){le16(p + 26) & 0x3fff, le16(p + 28) & 0x3fff};
    } else if (memcmp(p + 12, "VP8L", 4) == 0 && p[20] == 0x2f) {
        uint32_t bits = le32(p + 21);
        *out = (struct size){(bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1};
    } else if (memcmp(p + 12, "VP8X", 4) == 0 && !(p[20] & 2)) { /* animations are the decoder's to refuse */
        *out = (struct size){le24(p + 24) + 1, le24(p + 27) + 1};
    } else {
        return false;
    }
    return true;
}

static bool gif_size(const uint8_t *p, size_t n, struct size *out)
{
    if (n < 13 || (memcmp(p, "GIF87a", 6) != 0 && memcmp(p, "GIF89a", 6) != 0)) return false;
    *out = (struct size){le16(p + 6), le16(p + 8)};
    return true;
}

static bool bmp_size(const uint8_t *p, size_t n, struct size *out)
{
    if (n < 26 || memcmp(p, "BM", 2) != 0) return false;
    uint32_t header = le32(p + 14);
    if (header == 12) {
        *out = (struct size){le16(p + 18), le16(p + 20)};
        return true;
    }
    uint32_t height = le32(p + 22); /* negative: rows from the top */
    *out = (struct size){le32(p + 18), height > INT32_MAX ? 0u - height : height};
    return header >= 40;
}

static bool tga_size(const uint8_t *p, size_t n, const char *path, struct size *out)
{
    if (n < 18 || strcasecmp(tl_path_extension(path), "tga") != 0) return false;
    *out = (struct size){le16(p + 12), le16(p + 14)};
    return true;
}

bool decode_size(const uint8_t *data, size_t n, const char *path, uint32_t *out_width, uint32_t *out_height)
{
    struct size size = {0};
    bool is_known = png_size(data, n, &size) || jpeg_size(data, n, &size) || webp_size(data, n, &size) ||
                    gif_size(data, n, &size) || bmp_size(data, n, &size);
    /* TGA has no magic: only what nothing else claims. PNM is left to its decoder, which is quick. */
    bool is_claimed = n >= 3 && (memcmp(data, "\x89PN", 3) == 0 || memcmp(data, "\xff\xd8\xff", 3) == 0 ||
                                 memcmp(data, "RIF", 3) == 0 || memcmp(data, "GIF", 3) == 0 ||
                                 memcmp(data, "BM", 2) == 0 || data[0] == 'P');
    if (!is_known && !is_claimed) is_known = tga_size(data, n, path, &size);
    *out_width = size.width;
    *out_height = size.height;
    return is_known && size.width > 0 && size.height > 0 && size.width <= INT32_MAX &&
           size.height <= INT32_MAX;
}
