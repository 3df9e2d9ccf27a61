/* What sound.c, sound_read.c and sound_cut.c share. */
#ifndef TL_IO_SOUND_INNER_H
#define TL_IO_SOUND_INNER_H

#include "io/sound.h"

/* More than the headers of the largest sound take beside its samples. */
#define SOUND_MOST_FILE (4LL * TL_SOUND_MAX_SAMPLES + (256LL << 20))

/* Names the first value that is not finite. */
bool sound_check_finite(const float *samples, size_t frames, int channels, const char *what,
                        struct tl_err *err);

/* Whether the file's header tells of more bytes than there are (libsndfile takes what is left in silence):
 * WAV, RF64, W64, AIFF, AU, CAF. Lengths that writers to a pipe leave (0, near 2 or 4 GiB) tell nothing. */
bool sound_is_cut(const uint8_t *data, size_t n, uint64_t *out_told, uint64_t *out_left);

#endif
