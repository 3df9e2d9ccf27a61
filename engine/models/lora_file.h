/* LoRA adapters in files: read in every form that is about, merged into weights or loaded for training,
 * written in the three forms that other programs read.
 *
 * Forms: diffusers' single file (all generations of names, `lora_adapter_metadata`), kohya's (flattened
 * names, alpha), PEFT's folder (adapter_config.json). In memory an adapter is a list of layers in PyTorch's
 * order: W' = W + scale * up down,  down [rank, in * taps], up [out, rank], scale = alpha / rank with the
 * user's own factor on top. Sums are made in f32. Messages name the key of the file. */
#ifndef TL_MODELS_LORA_FILE_H
#define TL_MODELS_LORA_FILE_H

#include "models/lora_names.h"
#include "nn/lora.h"

struct tl_lora_layer {
    const struct tl_store_entry *entry; /* the weight that it changes; borrowed from the model's layout */
    int part;                           /* enum tl_lora_part */
    int rank;
    double scale;      /* alpha / rank (alpha / sqrt(rank) with use_rslora); 1 where the file has no alpha */
    const float *down; /* [rank, in, kh, kw] */
    const float *up;   /* [out, rank] */
    const float *bias; /* [out], or NULL */
};

struct tl_lora_file {
    struct tl_arena arena; /* owns what the layers point to */
    struct tl_lora_layer *layers;
    size_t n;
    const char **unmatched; /* keys of the file that name no layer of the model */
    size_t n_unmatched;
    bool other_model;       /* set by a failed read: a tensor's name or shape is no layer's of this model */
    enum tl_st_dtype dtype; /* of the file's matrices: F32, F16 or BF16; F32 where they differ */
};

/* A file, or a folder that holds adapter_model.safetensors or pytorch_lora_weights.safetensors. Keys that
 * match nothing are listed in `unmatched`; one warning says how many there are. Refused (TL_BAD_INPUT): a
 * file that matches the model nowhere, a down without its up, another rank or shape than the layer's, DoRA,
 * Tucker and other variants that change the numbers, alpha tensors beside lora_adapter_metadata. */
bool tl_lora_file_read(const char *path, const struct tl_lora_model *model, struct tl_lora_file *out,
                       struct tl_err *err);
/* The same, where a key that matches nothing is an error too: the file is for another model. Logs nothing. */
bool tl_lora_file_read_whole(const char *path, const struct tl_lora_model *model, struct tl_lora_file *out,
                             struct tl_err *err);
/* A zeroed struct may be finished, and one that a failed read has left need not be. */
void tl_lora_file_finish(struct tl_lora_file *file);

/* The names' ends that mean exactly the file's layers among the model's ("to_q"): for target_modules. Lists
 * them in the arena; none where no ends do. part -1: of all components together. */
bool tl_lora_targets(const struct tl_lora_file *file, const struct tl_lora_model *model, int part,
                     struct tl_arena *arena, const char ***out_targets, int *out_n, struct tl_err *err);

/* Adds factor times one layer's product to its weight, in kernel order. */
bool tl_lora_layer_add(const struct tl_lora_layer *layer, double factor, float *weight, struct tl_err *err);

/* Adds factor times the adapters of one component to its weights. `store` has the layout that the file was
 * read against. */
bool tl_lora_file_merge(const struct tl_lora_file *file, int part, struct tl_store *store, double factor,
                        struct tl_err *err);

/* Ranks for a tl_lora_spec: .rank_of = tl_lora_ranks_of, .user = &ranks. */
struct tl_lora_ranks {
    const struct tl_lora_file *file;
    int part;
};
int tl_lora_ranks_of(void *ranks, const char *layer);

/* Into a trainable store (set TL_SET_LORA: LAYER.lora_A.weight [in,r], LAYER.lora_B.weight [r,out]) that will
 * be used with `scale` = alpha / rank: B takes the file's own scale over it. Every layer of the store must be
 * in the file and the other way round, with the same rank. */
bool tl_lora_file_load(const struct tl_lora_file *file, int part, struct tl_store *lora, double scale,
                       struct tl_err *err);

/* The adapters of a trainable store, as layers of `base`'s part: what the writers take. */
bool tl_lora_file_from_store(struct tl_store *lora, const struct tl_lora_model *base, int part, double scale,
                             struct tl_lora_file *out, struct tl_err *err);

struct tl_lora_write_params {
    enum tl_st_dtype dtype;     /* TL_ST_F32, F16 or BF16 */
    const char *const *targets; /* name ends, for target_modules; none: every layer's full name */
    size_t n_targets;
    bool xl; /* kohya: the pipeline has two text encoders */
    const struct tl_st_meta *meta;
    size_t n_meta; /* kohya: more ss_ entries */
};

/* pytorch_lora_weights.safetensors: "unet.LAYER.lora_A.weight" throughout (diffusers 0.42 drops layers of a
 * file that mixes styles), scale 1 (the file's is multiplied into lora_B), lora_adapter_metadata. */
bool tl_lora_write_diffusers(const struct tl_lora_file *file, const char *path,
                             const struct tl_lora_write_params *params, struct tl_err *err);
/* What ComfyUI and A1111 load: "lora_unet_..." with .alpha, ss_ and sshs_ metadata. */
bool tl_lora_write_kohya(const struct tl_lora_file *file, const struct tl_lora_model *base, const char *path,
                         const struct tl_lora_write_params *params, struct tl_err *err);
/* A folder with adapter_model.safetensors and adapter_config.json; one component only. */
bool tl_lora_write_peft(const struct tl_lora_file *file, const char *folder,
                        const struct tl_lora_write_params *params, struct tl_err *err);

#endif
