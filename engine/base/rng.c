#include "base/rng.h"

#include <math.h>

#include "base/tl_math.h"

void tl_rng_block(struct tl_rng_key key, uint32_t block, uint32_t out[4])
{
    uint32_t c0 = block, c1 = key.step, c2 = key.sample, c3 = key.stream;
    uint32_t k0 = (uint32_t)key.seed, k1 = (uint32_t)(key.seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)c0 * 0xD2511F53u, p1 = (uint64_t)c2 * 0xCD9E8D57u;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c0 = n0;
        c1 = (uint32_t)p1;
        c2 = n2;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* 24 bits in the middle of their cell: in (0, 1). */
static inline float unit(uint32_t u)
{
    return ((float)(u >> 8) + 0.5f) * 0x1p-24f;
}

uint32_t tl_rng_u32(struct tl_rng_key key, uint32_t element)
{
    uint32_t w[4];
    tl_rng_block(key, element / 4, w);
    return w[element % 4];
}

float tl_rng_uniform(struct tl_rng_key key, uint32_t element)
{
    return unit(tl_rng_u32(key, element));
}

uint32_t tl_rng_below(struct tl_rng_key key, uint32_t element, uint32_t n)
{
    return (uint32_t)(((uint64_t)tl_rng_u32(key, element) * n) >> 32);
}

static void normal_block(const uint32_t w[4], float out[4])
{
    for (int p = 0; p < 4; p += 2) {
        float r = sqrtf(-2.0f * tl_logf(unit(w[p]))), s, c;
        tl_sincos_turn(unit(w[p + 1]), &s, &c);
        out[p] = r * c;
        out[p + 1] = r * s;
    }
}

static void gumbel_block(const uint32_t w[4], float out[4])
{
    for (int i = 0; i < 4; i++) out[i] = -tl_logf(-tl_logf(unit(w[i])));
}

static void fill(struct tl_rng_key key, uint32_t first, size_t n, float *out,
                 void (*block)(const uint32_t[4], float[4]))
{
    uint32_t w[4];
    float v[4];
    for (size_t i = 0; i < n;) {
        uint32_t element = first + (uint32_t)i, lane = element % 4;
        tl_rng_block(key, element / 4, w);
        block(w, v);
        for (; lane < 4 && i < n; lane++) out[i++] = v[lane];
    }
}

void tl_rng_normal(struct tl_rng_key key, uint32_t first, size_t n, float *out)
{
    fill(key, first, n, out, normal_block);
}

void tl_rng_gumbel(struct tl_rng_key key, uint32_t first, size_t n, float *out)
{
    fill(key, first, n, out, gumbel_block);
}

void tl_rng_permute(struct tl_rng_key key, uint32_t n, uint32_t *out)
{
    for (uint32_t i = 0; i < n; i++) out[i] = i;
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = tl_rng_below(key, i, i), t = out[i - 1];
        out[i - 1] = out[j];
        out[j] = t;
    }
}
