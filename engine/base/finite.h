/* Whether numbers are numbers. */
#ifndef TL_BASE_FINITE_H
#define TL_BASE_FINITE_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

static inline bool tl_all_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

#endif
