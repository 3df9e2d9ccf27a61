/* Samples that walk the sampler together, for whoever acts between its steps (tl_sampler_run does not,
 * steering does).
 *
 *     tl_walk_begin(&w, &run, 0, n, &err);
 *     while (w.k < run.n_steps) {
 *         tl_walk_predict(&w, &err);                    w.x, w.model and w.x0 belong to step k
 *         tl_walk_gather(&w, ancestors);                where particles are resampled
 *         tl_walk_advance(&w, NULL, NULL, NULL, &err);  w.x of step k + 1
 *     }
 *     tl_walk_finish(&w);
 *
 * All samples stand at the same step; the network sees them in runs of run->batch. Noise is keyed by the
 * sample's number and the step, never by what stands in its place: a sample's way without gathers is that of
 * any batch, and copies of one sample part with the next step's noise. Not thread-safe.
 *
 * x is what the sampler walks in (sampler_step.h): the network is shown c_in x, and noise that a sample
 * starts from or is given is multiplied by the first step's `start`. */
#ifndef TL_SAMPLE_WALK_H
#define TL_SAMPLE_WALK_H

#include "sample/sampler_run.h"

struct tl_walk {
    const struct tl_sampler_run *run; /* borrowed: outlives the walk */
    size_t first, n, dim;             /* samples first .. first + n - 1 of the run; floats of one */
    size_t k;                         /* the step that comes next; run->n_steps: x is x_0 */
    float *x;                         /* [n][dim] before step k */
    float *model;   /* [n][dim] the network's output at x, guidance applied; after predict */
    float *x0;      /* [n][dim] the clean sample that this output predicts (clipped where the step clips) */
    float *x0_prev; /* [n][dim] x0 of the step before; NULL where no step looks back */
    float *noise;   /* [dim]: scratch */
    float *rows;    /* scratch of gather and of network runs */
    float *t;       /* [batch] */
    bool predicted; /* model and x0 belong to x */
    struct tl_condition_rows conditions;
};

/* Fills x with the samples' starts. A walk that failed to begin may be finished. */
bool tl_walk_begin(struct tl_walk *walk, const struct tl_sampler_run *run, size_t first, size_t n,
                   struct tl_err *err);
void tl_walk_finish(struct tl_walk *walk);

/* Runs the network at c_in x, once per step. TL_NUMERIC where an output is not finite. */
bool tl_walk_predict(struct tl_walk *walk, struct tl_err *err);

/* After predict: the gradient of sum(d_x0 * x0) by x, through the network; d_x0, out_d_x [n][dim], may be the
 * same. The denoiser is planned with input_gradient. */
bool tl_walk_pullback(struct tl_walk *walk, const float *d_x0, float *out_d_x, struct tl_err *err);

/* Sample i becomes a copy of what sample ancestors[i] was, in every piece of state; ancestors [n], any
 * numbers below n. */
void tl_walk_gather(struct tl_walk *walk, const size_t *ancestors);
/* The same of the caller's own array [n][dim]. */
void tl_walk_gather_rows(struct tl_walk *walk, float *array, const size_t *ancestors);

/* x <- mean + shift + sigma z, after predict. shift [n][dim] moves the mean of the transition (a guided
 * proposal); NULL: none. It needs sigma > 0.
 * out_log_prob [n] (NULL: none): log N(x_s; mean, sigma^2) without shift, 0 where sigma is 0.
 * out_log_ratio [n] (NULL: none): log p(x_s | x_t) - log tau(x_s | x_t) of the base transition p and the
 * shifted one, tau; 0 without a shift. With d = shift: -sum(d z / sigma + d^2 / (2 sigma^2)). */
bool tl_walk_advance(struct tl_walk *walk, const float *shift, double *out_log_prob, double *out_log_ratio,
                     struct tl_err *err);

#endif
