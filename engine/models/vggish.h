/* VGGish: log-mel patches of a second to embeddings, as harritaylor/torchvggish has the network. */
#ifndef TL_MODELS_VGGISH_H
#define TL_MODELS_VGGISH_H

#include "models/weights_file.h"

/* x [N,96,64,1], the file is open: [N, 128]. is_activated: with the last relu, which FAD tools leave away.
 * The PCA that the authors' file may hold beside the network is not applied. */
tl_val tl_vggish_build(struct tl_nn *nn, const struct tl_weights_file *file, tl_val x, bool is_activated);

#endif
