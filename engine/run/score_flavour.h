/* Flavours of metrics over sets, where they say what an encoder is fed. */
#ifndef TL_RUN_SCORE_FLAVOUR_H
#define TL_RUN_SCORE_FLAVOUR_H

#include "base/arena.h"
#include "run/score_metrics.h"

struct tl_score_flavour {
    const struct tl_metric *metric;
    const struct tl_metric_way *way;
    const char *told; /* the flavour that is computed; NULL: none that has a name */
    bool is_deaf;     /* it is an encoder's, and this one does not know it, or there is none */
};

/* The flavour was asked for: what it says of an encoder of class `encoder` is put behind *spec, in the arena.
 * TL_USAGE where the spec says something else of one of its keys. */
bool tl_score_flavour_apply(struct tl_score_flavour *f, struct tl_arena *arena, const char *encoder,
                            const char **spec, struct tl_err *err);
/* None was asked for: the default's arithmetic, and the input that the encoder's spec describes. That is
 * told, be it another flavour's or nobody's. */
bool tl_score_flavour_find(struct tl_score_flavour *f, struct tl_arena *arena, const char *encoder,
                           const char *spec, struct tl_err *err);
/* Nothing is encoded: what was said of encoding does nothing. */
void tl_score_flavour_of_rows(struct tl_score_flavour *f, bool is_given);

#endif
