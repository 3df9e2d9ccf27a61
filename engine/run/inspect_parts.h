/* The parts of `inspect`: each adds the facts of one kind of thing to a listing. */
#ifndef TL_RUN_INSPECT_PARTS_H
#define TL_RUN_INSPECT_PARTS_H

#include "io/safetensors.h"
#include "run/listing.h"

/* Counts by dtype, metadata, and (unless brief) every tensor. */
void tl_inspect_tensors(cJSON *out, const struct tl_st_set *set, bool brief);

/* A "lora" block where the names are those of an adapter: format, parts, ranks, alphas, layers. */
void tl_inspect_lora(cJSON *out, const struct tl_st_set *set);

/* Folders are told apart by the files in them. *out_whole becomes false where a member of a pipeline is
 * missing or damaged (it is warned of and noted in the listing). */
bool tl_inspect_folder(cJSON *out, const char *folder, bool brief, bool *out_whole, struct tl_err *err);

#endif
