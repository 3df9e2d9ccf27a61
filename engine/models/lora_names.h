/* The names of LoRA tensors in the files of other programs, and the layers they mean.
 *
 * A key is a module and a suffix that says which matrix it is. Modules come as the model's own dotted names,
 * behind a component ("unet.", "text_encoder.", PEFT's "base_model.model."), in the older spellings of
 * diffusers ("attn1.processor.to_q_lora"), or flattened behind a token ("lora_unet_down_blocks_0_...", SDXL:
 * the names of the original checkpoint, "lora_unet_input_blocks_4_1_..."). Flattening cannot be undone, so
 * such a name is looked up among the model's own layers, flattened. */
#ifndef TL_MODELS_LORA_NAMES_H
#define TL_MODELS_LORA_NAMES_H

#include "base/arena.h"
#include "io/safetensors.h"
#include "tensor/store.h"

/* The components of a pipeline that carry adapters. */
enum tl_lora_part { TL_LORA_UNET, TL_LORA_TEXT, TL_LORA_TEXT_2, TL_LORA_PARTS };

extern const char *const tl_lora_part_names[TL_LORA_PARTS]; /* "unet", "text_encoder", "text_encoder_2" */

/* The layouts of the components' weights; NULL where the model has no such component. Borrowed. */
struct tl_lora_model {
    const struct tl_store_layout *part[TL_LORA_PARTS];
};

enum tl_lora_kind {
    TL_LORA_DOWN,
    TL_LORA_UP,
    TL_LORA_ALPHA,
    TL_LORA_BIAS,    /* of the up matrix: added to the layer's own bias */
    TL_LORA_REFUSED, /* DoRA, Tucker: changes the numbers and is not supported */
    TL_LORA_UNKNOWN,
};

struct tl_lora_key {
    enum tl_lora_kind kind;
    int part;                        /* -1: the key does not say */
    bool flat;                       /* the module is flattened */
    char module[TL_ST_MAX_NAME + 8]; /* without component and suffix, in the model's spelling unless flat */
};

/* Never fails: what is no LoRA key has kind TL_LORA_UNKNOWN. */
void tl_lora_key_parse(const char *key, struct tl_lora_key *out);

/* One layer that can carry an adapter. */
struct tl_lora_module {
    const char *flat; /* sorted by it */
    const struct tl_store_entry *entry;
};

/* The layers of a model by flattened name. Strings live in the arena. */
struct tl_lora_names {
    struct tl_arena arena;
    const struct tl_lora_model *model; /* borrowed */
    struct tl_lora_module *modules[TL_LORA_PARTS];
    size_t n[TL_LORA_PARTS];
};

bool tl_lora_names_init(struct tl_lora_names *names, const struct tl_lora_model *model, struct tl_err *err);
void tl_lora_names_finish(struct tl_lora_names *names);

/* The weight that the key's matrices change, and its component; NULL where the model has no such layer. */
const struct tl_store_entry *tl_lora_names_find(const struct tl_lora_names *names,
                                                const struct tl_lora_key *key, int *out_part);

/* Whether the weight is that of a linear layer or a convolution: what can carry an adapter. */
bool tl_lora_is_layer(const struct tl_store_entry *entry);

/* The layer's name: the entry's without ".weight". Borrowed from the entry, n bytes long. */
size_t tl_lora_layer_len(const struct tl_store_entry *entry);

/* kohya's name of a layer ("lora_unet_..."); SDXL's UNet has the names of the original checkpoint. xl: the
 * pipeline has two text encoders. */
char *tl_lora_kohya_name(struct tl_arena *arena, int part, const struct tl_store_layout *layout,
                         const struct tl_store_entry *entry, bool xl);

#endif
