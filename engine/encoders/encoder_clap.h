/* What a reward needs of the encoder `clap` besides encoder.h: the texts of the same folder. */
#ifndef TL_ENCODERS_ENCODER_CLAP_H
#define TL_ENCODERS_ENCODER_CLAP_H

#include "encoders/clap_texts.h"
#include "encoders/encoder.h"

/* Of an encoder of the class tl_encoder_clap; borrowed. */
struct tl_clap_towers *tl_encoder_clap_towers(struct tl_encoder *encoder);

#endif
