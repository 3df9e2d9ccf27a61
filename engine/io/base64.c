#include "io/base64.h"

#include <stdint.h>

void tl_base64_append(struct tl_str *out, const void *bytes, size_t n)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    enum { GROUPS = 1024 };
    const uint8_t *p = bytes;
    char text[4 * GROUPS];
    while (n > 0) {
        size_t used = 0;
        for (; n > 0 && used < sizeof text; used += 4) {
            size_t take = n < 3 ? n : 3;
            uint32_t bits =
                (uint32_t)p[0] << 16 | (uint32_t)(take > 1 ? p[1] : 0) << 8 | (uint32_t)(take > 2 ? p[2] : 0);
            text[used] = letters[bits >> 18];
            text[used + 1] = letters[bits >> 12 & 63];
            text[used + 2] = take > 1 ? letters[bits >> 6 & 63] : '=';
            text[used + 3] = take > 2 ? letters[bits & 63] : '=';
            p += take;
            n -= take;
        }
        tl_str_append_n(out, text, used);
    }
}
