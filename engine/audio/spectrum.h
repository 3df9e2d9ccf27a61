/* Short-time Fourier transforms of one channel, frame by frame, in double over FFTW.
 *
 * A spectrum is made once and then only read: any number of threads may run frames of it at once, each with a
 * work of its own. Plans are estimated, never measured, so that the same input gives the same bits on every
 * run. */
#ifndef TL_AUDIO_SPECTRUM_H
#define TL_AUDIO_SPECTRUM_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

struct tl_spectrum_params {
    size_t window;   /* samples under the periodic Hann window, 2 to fft */
    size_t hop;      /* at least 1 */
    size_t fft;      /* the window's samples stand first, zeros behind them */
    bool is_centred; /* frame i's middle is sample i * hop: window / 2 samples are mirrored beyond each end,
                        the outermost not repeated */
    bool is_power;   /* |X|^2; otherwise |X| */
};

struct tl_spectrum;
struct tl_spectrum_work;

struct tl_spectrum *tl_spectrum_create(const struct tl_spectrum_params *params, struct tl_err *err);
void tl_spectrum_destroy(struct tl_spectrum **spectrum);

size_t tl_spectrum_bins(const struct tl_spectrum *spectrum); /* fft / 2 + 1 */
/* Of n samples: 1 + (n - window) / hop, centred 1 + n / hop; 0 where they are too short for one frame or for
 * the mirrored ends. */
size_t tl_spectrum_frames(const struct tl_spectrum *spectrum, size_t n);
/* The fewest samples that give `frames` of them, at least 1. */
size_t tl_spectrum_samples(const struct tl_spectrum *spectrum, size_t frames);

struct tl_spectrum_work *tl_spectrum_work_create(const struct tl_spectrum *spectrum, struct tl_err *err);
void tl_spectrum_work_destroy(struct tl_spectrum_work **work);

/* One frame of x[n], frame < tl_spectrum_frames(n): bins that stay valid until the work's next call. */
const double *tl_spectrum_frame(const struct tl_spectrum *spectrum, struct tl_spectrum_work *work,
                                const float *x, size_t n, size_t frame);

#endif
