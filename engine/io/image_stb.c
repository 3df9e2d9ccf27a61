/* BMP, TGA and GIF's first frame through stb_image, which is old in Debian: no other format
 * reaches it, sizes are checked first, its memory is capped and zeroed, and reading past the end is an error.
 */
#include "io/image_codec.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_BLOCK = 1 << 29 };

static void *take(size_t n)
{
    return n <= MOST_BLOCK ? calloc(1, n ? n : 1) : NULL;
}

static void *retake(void *p, size_t old, size_t n)
{
    void *more = take(n);
    if (more && p) {
        memcpy(more, p, old < n ? old : n);
        free(p);
    }
    return more;
}

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_BMP
#define STBI_ONLY_TGA
#define STBI_ONLY_GIF
#define STBI_NO_STDIO
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STBI_NO_FAILURE_STRINGS
#define STBI_MAX_DIMENSIONS         1000000
#define STBI_MALLOC(n)              take(n)
#define STBI_REALLOC_SIZED(p, o, n) retake(p, o, n)
#define STBI_FREE(p)                free(p)
#pragma GCC diagnostic ignored "-Wunused-function" /* told at the end of the file: no pop */
#include <stb/stb_image.h>

/* stb_image fills its buffer of 128 bytes, or asks for exactly what it needs; getting nothing for the first,
 * or less for the second, means that pixels are missing. It would take zeros for them. */
enum { BUFFER = 128 };

struct source {
    const uint8_t *data;
    size_t n, at;
    bool missing;
};

static int source_read(void *user, char *out, int size)
{
    struct source *s = user;
    size_t wanted = size > 0 ? (size_t)size : 0, n = s->n - s->at < wanted ? s->n - s->at : wanted;
    if (n < wanted && (n == 0 || wanted != BUFFER)) s->missing = true;
    memcpy(out, s->data + s->at, n);
    s->at += n;
    return (int)n;
}

static void source_skip(void *user, int n)
{
    struct source *s = user;
    if (n < 0) {
        size_t back = (size_t)(-(int64_t)n);
        s->at -= back < s->at ? back : s->at;
    } else {
        s->at += (size_t)n < s->n - s->at ? (size_t)n : s->n - s->at;
    }
}

static int source_eof(void *user)
{
    const struct source *s = user;
    return s->at == s->n;
}

/* Grey, grey and alpha, RGB, RGBA; alpha is dropped. */
static void to_rgb(const uint8_t *in, size_t n, size_t channels, uint8_t *out)
{
    for (size_t i = 0; i < n; i++, in += channels, out += 3) {
        out[0] = in[0];
        out[1] = in[channels < 3 ? 0 : 1];
        out[2] = in[channels < 3 ? 0 : 2];
    }
}

/* Pixels that a byte of the file can stand for: BMP has 8 in one, TGA's runs 128 in two; 0: no limit, as in
 * GIF. stb_image makes all that a header asks for before it looks for them. */
static uint64_t most_of_a_byte(const uint8_t *data, size_t n)
{
    if (n >= 2 && memcmp(data, "BM", 2) == 0) return 8;
    return n >= 4 && memcmp(data, "GIF8", 4) == 0 ? 0 : 64;
}

bool tl_image_stb_decode(const uint8_t *data, size_t n, const char *what, struct tl_image *out,
                         struct tl_err *err)
{
    static const stbi_io_callbacks calls = {source_read, source_skip, source_eof};
    struct source info = {.data = data, .n = n}, source = info;
    int width, height, channels;
    if (!stbi_info_from_callbacks(&calls, &info, &width, &height, &channels) || width < 1 || height < 1) {
        return tl_err_set(err, TL_BAD_INPUT, "%s: bad BMP, TGA or GIF: its header cannot be read", what);
    }
    uint64_t most = most_of_a_byte(data, n) * n;
    if (most && (uint64_t)width * (uint64_t)height > most) {
        return tl_err_set(err, TL_BAD_INPUT, "%s: bad BMP or TGA: cut short, %zu bytes cannot hold %d x %d",
                          what, n, width, height);
    }
    if (!tl_image_begin(out, (uint64_t)width, (uint64_t)height, what, err)) return false;
    int got_width = 0, got_height = 0;
    /* 0: its own conversions between channel counts are not used. */
    uint8_t *px = stbi_load_from_callbacks(&calls, &source, &got_width, &got_height, &channels, 0);
    bool ok =
        px && !source.missing && got_width == width && got_height == height && channels >= 1 && channels <= 4;
    if (ok) {
        to_rgb(px, (size_t)width * (size_t)height, (size_t)channels, out->px);
    } else {
        tl_image_finish(out);
        tl_err_set(err, TL_BAD_INPUT, "%s: bad BMP, TGA or GIF: %s", what,
                   source.missing ? "cut short" : "damaged or of a kind that is not supported");
    }
    stbi_image_free(px);
    return ok;
}
