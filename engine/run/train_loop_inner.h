/* Inside of the training loop: what its files share. */
#ifndef TL_RUN_TRAIN_LOOP_INNER_H
#define TL_RUN_TRAIN_LOOP_INNER_H

#include "nn/optimizer.h"
#include "run/run_metrics.h"
#include "run/train_loop.h"

enum { TL_LOOP_MOST_SKIPPED = 10 };

/* Looks at a training: bits. */
enum { TL_LOOP_VALIDATION = 1, TL_LOOP_SAMPLES = 2 };

struct tl_loop {
    const struct tl_job *job;
    const struct tl_supervised_params *p;
    struct tl_run_folder *folder;
    struct tl_task *task;
    struct tl_optimizer *main, *aux;
    struct tl_store *ema;
    struct tl_run_metrics *metrics;
    int step; /* steps taken, skipped ones too */
    double sums[TL_TASK_METRICS +
                1];        /* since the last row, of updates that were made; the norm behind the metrics */
    int n_sums, n_skipped; /* skipped in a row */
    double first_loss, best_loss, last_loss; /* of validation */
    int best_step, last_step;                /* -1: none yet */
    int saved_step;                          /* of the newest checkpoint; -1: none */
    unsigned looks;                          /* that are due after this step and not made yet */
    int64_t resumed_rows;                    /* of metrics, as the checkpoint has it; -1: not known */
    double start, last_progress, loss;
    int start_step;
};

static inline int tl_loop_count(const char *const names[TL_TASK_METRICS])
{
    int n = 0;
    while (n < TL_TASK_METRICS && names[n]) n++;
    return n;
}

/* What is saved, sampled and validated. */
static inline struct tl_store *tl_loop_weights(const struct tl_loop *l)
{
    return l->ema ? l->ema : l->task->weights;
}

/* ---- train_loop_state.c ---- */
bool tl_loop_save(struct tl_loop *l, struct tl_err *err); /* a checkpoint, unless this step has one */
bool tl_loop_load(struct tl_loop *l, struct tl_err *err); /* the newest one */

/* ---- train_loop_look.c ---- */
unsigned tl_loop_looks_due(const struct tl_loop *l); /* after l->step steps */
/* Makes l->looks, one after another, and takes what is made off them. TL_INTERRUPTED: asked to stop within
 * one, of which nothing is kept. */
bool tl_loop_look(struct tl_loop *l, struct tl_err *err);
/* summary.txt: what validation said of the run. */
bool tl_loop_summary(const struct tl_loop *l, struct tl_err *err);

#endif
