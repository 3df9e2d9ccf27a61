#include "models/cnn14.h"

#include <stdio.h>

enum { BLOCKS = 6 };
const float tl_cnn14_norm_eps = 1e-5f;

bool tl_cnn14_read(const struct tl_weights_file *file, struct tl_cnn14 *out, struct tl_err *err)
{
    static const char *const prefixes[] = {"", "model.", NULL};
    *out = (struct tl_cnn14){0};
    if (!tl_weights_file_prefix(file, "PANNs' Cnn14", prefixes, "conv_block1.conv1.weight", &out->prefix,
                                err))
        return false;
    for (int i = 0; i < BLOCKS; i++) {
        out->widths[i] = tl_weights_file_dim(file, 0, err, "%sconv_block%d.conv1.weight", out->prefix, i + 1);
        if (!out->widths[i]) return false;
    }
    out->widths[BLOCKS] = tl_weights_file_dim(file, 0, err, "%sfc1.weight", out->prefix);
    return out->widths[BLOCKS] != 0;
}

/* Batch norm over the mel bands: they are channels for it, not a side of the picture. */
static tl_val norm_bands(struct tl_nn *nn, tl_val x, const char *prefix)
{
    struct tl_shape s = *tl_shape_of(nn->g, x);
    x = tl_reshape(nn->g, x, tl_shape3(s.dim[0], s.dim[1], s.dim[2]));
    return tl_reshape(nn->g, tl_nn_batch_norm(nn, x, tl_cnn14_norm_eps, true, "%sbn0", prefix), s);
}

static tl_val block(struct tl_nn *nn, tl_val x, int i, int64_t width, const char *prefix)
{
    char name[64];
    for (int k = 1; k <= 2; k++) {
        snprintf(name, sizeof name, "%sconv_block%d.conv%d", prefix, i, k);
        x = tl_weights_file_conv_norm(nn, x, width, tl_nn_conv3x3(), name);
    }
    if (x < 0 || i == BLOCKS) return x;
    return tl_avg_pool(nn->g, x, (struct tl_window){{2, 2}, {2, 2}, {0, 0, 0, 0}}, true);
}

/* Mean over the bands, then largest plus mean over time. */
static tl_val pooled(struct tl_graph *g, tl_val x)
{
    struct tl_shape s = *tl_shape_of(g, x);
    struct tl_window bands = {{1, (int32_t)s.dim[2]}, {0, 0}, {0, 0, 0, 0}};
    struct tl_window time = {{(int32_t)s.dim[1], 1}, {0, 0}, {0, 0, 0, 0}};
    x = tl_avg_pool(g, x, bands, true);
    x = tl_add(g, tl_max_pool(g, x, time), tl_avg_pool(g, x, time, true));
    return tl_reshape(g, x, tl_shape2(s.dim[0], s.dim[3]));
}

tl_val tl_cnn14_build(struct tl_nn *nn, const struct tl_cnn14 *c, tl_val x)
{
    if (x < 0) return TL_NONE;
    x = norm_bands(nn, x, c->prefix);
    for (int i = 1; i <= BLOCKS; i++) x = block(nn, x, i, c->widths[i - 1], c->prefix);
    if (x < 0) return TL_NONE;
    x = tl_nn_linear(nn, pooled(nn->g, x), c->widths[BLOCKS], true, "%sfc1", c->prefix);
    return tl_unary(nn->g, TL_UNARY_RELU, x, 0, 0);
}
