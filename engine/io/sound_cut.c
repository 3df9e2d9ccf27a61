#include <string.h>

#include "io/sound_inner.h"

static uint32_t word(const uint8_t *p, bool is_big)
{
    if (is_big) return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static bool tells(uint64_t told, uint64_t left, uint64_t *out_told, uint64_t *out_left)
{
    *out_told = told;
    *out_left = left;
    return told > left;
}

/* A writer that cannot go back leaves one of these. */
static bool is_open_end(uint32_t told)
{
    return told == 0 || told >= 0x7f000000u;
}

/* RIFF and its kin, and AIFF: chunks of a name and a length. */
static bool chunks_are_cut(const uint8_t *data, size_t n, bool is_big, const char *name, uint64_t *out_told,
                           uint64_t *out_left)
{
    uint64_t long_told = 0; /* of RF64 */
    for (size_t at = 12; n >= 8 && at <= n - 8;) {
        const uint8_t *p = data + at;
        uint32_t told = word(p + 4, is_big);
        size_t left = n - at - 8;
        if (memcmp(p, "ds64", 4) == 0 && left >= 16)
            long_told = (uint64_t)word(p + 20, false) << 32 | word(p + 16, false);
        if (memcmp(p, name, 4) == 0) {
            if (told == UINT32_MAX && long_told) return tells(long_told, left, out_told, out_left);
            return !is_open_end(told) && tells(told, left, out_told, out_left);
        }
        if (told > left) return false; /* libsndfile has its own word on what comes before the samples */
        at += 8 + (size_t)told + (told & 1);
    }
    return false;
}

static bool au_is_cut(const uint8_t *data, size_t n, bool is_big, uint64_t *out_told, uint64_t *out_left)
{
    if (n < 24) return false;
    uint32_t start = word(data + 4, is_big), told = word(data + 8, is_big);
    return !is_open_end(told) && start <= n && tells(told, n - start, out_told, out_left);
}

static uint64_t twice(const uint8_t *p, bool is_big)
{
    uint64_t first = word(p, is_big), second = word(p + 4, is_big);
    return is_big ? first << 32 | second : second << 32 | first;
}

/* CAF: 8 bytes, then chunks of a name and a length of 64 bits, -1 for an open end. */
static bool caf_is_cut(const uint8_t *data, size_t n, uint64_t *out_told, uint64_t *out_left)
{
    for (size_t at = 8; n >= 12 && at <= n - 12;) {
        uint64_t told = twice(data + at + 4, true), left = n - at - 12;
        if (memcmp(data + at, "data", 4) == 0)
            return told <= INT64_MAX && tells(told, left, out_told, out_left);
        if (told > left) return false;
        at += 12 + (size_t)told;
    }
    return false;
}

/* Sony Wave64: RIFF with names of 16 bytes, lengths of 64 bits that count both, and chunks at multiples of 8.
 */
static bool w64_is_cut(const uint8_t *data, size_t n, uint64_t *out_told, uint64_t *out_left)
{
    enum { HEAD = 24 };
    for (size_t at = 40; n >= HEAD && at <= n - HEAD;) {
        uint64_t told = twice(data + at + 16, false), left = n - at;
        if (memcmp(data + at, "data", 4) == 0)
            return told <= INT64_MAX && told > HEAD && tells(told - HEAD, left - HEAD, out_told, out_left);
        if (told < HEAD || told > left) return false;
        at += (size_t)((told + 7) & ~(uint64_t)7);
    }
    return false;
}

bool sound_is_cut(const uint8_t *data, size_t n, uint64_t *out_told, uint64_t *out_left)
{
    if (n < 12) return false;
    if (memcmp(data, "RIFF", 4) == 0 || memcmp(data, "RF64", 4) == 0)
        return chunks_are_cut(data, n, false, "data", out_told, out_left);
    if (memcmp(data, "RIFX", 4) == 0) return chunks_are_cut(data, n, true, "data", out_told, out_left);
    if (memcmp(data, "FORM", 4) == 0) return chunks_are_cut(data, n, true, "SSND", out_told, out_left);
    if (memcmp(data, ".snd", 4) == 0) return au_is_cut(data, n, true, out_told, out_left);
    if (memcmp(data, "dns.", 4) == 0) return au_is_cut(data, n, false, out_told, out_left);
    if (memcmp(data, "caff", 4) == 0) return caf_is_cut(data, n, out_told, out_left);
    if (memcmp(data, "riff", 4) == 0) return w64_is_cut(data, n, out_told, out_left);
    return false;
}
