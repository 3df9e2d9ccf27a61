#include "io/tb_events.h"

#include <string.h>

/* Fields of the messages, with their wire types: 0 varint, 1 eight bytes, 2 counted bytes, 5 four bytes. */
enum {
    EVENT_TIME = 1 << 3 | 1,
    EVENT_STEP = 2 << 3 | 0,
    EVENT_VERSION = 3 << 3 | 2,
    EVENT_SUMMARY = 5 << 3 | 2,
    EVENT_SESSION = 7 << 3 | 2,
    SESSION_STATUS = 1 << 3 | 0,
    SUMMARY_VALUE = 1 << 3 | 2,
    VALUE_TAG = 1 << 3 | 2,
    VALUE_SIMPLE = 2 << 3 | 5,
    VALUE_IMAGE = 4 << 3 | 2,
    IMAGE_HEIGHT = 1 << 3 | 0,
    IMAGE_WIDTH = 2 << 3 | 0,
    IMAGE_COLOURS = 3 << 3 | 0,
    IMAGE_BYTES = 4 << 3 | 2,
};
enum { SESSION_START = 1 };

uint32_t tl_tb_crc32c(const void *bytes, size_t n)
{
    static const uint32_t nibble[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    const uint8_t *p = bytes;
    uint32_t crc = ~0u;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ nibble[crc & 15];
        crc = crc >> 4 ^ nibble[crc & 15];
    }
    return ~crc;
}

uint32_t tl_tb_masked_crc(const void *bytes, size_t n)
{
    uint32_t crc = tl_tb_crc32c(bytes, n);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

/* ---- protobuf's wire format ---- */

static void put_fixed(struct tl_str *out, uint64_t v, int n)
{
    uint8_t b[8];
    for (int i = 0; i < n; i++) b[i] = (uint8_t)(v >> 8 * i);
    tl_str_append_n(out, b, (size_t)n);
}

static void put_varint(struct tl_str *out, uint64_t v)
{
    uint8_t b[10];
    size_t n = 0;
    for (; v >= 0x80; v >>= 7) b[n++] = (uint8_t)(v | 0x80);
    b[n++] = (uint8_t)v;
    tl_str_append_n(out, b, n);
}

static void put_field(struct tl_str *out, int field, uint64_t v)
{
    put_varint(out, (uint64_t)field);
    put_varint(out, v);
}

static void put_bytes(struct tl_str *out, int field, const void *bytes, size_t n)
{
    put_field(out, field, n);
    if (n) tl_str_append_n(out, bytes, n);
}

/* An inner message; it is emptied. */
static void put_message(struct tl_str *out, int field, struct tl_str *message)
{
    put_bytes(out, field, message->data, message->len);
    out->failed = out->failed || message->failed;
    tl_str_finish(message);
}

/* ---- events ---- */

static void event_begin(struct tl_str *event, double time, int64_t step)
{
    uint64_t bits;
    memcpy(&bits, &time, sizeof bits);
    put_varint(event, EVENT_TIME);
    put_fixed(event, bits, 8);
    if (step != 0) put_field(event, EVENT_STEP, (uint64_t)step); /* proto3 leaves zeros out */
}

static void event_end(struct tl_str *out, struct tl_str *event)
{
    uint8_t length[8];
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)((uint64_t)event->len >> 8 * i);
    if (event->failed) {
        out->failed = true;
    } else {
        tl_str_append_n(out, length, sizeof length);
        put_fixed(out, tl_tb_masked_crc(length, sizeof length), 4);
        tl_str_append_n(out, event->data, event->len);
        put_fixed(out, tl_tb_masked_crc(event->data, event->len), 4);
    }
    tl_str_finish(event);
}

void tl_tb_version(struct tl_str *out, double time)
{
    static const char version[] = "brain.Event:2";
    struct tl_str event = {0};
    event_begin(&event, time, 0);
    put_bytes(&event, EVENT_VERSION, version, sizeof version - 1);
    event_end(out, &event);
}

void tl_tb_restart(struct tl_str *out, double time, int64_t step)
{
    struct tl_str event = {0}, session = {0};
    event_begin(&event, time, step);
    put_field(&session, SESSION_STATUS, SESSION_START);
    put_message(&event, EVENT_SESSION, &session);
    event_end(out, &event);
}

void tl_tb_scalars(struct tl_str *out, double time, int64_t step, const struct tl_tb_scalar *scalars,
                   size_t n)
{
    struct tl_str event = {0}, summary = {0};
    event_begin(&event, time, step);
    for (size_t i = 0; i < n; i++) {
        struct tl_str value = {0};
        uint32_t bits;
        memcpy(&bits, &scalars[i].value, sizeof bits);
        put_bytes(&value, VALUE_TAG, scalars[i].tag, strlen(scalars[i].tag));
        put_varint(&value, VALUE_SIMPLE);
        put_fixed(&value, bits, 4);
        put_message(&summary, SUMMARY_VALUE, &value);
    }
    put_message(&event, EVENT_SUMMARY, &summary);
    event_end(out, &event);
}

void tl_tb_image(struct tl_str *out, double time, int64_t step, const struct tl_tb_image *image)
{
    struct tl_str event = {0}, summary = {0}, value = {0}, inner = {0};
    put_field(&inner, IMAGE_HEIGHT, (uint64_t)image->height);
    put_field(&inner, IMAGE_WIDTH, (uint64_t)image->width);
    put_field(&inner, IMAGE_COLOURS, (uint64_t)image->channels);
    put_bytes(&inner, IMAGE_BYTES, image->png, image->n_bytes);
    put_bytes(&value, VALUE_TAG, image->tag, strlen(image->tag));
    put_message(&value, VALUE_IMAGE, &inner);
    put_message(&summary, SUMMARY_VALUE, &value);
    event_begin(&event, time, step);
    put_message(&event, EVENT_SUMMARY, &summary);
    event_end(out, &event);
}
