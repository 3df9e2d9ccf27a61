#include "models/vggish.h"

/* Places in torchvggish's Sequential; behind those that end a stage stands a 2x2 max pool. */
static const struct {
    int place;
    bool ends;
} layers[] = {{0, true}, {3, true}, {6, false}, {8, true}, {11, false}, {13, true}};

tl_val tl_vggish_build(struct tl_nn *nn, const struct tl_weights_file *file, tl_val x, bool is_activated)
{
    struct tl_graph *g = nn->g;
    for (size_t i = 0; x >= 0 && i < sizeof layers / sizeof *layers; i++) {
        int64_t out = tl_weights_file_dim(file, 0, &g->err, "features.%d.weight", layers[i].place);
        if (!out) return TL_NONE;
        x = tl_nn_conv2d(nn, x, out, tl_nn_conv3x3(), "features.%d", layers[i].place);
        x = tl_unary(g, TL_UNARY_RELU, x, 0, 0);
        if (layers[i].ends) x = tl_max_pool(g, x, (struct tl_window){{2, 2}, {2, 2}, {0, 0, 0, 0}});
    }
    if (x < 0) return TL_NONE;
    /* Flat in the order height, width, channel: what the weights were trained with, and ours as it lies. */
    struct tl_shape s = *tl_shape_of(g, x);
    x = tl_reshape(g, x, tl_shape2(s.dim[0], s.dim[1] * s.dim[2] * s.dim[3]));
    for (int place = 0; place <= 4; place += 2) {
        int64_t out = tl_weights_file_dim(file, 0, &g->err, "embeddings.%d.weight", place);
        if (!out) return TL_NONE;
        x = tl_nn_linear(nn, x, out, true, "embeddings.%d", place);
        if (place < 4 || is_activated) x = tl_unary(g, TL_UNARY_RELU, x, 0, 0);
    }
    return x;
}
