/* What tools do to a sound before an audio encoder, and to its embeddings behind it: settings `compat=NAME`
 * and `resample=NAME` of vggish, panns and clap. Without one the sound is resampled as well as we can and
 * nothing is rounded. */
#ifndef TL_ENCODERS_SOUND_COMPAT_H
#define TL_ENCODERS_SOUND_COMPAT_H

#include "audio/resample.h"

struct tl_sound_compat {
    const char *name; /* "none", "fadtk", ... static */
    const char *text; /* in words, for settings; static */
    enum tl_resampler resampler;
    bool is_pcm16;  /* through 16-bit PCM once it is resampled */
    bool is_padded; /* to a second, where the encoder takes seconds */
    bool is_half;   /* embeddings are stored as float16 */
    bool is_google; /* google-research's FAD: over max(0.1, largest sample), whole windows of a second every
                       half second, embeddings behind their relu (the last by repute) */
};

/* compat and resample may be NULL. TL_USAGE that names what there is. */
bool tl_sound_compat_parse(const char *compat, const char *resample, struct tl_sound_compat *out,
                           struct tl_err *err);

/* One channel at `rate`, with what the tool does to its samples. TL_BAD_INPUT for a sample that is not
 * finite: a file's own are, but resampled ones may pass the largest float. */
bool tl_sound_compat_samples(const struct tl_sound_compat *compat, const struct tl_sound *sound, int rate,
                             struct tl_sound *out, struct tl_err *err);

/* What the tool's file of embeddings keeps of x [n]. */
void tl_sound_compat_rows(const struct tl_sound_compat *compat, float *x, size_t n);

#endif
