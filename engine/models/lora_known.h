/* The layers that adapters are for, without weights: from a pipeline's configs, or from those of the Stable
 * Diffusion families, for files that come without their model. */
#ifndef TL_MODELS_LORA_KNOWN_H
#define TL_MODELS_LORA_KNOWN_H

#include "models/lora_file.h"

struct tl_lora_layouts {
    struct tl_lora_model model; /* borrows from here */
    struct tl_store_layout *own[TL_LORA_PARTS];
    const char *name; /* "SD 1"; NULL where it is a folder's. Static */
    bool xl;          /* two text encoders */
};

/* Of a pipeline's folder (model_index.json), or of one component's (config.json). TL_BAD_INPUT. */
bool tl_lora_layouts_of(const char *folder, struct tl_lora_layouts *out, struct tl_err *err);

enum { TL_LORA_N_KNOWN = 3 };
/* SD 1, SD 2, SDXL. */
bool tl_lora_layouts_known(int i, struct tl_lora_layouts *out, struct tl_err *err);

/* A zeroed one may be finished. */
void tl_lora_layouts_finish(struct tl_lora_layouts *layouts);

/* Reads a file whole, against the folder's layers (model not NULL), or against the first known family that it
 * fits. Where none fits, the message asks for the model. Both outputs are to be finished, after success. */
bool tl_lora_read_for(const char *path, const char *model, struct tl_lora_layouts *layouts,
                      struct tl_lora_file *out, struct tl_err *err);

#endif
