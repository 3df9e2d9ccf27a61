/* Resampling schemes: from k weights to k ancestors, each with E[copies of i] = k w_i.
 *
 * They differ in variance: systematic and SSP give floor(k w) or ceil(k w) copies, stratified nearly so,
 * residual at least floor(k w), multinomial anything. Sources: Douc & Cappe 2005 (comparison); Gerber,
 * Chopin & Whiteley 2019 (SSP). */
#ifndef TL_ALGO_RESAMPLE_H
#define TL_ALGO_RESAMPLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/rng.h"

struct tl_resampler {
    const char *name, *help;
    /* weights [k], not negative, of any positive sum; key: the draw's random numbers, its elements from 0 on.
     * out_ancestors [k], rising: the copies of one ancestor stand together. */
    void (*draw)(const double *weights, size_t k, struct tl_rng_key key, size_t *out_ancestors);
};

/* Ends at a row without a name. */
extern const struct tl_resampler tl_resamplers[];

/* NULL where there is no such row. */
const struct tl_resampler *tl_resampler_find(const char *name);

/* Puts ancestors so that a particle that survives stays in its own slot (its first copy does), which keeps
 * copying and the reading of reports small; ancestors [k] as draw gives them, changed in place; scratch [k].
 * With equal weights a systematic draw then is the identity. */
void tl_resample_settle(size_t *ancestors, size_t k, size_t *scratch);

#endif
