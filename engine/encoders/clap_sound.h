/* Sounds as a CLAP model takes them, by the folder's preprocessor_config.json: one channel at its rate, cut
 * into windows, log-mel pictures. What transformers draws at random is deterministic here. */
#ifndef TL_ENCODERS_CLAP_SOUND_H
#define TL_ENCODERS_CLAP_SOUND_H

#include "audio/front_clap.h"
#include "encoders/encoder.h"
#include "encoders/sound_compat.h"
#include "models/clap.h"

/* What becomes of a sound that is longer than the model's ten seconds. A shorter one is one window, filled up
 * as the config says, in all but FADTK. */
enum tl_clap_policy {
    TL_CLAP_POLICY_WINDOWS, /* windows side by side, the last one ending where the sound ends: all of it */
    TL_CLAP_POLICY_CENTRE,  /* one window from the middle; fused: the whole and stretches of it */
    TL_CLAP_POLICY_START,   /* one from the beginning; fused: stretches from the first starts */
    TL_CLAP_POLICY_FADTK    /* one every second, filled up with zeros, through 16 bits; unfused only */
};

struct tl_clap_sound {
    struct tl_front_clap *front; /* owns */
    struct tl_front_clap_params params;
    enum tl_clap_policy policy;
    struct tl_sound_compat compat;
    size_t frames, channels;
    size_t floats;      /* of a window: [frames][bands][channels], and is_longer behind it where fused */
    char settings[384]; /* in words */
};

/* crop, compat and resample are the settings' values or NULL. Without crop: windows, or, of a fused
 * checkpoint, which was trained on whole clips, centre. TL_USAGE, TL_BAD_INPUT. */
bool tl_clap_sound_open(struct tl_clap_sound *s, const char *folder,
                        const struct tl_clap_audio_config *config, const char *crop, const char *compat,
                        const char *resample, struct tl_err *err);
void tl_clap_sound_finish(struct tl_clap_sound *s);

/* Thread-safe. */
bool tl_clap_sound_prepare(const struct tl_clap_sound *s, const struct tl_sound *sound,
                           struct tl_encoder_windows *out, struct tl_err *err);

#endif
