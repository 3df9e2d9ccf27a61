/* The rows of the table in encoders.c: one file each. */
#ifndef TL_ENCODERS_ENCODER_ROWS_H
#define TL_ENCODERS_ENCODER_ROWS_H

#include "encoders/encoder.h"

extern const struct tl_encoder_class tl_encoder_clip;
extern const struct tl_encoder_class tl_encoder_clap;
extern const struct tl_encoder_class tl_encoder_logmel;
extern const struct tl_encoder_class tl_encoder_inception;
extern const struct tl_encoder_class tl_encoder_vggish;
extern const struct tl_encoder_class tl_encoder_panns;

#endif
