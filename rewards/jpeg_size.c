#include "rewards/jpeg_size.h"

#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>

/* A failing call ends by longjmp: everything lives in this struct. */
struct counter {
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_destination_mgr to;
    jmp_buf leave;
    JOCTET room[4096]; /* overwritten again and again */
    size_t full;       /* bytes of the times it was full */
    struct tl_err *err;
};

static void failed(j_common_ptr info)
{
    struct counter *c = info->client_data;
    char text[JMSG_LENGTH_MAX];
    info->err->format_message(info, text);
    tl_err_set(c->err, TL_BAD_INPUT, "cannot be made a JPEG: %s", text);
    longjmp(c->leave, 1);
}

static void message(j_common_ptr info, int level)
{
    (void)info;
    (void)level;
}

static void begin(j_compress_ptr info)
{
    struct counter *c = info->client_data;
    c->to.next_output_byte = c->room;
    c->to.free_in_buffer = sizeof c->room;
}

static boolean empty(j_compress_ptr info)
{
    struct counter *c = info->client_data;
    c->full += sizeof c->room;
    begin(info);
    return TRUE;
}

static void end(j_compress_ptr info)
{
    (void)info;
}

static bool encode(struct counter *c, const uint8_t *rgb, int width, int height, int quality)
{
    struct jpeg_compress_struct *info = &c->info;
    if (setjmp(c->leave)) return false;
    jpeg_create_compress(info);
    info->client_data = c;
    info->dest = &c->to;
    info->image_width = (JDIMENSION)width;
    info->image_height = (JDIMENSION)height;
    info->input_components = 3;
    info->in_color_space = JCS_RGB;
    jpeg_set_defaults(info);
    jpeg_set_quality(info, quality, TRUE);
    jpeg_start_compress(info, TRUE);
    while (info->next_scanline < info->image_height) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)(rgb + (size_t)info->next_scanline * (size_t)width * 3);
        jpeg_write_scanlines(info, &row, 1);
    }
    jpeg_finish_compress(info);
    return true;
}

bool tl_jpeg_size(const uint8_t *rgb, int width, int height, int quality, size_t *out, struct tl_err *err)
{
    struct counter c = {.err = err};
    c.info.err = jpeg_std_error(&c.errors);
    c.info.client_data = &c; /* create keeps it, so that it may fail */
    c.errors.error_exit = failed;
    c.errors.emit_message = message;
    c.to = (struct jpeg_destination_mgr){
        .init_destination = begin, .empty_output_buffer = empty, .term_destination = end};
    bool ok = encode(&c, rgb, width, height, quality);
    *out = c.full + sizeof c.room - c.to.free_in_buffer;
    jpeg_destroy_compress(&c.info);
    return ok;
}
