/* torchaudio.functional.resample: a windowed sinc for each phase of the output, phases as its float32 has
 * them. Its kernel of a phase reaches over a whole period of the input and is zero for most of it: here a
 * phase has the taps under its window only. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "audio/resample_inner.h"
#include "base/checked.h"

struct recipe {
    double width, rolloff, beta; /* beta 0: Hann */
};

struct kernel {
    size_t from, to; /* rates without their common divisor: `to` phases */
    size_t n_taps;
    float *taps;      /* [phases][n_taps]; owns */
    ptrdiff_t *first; /* [phases]; owns. Input frame under the first tap, from that under the phase's block */
};

static size_t common_divisor(size_t a, size_t b)
{
    while (b) {
        size_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static double window(const struct recipe *r, double t)
{
    const double pi = 3.14159265358979323846;
    double x = t / r->width;
    if (r->beta > 0) return resample_bessel_i0(r->beta * sqrt(1 - x * x)) / resample_bessel_i0(r->beta);
    double c = cos(x * pi / 2);
    return c * c;
}

/* *out_first and the taps of a phase. */
static void fill_phase(const struct recipe *r, const struct kernel *k, size_t phase, float *taps,
                       ptrdiff_t *out_first)
{
    const double pi = 3.14159265358979323846;
    double from = (double)k->from, base = (k->from < k->to ? from : (double)k->to) * r->rolloff;
    double at = (double)((float)phase / (float)k->to), half = r->width / base;
    double scale = base / from;
    ptrdiff_t first = (ptrdiff_t)ceil(from * (at - half));
    for (size_t i = 0; i < k->n_taps; i++) {
        double t = ((double)(first + (ptrdiff_t)i) / from - at) * base;
        if (fabs(t) >= r->width) continue; /* zero */
        double x = t * pi, sinc = x == 0 ? 1 : sin(x) / x;
        taps[i] = (float)(sinc * window(r, t) * scale);
    }
    *out_first = first;
}

static bool make_kernel(const struct recipe *r, size_t from, size_t to, size_t n_phases, struct kernel *k,
                        struct tl_err *err)
{
    double base = (double)(from < to ? from : to) * r->rolloff;
    size_t n;
    *k = (struct kernel){.from = from, .to = to};
    k->n_taps = 2 * (size_t)ceil(r->width * (double)from / base) + 2;
    if (tl_checked_mul(n_phases, k->n_taps, &n)) k->taps = calloc(n, sizeof *k->taps);
    k->first = calloc(n_phases, sizeof *k->first);
    if (!k->taps || !k->first) return tl_err_set(err, TL_FAIL, "out of memory for a resampler");
    for (size_t i = 0; i < n_phases; i++) fill_phase(r, k, i, k->taps + i * k->n_taps, &k->first[i]);
    return true;
}

/* Lanes of fixed number, so that sums have the same order on every machine. */
static double dot(const float *taps, const float *x, size_t n)
{
    enum { LANES = 8 };
    double sum[LANES] = {0}, all = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++) sum[k] += (double)taps[i + k] * (double)x[i + k];
    for (; i < n; i++) all += (double)taps[i] * (double)x[i];
    for (size_t k = 0; k < LANES; k++) all += sum[k];
    return all;
}

/* One channel x[n] in one piece; out at `stride`. */
static void run_channel(const struct kernel *k, const float *x, size_t n, float *out, size_t n_out,
                        size_t stride)
{
    for (size_t j = 0; j < n_out; j++) {
        size_t phase = j % k->to, n_taps = k->n_taps;
        ptrdiff_t at = (ptrdiff_t)(j / k->to * k->from) + k->first[phase];
        const float *taps = k->taps + phase * k->n_taps;
        if (at < 0) {
            size_t before = (size_t)-at < n_taps ? (size_t)-at : n_taps;
            taps += before;
            n_taps -= before;
            at = 0;
        }
        size_t left = (size_t)at < n ? n - (size_t)at : 0;
        out[j * stride] = (float)dot(taps, x + (left ? at : 0), n_taps < left ? n_taps : left);
    }
}

static bool run(const struct recipe *r, const struct tl_sound *in, int rate, struct tl_sound *out,
                struct tl_err *err)
{
    size_t divisor = common_divisor((size_t)in->rate, (size_t)rate), channels = (size_t)in->channels;
    size_t from = (size_t)in->rate / divisor, to = (size_t)rate / divisor;
    struct kernel k = {0};
    size_t wanted = (size_t)ceilf((float)((double)(to * in->frames) / (double)from));
    size_t most = (in->frames / from + 1) * to, n_out = wanted < most ? wanted : most;
    float *x = malloc(in->frames * sizeof *x);
    bool ok = x || tl_err_set(err, TL_FAIL, "out of memory for a resampler");
    ok = ok && resample_take(in, rate, n_out, out, err) &&
         make_kernel(r, from, to, to < n_out ? to : n_out, &k, err);
    for (size_t c = 0; ok && c < channels; c++) {
        for (size_t i = 0; i < in->frames; i++) x[i] = in->samples[i * channels + c];
        run_channel(&k, x, in->frames, out->samples + c, n_out, channels);
    }
    free(k.taps);
    free(k.first);
    free(x);
    return ok;
}

bool resample_torchaudio(const struct tl_sound *in, int rate, struct tl_sound *out, struct tl_err *err)
{
    return run(&(struct recipe){.width = 6, .rolloff = 0.99}, in, rate, out, err);
}

bool resample_fadtk(const struct tl_sound *in, int rate, struct tl_sound *out, struct tl_err *err)
{
    return run(&(struct recipe){.width = 64, .rolloff = 0.9475937167399596, .beta = 14.769656459379492}, in,
               rate, out, err);
}
