/* What the files of resample.h share. */
#ifndef TL_AUDIO_RESAMPLE_INNER_H
#define TL_AUDIO_RESAMPLE_INNER_H

#include "audio/resample.h"

/* One resampler's work: `out` has its rate and channels, and takes frames and samples. */
typedef bool resample_run(const struct tl_sound *in, int rate, struct tl_sound *out, struct tl_err *err);
resample_run resample_torchaudio, resample_fadtk, resample_resampy_best, resample_resampy_fast;

/* The modified Bessel function I0, x from 0 to 20, to the last bits. */
double resample_bessel_i0(double x);

/* Takes the memory; TL_BAD_INPUT where no frame is left or too many are. */
bool resample_take(const struct tl_sound *in, int rate, size_t frames, struct tl_sound *out,
                   struct tl_err *err);

#endif
