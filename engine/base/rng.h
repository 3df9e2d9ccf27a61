/* Counter-based random numbers: Philox 4x32-10 keyed by (seed, stream, sample, step, element).
 *
 * The same number for the same key, whatever the batch it sits in, the device or the resume. The counter is
 * (element / 4, step, sample, stream), the Philox key is the 64-bit seed; element e takes word e % 4.
 * shaders/lib/philox.glsl is the same text in GLSL.
 * Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), Random123's constants. */
#ifndef TL_BASE_RNG_H
#define TL_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* Streams keep the uses of one seed apart. Append only: numbers stand in checkpoints. */
enum tl_rng_stream {
    TL_RNG_INIT_LATENT = 1, /* x_T; sample = picture number */
    TL_RNG_SAMPLER = 2,     /* sampler's noise; step = sampler step */
    TL_RNG_WEIGHT_INIT = 3, /* sample = tensor's index in its layout */
    TL_RNG_DATA_ORDER = 4,  /* step = epoch */
    TL_RNG_TRAIN_NOISE = 5, /* training noise; step = training step */
    TL_RNG_TRAIN_TIME = 6,  /* timesteps of training */
    TL_RNG_DROPOUT = 7,     /* caption dropout */
    TL_RNG_POSTERIOR = 8,   /* the VAE's posterior noise */
    TL_RNG_PROMPT = 9,      /* which prompts an epoch draws */
    TL_RNG_MINIBATCH = 10,  /* order of minibatches in a pass */
    TL_RNG_SCENE = 11,      /* drawn scenes */
    TL_RNG_AUGMENT = 12,    /* crops, noise on training pictures, hard negatives */
    TL_RNG_BOOTSTRAP = 13,
    TL_RNG_SHUFFLE = 14, /* rewards of a control run; sample = group, step = epoch */
    TL_RNG_SUBSET =
        15, /* rows and groups that a metric draws: KID's subsets, FAD-inf's samples, jackknives */
    TL_RNG_RESAMPLE = 16, /* ancestors of particles; sample = group, step = sampler step */
    TL_RNG_DRAWS = 17,    /* several x_0 of one x_t; sample = picture number, step = sampler step */
    TL_RNG_TEST = 100,
};

struct tl_rng_key {
    uint64_t seed;
    uint32_t stream, sample, step;
};

/* Four 32-bit words of block `block` = element / 4. */
void tl_rng_block(struct tl_rng_key key, uint32_t block, uint32_t out[4]);

uint32_t tl_rng_u32(struct tl_rng_key key, uint32_t element);
float tl_rng_uniform(struct tl_rng_key key, uint32_t element); /* in (0, 1), 24 bits, never 0 or 1 */
uint32_t tl_rng_below(struct tl_rng_key key, uint32_t element, uint32_t n); /* 0 .. n-1, n > 0 */

/* Fills out[0..n) with elements first .. first + n - 1 of the key's sequence. Box-Muller on pairs of words of
 * one block; Gumbel is -log(-log u). Both from tl_math.h, so that devices agree within 2 ulp. */
void tl_rng_normal(struct tl_rng_key key, uint32_t first, size_t n, float *out);
void tl_rng_gumbel(struct tl_rng_key key, uint32_t first, size_t n, float *out);

/* A permutation of 0 .. n-1 (Fisher-Yates on the key's elements). */
void tl_rng_permute(struct tl_rng_key key, uint32_t n, uint32_t *out);

#endif
