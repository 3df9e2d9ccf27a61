/* What the methods' files share: opening a run. */
#ifndef TL_RUN_TRAIN_METHODS_H
#define TL_RUN_TRAIN_METHODS_H

#include <tiller/train.h>

#include "run/run_folder.h"
#include "tensor/device.h"

struct tl_training {
    const struct tl_job *job;
    struct tl_device *device;
    struct tl_run_folder *folder;
};

/* Opens the device and locks the folder. Nothing is written yet: what fails before tl_training_begin leaves a
 * folder that is no run, so that the same command works once its cause is gone. Closing an empty one is fine.
 */
bool tl_training_open(struct tl_training *t, const struct tl_job *job, const char *out, bool resume,
                      struct tl_err *err);

/* Writes config.json (method, device, threads, seed, options) and run.json (`inputs`: files whose hashes are
 * recorded): from here on the folder is a run. One that was begun already is refused where options, seed,
 * method or inputs are not those of its beginning (TL_USAGE, TL_BAD_INPUT). */
bool tl_training_begin(struct tl_training *t, const struct tl_options *options, const char *method,
                       const struct tl_run_input *inputs, size_t n_inputs, struct tl_err *err);
/* Takes a begun run back that failed before it had anything to keep: the folder is no run again. Does nothing
 * where the run was begun earlier, or a checkpoint was. */
void tl_training_forget(struct tl_training *t);
void tl_training_close(struct tl_training *t);

extern const struct tl_option tl_vae_options[], tl_contrastive_options[], tl_sft_options[], tl_prdp_options[],
    tl_ddpo_options[];
bool tl_train_vae(const struct tl_job *job, struct tl_options *options, const void *params,
                  struct tl_err *err);
bool tl_train_contrastive(const struct tl_job *job, struct tl_options *options, const void *params,
                          struct tl_err *err);
bool tl_train_sft(const struct tl_job *job, struct tl_options *options, const void *params,
                  struct tl_err *err);
bool tl_train_prdp(const struct tl_job *job, struct tl_options *options, const void *params,
                   struct tl_err *err);
bool tl_train_ddpo(const struct tl_job *job, struct tl_options *options, const void *params,
                   struct tl_err *err);

#endif
