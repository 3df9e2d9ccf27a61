/* Blocks that the UNet and the VAE share. Names as in diffusers; shapes channels-last. */
#ifndef TL_MODELS_UNET_BLOCKS_H
#define TL_MODELS_UNET_BLOCKS_H

#include "nn/nn.h"

struct tl_resnet {
    int64_t out; /* channels */
    int groups;
    float eps;
    const char *act;  /* of the block and of the time embedding's projection */
    bool scale_shift; /* the embedding scales and shifts the second norm instead of being added */
    float out_scale;  /* the sum is divided by it */
    tl_val act_temb;  /* act(temb) [N,D], or TL_NONE */
};

/* ResnetBlock2D: x[N,H,W,Ci] -> [N,H,W,out] */
tl_val tl_block_resnet(struct tl_nn *nn, tl_val x, const struct tl_resnet *r, const char *name);

struct tl_transformer {
    int layers, heads, groups;
    bool linear_projection;
    tl_val context,
        context_mask; /* [N,T,D], additive [N,T]; TL_NONE: attn2 attends to the tokens themselves */
};

/* Transformer2DModel: x[N,H,W,C] -> the same shape, the input added. */
tl_val tl_block_transformer(struct tl_nn *nn, tl_val x, const struct tl_transformer *t, const char *name);

/* nearest to height x width, then conv 3x3: NAME.conv */
tl_val tl_block_upsample(struct tl_nn *nn, tl_val x, int64_t height, int64_t width, const char *name);
/* conv 3x3, stride 2: NAME.conv; padding 1 all around, or 0 with one zero row and column at bottom and right
 */
tl_val tl_block_downsample(struct tl_nn *nn, tl_val x, int padding, const char *name);

/* The VAE's one-head attention over pixels with group norm and biases: NAME.group_norm, to_q, to_k, to_v,
 * to_out.0 */
tl_val tl_block_pixel_attention(struct tl_nn *nn, tl_val x, int groups, float eps, int heads,
                                const char *name);

#endif
