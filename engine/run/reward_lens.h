/* Rewards of latents without pictures in between: decoder and rewards are one graph on the device, and only
 * scores leave it; with a gradient, how the latents would have to change.
 *
 * latents -> VAE -> pictures, clamped to 0 .. 1 -> each part's graph fragment (rewards/rewards.h) -> scores.
 * It serves what is looked at on the way: steering's intermediate rewards, gradients. Pictures are not
 * rounded to bytes, so a score is a little off from tl_reward_set_score's of the written file (run/README.md
 * has figures); what is reported of a finished sample is scored from its bytes.
 *
 * Graphs are planned once; encodings of prompts are fed again only where they change. Not thread-safe. */
#ifndef TL_RUN_REWARD_LENS_H
#define TL_RUN_REWARD_LENS_H

#include "models/component.h"
#include "rewards/rewards.h"

/* Weight sets of a graph beside the decoder's: so many different encoders. */
enum { TL_REWARD_LENS_STORES = TL_N_SETS - 1 };

struct tl_reward_lens;

struct tl_reward_lens_params {
    struct tl_component *vae;      /* borrowed, and so is */
    struct tl_reward_set *rewards; /* this; encoders on the device of the VAE */
    int batch, height, width;      /* latents of one run, and their size */
    bool gradient;                 /* plan the gradient, too */
};

/* Whether all parts score pictures and have a gradient, and their weights find room in one graph. *why (may
 * be NULL): TL_USAGE that names the part which does not. */
bool tl_reward_lens_serves(struct tl_reward_set *rewards, struct tl_err *why);

struct tl_reward_lens *tl_reward_lens_create(const struct tl_reward_lens_params *params, struct tl_err *err);
void tl_reward_lens_destroy(struct tl_reward_lens **lens);
size_t tl_reward_lens_bytes(const struct tl_reward_lens *lens); /* of the arenas */

/* latents [n][height][width][c], as samplers give them (scaled and shifted), any n; prompts [n], NULL where
 * no part reads them. out_total [n], out_parts [n][parts] as of tl_reward_set_score; either may be NULL.
 * TL_NUMERIC where a score is not finite. */
bool tl_reward_lens_score(struct tl_reward_lens *lens, const float *latents, const char *const *prompts,
                          size_t n, double *out_total, double *out_parts, struct tl_err *err);

/* The same, and d total / d latents: out_d_latents [n][height][width][c]. 0 where a pixel is clamped. A part
 * that an ensemble does not look at (min) gives nothing. TL_NUMERIC where a number is not finite. */
bool tl_reward_lens_gradient(struct tl_reward_lens *lens, const float *latents, const char *const *prompts,
                             size_t n, double *out_total, double *out_parts, float *out_d_latents,
                             struct tl_err *err);

#endif
