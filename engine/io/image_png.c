/* PNG through libpng's row interface. libpng leaves a failing call by longjmp: everything that must be freed
 * lives in a struct of the caller of setjmp's function. */
#include "io/image_codec.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "base/str.h"
#include "io/file.h"
#include "io/utf8.h"

enum { MOST_SIDE = 1000000, MOST_FILE = 256 << 20, MOST_UNPACKED = 8 << 20, MOST_CHUNKS = 128 };

struct reader {
    png_structp png;
    png_infop info, end;
    const uint8_t *data;
    size_t n, at;
    const char *what;
    struct tl_image *out;
    struct tl_err *err;
};

static void read_failed(png_structp png, png_const_charp message)
{
    struct reader *r = png_get_error_ptr(png);
    tl_err_set(r->err, TL_BAD_INPUT, "%s: bad PNG: %s", r->what, message);
    png_longjmp(png, 1);
}

static void no_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void read_bytes(png_structp png, png_bytep out, size_t n)
{
    struct reader *r = png_get_io_ptr(png);
    if (n > r->n - r->at) png_error(png, "the file is cut short");
    memcpy(out, r->data + r->at, n);
    r->at += n;
}

static bool read_begin(struct reader *r)
{
    r->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, r, read_failed, no_warning);
    if (!r->png) return tl_err_set(r->err, TL_BAD_INPUT, "%s: libpng cannot be set up", r->what);
    r->info = png_create_info_struct(r->png);
    r->end = png_create_info_struct(r->png);
    if (!r->info || !r->end) return tl_err_set(r->err, TL_BAD_INPUT, "%s: out of memory", r->what);
    png_set_user_limits(r->png, MOST_SIDE, MOST_SIDE);
    png_set_chunk_malloc_max(r->png, r->n > MOST_UNPACKED ? r->n : MOST_UNPACKED);
    png_set_chunk_cache_max(r->png, MOST_CHUNKS);
    png_set_read_fn(r->png, r, read_bytes);
    return true;
}

static bool read_rows(struct reader *r)
{
    if (setjmp(png_jmpbuf(r->png))) return false;
    png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1); /* texts, profiles */
    png_read_info(r->png, r->info);
    png_uint_32 width = png_get_image_width(r->png, r->info), height = png_get_image_height(r->png, r->info);
    if (!tl_image_begin(r->out, width, height, r->what, r->err)) return false;
    int type = png_get_color_type(r->png, r->info);
    png_set_strip_16(r->png);
    png_set_strip_alpha(r->png);
    if (type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(r->png);
    if (!(type & PNG_COLOR_MASK_COLOR)) {
        png_set_expand_gray_1_2_4_to_8(r->png);
        png_set_gray_to_rgb(r->png);
    }
    int passes = png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    size_t stride = 3 * (size_t)width;
    if (png_get_rowbytes(r->png, r->info) != stride) png_error(r->png, "unexpected pixel layout");
    for (int pass = 0; pass < passes; pass++) {
        for (png_uint_32 y = 0; y < height; y++) png_read_row(r->png, r->out->px + y * stride, NULL);
    }
    png_read_end(r->png, NULL);
    return true;
}

bool tl_image_png_decode(const uint8_t *data, size_t n, const char *what, struct tl_image *out,
                         struct tl_err *err)
{
    struct reader r = {.data = data, .n = n, .what = what, .out = out, .err = err};
    bool ok = read_begin(&r) && read_rows(&r);
    png_destroy_read_struct(&r.png, &r.info, &r.end);
    if (!ok) tl_image_finish(out);
    return ok;
}

/* ---- texts ---- */

/* libpng takes memory for a chunk as its header says, up to 2 GB, before it reads it: so every chunk must be
 * there up to the last, IEND. */
static bool has_chunks(struct reader *r)
{
    for (size_t at = 8; at < r->n && r->n - at >= 12;) {
        png_uint_32 n = png_get_uint_32(r->data + at);
        if (n > r->n - at - 12) break;
        if (memcmp(r->data + at + 4, "IEND", 4) == 0) return true;
        at += 12 + (size_t)n;
    }
    return tl_err_set(r->err, TL_BAD_INPUT, "%s: bad PNG: the file is cut short", r->what);
}

static bool read_infos(struct reader *r)
{
    if (setjmp(png_jmpbuf(r->png))) return false;
    png_read_info(r->png, r->info);
    png_read_update_info(r->png, r->info); /* makes it ready to pass over the pixels */
    png_read_end(r->png, r->end);
    return true;
}

/* Latin-1 to UTF-8. */
static char *from_latin1(struct tl_arena *arena, const char *text)
{
    size_t n = strlen(text), used = 0;
    char *out = tl_arena_alloc(arena, 2 * n + 1, 1);
    for (size_t i = 0; out && i < n; i++) used += tl_utf8_encode((unsigned char)text[i], out + used);
    return out;
}

static bool collect(struct reader *r, png_infop info, struct tl_arena *arena, struct tl_png_text *out)
{
    png_textp texts = NULL;
    int n = 0;
    png_get_text(r->png, info, &texts, &n);
    for (int i = 0; i < n; i++) {
        const char *text = texts[i].text ? texts[i].text : "";
        bool utf8 = texts[i].compression >= PNG_ITXT_COMPRESSION_NONE;
        if (utf8 && tl_utf8_prefix(text, strlen(text)) != strlen(text)) utf8 = false; /* a careless writer */
        out[i].key = from_latin1(arena, texts[i].key);
        out[i].value = utf8 ? tl_arena_strdup(arena, text) : from_latin1(arena, text);
        if (!out[i].key || !out[i].value) return false;
    }
    return true;
}

bool tl_image_png_texts(const char *path, struct tl_arena *arena, struct tl_png_text **out, size_t *out_n,
                        struct tl_err *err)
{
    size_t n;
    *out_n = 0;
    *out = NULL;
    uint8_t *data = tl_file_read(path, MOST_FILE, &n, err);
    if (!data) return false;
    struct reader r = {.data = data, .n = n, .what = path, .err = err};
    bool ok = has_chunks(&r) && read_begin(&r) && read_infos(&r);
    if (ok) {
        int before = 0, after = 0;
        png_get_text(r.png, r.info, NULL, &before);
        png_get_text(r.png, r.end, NULL, &after);
        size_t count = (size_t)before + (size_t)after;
        struct tl_png_text *texts = tl_arena_alloc(arena, count ? count : 1, sizeof *texts);
        ok = texts && collect(&r, r.info, arena, texts) && collect(&r, r.end, arena, texts + before);
        if (ok) {
            *out = texts;
            *out_n = count;
        } else {
            tl_err_set(err, TL_BAD_INPUT, "%s: out of memory", path);
        }
    }
    png_destroy_read_struct(&r.png, &r.info, &r.end);
    free(data);
    return ok;
}
