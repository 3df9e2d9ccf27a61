/* Inputs of a call that are no arguments in Python, or need not be given: made from another input. */
#ifndef TL_MODELS_FORWARD_MADE_H
#define TL_MODELS_FORWARD_MADE_H

#include "io/safetensors.h"
#include "models/component.h"

/* Name of the input that a port is made from; NULL where it is not made. */
const char *tl_forward_made_from(const char *port);

/* The made input's shape, source [..] in the file's order; false where the network does not ask for it. */
bool tl_forward_made_shape(const struct tl_component *component, const char *port,
                           const struct tl_st_tensor *source, struct tl_shape *out);

/* Its values, int32_t or float as the port is. */
bool tl_forward_made_fill(const struct tl_component *component, const char *port,
                          const struct tl_st_tensor *source, void *out, struct tl_err *err);

#endif
