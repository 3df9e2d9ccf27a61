/* Loudness of a sound in LUFS as ITU-R BS.1770-4 has it: K-weighting, blocks of 400 ms that overlap by 75 %,
 * an absolute gate at -70 LUFS and a relative one 10 LU below the loudness of what passed it.
 *
 * Channels 1 to 5 (left, right, centre, two surrounds) weigh 1, 1, 1, 1.41, 1.41. A sound of six channels is
 * taken as 5.1 (left, right, centre, LFE, two surrounds), and its LFE does not count. More are refused. */
#ifndef TL_AUDIO_LOUDNESS_H
#define TL_AUDIO_LOUDNESS_H

#include "io/sound.h"

enum tl_loudness_flavour {
    TL_LOUDNESS_BS1770,    /* filters of the standard, at any rate (exact at 48 kHz) */
    TL_LOUDNESS_PYLOUDNORM /* pyloudnorm's default filters: 0.045 LU lower at 1 kHz */
};

const char *tl_loudness_flavour_name(enum tl_loudness_flavour flavour); /* "bs1770", "pyloudnorm" */

/* *out is -INFINITY where nothing passes the gates: a silent sound. TL_BAD_INPUT for a sound shorter than a
 * block of 400 ms, or of channels that the standard does not weigh. */
bool tl_loudness(const struct tl_sound *sound, enum tl_loudness_flavour flavour, double *out,
                 struct tl_err *err);

#endif
