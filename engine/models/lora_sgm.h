/* Layers of a UNet under the names of the original Stable Diffusion checkpoints ("input_blocks.4.1..."),
 * which kohya's files use for SDXL. Source: sd-scripts library/sdxl_model_util.py. */
#ifndef TL_MODELS_LORA_SGM_H
#define TL_MODELS_LORA_SGM_H

#include "tensor/store.h"

/* layers_per_block as the layout shows it: resnets of the first down block; 0 where there are none. */
int tl_lora_sgm_layers(const struct tl_store_layout *unet);

/* The original name of a layer (an entry's name without ".weight"); false where the layer has none. */
bool tl_lora_sgm_name(const struct tl_store_layout *unet, int layers, const struct tl_store_entry *entry,
                      char *out, size_t size);

#endif
