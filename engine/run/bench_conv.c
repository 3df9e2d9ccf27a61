/* Convolutions of InceptionV3's shapes, a batch of 8: what an encoder's time is made of, beside the square
 * 3x3 of the UNet. */
#include "run/bench_rows.h"

enum { BATCH = 8 };

struct form {
    int64_t side, in, out, kh, kw;
    int32_t stride, pad_v, pad_h;
};

static void build(struct tl_graph *g, const struct form *f)
{
    tl_val x = tl_input(g, "x", TL_F32, tl_shape4(BATCH, f->side, f->side, f->in)),
           w = tl_input(g, "w", TL_F32, tl_shape4(f->kh, f->kw, f->in, f->out));
    struct tl_conv conv = {.stride = {f->stride, f->stride}, .pad = {f->pad_v, f->pad_h, f->pad_v, f->pad_h}};
    tl_output(g, tl_conv2d(g, x, w, TL_NONE, TL_NONE, conv), "y");
}

void tl_bench_conv_stem(struct tl_graph *g)
{
    build(g, &(struct form){299, 3, 32, 3, 3, 2, 0, 0});
}

void tl_bench_conv_same(struct tl_graph *g)
{
    build(g, &(struct form){35, 96, 96, 3, 3, 1, 1, 1});
}

void tl_bench_conv_strided(struct tl_graph *g)
{
    build(g, &(struct form){35, 288, 384, 3, 3, 2, 0, 0});
}

void tl_bench_conv_point(struct tl_graph *g)
{
    build(g, &(struct form){17, 768, 192, 1, 1, 1, 0, 0});
}

void tl_bench_conv_wide(struct tl_graph *g)
{
    build(g, &(struct form){17, 192, 192, 1, 7, 1, 0, 3});
}

void tl_bench_conv_tall(struct tl_graph *g)
{
    build(g, &(struct form){17, 192, 192, 7, 1, 1, 3, 0});
}
