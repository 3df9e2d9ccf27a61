/* PNG writing; see image_png.c about longjmp. */
#include "io/image.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "base/str.h"
#include "io/file.h"
#include "io/utf8.h"

struct writer {
    png_structp png;
    png_infop info;
    struct tl_str bytes;
    png_text *texts; /* owns */
    char **latin1;   /* owns; texts re-coded, or NULL */
    size_t n_texts;
    const struct tl_image *image;
    struct tl_err *err;
};

static void write_failed(png_structp png, png_const_charp message)
{
    struct writer *w = png_get_error_ptr(png);
    tl_err_set(w->err, TL_OUTPUT, "cannot write PNG: %s", message);
    png_longjmp(png, 1);
}

static void no_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void write_bytes(png_structp png, png_bytep data, size_t n)
{
    struct writer *w = png_get_io_ptr(png);
    tl_str_append_n(&w->bytes, data, n);
    if (w->bytes.failed) png_error(png, "out of memory");
}

static void flush_bytes(png_structp png)
{
    (void)png;
}

/* Text as Latin-1, or NULL where it has characters beyond; *out_failed tells lack of memory from that. */
static char *to_latin1(const char *text, bool *out_failed)
{
    size_t n = strlen(text), used = 0;
    char *out = malloc(n + 1);
    *out_failed = !out;
    for (size_t i = 0; out && i < n;) {
        uint32_t code;
        i += tl_utf8_decode(text + i, &code);
        if (code > 0xff) {
            free(out);
            return NULL;
        }
        out[used++] = (char)code;
    }
    if (out) out[used] = 0;
    return out;
}

static bool good_key(const char *key)
{
    size_t n = strlen(key);
    if (n < 1 || n > 79 || key[0] == ' ' || key[n - 1] == ' ' || strstr(key, "  ")) return false;
    for (size_t i = 0; i < n; i++) {
        if (key[i] < 0x20 || key[i] > 0x7e) return false;
    }
    return true;
}

static bool prepare_texts(struct writer *w, const struct tl_png_text *texts, size_t n)
{
    w->n_texts = n;
    if (!n) return true;
    w->texts = calloc(n, sizeof *w->texts);
    w->latin1 = calloc(n, sizeof *w->latin1);
    if (!w->texts || !w->latin1) return tl_err_set(w->err, TL_OUTPUT, "cannot write PNG: out of memory");
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(texts[i].value);
        bool failed;
        if (!good_key(texts[i].key)) {
            return tl_err_set(w->err, TL_FAIL, "\"%.100s\" cannot be the key of a text in a PNG",
                              texts[i].key);
        }
        if (tl_utf8_prefix(texts[i].value, len) != len) {
            return tl_err_set(w->err, TL_FAIL, "the text \"%s\" for a PNG is not UTF-8", texts[i].key);
        }
        w->latin1[i] = to_latin1(texts[i].value, &failed);
        if (failed) return tl_err_set(w->err, TL_OUTPUT, "cannot write PNG: out of memory");
        png_text *t = &w->texts[i];
        t->key = (char *)(uintptr_t)texts[i].key; /* libpng copies it */
        t->text = w->latin1[i] ? w->latin1[i] : (char *)(uintptr_t)texts[i].value;
        t->compression = w->latin1[i] ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
        t->text_length = w->latin1[i] ? strlen(t->text) : 0;
        t->itxt_length = w->latin1[i] ? 0 : len;
    }
    return true;
}

static bool write_all(struct writer *w)
{
    const struct tl_image *image = w->image;
    size_t stride = (size_t)image->width * (size_t)image->channels;
    if (setjmp(png_jmpbuf(w->png))) return false;
    png_set_write_fn(w->png, w, write_bytes, flush_bytes);
    png_set_IHDR(w->png, w->info, (png_uint_32)image->width, (png_uint_32)image->height, 8,
                 image->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (w->n_texts) png_set_text(w->png, w->info, w->texts, (int)w->n_texts);
    png_write_info(w->png, w->info);
    for (int y = 0; y < image->height; y++) png_write_row(w->png, image->px + (size_t)y * stride);
    png_write_end(w->png, w->info);
    return true;
}

bool tl_image_encode_png(const struct tl_image *image, const struct tl_png_text *texts, size_t n_texts,
                         uint8_t **out, size_t *out_n, struct tl_err *err)
{
    if (!image->px || (image->channels != 1 && image->channels != 3)) {
        return tl_err_set(err, TL_FAIL, "a PNG is written with 1 or 3 channels, not %d", image->channels);
    }
    struct writer w = {.image = image, .err = err};
    bool ok = n_texts <= 1000 || tl_err_set(err, TL_FAIL, "more than 1000 texts for a PNG");
    ok = ok && prepare_texts(&w, texts, n_texts);
    if (ok) {
        w.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &w, write_failed, no_warning);
        w.info = w.png ? png_create_info_struct(w.png) : NULL;
        ok = w.info ? write_all(&w) : tl_err_set(err, TL_OUTPUT, "libpng cannot be set up");
    }
    png_destroy_write_struct(&w.png, &w.info);
    for (size_t i = 0; w.latin1 && i < n_texts; i++) free(w.latin1[i]);
    free(w.latin1);
    free(w.texts);
    if (!ok) {
        tl_str_finish(&w.bytes);
        return false;
    }
    *out = (uint8_t *)w.bytes.data;
    *out_n = w.bytes.len;
    return true;
}

bool tl_image_save_png(const char *path, const struct tl_image *image, const struct tl_png_text *texts,
                       size_t n_texts, struct tl_err *err)
{
    uint8_t *data = NULL;
    size_t n = 0;
    bool ok = tl_image_encode_png(image, texts, n_texts, &data, &n, err);
    ok = ok ? tl_file_write(path, data, n, err) : tl_err_add(err, "%s", path);
    free(data);
    return ok;
}
