/* What is read of a model folder's weights beside its towers. */
#ifndef TL_ENCODERS_ENCODER_WEIGHTS_H
#define TL_ENCODERS_ENCODER_WEIGHTS_H

#include "models/component.h"

/* SHA-256 of the weights file of a folder of that class ("CLIPModel"); of the files' hashes, one after the
 * other in hex, where there are several. */
bool tl_encoder_weights_hash(const char *folder, const char *class_name, char out[65], struct tl_err *err);

/* exp of the tensor `name`, one number. From the file, not from the store: in half precision exp() would make
 * a thousandth of its rounding. */
bool tl_encoder_weights_scale(const struct tl_component *component, const char *name, double *out,
                              struct tl_err *err);

#endif
