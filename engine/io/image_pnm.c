/* Binary PGM and PPM. Our own: stb_image reads 16-bit ones past their end and in the wrong byte order. */
#include "io/image_codec.h"

#include <math.h>
#include <string.h>

struct cursor {
    const uint8_t *p, *end;
};

/* A number behind white space and # comments; false where there is none, or one above 2^31. */
static bool number(struct cursor *c, unsigned *out)
{
    uint64_t v = 0;
    for (bool comment = false; c->p < c->end; c->p++) {
        if (*c->p == '#') comment = true;
        if (*c->p == '\n' || *c->p == '\r') comment = false;
        if (!comment && !(*c->p == ' ' || (*c->p >= '\t' && *c->p <= '\r'))) break;
    }
    if (c->p == c->end || *c->p < '0' || *c->p > '9') return false;
    for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++) {
        v = 10 * v + (unsigned)(*c->p - '0');
        if (v > INT32_MAX) return false;
    }
    *out = (unsigned)v;
    return true;
}

bool tl_image_pnm_decode(const uint8_t *data, size_t n, const char *what, struct tl_image *out,
                         struct tl_err *err)
{
    struct cursor c = {data + 2, data + n};
    unsigned width, height, most;
    if (!number(&c, &width) || !number(&c, &height) || !number(&c, &most) || most < 1 || most > 65535 ||
        c.p == c.end) {
        return tl_err_set(err, TL_BAD_INPUT, "%s: bad PNM: its header cannot be read", what);
    }
    c.p++; /* one white space */
    if (!tl_image_begin(out, width, height, what, err)) return false;
    size_t channels = data[1] == '5' ? 1 : 3, wide = most > 255 ? 2 : 1;
    size_t samples = (size_t)width * height * channels; /* at most 3 * 64 M */
    if (samples * wide > (size_t)(c.end - c.p)) {
        tl_image_finish(out);
        return tl_err_set(err, TL_BAD_INPUT, "%s: bad PNM: cut short", what);
    }
    for (size_t i = 0; i < samples; i++) {
        unsigned v = wide == 2 ? (unsigned)c.p[2 * i] << 8 | c.p[2 * i + 1] : c.p[i];
        /* Pillow's scaling: halves round to even. */
        if (most != 255) v = v >= most ? 255 : (unsigned)nearbyint((double)v / most * 255.0);
        if (channels == 3) {
            out->px[i] = (uint8_t)v;
        } else {
            memset(out->px + 3 * i, (int)v, 3);
        }
    }
    return true;
}
