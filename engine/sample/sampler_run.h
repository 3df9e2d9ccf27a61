/* The sampler's loop: x_T to x_0 for any number of samples of several prompts, a batch at a time.
 *
 * Noise is keyed by picture number and step (latents.h), so a picture does not depend on the batch that it is
 * drawn in, but for the rounding of the device's products. */
#ifndef TL_SAMPLE_SAMPLER_RUN_H
#define TL_SAMPLE_SAMPLER_RUN_H

#include "sample/condition.h"
#include "sample/sampler_step.h"
#include "sample/trajectory.h"

struct tl_sampler_run {
    const struct tl_pipeline *pipeline; /* its configs; the weights are those below */
    struct tl_denoiser
        *denoiser; /* planned for batch, height, width, the pipeline's tokens, and guided if guidance > 1 */
    const struct tl_denoiser_weights *weights;
    int batch, height, width; /* of the latents */
    const struct tl_step *steps;
    size_t n_steps;
    double guidance;
    uint64_t seed;

    size_t n;                /* samples */
    const uint32_t *numbers; /* [n] picture numbers; NULL: 0 .. n-1 */
    const struct tl_encoding *prompts;
    const size_t *prompt;               /* [n] row of `prompts` of each sample; NULL: sample i has prompt i */
    const struct tl_encoding *negative; /* one, or one a prompt; needed where guided */
    const float *initial; /* unit noise [n,h,w,c], which the first step's `start` scales to x_T; NULL: drawn */

    /* Called after each step of each batch with the samples finished so far, counted in steps of single
     * samples (of n * n_steps); x is the batch [m,h,w,c] after step k, samples first .. first+m-1. False
     * stops the run; the callee has set err. May be NULL. */
    bool (*after_step)(void *user, size_t done, size_t k, size_t first, size_t m, const float *x,
                       struct tl_err *err);
    void *user;
};

/* out [n,h,w,c] gets x_0. trajectory (NULL: none), initialised for n_steps, n and h*w*c, gets every x.
 * out_log_prob (NULL: none) [n][n_steps] gets log N(x_s; mean, sigma^2) of every step, 0 where sigma is 0. A
 * value that is not finite ends the run with TL_NUMERIC. */
bool tl_sampler_run(const struct tl_sampler_run *run, float *out, struct tl_trajectory *trajectory,
                    double *out_log_prob, struct tl_err *err);

#endif
