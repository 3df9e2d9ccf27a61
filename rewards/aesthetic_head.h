/* A head over CLIP's picture embeddings, in the layouts of LAION's aesthetic predictors: `weight`, `bias` of
 * one linear layer (Aesthetics V1), or `layers.N.weight`, `layers.N.bias` of several (the improved predictor:
 * N = 0, 2, 4, 6, 7; 768-1024-128-64-16-1). Between those layers stands dropout only, no activation, so at
 * inference either is one affine map, and as such it is kept. */
#ifndef TL_REWARDS_AESTHETIC_HEAD_H
#define TL_REWARDS_AESTHETIC_HEAD_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

struct tl_aesthetic_head {
    size_t dim;     /* of the embeddings */
    double *weight; /* [dim]; owns */
    double bias;
    int n_layers;
};

/* A safetensors file or PyTorch's checkpoint, of any float type. TL_BAD_INPUT names the file and what is wrong with it. */
bool tl_aesthetic_head_read(const char *path, struct tl_aesthetic_head *out, struct tl_err *err);
void tl_aesthetic_head_finish(struct tl_aesthetic_head *head);

#endif
