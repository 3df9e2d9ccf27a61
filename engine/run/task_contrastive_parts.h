/* Inside of contrastive training: what its files share. */
#ifndef TL_RUN_TASK_CONTRASTIVE_PARTS_H
#define TL_RUN_TASK_CONTRASTIVE_PARTS_H

#include "run/caption_extras.h"
#include "run/task_contrastive.h"
#include "tensor/exec.h"

struct tl_contrastive {
    struct tl_component *clip;
    struct tl_clip_bpe *tokenizer;
    struct tl_store *grads, *aux, *aux_grads;
    struct tl_store_layout *aux_layout;
    struct tl_task_contrastive_params p;
    struct tl_dataset data;
    struct tl_caption_extras extras;
    uint8_t *seen_through_vae; /* [n][h][w][3], or NULL */
    struct tl_task_order order;
    struct tl_exec *exec;
    int tokens, side;
    float *pixels, *mask, *mask_text, *patch_targets[TL_PATCH_CHANNELS];
    int32_t *ids, *rows;
};

/* ---- task_contrastive_graph.c ---- */
/* Inputs: pixel_values, input_ids, eos_rows, mask, mask_text, pick and, with `patches`, patch_targets.K;
 * outputs: logits, contrastive, patch. */
tl_val tl_contrastive_loss(struct tl_nn *nn, const struct tl_contrastive *t, bool patches);

#endif
