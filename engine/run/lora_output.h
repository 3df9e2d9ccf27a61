/* A trained LoRA as files: what a run leaves under lora/, in the two forms that other programs read: the
 * diffusers form for diffusers, the kohya form for ComfyUI and A1111. */
#ifndef TL_RUN_LORA_OUTPUT_H
#define TL_RUN_LORA_OUTPUT_H

#include "models/lora_file.h"

/* The adapters of one component. */
struct tl_lora_output_part {
    struct tl_store *store; /* LAYER.lora_A.weight, LAYER.lora_B.weight */
    int part;               /* enum tl_lora_part */
    double scale;           /* alpha / rank, that the weights were trained with */
};

struct tl_lora_output {
    const struct tl_lora_output_part *parts;
    size_t n_parts;
    const struct tl_lora_model *model; /* layouts of the components that the parts belong to */
    const struct tl_lora_spec *spec;   /* its targets go into the config where there is one part; NULL, or
                                          several parts: the ends of the layers' names that mean these layers
                                          alone, where there are such, else their full names */
    enum tl_st_dtype dtype;            /* TL_ST_F32, F16 or BF16 */
    bool xl;                           /* the pipeline has two text encoders */
    const char *folder;                /* within the run; NULL: "lora" */
};

/* RUN/FOLDER/pytorch_lora_weights.safetensors and RUN/FOLDER/NAME.kohya.safetensors, NAME being the run
 * folder's. Each file appears whole or not at all. */
bool tl_lora_output_save(const char *run_folder, const struct tl_lora_output *what, struct tl_err *err);

#endif
