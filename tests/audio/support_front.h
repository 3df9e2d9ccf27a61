/* Signals and fixtures that the front ends' tests share. */
#ifndef TL_TESTS_AUDIO_SUPPORT_FRONT_H
#define TL_TESTS_AUDIO_SUPPORT_FRONT_H

#include "support/check.h"

#include "audio/front.h"

/* 0.5 sin(2 pi 440 t) + 0.25 sin(2 pi 3000 t). The caller frees, as the next. */
float *support_two_tones(size_t n, int rate);
/* tests/reference/front_ends.py's signal. */
float *support_signal(size_t n, int rate, uint32_t seed);

struct tl_st_file *support_fixture(void);
/* The kept frames of the fixture's case: every value within 60 dB of its frame's largest agrees to 1e-4
 * (relative, absolute below 1); is_decibel false: every value. channels * n of `front` count as one axis. */
void support_compare(const struct tl_st_file *io, const char *name, const struct tl_front *front,
                     bool is_decibel);
/* One number of the fixture. */
int64_t support_number(const struct tl_st_file *io, const char *name, size_t i);

#endif
