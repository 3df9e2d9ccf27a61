/* What a reward needs of the encoder `clip` besides encoder.h: its towers, for the texts of the same folder
 * and for gradients, and how pictures become its input. */
#ifndef TL_ENCODERS_ENCODER_CLIP_H
#define TL_ENCODERS_ENCODER_CLIP_H

#include "encoders/clip_pixels.h"
#include "encoders/clip_towers.h"
#include "encoders/encoder.h"

/* Of an encoder of the class tl_encoder_clip; borrowed. */
struct tl_clip_towers *tl_encoder_clip_towers(struct tl_encoder *encoder);
const struct tl_clip_pixels *tl_encoder_clip_pixels(const struct tl_encoder *encoder);

#endif
