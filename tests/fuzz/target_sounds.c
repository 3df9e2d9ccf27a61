#include <math.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "io/sound.h"

static void seed_sounds(const struct fuzz_target *target, struct fuzz_pool *pool)
{
    for (const char *const *name = target->names; *name; name++) {
        char path[64];
        snprintf(path, sizeof path, "sounds/tone.%s", *name);
        fuzz_pool_add_fixture(pool, path);
    }
}

/* Our own files: short, of one and two channels. */
static void seed_own(struct fuzz_pool *pool, enum tl_sound_format format)
{
    for (int channels = 1; channels <= 2; channels++) {
        struct tl_sound sound = {0};
        struct tl_err err = {0};
        fuzz_require(tl_sound_init(&sound, 16000, channels, 300, &err));
        for (size_t i = 0; i < 300 * (size_t)channels; i++)
            sound.samples[i] = 0.5f * sinf((float)i * 0.1f) + (i % 7 ? 0 : 0.2f);
        fuzz_require(tl_sound_save(fuzz_scratch("seed"), &sound, format, &err));
        fuzz_pool_add_path(pool, fuzz_scratch("seed"));
        tl_sound_finish(&sound);
    }
    fuzz_scratch_remove("seed");
}

static void seed_wav(const struct fuzz_target *target, struct fuzz_pool *pool)
{
    seed_own(pool, TL_SOUND_WAV_16);
    seed_own(pool, TL_SOUND_WAV_FLOAT);
    seed_sounds(target, pool);
}

static void seed_flac(const struct fuzz_target *target, struct fuzz_pool *pool)
{
    seed_own(pool, TL_SOUND_FLAC_16);
    seed_sounds(target, pool);
}

static void check_sound(const struct tl_sound *sound, const float *samples)
{
    fuzz_require(sound->channels >= 1 && sound->channels <= TL_SOUND_MAX_CHANNELS);
    fuzz_require(sound->rate >= TL_SOUND_MIN_RATE && sound->rate <= TL_SOUND_MAX_RATE);
    fuzz_require(sound->frames > 0);
    fuzz_require(sound->frames <= (size_t)sound->rate * TL_SOUND_MAX_SECONDS);
    for (size_t i = 0; i < sound->frames * (size_t)sound->channels; i++) fuzz_require(isfinite(samples[i]));
}

static void run_sound(const struct fuzz_target *target, const uint8_t *data, size_t n)
{
    (void)target;
    struct tl_sound sound = {0};
    struct tl_err err = {0};
    bool ok = tl_sound_decode(data, n, "mutant", &sound, &err);
    fuzz_check_err(ok, &err);
    if (ok)
        check_sound(&sound, sound.samples);
    else
        fuzz_require(!sound.samples);
    tl_sound_finish(&sound);
}

/* As a worker does it, with room for less than some files have. */
static void run_into(const struct fuzz_target *target, const uint8_t *data, size_t n)
{
    enum { MOST = 500 };
    (void)target;
    float *samples = malloc(MOST * sizeof *samples); /* so that its end is guarded */
    struct tl_sound sound = {0};
    struct tl_err err = {0};
    fuzz_require(samples);
    bool ok = tl_sound_decode_into(data, n, "mutant", samples, MOST, &sound, &err);
    fuzz_check_err(ok, &err);
    fuzz_require(!sound.samples);
    if (ok) {
        fuzz_require(sound.frames * (size_t)sound.channels <= MOST);
        check_sound(&sound, samples);
    }
    free(samples);
}

/* Both ways, told apart by the mutant. */
static void run_either(const struct fuzz_target *target, const uint8_t *data, size_t n)
{
    if (n % 4 == 1)
        run_into(target, data, n);
    else
        run_sound(target, data, n);
}

static const char *const wav_words[] = {"RIFF", "WAVE", "fmt ", "data", "LIST", "fact", "RF64", "ds64",
                                        "cue ", "smpl", "bext", "PEAK", "JUNK", "RIFX", "id3 ", NULL};
static const char *const flac_words[] = {"fLaC", "\xff\xf8", "\xff\xf9", "ID3", "OggS", NULL};
static const char *const ogg_words[] = {"OggS",     "\x01vorbis", "\x03vorbis", "\x05vorbis", "OpusHead",
                                        "OpusTags", "fLaC",       "Speex   ",   NULL};
static const char *const mp3_words[] = {"ID3\x03", "ID3\x04",  "TAG",      "Xing",     "Info", "LAME",
                                        "VBRI",    "\xff\xfb", "\xff\xf3", "APETAGEX", NULL};
static const char *const other_words[] = {"FORM", "AIFF", "AIFC", "COMM", "SSND", "MARK", "INST", "sowt",
                                          ".snd", "caff", "desc", "pakt", "kuki", "chan", "data", NULL};

#define NAMES(...)                                                                                           \
    (const char *const[])                                                                                    \
    {                                                                                                        \
        __VA_ARGS__, NULL                                                                                    \
    }

const struct fuzz_target fuzz_sounds[] = {
    {"wav", "WAV, RF64, W64", seed_wav, run_either, NULL, wav_words,
     NAMES("u8.wav", "adpcm.wav", "rf64", "w64")},
    {"flac", "FLAC", seed_flac, run_either, fuzz_repair_flac, flac_words, NAMES("flac")},
    {"ogg", "Ogg Vorbis and Opus", seed_sounds, run_either, fuzz_repair_ogg, ogg_words, NAMES("ogg", "opus")},
    {"mp3", "MP3", seed_sounds, run_either, NULL, mp3_words, NAMES("mp3")},
    {"aiff", "AIFF, AU, CAF", seed_sounds, run_either, NULL, other_words, NAMES("aiff", "au", "caf")},
    {0},
};
