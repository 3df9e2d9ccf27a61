/* Monotonic time in seconds, for rates and progress only: never for results. */
#ifndef TL_BASE_CLOCK_H
#define TL_BASE_CLOCK_H

#include <time.h>

static inline double tl_clock_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
