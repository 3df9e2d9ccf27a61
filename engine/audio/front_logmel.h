/* Statistics of log-mel bands by the second: an embedding that needs no weights. The definition is ours.
 *
 * One channel at 16 kHz is cut into windows of one second, one after the other. The last, incomplete one
 * counts where it has at least half a second, filled up with zeros; a file shorter than a window gives one
 * window in the same way, however short it is. Of a window: frames of 1024 samples under a periodic Hann
 * window, every 160 samples, none beyond the window's ends (94 frames); p = |2 X / sum of the window|^2, so
 * that a sine of full scale reads about 1; 64 bands of Slaney's scale from 50 to 8000 Hz, triangles over Hz
 * that peak at 1; v = ln(band + 1e-10), a floor that hides what rounding to 16 bits adds. The window's
 * numbers are the 64 means of v over its frames and then the 64 standard deviations (divisor: the number of
 * frames). */
#ifndef TL_AUDIO_FRONT_LOGMEL_H
#define TL_AUDIO_FRONT_LOGMEL_H

#include "audio/front.h"

enum { TL_FRONT_LOGMEL_RATE = 16000, TL_FRONT_LOGMEL_BANDS = 64, TL_FRONT_LOGMEL_DIM = 128 };

struct tl_front_logmel;
struct tl_front_logmel *tl_front_logmel_create(struct tl_err *err);
void tl_front_logmel_destroy(struct tl_front_logmel **front);

/* samples [n] at 16 kHz. out: n windows of one channel, one frame, 128 values. TL_BAD_INPUT for no sample. */
bool tl_front_logmel_run(const struct tl_front_logmel *front, const float *samples, size_t n,
                         struct tl_front *out, struct tl_err *err);

#endif
