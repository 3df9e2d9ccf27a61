#include <string.h>

#include "fuzz/fuzz.h"

/* Remainder of the bytes by a polynomial of `bits` bits: most significant bit first (FLAC, Ogg), or least
 * (zip, PNG). Plain and slow: files are small. */
static uint32_t crc_left(uint32_t crc, uint32_t poly, int bits, const uint8_t *data, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        crc ^= (uint32_t)data[i] << (bits - 8);
        for (int k = 0; k < 8; k++) crc = crc >> (bits - 1) & 1 ? crc << 1 ^ poly : crc << 1;
    }
    return bits == 32 ? crc : crc & ((1u << bits) - 1);
}

uint32_t fuzz_crc32(const uint8_t *data, size_t n)
{
    static uint32_t table[256];
    for (uint32_t i = 0; !table[255] && i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xEDB88320u : c >> 1;
        table[i] = c;
    }
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n; i++) crc = crc >> 8 ^ table[(crc ^ data[i]) & 255];
    return ~crc;
}

static uint32_t get32(const uint8_t *p, bool big)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) v |= (uint32_t)p[i] << 8 * (big ? 3 - i : i);
    return v;
}

static void put32(uint8_t *p, uint32_t v, bool big)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> 8 * (big ? 3 - i : i));
}

/* length u32 | type | content | CRC of type and content */
void fuzz_repair_png(struct fuzz_bytes *m)
{
    for (size_t at = 8; at + 12 <= m->n;) {
        size_t n = get32(m->data + at, true);
        if (n > m->n - at - 12) return;
        put32(m->data + at + 8 + n, fuzz_crc32(m->data + at + 4, n + 4), true);
        at += 12 + n;
    }
}

/* Pages: "OggS" | ... | CRC at 22 | n of lacing values at 26 | these | content. */
void fuzz_repair_ogg(struct fuzz_bytes *m)
{
    for (size_t at = 0; at + 27 <= m->n; at++) {
        uint8_t *page = m->data + at;
        if (memcmp(page, "OggS", 4) != 0) continue;
        size_t n = 27u + page[26];
        if (n > m->n - at) return;
        for (size_t i = 27, head = n; i < head; i++) n += page[i];
        if (n > m->n - at) continue;
        put32(page + 22, 0, false);
        put32(page + 22, crc_left(0, 0x04C11DB7u, 32, page, n), false);
    }
}

/* Bytes of a FLAC frame's header before its CRC-8; 0 where it is none. */
static size_t flac_header(const uint8_t *p, size_t n)
{
    if (n < 6 || p[0] != 0xFF || (p[1] & 0xFE) != 0xF8) return 0;
    size_t len = 5, block = p[2] >> 4, rate = p[2] & 15;
    for (unsigned bit = 0x40; (p[4] & 0x80) && (p[4] & bit); bit >>= 1) len++;
    len += block == 6 ? 1 : block == 7 ? 2 : 0;
    len += rate == 12 ? 1 : rate == 13 || rate == 14 ? 2 : 0;
    return len < n ? len : 0;
}

/* Frames: header, CRC-8 of it, subframes, CRC-16 of all. A frame's length stands nowhere: it goes as far as
 * the next thing that looks like one. */
void fuzz_repair_flac(struct fuzz_bytes *m)
{
    size_t begin = m->n;
    for (size_t at = 4; at <= m->n; at++) {
        size_t head = at < m->n ? flac_header(m->data + at, m->n - at) : 0;
        if (!head && at < m->n) continue;
        if (begin + 8 < at) {
            uint32_t crc = crc_left(0, 0x8005, 16, m->data + begin, at - begin - 2);
            m->data[at - 2] = (uint8_t)(crc >> 8);
            m->data[at - 1] = (uint8_t)crc;
        }
        if (head) m->data[at + head] = (uint8_t)crc_left(0, 0x07, 8, m->data + at, head);
        begin = at;
        at += head;
    }
}

/* What the central directory points to, where it is stored: CRC-32 in both headers. */
void fuzz_repair_zip(struct fuzz_bytes *m)
{
    for (size_t at = 0; at + 46 <= m->n; at++) {
        uint8_t *entry = m->data + at;
        if (memcmp(entry, "PK\1\2", 4) != 0 || entry[10] != 0) continue;
        size_t n = get32(entry + 24, false), local = get32(entry + 42, false);
        if (m->n < 30 || local > m->n - 30) continue;
        uint8_t *head = m->data + local;
        size_t skip = 30u + head[26] + 256u * head[27] + head[28] + 256u * head[29];
        if (skip > m->n - local || n > m->n - local - skip) continue;
        uint32_t crc = fuzz_crc32(head + skip, n);
        put32(entry + 16, crc, false);
        put32(head + 14, crc, false);
    }
}
