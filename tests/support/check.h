/* The few things every test program needs on top of cmocka. */
#ifndef TL_TESTS_CHECK_H
#define TL_TESTS_CHECK_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <tiller/err.h>

/* Fails with the error's own text. */
#define check_ok(call, err)                                                                                  \
    do {                                                                                                     \
        if (!(call)) fail_msg("%s: %s", #call, (err)->text);                                                 \
    } while (0)

/* |a - b| / |b| in L2, in double; 0 when both are zero. */
static inline double check_rel_l2(const float *a, const float *b, size_t n)
{
    double d = 0, r = 0;
    for (size_t i = 0; i < n; i++) {
        d += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        r += (double)b[i] * b[i];
    }
    return d == 0 ? 0 : sqrt(d / (r > 0 ? r : 1));
}

#define check_near(a, b, tolerance)                                                                          \
    do {                                                                                                     \
        double a_ = (a), b_ = (b);                                                                           \
        if (!(fabs(a_ - b_) <= (tolerance))) fail_msg("%s = %.9g, expected %.9g", #a, a_, b_);               \
    } while (0)

#define check_skip(reason)                                                                                   \
    do {                                                                                                     \
        printf("skipped: %s\n", reason);                                                                     \
        exit(77);                                                                                            \
    } while (0)

#endif
