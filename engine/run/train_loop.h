/* The loop of every method that trains from data: schedule, optimiser, EMA, checkpoints, metrics, progress,
 * Ctrl-C, and resuming to the same bytes. What is trained is a task (task.h). */
#ifndef TL_RUN_TRAIN_LOOP_H
#define TL_RUN_TRAIN_LOOP_H

#include <tiller/train.h>

#include "run/run_folder.h"
#include "run/task.h"

/* Trains `task` as params say, in `folder`; ends with the model in FOLDER/model (the EMA where there is one).
 */
bool tl_train_loop(const struct tl_job *job, const struct tl_supervised_params *params,
                   struct tl_device *device, struct tl_run_folder *folder, struct tl_task *task,
                   struct tl_err *err);

/* The learning rate of step k of n, from 0. */
double tl_train_rate(const struct tl_supervised_params *params, int k);

#endif
