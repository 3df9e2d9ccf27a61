/* Kernel order against PyTorch's order in files: see enum tl_layout in graph.h. */
#include <string.h>

#include "tensor/store.h"

enum { BLOCK = 16 }; /* channels: a block's lines fit the first-level cache on either side */

/* kernel[t][i][o] <-> file[o][i][t] with t = kh*kw taps (1 for linear) */
static void swap_block(const float *from, float *to, const int64_t dim[3], int64_t i0, int64_t o0,
                       bool to_kernel)
{
    int64_t taps = dim[0], in = dim[1], out = dim[2], i1 = i0 + BLOCK < in ? i0 + BLOCK : in,
            o1 = o0 + BLOCK < out ? o0 + BLOCK : out;
    for (int64_t i = i0; i < i1; i++)
        for (int64_t t = 0; t < taps; t++)
            for (int64_t o = o0; o < o1; o++) {
                int64_t k = (t * in + i) * out + o, f = (o * in + i) * taps + t;
                if (to_kernel)
                    to[k] = from[f];
                else
                    to[f] = from[k];
            }
}

static void swap_order(const float *from, float *to, int64_t taps, int64_t in, int64_t out, bool to_kernel)
{
    const int64_t dim[3] = {taps, in, out};
    for (int64_t i = 0; i < in; i += BLOCK)
        for (int64_t o = 0; o < out; o += BLOCK) swap_block(from, to, dim, i, o, to_kernel);
}

static void convert(enum tl_layout layout, const struct tl_shape *s, const float *from, float *to,
                    bool to_kernel)
{
    switch (layout) {
    case TL_LAYOUT_PLAIN:
        memcpy(to, from, (size_t)tl_shape_count(s) * sizeof *to);
        break;
    case TL_LAYOUT_LINEAR:
    case TL_LAYOUT_LINEAR4:
        swap_order(from, to, 1, s->dim[0], s->dim[1], to_kernel);
        break;
    case TL_LAYOUT_CONV2D:
    case TL_LAYOUT_CONV1D:
        swap_order(from, to, s->dim[0] * s->dim[1], s->dim[2], s->dim[3], to_kernel);
        break;
    }
}

void tl_layout_from_file(enum tl_layout layout, const struct tl_shape *shape, const float *file,
                         float *kernel)
{
    convert(layout, shape, file, kernel, true);
}

void tl_layout_to_file(enum tl_layout layout, const struct tl_shape *shape, const float *kernel, float *file)
{
    convert(layout, shape, kernel, file, false);
}

struct tl_shape tl_layout_file_shape(enum tl_layout layout, const struct tl_shape *s)
{
    switch (layout) {
    case TL_LAYOUT_LINEAR:
        return tl_shape2(s->dim[1], s->dim[0]);
    case TL_LAYOUT_LINEAR4:
        return tl_shape4(s->dim[1], s->dim[0], 1, 1);
    case TL_LAYOUT_CONV2D:
        return tl_shape4(s->dim[3], s->dim[2], s->dim[0], s->dim[1]);
    case TL_LAYOUT_CONV1D:
        return tl_shape3(s->dim[3], s->dim[2], s->dim[1]);
    case TL_LAYOUT_PLAIN:
        break;
    }
    return *s;
}
