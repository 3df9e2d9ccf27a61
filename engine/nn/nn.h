/* Layers: what networks are written with. Each asks the graph for its weights under PyTorch's names
 * ("PREFIX.weight"), so that a model file is one prefix a layer, and adds a LoRA where the context's targets
 * name the layer.
 *
 * A failed graph makes every call a no-op that returns TL_NONE. */
#ifndef TL_NN_NN_H
#define TL_NN_NN_H

#include "tensor/graph.h"

struct tl_lora_spec;

struct tl_nn {
    struct tl_graph *g;
    int set; /* of the weights: TL_SET_BASE, ... */
    const struct tl_lora_spec
        *lora; /* NULL: none. Its weights are params of TL_SET_LORA: NAME.lora_A.weight, NAME.lora_B.weight */
    tl_val lora_scale; /* [1,1] input "lora_scale": alpha/r times the user's scale; made when first needed.
                          Start with TL_NONE */
    bool checkpoint;   /* blocks' activations are recomputed in the backward pass */
    enum tl_dtype
        dtype; /* what the weights of `set` are stored as; layers read them as F32. A LoRA's are F32 */
};

/* [.., in] -> [.., out], for rank 2 to 4. */
tl_val tl_nn_linear(struct tl_nn *nn, tl_val x, int64_t out, bool bias, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* The same for layers that files keep as 1x1 convolutions. */
tl_val tl_nn_conv1x1(struct tl_nn *nn, tl_val x, int64_t out, bool bias, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* linear(x) + add: the residual goes into the product. */
tl_val tl_nn_linear_add(struct tl_nn *nn, tl_val x, int64_t out, bool bias, tl_val add, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));

/* pad {top, left, bottom, right}. */
struct tl_nn_conv {
    int kernel, stride;     /* stride 0: 1 */
    int kernel_w, stride_w; /* 0: the same as the vertical one */
    int32_t pad[4];
    bool no_bias;
};
tl_val tl_nn_conv2d(struct tl_nn *nn, tl_val x, int64_t out, struct tl_nn_conv conv, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
static inline struct tl_nn_conv tl_nn_conv3x3(void)
{
    return (struct tl_nn_conv){.kernel = 3, .stride = 1, .pad = {1, 1, 1, 1}};
}

tl_val tl_nn_group_norm(struct tl_nn *nn, tl_val x, int groups, float eps, bool silu, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
tl_val tl_nn_layer_norm(struct tl_nn *nn, tl_val x, float eps, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Batch norm over the last axis with the statistics of inference: (x - running_mean) / sqrt(running_var +
 * eps), affine: times NAME.weight plus NAME.bias. NAME.num_batches_tracked of files is not asked for. */
tl_val tl_nn_batch_norm(struct tl_nn *nn, tl_val x, float eps, bool affine, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* relu(batch_norm(conv2d(x))) as one convolution: the norm's scale goes into the weights, its shift into the
 * bias, inside the graph, so that gradients still reach every param. The norm is affine. */
tl_val tl_nn_conv_norm(struct tl_nn *nn, tl_val x, int64_t out, struct tl_nn_conv conv, float eps,
                       const char *conv_name, const char *norm_name, bool relu);

/* A plain vector or table, as F32. */
tl_val tl_nn_weight(struct tl_nn *nn, struct tl_shape shape, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* x / sqrt(sum of squares over the last axis): [N,C]. */
tl_val tl_nn_normalize(struct tl_nn *nn, tl_val x);

/* Activation by its name in configs; false: unknown. "linear" and "identity" are x itself. */
bool tl_nn_activation_known(const char *name);
tl_val tl_nn_activation(struct tl_nn *nn, tl_val x, const char *name);

/* Brackets one block of a network for recomputation; no-ops unless nn->checkpoint. */
void tl_nn_block_begin(struct tl_nn *nn);
void tl_nn_block_end(struct tl_nn *nn);

#endif
