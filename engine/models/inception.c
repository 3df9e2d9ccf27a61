#include "models/inception.h"

#include <stdio.h>
#include <string.h>

const float tl_inception_norm_eps = 0.001f;
const int tl_inception_dims[TL_INCEPTION_BLOCKS] = {64, 192, 768, 2048};

/* The modules in order, and where pytorch-fid's class keeps them. */
enum module { M1A, M2A, M2B, M3B, M4A, M5B, M5C, M5D, M6A, M6B, M6C, M6D, M6E, M7A, M7B, M7C };
static const struct {
    const char *raw, *wrapped;
} modules[] = {
    [M1A] = {"Conv2d_1a_3x3", "blocks.0.0"}, [M2A] = {"Conv2d_2a_3x3", "blocks.0.1"},
    [M2B] = {"Conv2d_2b_3x3", "blocks.0.2"}, [M3B] = {"Conv2d_3b_1x1", "blocks.1.0"},
    [M4A] = {"Conv2d_4a_3x3", "blocks.1.1"}, [M5B] = {"Mixed_5b", "blocks.2.0"},
    [M5C] = {"Mixed_5c", "blocks.2.1"},      [M5D] = {"Mixed_5d", "blocks.2.2"},
    [M6A] = {"Mixed_6a", "blocks.2.3"},      [M6B] = {"Mixed_6b", "blocks.2.4"},
    [M6C] = {"Mixed_6c", "blocks.2.5"},      [M6D] = {"Mixed_6d", "blocks.2.6"},
    [M6E] = {"Mixed_6e", "blocks.2.7"},      [M7A] = {"Mixed_7a", "blocks.3.0"},
    [M7B] = {"Mixed_7b", "blocks.3.1"},      [M7C] = {"Mixed_7c", "blocks.3.2"},
};

/* Convolutions' widths of the real network, of the modules first to last; the first row that fits. */
static const struct {
    enum module first, last;
    const char *part; /* how it begins */
    int width;
} widths[] = {
    {M1A, M2A, "", 32},
    {M2B, M2B, "", 64},
    {M3B, M3B, "", 80},
    {M4A, M4A, "", 192},
    {M5B, M5D, "branch5x5_1", 48},
    {M5B, M6A, "branch3x3dbl_1", 64},
    {M5B, M6A, "branch3x3dbl_", 96},
    {M5B, M5B, "branch_pool", 32},
    {M5B, M5D, "branch", 64},
    {M6A, M6A, "branch3x3", 384},
    {M6B, M6E, "branch1x1", 192},
    {M6B, M6E, "branch_pool", 192},
    {M6B, M6E, "branch7x7_3", 192},
    {M6B, M6E, "branch7x7dbl_5", 192},
    {M6B, M6B, "branch7x7", 128},
    {M6C, M6D, "branch7x7", 160},
    {M6E, M6E, "branch7x7", 192},
    {M7A, M7A, "branch3x3_2", 320},
    {M7A, M7A, "branch", 192},
    {M7B, M7C, "branch1x1", 320},
    {M7B, M7C, "branch_pool", 192},
    {M7B, M7C, "branch3x3dbl_1", 448},
    {M7B, M7C, "branch3x3", 384},
};

static int64_t real_width(enum module m, const char *part)
{
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        if (m >= widths[i].first && m <= widths[i].last &&
            strncmp(part, widths[i].part, strlen(widths[i].part)) == 0)
            return widths[i].width;
    return 0;
}

struct kernel {
    int height, width, stride;
    bool same; /* padded so that the size stays */
};
static const struct kernel k1x1 = {1, 1, 1, false}, k3x3 = {3, 3, 1, false}, k3x3_same = {3, 3, 1, true},
                           k3x3_half = {3, 3, 2, false}, k5x5_same = {5, 5, 1, true}, k1x7 = {1, 7, 1, true},
                           k7x1 = {7, 1, 1, true}, k1x3 = {1, 3, 1, true}, k3x1 = {3, 1, 1, true};

struct builder {
    struct tl_nn *nn;
    const struct tl_weights_file *file;
    bool is_wrapped;
};

/* Convolution, batch norm, relu: MODULE[.PART].{conv,bn}. */
static tl_val unit(struct builder *b, tl_val x, enum module m, const char *part, struct kernel k)
{
    char name[96];
    if (x < 0) return TL_NONE;
    snprintf(name, sizeof name, "%s%s%s.conv", b->is_wrapped ? modules[m].wrapped : modules[m].raw,
             *part ? "." : "", part);
    int64_t out =
        b->file ? tl_weights_file_dim(b->file, 0, &b->nn->g->err, "%s.weight", name) : real_width(m, part);
    int32_t v = k.same ? k.height / 2 : 0, h = k.same ? k.width / 2 : 0;
    struct tl_nn_conv conv = {
        .kernel = k.height, .kernel_w = k.width, .stride = k.stride, .pad = {v, h, v, h}};
    return out ? tl_weights_file_conv_norm(b->nn, x, out, conv, name) : TL_NONE;
}

static tl_val concat(struct builder *b, tl_val x, tl_val y)
{
    return x < 0 || y < 0 ? TL_NONE : tl_concat(b->nn->g, x, y, 3);
}

static tl_val max_pool_half(struct builder *b, tl_val x)
{
    return x < 0 ? TL_NONE : tl_max_pool(b->nn->g, x, (struct tl_window){{3, 3}, {2, 2}, {0, 0, 0, 0}});
}

/* 3x3 of the same size, and the 1x1 behind it. */
static tl_val pool_branch(struct builder *b, tl_val x, enum module m)
{
    struct tl_window window = {{3, 3}, {1, 1}, {1, 1, 1, 1}};
    if (x < 0) return TL_NONE;
    tl_val p = m == M7C ? tl_max_pool(b->nn->g, x, window) : tl_avg_pool(b->nn->g, x, window, false);
    return unit(b, p, m, "branch_pool", k1x1);
}

static tl_val mixed_5(struct builder *b, tl_val x, enum module m)
{
    tl_val one = unit(b, x, m, "branch1x1", k1x1);
    tl_val five = unit(b, unit(b, x, m, "branch5x5_1", k1x1), m, "branch5x5_2", k5x5_same);
    tl_val three = unit(b, unit(b, x, m, "branch3x3dbl_1", k1x1), m, "branch3x3dbl_2", k3x3_same);
    three = unit(b, three, m, "branch3x3dbl_3", k3x3_same);
    return concat(b, concat(b, concat(b, one, five), three), pool_branch(b, x, m));
}

static tl_val mixed_6a(struct builder *b, tl_val x)
{
    tl_val three = unit(b, x, M6A, "branch3x3", k3x3_half);
    tl_val twice = unit(b, unit(b, x, M6A, "branch3x3dbl_1", k1x1), M6A, "branch3x3dbl_2", k3x3_same);
    twice = unit(b, twice, M6A, "branch3x3dbl_3", k3x3_half);
    return concat(b, concat(b, three, twice), max_pool_half(b, x));
}

static tl_val mixed_6(struct builder *b, tl_val x, enum module m)
{
    tl_val one = unit(b, x, m, "branch1x1", k1x1);
    tl_val seven = unit(b, unit(b, x, m, "branch7x7_1", k1x1), m, "branch7x7_2", k1x7);
    seven = unit(b, seven, m, "branch7x7_3", k7x1);
    tl_val twice = unit(b, unit(b, x, m, "branch7x7dbl_1", k1x1), m, "branch7x7dbl_2", k7x1);
    twice = unit(b, unit(b, twice, m, "branch7x7dbl_3", k1x7), m, "branch7x7dbl_4", k7x1);
    twice = unit(b, twice, m, "branch7x7dbl_5", k1x7);
    return concat(b, concat(b, concat(b, one, seven), twice), pool_branch(b, x, m));
}

static tl_val mixed_7a(struct builder *b, tl_val x)
{
    tl_val three = unit(b, unit(b, x, M7A, "branch3x3_1", k1x1), M7A, "branch3x3_2", k3x3_half);
    tl_val seven = unit(b, unit(b, x, M7A, "branch7x7x3_1", k1x1), M7A, "branch7x7x3_2", k1x7);
    seven = unit(b, unit(b, seven, M7A, "branch7x7x3_3", k7x1), M7A, "branch7x7x3_4", k3x3_half);
    return concat(b, concat(b, three, seven), max_pool_half(b, x));
}

static tl_val mixed_7(struct builder *b, tl_val x, enum module m)
{
    tl_val one = unit(b, x, m, "branch1x1", k1x1), three = unit(b, x, m, "branch3x3_1", k1x1);
    three = concat(b, unit(b, three, m, "branch3x3_2a", k1x3), unit(b, three, m, "branch3x3_2b", k3x1));
    tl_val twice = unit(b, unit(b, x, m, "branch3x3dbl_1", k1x1), m, "branch3x3dbl_2", k3x3_same);
    twice = concat(b, unit(b, twice, m, "branch3x3dbl_3a", k1x3), unit(b, twice, m, "branch3x3dbl_3b", k3x1));
    return concat(b, concat(b, concat(b, one, three), twice), pool_branch(b, x, m));
}

/* Mean over the picture. */
static tl_val features(struct builder *b, tl_val x)
{
    if (x < 0) return TL_NONE;
    struct tl_shape s = *tl_shape_of(b->nn->g, x);
    struct tl_window all = {{(int32_t)s.dim[1], (int32_t)s.dim[2]}, {0, 0}, {0, 0, 0, 0}};
    return tl_reshape(b->nn->g, tl_avg_pool(b->nn->g, x, all, false), tl_shape2(s.dim[0], s.dim[3]));
}

tl_val tl_inception_build(struct tl_nn *nn, const struct tl_weights_file *file, tl_val x, int block)
{
    struct builder b = {nn, file, false};
    b.is_wrapped = file && tl_st_set_find(file->set, "Conv2d_1a_3x3.conv.weight") == NULL;
    x = unit(&b, unit(&b, x, M1A, "", k3x3_half), M2A, "", k3x3);
    x = max_pool_half(&b, unit(&b, x, M2B, "", k3x3_same));
    if (block >= 1) x = max_pool_half(&b, unit(&b, unit(&b, x, M3B, "", k1x1), M4A, "", k3x3));
    if (block >= 2) {
        x = mixed_5(&b, mixed_5(&b, mixed_5(&b, x, M5B), M5C), M5D);
        x = mixed_6a(&b, x);
        x = mixed_6(&b, mixed_6(&b, x, M6B), M6C);
        x = mixed_6(&b, mixed_6(&b, x, M6D), M6E);
    }
    if (block >= 3) x = mixed_7(&b, mixed_7(&b, mixed_7a(&b, x), M7B), M7C);
    return features(&b, x);
}
