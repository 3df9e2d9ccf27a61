/* Pictures as a VAE gives them back. */
#ifndef TL_RUN_RECONSTRUCT_H
#define TL_RUN_RECONSTRUCT_H

#include "run/dataset.h"
#include "tensor/device.h"

/* Every picture of the data through the AutoencoderKL in `folder` (means, no noise): *out [n][h][w][3], the
 * caller frees. */
bool tl_reconstruct(struct tl_device *device, const char *folder, const struct tl_dataset *data,
                    uint8_t **out, struct tl_err *err);

#endif
