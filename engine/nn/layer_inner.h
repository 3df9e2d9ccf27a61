/* What the layers' files share. */
#ifndef TL_NN_LAYER_INNER_H
#define TL_NN_LAYER_INNER_H

#include <stdarg.h>
#include <stdio.h>

#include "nn/nn.h"

/* Declares name[] and prints the variable arguments behind fmt into it. */
#define TL_LAYER_NAME(name, fmt)                                                                             \
    char name[384];                                                                                          \
    do {                                                                                                     \
        va_list args_;                                                                                       \
        va_start(args_, fmt);                                                                                \
        vsnprintf(name, sizeof name, fmt, args_);                                                            \
        va_end(args_);                                                                                       \
    } while (0)

static inline bool tl_layer_ok(const struct tl_nn *nn, tl_val x)
{
    return nn->g->err.code == TL_OK && x >= 0;
}

/* The param NAME+END of nn->set as F32: a half is cast where it is read. */
tl_val tl_layer_weight(struct tl_nn *nn, enum tl_layout layout, struct tl_shape shape, const char *name,
                       const char *end);

#endif
