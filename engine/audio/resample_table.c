/* resampy 0.4.3: Smith's interpolation of a table of one half of a Kaiser-windowed sinc. Its two filters come
 * as data that were made from these numbers, and are met to the last bit. Steps through the table are whole
 * (the fraction is cut off), which is why a constant comes out a little off. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "audio/resample_inner.h"

struct filter {
    size_t n_zeros, per_zero;
    double beta, rolloff;
    double *half; /* [n_zeros * per_zero + 1], made once and kept */
};

static struct filter best = {50, 8192, 12.984585247040012, 0.9173473712608761, NULL};
static struct filter fast = {24, 512, 9.903224416455277, 0.8682120388377784, NULL};

static void make(struct filter *f)
{
    const double pi = 3.14159265358979323846;
    size_t n = f->n_zeros * f->per_zero;
    double *half = malloc((n + 1) * sizeof *half), whole = resample_bessel_i0(f->beta);
    for (size_t i = 0; half && i <= n; i++) {
        double at = (double)i / (double)n, x = pi * f->rolloff * at * (double)f->n_zeros;
        double sinc = i ? sin(x) / x : 1;
        half[i] = f->rolloff * sinc * resample_bessel_i0(f->beta * sqrt(1 - at * at)) / whole;
    }
    f->half = half;
}

static void make_best(void)
{
    make(&best);
}

static void make_fast(void)
{
    make(&fast);
}

/* Sum over one wing: table places offset + i step (and eta of the way to the next) times x[at], x[at + by],
 * ... of n frames. */
static double wing(const struct filter *f, double place, size_t step, const float *x, size_t n, ptrdiff_t by)
{
    size_t size = f->n_zeros * f->per_zero + 1, offset = (size_t)place;
    double eta = place - (double)offset, sum = 0;
    size_t most = offset < size ? (size - offset) / step : 0;
    if (n > most) n = most;
    for (size_t i = 0; i < n; i++) {
        size_t k = offset + i * step;
        double here = f->half[k], next = k + 1 < size ? f->half[k + 1] : here;
        sum += (here + eta * (next - here)) * (double)x[(ptrdiff_t)i * by];
    }
    return sum;
}

static bool run(const struct filter *f, const struct tl_sound *in, int rate, struct tl_sound *out,
                struct tl_err *err)
{
    size_t channels = (size_t)in->channels;
    double ratio = (double)rate / in->rate, scale = ratio < 1 ? ratio : 1, increment = 1 / ratio;
    size_t step = (size_t)(scale * (double)f->per_zero);
    if (!f->half) return tl_err_set(err, TL_FAIL, "out of memory for a resampler");
    if (step < 1)
        return tl_err_set(err, TL_BAD_INPUT, "this resampler cannot go from %d to %d Hz", in->rate, rate);
    if (!resample_take(in, rate, (size_t)((double)in->frames * rate / in->rate), out, err)) return false;
    for (size_t t = 0; t < out->frames; t++) {
        double time = (double)t * increment;
        size_t n = (size_t)time < in->frames ? (size_t)time : in->frames - 1;
        double part = scale * (time - (double)n), per = (double)f->per_zero;
        for (size_t c = 0; c < channels; c++) {
            const float *x = in->samples + n * channels + c;
            double y = wing(f, part * per, step, x, n + 1, -(ptrdiff_t)channels);
            if (n + 1 < in->frames)
                y += wing(f, (scale - part) * per, step, x + channels, in->frames - n - 1,
                          (ptrdiff_t)channels);
            out->samples[t * channels + c] = (float)(scale * y);
        }
    }
    return true;
}

bool resample_resampy_best(const struct tl_sound *in, int rate, struct tl_sound *out, struct tl_err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_best);
    return run(&best, in, rate, out, err);
}

bool resample_resampy_fast(const struct tl_sound *in, int rate, struct tl_sound *out, struct tl_err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_fast);
    return run(&fast, in, rate, out, err);
}
