/* Pictures and sounds that integer formulas make: tests/reference/fad_nets.py makes the same. */
#ifndef TL_TESTS_ENCODERS_SUPPORT_SYNTH_H
#define TL_TESTS_ENCODERS_SUPPORT_SYNTH_H

#include "io/image.h"
#include "io/sound.h"

void synth_picture(int width, int height, int seed, struct tl_image *out);
/* 16-bit values over 32768. */
void synth_sound(int rate, size_t frames, int channels, int seed, struct tl_sound *out);

#endif
