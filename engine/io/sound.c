#include "io/sound.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sndfile.h>

#include "base/checked.h"
#include "io/file.h"
#include "io/sound_inner.h"

bool tl_sound_init(struct tl_sound *sound, int rate, int channels, size_t frames, struct tl_err *err)
{
    size_t n;
    *sound = (struct tl_sound){0};
    if (rate < TL_SOUND_MIN_RATE || rate > TL_SOUND_MAX_RATE || channels < 1 ||
        channels > TL_SOUND_MAX_CHANNELS || frames < 1 || !tl_checked_mul(frames, (size_t)channels, &n) ||
        n > TL_SOUND_MAX_SAMPLES)
        return tl_err_set(err, TL_BAD_INPUT,
                          "a sound of %zu frames, %d channels and %d Hz is not one that is worked on", frames,
                          channels, rate);
    float *samples = calloc(n, sizeof *samples);
    if (!samples) return tl_err_set(err, TL_FAIL, "out of memory for a sound of %zu samples", n);
    *sound = (struct tl_sound){rate, channels, frames, samples};
    return true;
}

void tl_sound_finish(struct tl_sound *sound)
{
    free(sound->samples);
    *sound = (struct tl_sound){0};
}

bool tl_sound_load(const char *path, struct tl_sound *out, struct tl_err *err)
{
    size_t n;
    *out = (struct tl_sound){0};
    uint8_t *data = tl_file_read(path, SOUND_MOST_FILE, &n, err);
    bool ok = data && tl_sound_decode(data, n, path, out, err);
    free(data);
    return ok;
}

static uint8_t *read_fd(int fd, const char *what, size_t *out_n, struct tl_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        tl_err_set(err, TL_BAD_INPUT, "%s: not a regular file", what);
        return NULL;
    }
    if (st.st_size > SOUND_MOST_FILE) {
        tl_err_set(err, TL_BAD_INPUT, "%s: more than the %lld bytes allowed here", what,
                   (long long)SOUND_MOST_FILE);
        return NULL;
    }
    size_t n = 0, size = (size_t)st.st_size;
    uint8_t *data = malloc(size + 1);
    if (!data) tl_err_set(err, TL_FAIL, "%s: out of memory", what);
    while (data && n < size) {
        ssize_t got = pread(fd, data + n, size - n, (off_t)n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            tl_err_set(err, TL_BAD_INPUT, "%s: cannot read: %s", what, strerror(errno));
            free(data);
            return NULL;
        }
        if (got == 0) break;
        n += (size_t)got;
    }
    *out_n = n;
    return data;
}

bool tl_sound_load_fd(int fd, const char *what, struct tl_sound *out, struct tl_err *err)
{
    size_t n;
    *out = (struct tl_sound){0};
    uint8_t *data = read_fd(fd, what, &n, err);
    bool ok = data && tl_sound_decode(data, n, what, out, err);
    free(data);
    return ok;
}

/* ---- writing ---- */

/* A file that libsndfile writes in memory: it goes back to fill in its header. */
struct sheet {
    uint8_t *data; /* owns */
    size_t n, size, at;
    bool failed;
};

static sf_count_t sheet_length(void *user)
{
    return (sf_count_t)((const struct sheet *)user)->n;
}

static sf_count_t sheet_seek(sf_count_t to, int whence, void *user)
{
    struct sheet *s = user;
    sf_count_t from = whence == SEEK_SET ? 0 : (sf_count_t)(whence == SEEK_CUR ? s->at : s->n);
    if (from + to >= 0) s->at = (size_t)(from + to);
    return (sf_count_t)s->at;
}

static sf_count_t sheet_tell(void *user)
{
    return (sf_count_t)((const struct sheet *)user)->at;
}

static sf_count_t sheet_read(void *to, sf_count_t count, void *user)
{
    struct sheet *s = user;
    size_t left = s->at < s->n ? s->n - s->at : 0, n = (size_t)count < left ? (size_t)count : left;
    if (n) memcpy(to, s->data + s->at, n);
    s->at += n;
    return (sf_count_t)n;
}

static sf_count_t sheet_write(const void *from, sf_count_t count, void *user)
{
    struct sheet *s = user;
    size_t end = s->at + (size_t)count;
    if (end > s->size) {
        size_t size = 2 * s->size > end ? 2 * s->size : end + 4096;
        uint8_t *more = realloc(s->data, size);
        if (!more) {
            s->failed = true;
            return 0;
        }
        memset(more + s->size, 0, size - s->size);
        s->data = more;
        s->size = size;
    }
    memcpy(s->data + s->at, from, (size_t)count);
    s->at = end;
    if (end > s->n) s->n = end;
    return count;
}

static bool put_samples(SNDFILE *file, const struct tl_sound *sound, bool is_float)
{
    enum { BLOCK = 4096 };
    size_t channels = (size_t)sound->channels;
    short whole[BLOCK * TL_SOUND_MAX_CHANNELS];
    for (size_t at = 0; at < sound->frames;) {
        size_t n = sound->frames - at < BLOCK ? sound->frames - at : BLOCK;
        const float *x = sound->samples + at * channels;
        if (is_float) {
            if (sf_writef_float(file, x, (sf_count_t)n) != (sf_count_t)n) return false;
        } else {
            for (size_t i = 0; i < n * channels; i++) {
                float v = rintf(x[i] * 32768.0f);
                whole[i] = (short)(v < -32768 ? -32768 : v > 32767 ? 32767 : v);
            }
            if (sf_writef_short(file, whole, (sf_count_t)n) != (sf_count_t)n) return false;
        }
        at += n;
    }
    return true;
}

/* The whole file into the sheet. */
static bool encode(const struct tl_sound *sound, int format, struct sheet *sheet, const char *path,
                   struct tl_err *err)
{
    SF_VIRTUAL_IO io = {sheet_length, sheet_seek, sheet_read, sheet_write, sheet_tell};
    SF_INFO info = {.samplerate = sound->rate, .channels = sound->channels, .format = format};
    if (!sf_format_check(&info))
        return tl_err_set(err, TL_OUTPUT, "%s: this format does not hold %d channels at %d Hz; write WAV",
                          path, sound->channels, sound->rate);
    SNDFILE *file = sf_open_virtual(&io, SFM_WRITE, &info, sheet);
    if (!file) return tl_err_set(err, TL_OUTPUT, "%s: cannot write this sound: %s", path, sf_strerror(NULL));
    sf_command(file, SFC_SET_ADD_PEAK_CHUNK, NULL, SF_FALSE); /* it holds the time of day */
    bool is_float = (format & SF_FORMAT_SUBMASK) == SF_FORMAT_FLOAT;
    bool ok = put_samples(file, sound, is_float);
    ok = sf_close(file) == 0 && ok && !sheet->failed;
    return ok || tl_err_set(err, sheet->failed ? TL_FAIL : TL_OUTPUT, "%s: cannot write this sound%s", path,
                            sheet->failed ? ": out of memory" : "");
}

bool tl_sound_save(const char *path, const struct tl_sound *sound, enum tl_sound_format format,
                   struct tl_err *err)
{
    static const int formats[] = {SF_FORMAT_WAV | SF_FORMAT_PCM_16, SF_FORMAT_WAV | SF_FORMAT_FLOAT,
                                  SF_FORMAT_FLAC | SF_FORMAT_PCM_16};
    struct sheet sheet = {0};
    bool ok = sound_check_finite(sound->samples, sound->frames, sound->channels, path, err) &&
              encode(sound, formats[format], &sheet, path, err) &&
              tl_file_write(path, sheet.data, sheet.n, err);
    free(sheet.data);
    return ok;
}
