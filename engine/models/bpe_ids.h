/* Token ids of a text. */
#ifndef TL_MODELS_BPE_IDS_H
#define TL_MODELS_BPE_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

#include "base/str.h"

/* A zeroed struct is a valid empty one. */
struct tl_bpe_ids {
    int32_t *ids; /* owns */
    size_t n, size;
};
void tl_bpe_ids_finish(struct tl_bpe_ids *ids);

/* What a model must know of its tokenizer. */
struct tl_bpe_info {
    size_t n_vocab; /* largest id + 1: rows of the embedding */
    size_t max_len; /* the config's model_max_length, the family's own where it says nothing usable */
    int32_t bos, eos, pad, unk; /* token ids */
};

#endif
