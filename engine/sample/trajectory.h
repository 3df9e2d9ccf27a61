/* Stored trajectories of a group of samples: every x from x_T to x_0, and the log-ratios of their steps.
 *
 * Layout: x is [n_steps + 1][n_samples][dim], slot 0 holds x_T, slot n_steps holds x_0; so one slot is one
 * batch for the network. Ratios are [n_samples][n_steps], as the losses read them. A trajectory loss writes
 * old_ratio once, from the snapshot that drew the samples, and ratio in every pass. dim counts the floats of
 * one sample. */
#ifndef TL_SAMPLE_TRAJECTORY_H
#define TL_SAMPLE_TRAJECTORY_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

struct tl_trajectory {
    size_t n_steps, n_samples, dim;
    float *x;          /* owned */
    double *old_ratio; /* owned: log pi_old - log pi_ref of each step; zero after init */
    double *ratio;     /* owned: log pi_theta - log pi_ref of each step; zero after init */
};

/* Sizes are checked; a size of 0 is refused. A zeroed struct may be finished. */
bool tl_trajectory_init(struct tl_trajectory *t, size_t n_steps, size_t n_samples, size_t dim,
                        struct tl_err *err);
void tl_trajectory_finish(struct tl_trajectory *t);

/* Bytes that init would allocate, for printing before a run starts. False on overflow. */
bool tl_trajectory_bytes(size_t n_steps, size_t n_samples, size_t dim, size_t *out_bytes);

/* The batch before step k (k = 0 is x_T, k = n_steps is x_0): [n_samples][dim], borrowed. */
float *tl_trajectory_slot(const struct tl_trajectory *t, size_t k);

/* One sample of that batch: [dim], borrowed. */
float *tl_trajectory_at(const struct tl_trajectory *t, size_t k, size_t sample);

#endif
