/* Method `contrastive`: trains a CLIPModel on captioned pictures: symmetric cross-entropy over the batch's
 * similarities (Radford et al. 2021), pairs with equal captions masked.
 *
 * Two things help small data sets and are used where the folder's metadata.jsonl has them:
 *   "negatives": captions that are false for this picture only: one is drawn a step and stands in the
 * picture's own row alone; "patch_labels": strings of one digit a patch (row by row, 0 = nothing): a linear
 * head on the patch states learns them, and is dropped at the end. It is what makes small towers see shapes.
 */
#ifndef TL_RUN_TASK_CONTRASTIVE_H
#define TL_RUN_TASK_CONTRASTIVE_H

#include "models/clip_bpe.h"
#include "models/component.h"
#include "run/task.h"

struct tl_task_contrastive_params {
    const char *data;
    const char *vae; /* folder of an AutoencoderKL: half of the pictures are seen through it, so that scores
                        hold for its decoder's pictures; or NULL */
    int batch;
    double noise;        /* deviation of pixel noise on [-1,1], drawn uniformly up to it per picture */
    double patch_weight; /* of the patch head's loss; 0 leaves it out */
    bool strict;
    uint64_t seed;
};

/* Takes over component and tokenizer. */
bool tl_task_contrastive_create(struct tl_component *clip, struct tl_clip_bpe *tokenizer,
                                const struct tl_task_contrastive_params *params, struct tl_task *out,
                                struct tl_err *err);

#endif
