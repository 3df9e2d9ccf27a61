/* InceptionV3 as pytorch-fid has it: the 2015 TensorFlow network that FID and KID are defined on. Not
 * torchvision's: average pools leave the padding out of the mean, Mixed_7c has a max pool. */
#ifndef TL_MODELS_INCEPTION_H
#define TL_MODELS_INCEPTION_H

#include "models/weights_file.h"

enum { TL_INCEPTION_SIDE = 299, TL_INCEPTION_BLOCKS = 4 };

/* Width of a block's features in the real network: 64, 192, 768, 2048. */
extern const int tl_inception_dims[TL_INCEPTION_BLOCKS];
extern const float tl_inception_norm_eps; /* for tl_weights_file_load */

/* x [N,H,W,3], values as the network wants them (about -1 to 1), at least 75 pixels a side; the file is open.
 * Blocks 0 to `block` are built; features are the mean over the picture: [N, width]. Names of the raw file
 * ("Mixed_5b.branch1x1.conv.weight") or of pytorch-fid's class ("blocks.2.0.branch1x1.conv.weight").
 * file NULL: the real network's widths and raw names, for drawn weights. */
tl_val tl_inception_build(struct tl_nn *nn, const struct tl_weights_file *file, tl_val x, int block);

#endif
