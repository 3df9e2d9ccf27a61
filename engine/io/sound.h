/* Sounds as samples in memory, and the files they come from and go to.
 *
 * Loading goes by content, whatever the name says: what libsndfile reads (WAV, FLAC, Ogg Vorbis and Opus,
 * MP3, AIFF, ...). Samples are floats, full scale is 1; integer formats are divided by 2^(bits-1), float
 * formats are taken as they are and may pass 1. At most 16 channels, 8000 times 4 to 768,000 Hz as TL_SOUND_
 * says, two hours in all: checked before memory is taken. A file without a single frame is refused; a value
 * that is not finite is refused. TL_BAD_INPUT names the file and the reason. */
#ifndef TL_IO_SOUND_H
#define TL_IO_SOUND_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

enum {
    TL_SOUND_MAX_CHANNELS = 16,
    TL_SOUND_MIN_RATE = 1000,
    TL_SOUND_MAX_RATE = 768000,
    TL_SOUND_MAX_SECONDS = 7200
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

/* Decodes in the caller's process: for own files and workers. A user's folder goes through decode_pool.h. On
 * failure *out is left empty. */
bool tl_sound_load(const char *path, struct tl_sound *out, struct tl_err *err);
/* From an open descriptor, which stays open; `what` names it in messages. */
bool tl_sound_load_fd(int fd, const char *what, struct tl_sound *out, struct tl_err *err);

enum tl_sound_format { TL_SOUND_WAV_16, TL_SOUND_WAV_FLOAT, TL_SOUND_FLAC_16 };
/* Atomic. 16-bit formats round to nearest and clip at full scale. */
bool tl_sound_save(const char *path, const struct tl_sound *sound, enum tl_sound_format format,
                   struct tl_err *err);

#endif
