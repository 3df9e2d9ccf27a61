/* Overflow-checked size arithmetic. Each returns false on overflow and then leaves *out alone.
 * Everything that comes from a file or a user passes through here before it is allocated or indexed. */
#ifndef TL_BASE_CHECKED_H
#define TL_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool tl_checked_mul(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

static inline bool tl_checked_add(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_add_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

/* Rounds up to a multiple of align, a power of two. */
static inline bool tl_checked_align(size_t a, size_t align, size_t *out)
{
    size_t r;
    if (__builtin_add_overflow(a, align - 1, &r)) return false;
    *out = r & ~(align - 1);
    return true;
}

#endif
