/* What the methods' files share: opening a run. */
#ifndef TL_RUN_TRAIN_METHODS_H
#define TL_RUN_TRAIN_METHODS_H

#include <tiller/train.h>

#include "run/run_folder.h"
#include "tensor/device.h"

struct tl_training {
    struct tl_device *device;
    struct tl_run_folder *folder;
};

/* Opens device and folder, writes config.json and run.json (`inputs`: files whose hashes are recorded). */
bool tl_training_open(struct tl_training *t, const struct tl_job *job, const struct tl_options *options, const char *method, const char *out, bool resume,
                      const struct tl_run_input *inputs, size_t n_inputs, struct tl_err *err);
void tl_training_close(struct tl_training *t);

extern const struct tl_option tl_vae_options[], tl_contrastive_options[], tl_sft_options[], tl_prdp_options[];
bool tl_train_vae(const struct tl_job *job, struct tl_options *options, const void *params, struct tl_err *err);
bool tl_train_contrastive(const struct tl_job *job, struct tl_options *options, const void *params, struct tl_err *err);
bool tl_train_sft(const struct tl_job *job, struct tl_options *options, const void *params, struct tl_err *err);
bool tl_train_prdp(const struct tl_job *job, struct tl_options *options, const void *params, struct tl_err *err);

#endif
