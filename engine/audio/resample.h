/* One channel, and another rate. Several resamplers, because tools differ in theirs and so do their numbers:
 * each has a name for reports. All are linear, keep a constant as it is away from the ends (zeros lie beyond
 * them; resampy's to 1e-4 or so), and give the same bits on any number of threads. */
#ifndef TL_AUDIO_RESAMPLE_H
#define TL_AUDIO_RESAMPLE_H

#include "io/sound.h"

enum tl_resampler {
    TL_RESAMPLE_SOXR_VHQ,     /* the default: 28-bit precision */
    TL_RESAMPLE_SOXR_HQ,      /* 20-bit; what librosa takes */
    TL_RESAMPLE_TORCHAUDIO,   /* torchaudio's defaults: Hann-windowed sinc, width 6, rolloff 0.99 */
    TL_RESAMPLE_KAISER_FADTK, /* torchaudio's Kaiser-windowed sinc with fadtk's settings: width 64, rolloff
                                 0.9475937167399596, beta 14.769656459379492 */
    TL_RESAMPLE_RESAMPY_BEST, /* resampy's kaiser_best, as frechet-audio-distance has it */
    TL_RESAMPLE_RESAMPY_FAST,
    TL_RESAMPLERS
};

/* "soxr-vhq", "soxr-hq", "torchaudio", "kaiser-fadtk", "resampy-best", "resampy-fast". */
const char *tl_resampler_name(enum tl_resampler how);
/* TL_USAGE that names what there is. */
bool tl_resampler_parse(const char *name, enum tl_resampler *out, struct tl_err *err);

/* The mean of the channels, summed in double; one channel is copied bit for bit. */
bool tl_sound_mono(const struct tl_sound *sound, struct tl_sound *out, struct tl_err *err);

/* To another rate, each channel by itself; the same rate gives a copy. The number of frames is frames * rate
 * / sound->rate, rounded as each tool rounds: soxr to nearest, torchaudio up (in float32), resampy down. A
 * result without frames, or past the limits of sound.h, is TL_BAD_INPUT; so is, by torchaudio's and fadtk's,
 * a sound of a rate that shares so little with the other that its kernel would be past 64 MiB. Kernels are
 * kept between calls. Thread-safe. */
bool tl_sound_resample(const struct tl_sound *sound, int rate, enum tl_resampler how, struct tl_sound *out,
                       struct tl_err *err);

/* Both: one channel at `rate`. */
bool tl_sound_mono_at(const struct tl_sound *sound, int rate, enum tl_resampler how, struct tl_sound *out,
                      struct tl_err *err);

/* A trip through 16-bit PCM as libsndfile writes floats (and so soundfile, and torchaudio.save over it): full
 * scale is 32768, rounded down, clipped. fadtk's resampled sounds have made it before they are embedded. */
void tl_sound_to_pcm16(struct tl_sound *sound);

#endif
