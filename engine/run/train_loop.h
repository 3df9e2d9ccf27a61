/* The loop of every method that trains from data: schedule, accumulation, optimiser, EMA, checkpoints,
 * validation, samples, metrics, progress, Ctrl-C, and resuming to the same bytes. What is trained is a task
 * (task.h).
 *
 * A step is an update: the mean gradient of `accumulate` batches. Checkpoints stand between updates only: a
 * stop in the middle of one drops its batches, which are drawn again on the way on. */
#ifndef TL_RUN_TRAIN_LOOP_H
#define TL_RUN_TRAIN_LOOP_H

#include <tiller/train.h>

#include "run/run_folder.h"
#include "run/task.h"

/* Trains `task` as params say, in `folder`; ends with what the task saves (the EMA where there is one).
 * Where the task validates: phase "validation" in metrics.jsonl, best_validation in run.json, and a line of
 * summary.txt. */
bool tl_train_loop(const struct tl_job *job, const struct tl_supervised_params *params,
                   struct tl_device *device, struct tl_run_folder *folder, struct tl_task *task,
                   struct tl_err *err);

/* ---- train_rate.c ---- */

extern const char *const tl_train_schedules[]; /* names, ends at NULL; params->schedule is an index */
/* The learning rate of step k of params->steps, from 0: a linear warm-up times the schedule. */
double tl_train_rate(const struct tl_supervised_params *params, int k);

#endif
