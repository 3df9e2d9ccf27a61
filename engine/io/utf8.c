#include "io/utf8.h"

/* Bytes of the sequence that starts with `lead` (0: none may), and the range of its second byte. */
static size_t sequence(uint8_t lead, uint8_t *out_low, uint8_t *out_high)
{
    *out_low = 0x80;
    *out_high = 0xbf;
    if (lead < 0x80) return 1;
    if (lead < 0xc2) return 0;
    if (lead < 0xe0) return 2;
    if (lead < 0xf0) {
        if (lead == 0xe0) *out_low = 0xa0;  /* overlong below */
        if (lead == 0xed) *out_high = 0x9f; /* surrogates above */
        return 3;
    }
    if (lead > 0xf4) return 0;
    if (lead == 0xf0) *out_low = 0x90;
    if (lead == 0xf4) *out_high = 0x8f;
    return 4;
}

size_t tl_utf8_prefix(const void *text, size_t n)
{
    const uint8_t *p = text;
    size_t i = 0;
    while (i < n) {
        uint8_t low, high;
        size_t len = sequence(p[i], &low, &high);
        if (!len || len > n - i) return i;
        if (len > 1 && (p[i + 1] < low || p[i + 1] > high)) return i;
        for (size_t k = 2; k < len; k++) {
            if ((p[i + k] & 0xc0) != 0x80) return i;
        }
        i += len;
    }
    return n;
}

size_t tl_utf8_decode(const char *p, uint32_t *out_code)
{
    const uint8_t *u = (const uint8_t *)p;
    if (u[0] < 0x80) {
        *out_code = u[0];
        return 1;
    }
    size_t len = u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
    uint32_t code = u[0] & (0x7fu >> len);
    for (size_t k = 1; k < len; k++) code = code << 6 | (u[k] & 0x3fu);
    *out_code = code;
    return len;
}

size_t tl_utf8_encode(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t k = len - 1; k > 0; k--) {
        out[k] = (char)(0x80u | (code & 0x3fu));
        code >>= 6;
    }
    out[0] = (char)((0xf00u >> len & 0xf0u) | code);
    return len;
}
