#include "base/numpy_rng.h"

enum { N = 624, M = 397 };

void tl_numpy_rng_seed(struct tl_numpy_rng *rng, uint32_t seed)
{
    rng->state[0] = seed;
    for (uint32_t i = 1; i < N; i++) {
        uint32_t before = rng->state[i - 1];
        rng->state[i] = 1812433253u * (before ^ (before >> 30)) + i;
    }
    rng->next = N;
}

static void refill(uint32_t *s)
{
    for (size_t i = 0; i < N; i++) {
        uint32_t y = (s[i] & 0x80000000u) | (s[(i + 1) % N] & 0x7fffffffu);
        s[i] = s[(i + M) % N] ^ (y >> 1) ^ ((y & 1) ? 0x9908b0dfu : 0);
    }
}

uint32_t tl_numpy_rng_u32(struct tl_numpy_rng *rng)
{
    if (rng->next >= N) {
        refill(rng->state);
        rng->next = 0;
    }
    uint32_t y = rng->state[rng->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

/* numpy masks a draw to as many bits as the largest result has and draws again where it is too large. */
uint32_t tl_numpy_rng_below(struct tl_numpy_rng *rng, uint32_t n)
{
    uint32_t largest = n - 1, mask = largest, v;
    if (!largest) return 0;
    for (int shift = 1; shift < 32; shift *= 2) mask |= mask >> shift;
    do v = tl_numpy_rng_u32(rng) & mask;
    while (v > largest);
    return v;
}
