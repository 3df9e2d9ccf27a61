/* What the files of `tiller merge` share. */
#ifndef TL_RUN_MERGE_PARTS_H
#define TL_RUN_MERGE_PARTS_H

#include "models/lora_known.h"

/* The LoRAs of a merge, all read against the same layers. */
struct tl_merge_loras {
    const struct tl_lora_file *files;
    const double *scales;
    size_t n;
};

/* FOLDER/BASE.safetensors (or its shards) to OUT/BASE.safetensors, with the LoRAs' product added to the
 * weights of a part (-1: of none). dtype -1: each tensor as it is stored. *out_merged: weights that changed.
 */
bool tl_merge_weights(const char *folder, const char *base, const char *out,
                      const struct tl_merge_loras *loras, const struct tl_store_layout *layout, int part,
                      int dtype, size_t *out_merged, struct tl_err *err);

/* Copies a folder's files, inner folders too; without the files of weights where `no_weights`. Hidden names
 * are passed over, links are followed. */
bool tl_merge_copy_folder(const char *from, const char *to, bool no_weights, struct tl_err *err);
bool tl_merge_copy_file(const char *from, const char *to, struct tl_err *err);

/* Whether a name is that of a file of weights: safetensors and their index, bin, ckpt, pt, msgpack, onnx, h5.
 */
bool tl_merge_is_weights(const char *name);

/* A temporary sibling of the folder that is made, then renamed; out must be new or empty (TL_OUTPUT). */
char *tl_merge_begin_folder(const char *out, struct tl_arena *arena, struct tl_err *err);
bool tl_merge_commit_folder(const char *temp, const char *out, struct tl_err *err);
/* Removes what there is of it. */
void tl_merge_abort_folder(const char *temp);

#endif
