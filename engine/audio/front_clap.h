/* CLAP's front end as transformers' ClapFeatureExtractor has it: decibels of 64 mel bands over ten seconds.
 *
 * Unfused checkpoints take one picture a window, fused ones four channels: the whole clip, shrunk in time,
 * and three stretches of it; or, for a clip of at most ten seconds, four times the same. What the reference
 * draws at random is deterministic here: crops, stretches, and never the flag `is_longer`, which the
 * reference sets for a random clip of a batch without a long one. Read-only once made: any number of threads
 * may run it. */
#ifndef TL_AUDIO_FRONT_CLAP_H
#define TL_AUDIO_FRONT_CLAP_H

#include <stdint.h>

#include "audio/front.h"

/* What becomes of a clip that is shorter than max_samples. */
enum tl_clap_padding {
    TL_CLAP_REPEAT_PAD, /* as often as it fits whole, then zeros */
    TL_CLAP_REPEAT,     /* repeated and cut */
    TL_CLAP_PAD         /* zeros */
};

/* What becomes of a longer one. */
enum tl_clap_crop {
    TL_CLAP_CENTRE, /* the middle; fused: the middle of each third of the possible starts */
    TL_CLAP_START,  /* the beginning; fused: the first start of each third */
    TL_CLAP_SEEDED, /* what the reference draws for this one clip after numpy.random.seed(seed) */
    TL_CLAP_GIVEN,  /* `starts`; one that lies too far back is TL_BAD_INPUT */
    TL_CLAP_WINDOWS /* a window every window_hop samples from 0 to the clip's end, those at the end filled up
                       with zeros whatever `padding` says, shorter clips too: what fadtk does with a hop of
                       one second. Unfused only */
};

struct tl_front_clap_params {
    bool is_fused;
    bool is_quantised; /* through 16 bits as LAION's own code does: clipped, times 32767, cut, over 32767 */
    enum tl_clap_padding padding;
    enum tl_clap_crop crop;
    uint32_t seed;    /* TL_CLAP_SEEDED */
    size_t starts[3]; /* TL_CLAP_GIVEN; unfused: starts[0] in samples, fused: front, middle, back in frames */
    size_t window_hop;                         /* TL_CLAP_WINDOWS, samples */
    size_t rate, max_samples, fft, hop, bands; /* as in preprocessor_config.json; max_samples is
                                                  max_length_s * sampling_rate */
    double low, high;                          /* Hz */
};

/* 48 kHz, ten seconds, 1024 samples every 480, 64 bands from 50 to 14000 Hz, unfused, repeat-pad, centre,
 * a window hop of one second. */
struct tl_front_clap_params tl_front_clap_defaults(void);

struct tl_front_clap;
struct tl_front_clap *tl_front_clap_create(const struct tl_front_clap_params *params, struct tl_err *err);
void tl_front_clap_destroy(struct tl_front_clap **front);

/* 1 + max_samples / hop: 1001. */
size_t tl_front_clap_frames(const struct tl_front_clap *front);

/* samples [n], one channel at params.rate. out: [windows][1 or 4][frames][bands]; one window, but for
 * TL_CLAP_WINDOWS. *out_is_longer (may be NULL): the channels 1 to 3 are stretches of a longer clip, for
 * ClapModel's argument; false where unfused. TL_BAD_INPUT for no sample at all. */
bool tl_front_clap_run(const struct tl_front_clap *front, const float *samples, size_t n,
                       struct tl_front *out, bool *out_is_longer, struct tl_err *err);

#endif
