/* What the front ends share: a spectrum, a bank, a logarithm. */
#ifndef TL_AUDIO_FRONT_INNER_H
#define TL_AUDIO_FRONT_INNER_H

#include "audio/front.h"
#include "audio/mel.h"
#include "audio/spectrum.h"

struct tl_front_bank {
    struct tl_spectrum *spectrum; /* owns, as the next */
    struct tl_mel *mel;
    double scale; /* of the spectrum; 0: as it is */
    double floor; /* ln(mel + floor); 0: decibels */
};

/* One thread's. */
struct tl_front_work {
    struct tl_spectrum_work *spectrum;
    double *bands;
};

/* mel->bins follows from the spectrum. */
bool tl_front_bank_init(struct tl_front_bank *bank, const struct tl_spectrum_params *spectrum,
                        const struct tl_mel_params *mel, struct tl_err *err);
void tl_front_bank_finish(struct tl_front_bank *bank);

bool tl_front_work_init(struct tl_front_work *work, const struct tl_front_bank *bank, struct tl_err *err);
void tl_front_work_finish(struct tl_front_work *work);

/* Frames first to first + count - 1 of x[n] into out [count][bands]. */
void tl_front_bank_frames(const struct tl_front_bank *bank, struct tl_front_work *work, const float *x,
                          size_t n, size_t first, size_t count, float *out);

#endif
