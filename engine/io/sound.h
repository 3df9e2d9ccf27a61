/* Sounds as samples in memory, and the files they come from and go to.
 *
 * Loading goes by content, whatever the name says: what libsndfile reads (WAV, FLAC, Ogg Vorbis and Opus,
 * MP3, AIFF, AU, CAF, ...). Samples are floats, full scale is 1; integer formats are divided by 2^(bits-1),
 * float formats are taken as they are and may pass 1. Channels are kept as they are: whoever needs one
 * averages them (audio/resample.h). Rates are kept too, 1000 to 768,000 Hz.
 *
 * At most 16 channels, two hours, and TL_SOUND_MAX_SAMPLES samples in all channels: checked before memory is
 * taken. Refused with TL_BAD_INPUT, which names the file and the reason: a file without a single frame, one
 * with a value that is not finite (and where it is), and one that is cut short or damaged, as far as its
 * format can tell. MP3, and Ogg without its end, tell no length: they give what is there. Silence is a sound
 * like any other. */
#ifndef TL_IO_SOUND_H
#define TL_IO_SOUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

enum {
    TL_SOUND_MAX_CHANNELS = 16,
    TL_SOUND_MIN_RATE = 1000,
    TL_SOUND_MAX_RATE = 768000,
    TL_SOUND_MAX_SECONDS = 7200,
    TL_SOUND_USUAL_SAMPLES =
        48000 * 7200,              /* what a pool for a user's folder takes: two hours, mono, 48 kHz */
    TL_SOUND_MAX_SAMPLES = 1 << 30 /* frames times channels: 4 GiB; two hours in stereo at 74 kHz */
};

/* A zeroed struct is a valid empty one. */
struct tl_sound {
    int rate, channels; /* Hz */
    size_t frames;
    float *samples; /* [frames][channels]; owns */
};

/* Zeroed samples. */
bool tl_sound_init(struct tl_sound *sound, int rate, int channels, size_t frames, struct tl_err *err);
void tl_sound_finish(struct tl_sound *sound);

/* Decodes in the caller's process: for own files and workers. A user's folder goes through decode_pool.h,
 * also because the MP3 decoder writes to stderr what it thinks of a damaged file. On failure *out is left
 * empty. */
bool tl_sound_load(const char *path, struct tl_sound *out, struct tl_err *err);
/* From an open descriptor of a regular file, from its beginning; it stays open. `what` names it in messages.
 */
bool tl_sound_load_fd(int fd, const char *what, struct tl_sound *out, struct tl_err *err);
/* From a whole file in memory. */
bool tl_sound_decode(const void *data, size_t n, const char *what, struct tl_sound *out, struct tl_err *err);
/* The same into borrowed memory of `most` floats: more is refused. out->samples stays NULL. A sound that was
 * refused only for being larger leaves its rate, channels and frames in *out. */
bool tl_sound_decode_into(const void *data, size_t n, const char *what, float *samples, size_t most,
                          struct tl_sound *out, struct tl_err *err);

enum tl_sound_format { TL_SOUND_WAV_16, TL_SOUND_WAV_FLOAT, TL_SOUND_FLAC_16 };
/* Atomic. 16-bit formats round to nearest (halves to even) at 32768 a full scale and clip; a value that is
 * not finite is refused. FLAC holds at most 8 channels and 655,350 Hz. */
bool tl_sound_save(const char *path, const struct tl_sound *sound, enum tl_sound_format format,
                   struct tl_err *err);

#endif
