/* The front end of PANNs' Cnn14 and its relatives: decibels of 64 mel bands, centred frames every 10 ms.
 * Read-only once made: any number of threads may run it. */
#ifndef TL_AUDIO_FRONT_PANNS_H
#define TL_AUDIO_FRONT_PANNS_H

#include "audio/front.h"

enum tl_panns_variant {
    TL_PANNS_32K, /* Cnn14: 1024 / 320, 50 to 14000 Hz */
    TL_PANNS_16K, /* Cnn14_16k: 512 / 160, to 8000 Hz */
    TL_PANNS_8K   /* Cnn14_8k: 256 / 80, to 4000 Hz */
};

enum { TL_FRONT_PANNS_BANDS = 64, TL_FRONT_PANNS_MIN_FRAMES = 32 /* five poolings */ };

struct tl_front_panns;
/* mel_w: the checkpoint's logmel_extractor.melW [bins][64], bins = fft / 2 + 1, which counts where it is
 * there (the variant's range of frequencies is by repute); NULL: made. Copied. */
struct tl_front_panns *tl_front_panns_create(enum tl_panns_variant variant, const float *mel_w,
                                             struct tl_err *err);
void tl_front_panns_destroy(struct tl_front_panns **front);

int tl_front_panns_rate(enum tl_panns_variant variant);
size_t tl_front_panns_bins(enum tl_panns_variant variant); /* rows of mel_w: 513, 257, 129 */
/* The made bank up to `high` Hz, [bins][64], to hold a stored one against. */
bool tl_front_panns_bank(enum tl_panns_variant variant, double high, float *out, struct tl_err *err);

/* samples [n], one channel at the variant's rate. out: one picture of one channel, 1 + n / hop frames, 64
 * bands. TL_BAD_INPUT for fewer than 32 frames (31 hops). */
bool tl_front_panns_run(const struct tl_front_panns *front, const float *samples, size_t n,
                        struct tl_front *out, struct tl_err *err);

#endif
