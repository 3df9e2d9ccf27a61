/* numpy's old global generator (numpy.random.seed, numpy.random.randint), for numbers that must equal what a
 * Python tool drew. Everything of our own draws from rng.h. */
#ifndef TL_BASE_NUMPY_RNG_H
#define TL_BASE_NUMPY_RNG_H

#include <stddef.h>
#include <stdint.h>

/* Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998). Not thread-safe. */
struct tl_numpy_rng {
    uint32_t state[624];
    size_t next;
};

/* As numpy.random.seed(seed). */
void tl_numpy_rng_seed(struct tl_numpy_rng *rng, uint32_t seed);
uint32_t tl_numpy_rng_u32(struct tl_numpy_rng *rng);
/* As numpy.random.randint(n), 1 <= n <= 2^32 - 1, and the index that numpy.random.choice draws from n: in
 * 0 .. n - 1. Draws nothing for n = 1. */
uint32_t tl_numpy_rng_below(struct tl_numpy_rng *rng, uint32_t n);

#endif
