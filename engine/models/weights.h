/* Weights between files (PyTorch's names and order) and stores (kernel order). One tensor at a time, so that
 * loading never needs a second copy of the model. */
#ifndef TL_MODELS_WEIGHTS_H
#define TL_MODELS_WEIGHTS_H

#include "io/safetensors.h"
#include "tensor/store.h"

/* Fills every tensor of the store. A name that the file lacks is tried under the older and newer spellings:
 * without "text_model." or "vision_model." (transformers 5), and the VAE attention's
 * query/key/value/proj_attn. A missing tensor or another shape is one error that names it, the shapes and how
 * many more there are. Tensors that nobody asks for are counted in *out_unused (may be NULL). */
bool tl_weights_load(struct tl_store *store, const struct tl_st_set *set, size_t *out_unused,
                     struct tl_err *err);

/* The file's tensor of a name of ours, in either spelling; NULL where there is none. */
const struct tl_st_tensor *tl_weights_find(const struct tl_st_set *set, const char *name);

/* What batch norm NORM comes to, from the file's values: x * scale + shift, n channels each. */
bool tl_weights_norm(const struct tl_st_set *set, const char *norm, size_t n, double eps, double *out_scale,
                     double *out_shift, struct tl_err *err);

/* Of a loaded store in halves (one in F32 stays as it is): the weight and bias of every affine batch norm
 * become what it comes to, its statistics 0 and 1. */
bool tl_weights_settle_norms(struct tl_store *store, const struct tl_st_set *set, double eps,
                             struct tl_err *err);

/* The entry that a name in a file of either generation means; NULL where there is none. */
const struct tl_store_entry *tl_weights_entry(const struct tl_store_layout *layout, const char *name);

/* Writes every tensor as dtype (TL_ST_F32, F16 or BF16) into one safetensors file, atomically. prefix is put
 * before each name. */
bool tl_weights_save(struct tl_store *store, const char *path, enum tl_st_dtype dtype, const char *prefix,
                     const struct tl_st_meta *meta, size_t n_meta, struct tl_err *err);

/* Random starting weights, keyed by (seed, place in the layout): PyTorch's defaults for linear and
 * convolution layers, ones and zeros for norms, transformers' rules for CLIP's parts; LoRA: A from N(0,
 * 1/r^2), B zero. */
bool tl_weights_init(struct tl_store *store, uint64_t seed, struct tl_err *err);

#endif
