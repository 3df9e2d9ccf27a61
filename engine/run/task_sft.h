/* Method `sft`: trains a latent diffusion UNet on captioned pictures: mean square error of the scheduler's
 * prediction type, captions dropped now and then for classifier-free guidance, latents and text encodings
 * computed once.
 *
 * The model is a diffusers pipeline folder; a unet/ without weights is started from random ones
 * (pretraining). */
#ifndef TL_RUN_TASK_SFT_H
#define TL_RUN_TASK_SFT_H

#include "run/task.h"

struct tl_task_sft_params {
    const char *data, *model;
    int batch;
    int size;               /* side of the pictures; 0: the first picture's */
    double caption_dropout; /* share of samples that see the empty caption */
    double snr_gamma; /* > 0: loss weights min(SNR, gamma) / SNR (/ (SNR + 1) for v), Hang et al. 2023 */
    bool strict;
    uint64_t seed;
};

bool tl_task_sft_create(struct tl_device *device, const struct tl_task_sft_params *params,
                        struct tl_task *out, struct tl_err *err);

#endif
