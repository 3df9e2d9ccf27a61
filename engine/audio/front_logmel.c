#include "audio/front_logmel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "audio/front_inner.h"

enum { WINDOW = TL_FRONT_LOGMEL_RATE, LEAST_TAIL = WINDOW / 2, BANDS = TL_FRONT_LOGMEL_BANDS, FFT = 1024 };

struct tl_front_logmel {
    struct tl_front_bank bank;
};

struct tl_front_logmel *tl_front_logmel_create(struct tl_err *err)
{
    static const struct tl_spectrum_params spectrum = {
        .window = FFT, .hop = 160, .fft = FFT, .is_power = true};
    static const struct tl_mel_params mel = {
        .scale = TL_MEL_SLANEY, .bands = BANDS, .rate = TL_FRONT_LOGMEL_RATE, .low = 50, .high = 8000};
    struct tl_front_logmel *f = calloc(1, sizeof *f);
    if (!f) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    f->bank.scale =
        4.0 / ((FFT / 2) * (double)(FFT / 2)); /* a periodic Hann window sums to half its length */
    f->bank.floor = 1e-10;
    if (!tl_front_bank_init(&f->bank, &spectrum, &mel, err)) tl_front_logmel_destroy(&f);
    return f;
}

void tl_front_logmel_destroy(struct tl_front_logmel **front)
{
    if (!*front) return;
    tl_front_bank_finish(&(*front)->bank);
    free(*front);
    *front = NULL;
}

/* v [frames][BANDS] to out [2 * BANDS] */
static void reduce(const float *v, size_t frames, float *out)
{
    for (size_t b = 0; b < BANDS; b++) {
        double sum = 0, square = 0;
        for (size_t i = 0; i < frames; i++) sum += (double)v[i * BANDS + b];
        double mean = sum / (double)frames;
        for (size_t i = 0; i < frames; i++) {
            double d = (double)v[i * BANDS + b] - mean;
            square += d * d;
        }
        out[b] = (float)mean;
        out[BANDS + b] = (float)sqrt(square / (double)frames);
    }
}

static size_t count_windows(size_t n)
{
    size_t whole = n / WINDOW;
    return whole + (n % WINDOW >= LEAST_TAIL || !whole);
}

bool tl_front_logmel_run(const struct tl_front_logmel *front, const float *samples, size_t n,
                         struct tl_front *out, struct tl_err *err)
{
    struct tl_front_work work = {0};
    struct tl_front v = {0};
    float *tail = calloc(WINDOW, sizeof *tail);
    size_t frames = tl_spectrum_frames(front->bank.spectrum, WINDOW), n_windows = count_windows(n);
    *out = (struct tl_front){0};
    bool ok = n || tl_err_set(err, TL_BAD_INPUT, "the sound has no samples");
    ok = ok && (tail || tl_err_set(err, TL_FAIL, "out of memory")) &&
         tl_front_work_init(&work, &front->bank, err) && tl_front_init(&v, 1, 1, frames, BANDS, err) &&
         tl_front_init(out, n_windows, 1, 1, TL_FRONT_LOGMEL_DIM, err);
    for (size_t i = 0; ok && i < n_windows; i++) {
        const float *x = samples + i * WINDOW;
        if ((i + 1) * WINDOW > n) {
            memcpy(tail, x, (n - i * WINDOW) * sizeof *tail);
            x = tail;
        }
        tl_front_bank_frames(&front->bank, &work, x, WINDOW, 0, frames, v.x);
        reduce(v.x, frames, out->x + i * TL_FRONT_LOGMEL_DIM);
    }
    tl_front_work_finish(&work);
    tl_front_finish(&v);
    free(tail);
    return ok;
}
