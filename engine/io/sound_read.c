/* Decoding a sound with libsndfile. The file lies in memory, so that no library opens or reads anything. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sndfile.h>

#include "io/sound_inner.h"

enum { BLOCK = 1 << 16 }; /* frames */

struct span {
    const uint8_t *data; /* borrowed */
    size_t n, at;
};

static sf_count_t span_length(void *user)
{
    return (sf_count_t)((const struct span *)user)->n;
}

static sf_count_t span_seek(sf_count_t to, int whence, void *user)
{
    struct span *s = user;
    sf_count_t from = whence == SEEK_SET ? 0 : (sf_count_t)(whence == SEEK_CUR ? s->at : s->n), at;
    if (__builtin_add_overflow(from, to, &at) || at < 0 || at > (sf_count_t)s->n) return -1;
    s->at = (size_t)at;
    return at;
}

static sf_count_t span_tell(void *user)
{
    return (sf_count_t)((const struct span *)user)->at;
}

static sf_count_t span_read(void *to, sf_count_t count, void *user)
{
    struct span *s = user;
    size_t left = s->n - s->at, n = count < 0 ? 0 : (size_t)count < left ? (size_t)count : left;
    if (n) memcpy(to, s->data + s->at, n);
    s->at += n;
    return (sf_count_t)n;
}

static sf_count_t span_write(const void *from, sf_count_t count, void *user)
{
    (void)from, (void)count, (void)user;
    return 0;
}

bool sound_check_finite(const float *samples, size_t frames, int channels, const char *what,
                        struct tl_err *err)
{
    size_t n = frames * (size_t)channels;
    for (size_t i = 0; i < n; i++) {
        if (isfinite(samples[i])) continue;
        return tl_err_set(err, TL_BAD_INPUT, "%s: the value of frame %zu, channel %zu is not finite", what,
                          i / (size_t)channels, i % (size_t)channels + 1);
    }
    return true;
}

static const char *format_name(int format)
{
    switch (format & SF_FORMAT_TYPEMASK) {
    case SF_FORMAT_WAV:
    case SF_FORMAT_WAVEX:
    case SF_FORMAT_RF64:
        return "WAV";
    case SF_FORMAT_AIFF:
        return "AIFF";
    case SF_FORMAT_FLAC:
        return "FLAC";
    case SF_FORMAT_OGG:
        return "Ogg";
    case SF_FORMAT_MPEG:
        return "MP3";
    case SF_FORMAT_AU:
        return "AU";
    case SF_FORMAT_CAF:
        return "CAF";
    case SF_FORMAT_W64:
        return "W64";
    default:
        return "sound file";
    }
}

/* libsndfile's words without their dressing. */
static void say_why(char *out, size_t size, const char *text)
{
    static const char *const dressing[] = {"Error : ", "Error: ", "error : "};
    for (size_t i = 0; i < sizeof dressing / sizeof *dressing; i++) {
        size_t n = strlen(dressing[i]);
        if (strncmp(text, dressing[i], n) == 0) text += n;
    }
    int n = snprintf(out, size, "%s", text);
    for (size_t end = n < 0 ? 0 : strlen(out); end && (out[end - 1] == '.' || out[end - 1] == '\n');)
        out[--end] = 0;
}

static SNDFILE *open_span(struct span *span, const char *what, SF_INFO *info, struct tl_err *err)
{
    SF_VIRTUAL_IO io = {span_length, span_seek, span_read, span_write, span_tell};
    char why[160];
    *info = (SF_INFO){0};
    if (span->n == 0) {
        tl_err_set(err, TL_BAD_INPUT, "%s: not a sound, the file is empty", what);
        return NULL;
    }
    SNDFILE *file = sf_open_virtual(&io, SFM_READ, info, span);
    if (file) return file;
    int code = sf_error(NULL);
    if (code == SF_ERR_UNRECOGNISED_FORMAT || code == SF_ERR_NO_ERROR) {
        tl_err_set(err, TL_BAD_INPUT,
                   "%s: not a sound that can be read; there are WAV, FLAC, Ogg Vorbis and Opus, MP3, AIFF, "
                   "AU, CAF, W64",
                   what);
    } else {
        say_why(why, sizeof why, sf_strerror(NULL));
        /* "regular file": of an MP3 without a whole frame */
        bool is_odd = code == SF_ERR_MALFORMED_FILE || strstr(why, "regular file");
        tl_err_set(err, TL_BAD_INPUT, "%s: a sound that is damaged or cut short%s%s", what,
                   is_odd ? "" : ": ", is_odd ? "" : why);
    }
    return NULL;
}

static bool say_bad(SNDFILE *file, const char *what, const SF_INFO *info, struct tl_err *err)
{
    char why[160];
    say_why(why, sizeof why, sf_strerror(file));
    return tl_err_set(err, TL_BAD_INPUT, "%s: bad %s: %s", what, format_name(info->format), why);
}

/* A FLAC file that was written to a pipe does not tell its length: read once to count. */
static bool count_frames(struct span *span, SNDFILE **file, const char *what, SF_INFO *info,
                         struct tl_err *err)
{
    bool is_open_end =
        info->frames > SF_COUNT_MAX / 2 && (info->format & SF_FORMAT_TYPEMASK) == SF_FORMAT_FLAC;
    if (!is_open_end || info->channels < 1 || info->channels > TL_SOUND_MAX_CHANNELS) return true;
    float *block = malloc(BLOCK * (size_t)info->channels * sizeof *block);
    if (!block) return tl_err_set(err, TL_FAIL, "%s: out of memory", what);
    sf_count_t n = 0, got;
    while (n < TL_SOUND_MAX_SAMPLES && (got = sf_readf_float(*file, block, BLOCK)) > 0) n += got;
    free(block);
    if (sf_error(*file) != SF_ERR_NO_ERROR) return say_bad(*file, what, info, err);
    sf_close(*file);
    span->at = 0;
    *file = open_span(span, what, info, err);
    info->frames = n;
    return *file != NULL;
}

static bool check_info(const SF_INFO *info, size_t most, const char *what, struct tl_err *err)
{
    if (info->channels < 1 || info->channels > TL_SOUND_MAX_CHANNELS)
        return tl_err_set(err, TL_BAD_INPUT, "%s: %d channels, more than the %d that are read", what,
                          info->channels, TL_SOUND_MAX_CHANNELS);
    if (info->samplerate < TL_SOUND_MIN_RATE || info->samplerate > TL_SOUND_MAX_RATE)
        return tl_err_set(err, TL_BAD_INPUT, "%s: a rate of %d Hz; %d to %d are read", what, info->samplerate,
                          TL_SOUND_MIN_RATE, TL_SOUND_MAX_RATE);
    if (info->frames > SF_COUNT_MAX / 2)
        return tl_err_set(err, TL_BAD_INPUT, "%s: bad %s: cut short or damaged, its end cannot be found",
                          what, format_name(info->format));
    if (info->frames < 1) return tl_err_set(err, TL_BAD_INPUT, "%s: a sound without any samples", what);
    if (info->frames > (sf_count_t)TL_SOUND_MAX_SECONDS * info->samplerate)
        return tl_err_set(err, TL_BAD_INPUT, "%s: %.0f s long, more than the %d that are read", what,
                          (double)info->frames / info->samplerate, TL_SOUND_MAX_SECONDS);
    if ((size_t)info->frames > most / (size_t)info->channels)
        return tl_err_set(err, TL_BAD_INPUT, "%s: %zu samples, more than the %zu allowed here", what,
                          (size_t)info->frames * (size_t)info->channels, most);
    return true;
}

/* Where samples go: memory that is there, or memory that grows with what is read, because a header of a few
 * bytes may tell of gigabytes. */
struct sink {
    float *samples; /* owns if it grows */
    size_t size;    /* frames */
};

static bool sink_reach(struct sink *sink, size_t frames, const SF_INFO *info, const char *what,
                       struct tl_err *err)
{
    if (frames <= sink->size) return true;
    size_t size = sink->size * 2 > frames ? sink->size * 2 : frames;
    if (size > (size_t)info->frames) size = (size_t)info->frames;
    float *more = realloc(sink->samples, size * (size_t)info->channels * sizeof *more);
    if (!more)
        return tl_err_set(err, TL_FAIL, "%s: out of memory for a sound of %lld frames", what,
                          (long long)info->frames);
    *sink = (struct sink){more, size};
    return true;
}

static bool read_frames(SNDFILE *file, const SF_INFO *info, const char *what, struct sink *sink,
                        struct tl_err *err)
{
    const char *format = format_name(info->format);
    for (sf_count_t at = 0; at < info->frames;) {
        sf_count_t want = info->frames - at < BLOCK ? info->frames - at : BLOCK;
        if (!sink_reach(sink, (size_t)(at + want), info, what, err)) return false;
        sf_count_t got = sf_readf_float(file, sink->samples + (size_t)at * (size_t)info->channels, want);
        if (sf_error(file) != SF_ERR_NO_ERROR) return say_bad(file, what, info, err);
        at += got > 0 ? got : 0;
        if (got < want)
            return tl_err_set(err, TL_BAD_INPUT,
                              "%s: bad %s: cut short or damaged, %lld frames of %lld can be read", what,
                              format, (long long)at, (long long)info->frames);
    }
    return sound_check_finite(sink->samples, (size_t)info->frames, info->channels, what, err);
}

static bool check_cut(const void *data, size_t n, const SF_INFO *info, const char *what, struct tl_err *err)
{
    uint64_t told, left;
    if (!sound_is_cut(data, n, &told, &left)) return true;
    return tl_err_set(err, TL_BAD_INPUT, "%s: bad %s: cut short, %llu bytes of %llu are there", what,
                      format_name(info->format), (unsigned long long)left, (unsigned long long)told);
}

/* Of an opened file: whether its header is that of a sound that is read, but for its size. */
static bool is_only_larger(const SF_INFO *info, size_t most)
{
    return check_info(info, TL_SOUND_MAX_SAMPLES, "", NULL) && !check_info(info, most, "", NULL);
}

static bool decode(const void *data, size_t n, const char *what, size_t most, struct sink *sink,
                   struct tl_sound *out, struct tl_err *err)
{
    struct span span = {.data = data, .n = n};
    SF_INFO info;
    *out = (struct tl_sound){0};
    SNDFILE *file = open_span(&span, what, &info, err);
    if (!file) return false;
    bool ok = count_frames(&span, &file, what, &info, err) && check_info(&info, most, what, err) &&
              check_cut(data, n, &info, what, err) && read_frames(file, &info, what, sink, err);
    if (file) sf_close(file);
    if (ok || is_only_larger(&info, most))
        *out = (struct tl_sound){
            .rate = info.samplerate, .channels = info.channels, .frames = (size_t)info.frames};
    return ok;
}

bool tl_sound_decode_into(const void *data, size_t n, const char *what, float *samples, size_t most,
                          struct tl_sound *out, struct tl_err *err)
{
    struct sink sink = {samples, SIZE_MAX};
    return decode(data, n, what, most, &sink, out, err);
}

bool tl_sound_decode(const void *data, size_t n, const char *what, struct tl_sound *out, struct tl_err *err)
{
    struct sink sink = {0};
    bool ok = decode(data, n, what, TL_SOUND_MAX_SAMPLES, &sink, out, err);
    if (ok)
        out->samples = sink.samples;
    else
        free(sink.samples);
    return ok;
}
