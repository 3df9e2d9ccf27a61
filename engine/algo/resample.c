#include "algo/resample.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Uniform in (0, 1), 52 bits in the middle of their cell, from two words. The 24 bits of tl_rng_uniform are
 * too coarse: a particle of weight 1e-9 would be drawn never, or with 6e-8. One bit more and the largest
 * would round to 1. */
static double uniform(struct tl_rng_key key, size_t i)
{
    uint64_t high = tl_rng_u32(key, (uint32_t)(2 * i)), low = tl_rng_u32(key, (uint32_t)(2 * i + 1));
    return ((double)((high << 32 | low) >> 12) + 0.5) * 0x1p-52;
}

static double total(const double *weights, size_t k)
{
    double sum = 0;
    for (size_t i = 0; i < k; i++) sum += weights[i];
    return sum;
}

/* k w_i of normalised weights. Divided first: the sum may be so small that k over it is infinite. */
static double share(const double *weights, size_t i, double sum, size_t k)
{
    return weights[i] / sum * (double)k;
}

/* ---- n rising points in (0, n) that are thrown on the particles' shares, laid end to end ---- */

struct points {
    struct tl_rng_key key;
    size_t n, drawn;
    double gone, whole; /* sorted: spacings so far, and all n + 1 of them */
    double (*next)(struct points *p);
};

static double next_systematic(struct points *p)
{
    return uniform(p->key, 0) + (double)p->drawn++;
}

static double next_stratified(struct points *p)
{
    size_t i = p->drawn++;
    return uniform(p->key, i) + (double)i;
}

/* Independent uniforms in rising order: sums of n + 1 exponential spacings, over their whole. */
static double next_sorted(struct points *p)
{
    p->gone -= log(uniform(p->key, p->drawn++));
    return p->gone / p->whole * (double)p->n;
}

static struct points sorted_points(struct tl_rng_key key, size_t n)
{
    struct points p = {.key = key, .n = n, .next = next_sorted};
    for (size_t i = 0; i <= n; i++) p.whole -= log(uniform(key, i));
    return p;
}

/* What of a share is drawn by points: all of it, or what is left over whole copies. */
static double drawn_part(double x, bool residual)
{
    return residual ? x - floor(x) : x;
}

/* Sums of shares are rounded, so the last points may lie beyond the last of them: they belong to the last
 * particle that has a share at all. */
static void throw_points(const double *weights, size_t k, bool residual, struct points p, size_t *out)
{
    double sum = total(weights, k), reached = 0, point = p.n ? p.next(&p) : 0;
    size_t last = 0, used = 0, at = 0;
    for (size_t i = 0; i < k; i++)
        if (drawn_part(share(weights, i, sum, k), residual) > 0) last = i;
    for (size_t i = 0; i < k; i++) {
        double x = share(weights, i, sum, k);
        for (size_t c = residual ? (size_t)x : 0; c > 0; c--) out[at++] = i;
        reached += drawn_part(x, residual);
        for (; used < p.n && (point < reached || i == last); used++) {
            out[at++] = i;
            if (used + 1 < p.n) point = p.next(&p);
        }
    }
}

static void draw_systematic(const double *weights, size_t k, struct tl_rng_key key, size_t *out)
{
    throw_points(weights, k, false, (struct points){.key = key, .n = k, .next = next_systematic}, out);
}

static void draw_stratified(const double *weights, size_t k, struct tl_rng_key key, size_t *out)
{
    throw_points(weights, k, false, (struct points){.key = key, .n = k, .next = next_stratified}, out);
}

static void draw_multinomial(const double *weights, size_t k, struct tl_rng_key key, size_t *out)
{
    throw_points(weights, k, false, sorted_points(key, k), out);
}

static void draw_residual(const double *weights, size_t k, struct tl_rng_key key, size_t *out)
{
    double sum = total(weights, k);
    size_t left = k;
    for (size_t i = 0; i < k; i++) left -= (size_t)share(weights, i, sum, k);
    throw_points(weights, k, true, sorted_points(key, left), out);
}

/* ---- SSP ---- */

static const size_t EXTRA = SIZE_MAX - SIZE_MAX / 2; /* top bit: a copy beyond the whole ones */

/* One particle is open at a time, with a fraction p of a copy; it meets the next one's fraction q. Where
 * p + q < 1 one of them takes it all, p's with probability p / (p + q), and stays open, the other is settled
 * without; else one of them is settled with a whole copy, p's with probability (1 - q) / (2 - p - q), and the
 * other stays open with p + q - 1. Either keeps both expectations. Fractions add up to a whole number: the
 * last open one gets what is missing of k. */
static void draw_ssp(const double *weights, size_t k, struct tl_rng_key key, size_t *out)
{
    double sum = total(weights, k), p = 0;
    size_t open = 0, n = 0, at = 0;
    for (size_t i = 0; i < k; i++) {
        double x = share(weights, i, sum, k), q = x - floor(x), u = uniform(key, i);
        out[i] = 0;
        n += (size_t)x;
        if (p + q < 1) {
            if (u * (p + q) >= p) open = i;
            p += q;
        } else {
            bool first = u * (2 - p - q) < 1 - q;
            out[first ? open : i] = EXTRA;
            if (first) open = i;
            n++;
            p += q - 1;
        }
    }
    if (n < k) out[open] = EXTRA;
    /* in place: the marks of particles further on ride on the ancestors written over them */
    for (size_t i = 0; i < k; i++) {
        size_t copies = (size_t)share(weights, i, sum, k) + (out[i] & EXTRA ? 1 : 0);
        for (; copies > 0; copies--, at++) out[at] = (out[at] & EXTRA) | i;
    }
    for (size_t i = 0; i < k; i++) out[i] &= ~EXTRA;
}

const struct tl_resampler tl_resamplers[] = {
    {"systematic", "one random number, evenly spaced points: floor or ceil of k w copies; the default",
     draw_systematic},
    {"stratified", "one random number in each of k equal intervals", draw_stratified},
    {"residual", "whole copies first, what is left over multinomial", draw_residual},
    {"multinomial", "independent draws, as in the first papers; the most variance", draw_multinomial},
    {"ssp", "floor or ceil of k w copies, and consistent in any order of particles", draw_ssp},
    {0},
};

const struct tl_resampler *tl_resampler_find(const char *name)
{
    for (const struct tl_resampler *r = tl_resamplers; r->name; r++)
        if (strcmp(r->name, name) == 0) return r;
    return NULL;
}

void tl_resample_settle(size_t *ancestors, size_t k, size_t *scratch)
{
    size_t free_slot = 0;
    for (size_t i = 0; i < k; i++) scratch[i] = k; /* nobody */
    for (size_t i = 0; i < k; i++) scratch[ancestors[i]] = ancestors[i];
    for (size_t i = 1; i < k; i++) {
        if (ancestors[i] != ancestors[i - 1]) continue;
        while (scratch[free_slot] != k) free_slot++;
        scratch[free_slot] = ancestors[i];
    }
    memcpy(ancestors, scratch, k * sizeof *ancestors);
}
