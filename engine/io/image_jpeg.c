/* JPEG through libjpeg, with the decoder's defaults, which Pillow uses too. A failing call ends by longjmp:
 * what must be freed lives in the caller's struct. */
#include "io/image_codec.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>
#include <jerror.h>

enum { MOST_MEMORY = 1 << 29, MOST_SCANS = 500 };

struct reader {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf leave;
    uint8_t *cmyk; /* owns; one row of a CMYK picture */
    const char *what;
    struct tl_image *out;
    struct tl_err *err;
};

static void failed(j_common_ptr info)
{
    struct reader *r = info->client_data;
    char text[JMSG_LENGTH_MAX];
    info->err->format_message(info, text);
    tl_err_set(r->err, TL_BAD_INPUT, "%s: bad JPEG: %s", r->what, text);
    longjmp(r->leave, 1);
}

/* A file that ends early would come out with a grey rest; other warnings are let pass, as Pillow does. */
static void message(j_common_ptr info, int level)
{
    if (level < 0 && info->err->msg_code == JWRN_JPEG_EOF) failed(info);
}

/* Progressive files may hold any number of scans over the same pixels. */
static void progress(j_common_ptr info)
{
    struct reader *r = info->client_data;
    if (r->info.input_scan_number <= MOST_SCANS) return;
    tl_err_set(r->err, TL_BAD_INPUT, "%s: bad JPEG: more than %d scans", r->what, MOST_SCANS);
    longjmp(r->leave, 1);
}

/* Ink left over by black, as Pillow's convert does: 255 - k, less its share of c. */
static uint8_t without(uint8_t c, uint8_t k)
{
    unsigned white = 255u - k, share = c * white + 128;
    share = ((share >> 8) + share) >> 8;
    return (uint8_t)(share > white ? 0 : white - share);
}

static void cmyk_row(const uint8_t *in, JDIMENSION width, bool inverted, uint8_t *out)
{
    uint8_t flip = inverted ? 0xff : 0;
    for (size_t x = 0; x < width; x++, in += 4, out += 3) {
        uint8_t k = in[3] ^ flip;
        for (int c = 0; c < 3; c++) out[c] = without(in[c] ^ flip, k);
    }
}

static bool read_rows(struct reader *r)
{
    struct jpeg_decompress_struct *info = &r->info;
    bool ink = info->jpeg_color_space == JCS_CMYK || info->jpeg_color_space == JCS_YCCK;
    if (!tl_image_begin(r->out, info->image_width, info->image_height, r->what, r->err)) return false;
    info->out_color_space = ink ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(info);
    if (info->output_width != (JDIMENSION)r->out->width || info->output_components != (ink ? 4 : 3)) {
        return tl_err_set(r->err, TL_BAD_INPUT, "%s: bad JPEG: unexpected pixel layout", r->what);
    }
    if (ink && !(r->cmyk = malloc(4 * (size_t)info->output_width))) {
        return tl_err_set(r->err, TL_BAD_INPUT, "%s: out of memory", r->what);
    }
    while (info->output_scanline < info->output_height) {
        uint8_t *row = r->out->px + 3 * (size_t)info->output_scanline * info->output_width;
        JSAMPROW into = ink ? r->cmyk : row;
        if (jpeg_read_scanlines(info, &into, 1) == 1 && ink) {
            cmyk_row(into, info->output_width, info->saw_Adobe_marker, row);
        }
    }
    jpeg_finish_decompress(info);
    return true;
}

static bool read_all(struct reader *r, const uint8_t *data, size_t n)
{
    if (setjmp(r->leave)) return false;
    jpeg_create_decompress(&r->info);
    r->info.client_data = r;
    r->info.mem->max_memory_to_use = MOST_MEMORY;
    r->progress.progress_monitor = progress;
    r->info.progress = &r->progress;
    jpeg_mem_src(&r->info, data, n);
    jpeg_read_header(&r->info, TRUE);
    return read_rows(r);
}

bool tl_image_jpeg_decode(const uint8_t *data, size_t n, const char *what, struct tl_image *out,
                          struct tl_err *err)
{
    struct reader r = {.what = what, .out = out, .err = err};
    r.info.err = jpeg_std_error(&r.errors);
    r.info.client_data = &r; /* create keeps it, so that it may fail */
    r.errors.error_exit = failed;
    r.errors.emit_message = message;
    bool ok = read_all(&r, data, n);
    jpeg_destroy_decompress(&r.info);
    free(r.cmyk);
    if (!ok) tl_image_finish(out);
    return ok;
}
