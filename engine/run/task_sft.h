/* Method `sft`: trains a latent diffusion UNet on captioned pictures: mean square error of the scheduler's
 * prediction type at random timesteps, captions dropped now and then for classifier-free guidance. Latents
 * are computed once.
 *
 * The model is a diffusers pipeline folder. What is trained is a LoRA on the UNet and, on request, on the
 * text encoder, or with `full` all their weights; a unet/ without weights starts from random ones
 * (pretraining), all of which are trained. */
#ifndef TL_RUN_TASK_SFT_H
#define TL_RUN_TASK_SFT_H

#include <tiller/train.h>

#include "run/memory_plan.h"
#include "run/task.h"

/* job: seed and progress. The strings of the params are borrowed. */
bool tl_task_sft_create(struct tl_device *device, const struct tl_job *job,
                        const struct tl_supervised_params *params, struct tl_task *out, struct tl_err *err);

/* ---- task_sft_memory.c ---- */
/* What a run would take, without taking it; the pictures are looked through, but not encoded. */
struct tl_sft_needs {
    struct tl_memory_plan plan;
    size_t n_pictures, n_held_out, n_skipped, n_buckets;
    uint64_t visits, per_pass; /* of a pass: pictures seen, repeats too; updates */
    size_t trained;            /* floats */
    bool full;
};
bool tl_task_sft_needs(struct tl_device *device, const struct tl_job *job,
                       const struct tl_supervised_params *params, struct tl_sft_needs *out,
                       struct tl_err *err);

#endif
