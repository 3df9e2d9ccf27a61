/* PANNs' Cnn14: a log-mel picture of a whole sound to one embedding. The variants for 32, 16 and 8 kHz are
 * the same network behind other front ends (audio/front_panns.h). */
#ifndef TL_MODELS_CNN14_H
#define TL_MODELS_CNN14_H

#include "models/weights_file.h"

enum { TL_CNN14_BANDS = 64, TL_CNN14_MIN_FRAMES = 32 /* five poolings */ };

extern const float tl_cnn14_norm_eps; /* for tl_weights_file_load */

/* What the file says: widths of the six blocks and of fc1, and how its names begin: "", or "model." where it
 * keeps the checkpoint's dict. */
struct tl_cnn14 {
    int64_t widths[7];
    const char *prefix; /* static */
};

/* TL_BAD_INPUT where the file holds no Cnn14. */
bool tl_cnn14_read(const struct tl_weights_file *file, struct tl_cnn14 *out, struct tl_err *err);

/* x [N,T,64,1] in decibels, T >= 32: relu(fc1), [N,2048]. */
tl_val tl_cnn14_build(struct tl_nn *nn, const struct tl_cnn14 *c, tl_val x);

#endif
