#include "io/zip_map.h"

#include <string.h>

/* Records of PKWARE's APPNOTE, all fields little-endian. */
enum {
    LOCAL_SIZE = 30,
    CENTRAL_SIZE = 46,
    END_SIZE = 22,
    LOCATOR_SIZE = 20,
    END64_SIZE = 56,
    MOST_COMMENT = 65535,
    LOCAL = 0x04034b50,
    CENTRAL = 0x02014b50,
    END = 0x06054b50,
    LOCATOR = 0x07064b50,
    END64 = 0x06064b50,
    ENCRYPTED = 1,
};

static uint64_t number(const uint8_t *p, int bytes)
{
    uint64_t v = 0;
    while (bytes--) v = v << 8 | p[bytes];
    return v;
}

/* Offset of the end record: at the end, or in front of a comment that fills the rest exactly. */
static bool find_end(const uint8_t *data, uint64_t n, uint64_t *out)
{
    for (uint64_t comment = 0; comment <= MOST_COMMENT && END_SIZE + comment <= n; comment++) {
        const uint8_t *p = data + n - END_SIZE - comment;
        if (number(p, 4) != END || number(p + 20, 2) != comment) continue;
        *out = (uint64_t)(p - data);
        return true;
    }
    return false;
}

/* Zip64: 16- and 32-bit fields that are full are in a second record, which a locator names. */
static bool read_end64(struct tl_zip_walk *w, uint64_t end, uint64_t *size)
{
    if (end < LOCATOR_SIZE || number(w->data + end - LOCATOR_SIZE, 4) != LOCATOR) return true;
    uint64_t at = number(w->data + end - LOCATOR_SIZE + 8, 8);
    if (w->n < END64_SIZE || at > w->n - END64_SIZE || number(w->data + at, 4) != END64) return false;
    w->entries = number(w->data + at + 32, 8);
    *size = number(w->data + at + 40, 8);
    w->begin = number(w->data + at + 48, 8);
    return true;
}

bool tl_zip_walk_begin(struct tl_zip_walk *w, const uint8_t *data, uint64_t n)
{
    *w = (struct tl_zip_walk){.data = data, .n = n};
    uint64_t end, size;
    if (!find_end(data, n, &end)) return false;
    w->entries = number(data + end + 10, 2);
    size = number(data + end + 12, 4);
    w->begin = number(data + end + 16, 4);
    if (!read_end64(w, end, &size)) return false;
    if (w->begin > end || size > end - w->begin) return false;
    w->at = w->begin;
    w->end = w->begin + size;
    return true;
}

/* The zip64 extra field holds, in this order, those of the three that are full in the record. */
static bool read_extra64(const uint8_t *p, size_t n, uint64_t *size, uint64_t *packed, uint64_t *offset)
{
    uint64_t *fields[3] = {size, packed, offset};
    bool wanted[3] = {*size == UINT32_MAX, *packed == UINT32_MAX, *offset == UINT32_MAX};
    if (!wanted[0] && !wanted[1] && !wanted[2]) return true;
    for (size_t at = 0; n - at >= 4;) {
        size_t len = (size_t)number(p + at + 2, 2), used = 0;
        if (len > n - at - 4) return false;
        if (number(p + at, 2) == 1) {
            for (int i = 0; i < 3; i++) {
                if (!wanted[i]) continue;
                if (len - used < 8) return false;
                *fields[i] = number(p + at + 4 + used, 8);
                used += 8;
            }
            return true;
        }
        at += 4 + len;
    }
    return false;
}

/* The local header must tell the same story; sizes stand in the directory alone where bit 3 is set. */
static uint64_t content_offset(const struct tl_zip_walk *w, const struct tl_zip_place *e, uint64_t header,
                               unsigned flags)
{
    if (flags & ENCRYPTED || header > w->begin || w->begin - header < LOCAL_SIZE) return UINT64_MAX;
    const uint8_t *p = w->data + header;
    uint64_t name_len = number(p + 26, 2), extra = number(p + 28, 2);
    uint64_t at = header + LOCAL_SIZE + name_len + extra;
    if (number(p, 4) != LOCAL || number(p + 6, 2) != flags || number(p + 8, 2) != e->method ||
        name_len != e->name_len || at > w->begin || e->packed > w->begin - at ||
        memcmp(p + LOCAL_SIZE, e->name, e->name_len) != 0)
        return UINT64_MAX;
    return at;
}

bool tl_zip_walk_next(struct tl_zip_walk *w, struct tl_zip_place *out)
{
    const uint8_t *p = w->data + w->at;
    if (w->end - w->at < CENTRAL_SIZE || number(p, 4) != CENTRAL) return false;
    uint64_t name_len = number(p + 28, 2), extra = number(p + 30, 2), comment = number(p + 32, 2);
    if (name_len + extra + comment > w->end - w->at - CENTRAL_SIZE) return false;
    unsigned flags = (unsigned)number(p + 8, 2);
    uint64_t header = number(p + 42, 4);
    *out = (struct tl_zip_place){.name = (const char *)p + CENTRAL_SIZE,
                                 .name_len = (size_t)name_len,
                                 .method = (unsigned)number(p + 10, 2),
                                 .packed = number(p + 20, 4),
                                 .size = number(p + 24, 4)};
    if (!read_extra64(p + CENTRAL_SIZE + name_len, (size_t)extra, &out->size, &out->packed, &header))
        return false;
    out->offset = content_offset(w, out, header, flags);
    w->at += CENTRAL_SIZE + name_len + extra + comment;
    return true;
}
