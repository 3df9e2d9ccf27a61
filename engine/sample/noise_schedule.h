/* The noise schedule of a diffusion model: alpha_bar[t], the product of 1 - beta up to t, as diffusers builds
 * it.
 *
 * x_t = sqrt(alpha_bar[t]) x_0 + sqrt(1 - alpha_bar[t]) eps, t = 0 .. n - 1, alpha_bar falling. Everything is
 * kept in double; diffusers computes it in float32, so its printed values differ by about 1e-7 relative (1e-5
 * at the noisy end). Also what training needs of it: noising, the target of each prediction type, the
 * signal-to-noise ratio. */
#ifndef TL_SAMPLE_NOISE_SCHEDULE_H
#define TL_SAMPLE_NOISE_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

enum tl_beta_schedule { TL_BETA_LINEAR, TL_BETA_SCALED_LINEAR, TL_BETA_SQUAREDCOS_CAP_V2, TL_BETA_SCHEDULES };

/* What the network's output m is: eps, v = sqrt(a) eps - sqrt(1-a) x_0, or x_0 itself. */
enum tl_prediction { TL_PREDICT_EPSILON, TL_PREDICT_V, TL_PREDICT_SAMPLE, TL_PREDICTIONS };

struct tl_beta_params {
    enum tl_beta_schedule schedule;
    double beta_start, beta_end; /* linear and scaled_linear */
    size_t n;                    /* num_train_timesteps */
    const double
        *trained_betas;    /* [n], borrowed during init; when given, the fields above but n are ignored */
    bool rescale_zero_snr; /* shift and scale sqrt(alpha_bar) so that the last is exactly 0 */
};

struct tl_noise_schedule {
    size_t n;
    double *alpha_bar; /* [n], owned */
};

/* The names that diffusers' config files use; NULL beyond the table. */
const char *tl_beta_schedule_name(enum tl_beta_schedule schedule);
const char *tl_prediction_name(enum tl_prediction prediction);

/* False: n of 0 or above a million, a beta outside [0, 1), no memory. */
bool tl_noise_schedule_init(struct tl_noise_schedule *s, const struct tl_beta_params *p, struct tl_err *err);
void tl_noise_schedule_finish(struct tl_noise_schedule *s);

/* alpha_bar / (1 - alpha_bar); infinite where no noise is left. t < n is the caller's business. */
double tl_noise_snr(const struct tl_noise_schedule *s, size_t t);

/* q(x_t | x_0): out[i] = sqrt(a) x0[i] + sqrt(1-a) eps[i]. out may be x0 or eps. */
void tl_noise_add(const struct tl_noise_schedule *s, size_t t, const float *x0, const float *eps, size_t n,
                  float *out);

/* What the network should answer at t for the pair (x0, eps). out may be x0 or eps. */
void tl_noise_target(const struct tl_noise_schedule *s, enum tl_prediction prediction, size_t t,
                     const float *x0, const float *eps, size_t n, float *out);

#endif
