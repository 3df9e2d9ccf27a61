/* What the front ends of audio encoders give: log-mel pictures of one file. */
#ifndef TL_AUDIO_FRONT_H
#define TL_AUDIO_FRONT_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

/* Of one sound's pictures, 1 GiB: a longer sound is refused before memory is taken. */
enum { TL_FRONT_MOST_FLOATS = 1 << 28 };

/* Zeroed is empty. */
struct tl_front {
    size_t n, channels, frames, bands;
    float *x; /* [n][channels][frames][bands]; owns */
};

void tl_front_finish(struct tl_front *front);
/* Zeroed values; on failure *out is left empty. TL_BAD_INPUT past TL_FRONT_MOST_FLOATS. */
bool tl_front_init(struct tl_front *out, size_t n, size_t channels, size_t frames, size_t bands,
                   struct tl_err *err);

#endif
