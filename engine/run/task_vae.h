/* Method `vae`: trains an AutoencoderKL on pictures. Loss = l1 + mse + kl_weight * KL per latent value.
 *
 * Training on crops first, then on whole pictures, is much faster than whole pictures from the start: crops
 * that contain something are preferred (of some random places the one with the largest variance). */
#ifndef TL_RUN_TASK_VAE_H
#define TL_RUN_TASK_VAE_H

#include "models/component.h"
#include "run/task.h"

struct tl_task_vae_params {
    const char *data;
    int batch, accumulate; /* pictures of a batch; batches of an update, at least 1 */
    int crop;              /* side of the square crops; 0: whole pictures */
    int size; /* side that pictures are brought to; 0: the config's sample_size, else the first picture's */
    double kl_weight; /* 0.0005 */
    bool fresh;       /* the weights are random: start with a quiet posterior */
    bool strict;
    uint64_t seed;
};

/* Takes over the component. */
bool tl_task_vae_create(struct tl_component *vae, const struct tl_task_vae_params *params,
                        struct tl_task *out, struct tl_err *err);

#endif
