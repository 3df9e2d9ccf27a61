#include "io/npy.h"

#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "io/map.h"
#include "io/npy_head.h"

void tl_npy_finish(struct tl_npy *a)
{
    free(a->f32);
    free(a->f64);
    *a = (struct tl_npy){0};
}

/* An element as double: exact but for whole numbers beyond 2^53. */
static double element(const struct tl_npy_head *h, const uint8_t *p)
{
    if (h->kind == 'f') {
        uint16_t half;
        float single;
        double wide;
        switch (h->item) {
        case 2:
            memcpy(&half, p, 2);
            return (double)tl_f16_to_f32(half);
        case 4:
            memcpy(&single, p, 4);
            return (double)single;
        default:
            memcpy(&wide, p, 8);
            return wide;
        }
    }
    uint64_t bits = 0;
    for (unsigned i = h->item; i-- > 0;) bits = bits << 8 | p[i];
    if (h->kind == 'b') return bits != 0;
    unsigned unused = 64 - 8 * h->item;
    return h->kind == 'u' ? (double)bits : (double)((int64_t)(bits << unused) >> unused);
}

/* A whole number as float, in one rounding. */
static float element_f32(const struct tl_npy_head *h, const uint8_t *p)
{
    uint64_t bits;
    if (h->item < 8 || (h->kind != 'i' && h->kind != 'u')) return (float)element(h, p);
    memcpy(&bits, p, 8);
    return h->kind == 'u' ? (float)bits : (float)(int64_t)bits;
}

/* Where the elements lie, in the order of the last axis fastest: strides in bytes. */
static void strides_of(const struct tl_npy_head *h, size_t stride[TL_NPY_MAX_RANK])
{
    size_t step = h->item;
    for (unsigned k = 0; k < h->rank; k++) {
        unsigned d = h->fortran ? k : h->rank - 1 - k;
        stride[d] = step;
        step *= (size_t)h->shape[d];
    }
}

static void convert(const struct tl_npy_head *h, struct tl_npy *out)
{
    size_t stride[TL_NPY_MAX_RANK] = {0}, from = 0;
    uint64_t at[TL_NPY_MAX_RANK] = {0};
    bool plain = h->kind == 'f' && (!h->fortran || h->rank < 2) && h->item == (out->f32 ? 4 : 8);
    if (plain) {
        if (h->n) memcpy(out->f32 ? (void *)out->f32 : (void *)out->f64, h->data, h->n * h->item);
        return;
    }
    strides_of(h, stride);
    for (size_t i = 0; i < h->n; i++) {
        if (out->f32) {
            out->f32[i] = element_f32(h, h->data + from);
        } else {
            out->f64[i] = element(h, h->data + from);
        }
        for (unsigned d = h->rank; d-- > 0;) {
            from += stride[d];
            if (++at[d] < h->shape[d]) break;
            from -= (size_t)at[d] * stride[d];
            at[d] = 0;
        }
    }
}

bool tl_npy_parse(const uint8_t *data, size_t n, const char *what, enum tl_npy_as as, struct tl_npy *out,
                  struct tl_err *err)
{
    struct tl_npy_head h;
    *out = (struct tl_npy){0};
    if (!tl_npy_head_read(&h, data, n, what, err)) return false;
    if (h.kind == 'U' || h.kind == 'S')
        return tl_err_set(err, TL_BAD_INPUT, "%s: a text where numbers are expected", what);
    out->rank = h.rank;
    memcpy(out->shape, h.shape, sizeof out->shape);
    memcpy(out->type, h.type, sizeof out->type);
    out->n = h.n;
    size_t room = h.n ? h.n : 1; /* at most four times the file's bytes, or eight of a byte each */
    if (as == TL_NPY_F32) {
        out->f32 = malloc(room * sizeof *out->f32);
    } else {
        out->f64 = malloc(room * sizeof *out->f64);
    }
    if (!out->f32 && !out->f64) {
        tl_npy_finish(out);
        return tl_err_set(err, TL_FAIL, "%s: out of memory", what);
    }
    convert(&h, out);
    return true;
}

bool tl_npy_read(const char *path, enum tl_npy_as as, struct tl_npy *out, struct tl_err *err)
{
    struct tl_map map;
    *out = (struct tl_npy){0};
    if (!tl_map_open(&map, path, err)) return false;
    bool ok = tl_npy_parse(map.data, map.n, path, as, out, err);
    tl_map_close(&map);
    return ok;
}
