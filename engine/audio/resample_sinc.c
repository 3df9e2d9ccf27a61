/* torchaudio.functional.resample: a windowed sinc for each phase of the output, phases as its float32 has
 * them. Its kernel of a phase reaches over a whole period of the input and is zero for most of it: here a
 * phase has the taps under its window only. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "audio/resample_inner.h"
#include "base/checked.h"

struct recipe {
    const char *name;
    double width, rolloff, beta; /* beta 0: Hann */
};

static const struct recipe torchaudio = {"torchaudio", 6, 0.99, 0};
static const struct recipe fadtk = {"kaiser-fadtk", 64, 0.9475937167399596, 14.769656459379492};

/* Rates without a common divisor have as many phases as frames a second. Usual ones take thousands of taps;
 * beyond MOST_TAPS (64 MiB, about a second's work) a sound is refused. */
enum { MOST_TAPS = 1 << 24, SMALL_TAPS = 1 << 20, KEPT = 8 };

struct kernel {
    const struct recipe *recipe;
    size_t from, to; /* rates without their common divisor: `to` phases */
    size_t n_phases; /* that are there: no more than a short sound needs */
    size_t n_taps;
    double whole; /* the window's I0 at its middle */
    float *taps;  /* [n_phases][n_taps]; owns */
    ptrdiff_t
        *first;   /* [n_phases]; owns. Input frame under the first tap, from that under the phase's block */
    size_t users; /* under the lock; the list below is one */
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

static double window(const struct recipe *r, double whole, double t)
{
    const double pi = 3.14159265358979323846;
    double x = t / r->width;
    if (r->beta > 0) return resample_bessel_i0(r->beta * sqrt(1 - x * x)) / whole;
    double c = cos(x * pi / 2);
    return c * c;
}

/* *out_first and the taps of a phase. */
static void fill_phase(const struct kernel *k, size_t phase, float *taps, ptrdiff_t *out_first)
{
    const struct recipe *r = k->recipe;
    const double pi = 3.14159265358979323846;
    double from = (double)k->from, base = (k->from < k->to ? from : (double)k->to) * r->rolloff;
    double at = (double)((float)phase / (float)k->to), half = r->width / base;
    double scale = base / from;
    ptrdiff_t first = (ptrdiff_t)ceil(from * (at - half));
    for (size_t i = 0; i < k->n_taps; i++) {
        double t = ((double)(first + (ptrdiff_t)i) / from - at) * base;
        if (fabs(t) >= r->width) continue; /* zero */
        double x = t * pi, sinc = x == 0 ? 1 : sin(x) / x;
        taps[i] = (float)(sinc * window(r, k->whole, t) * scale);
    }
    *out_first = first;
}

static void free_kernel(struct kernel *k)
{
    if (!k) return;
    free(k->taps);
    free(k->first);
    free(k);
}

/* At least `wanted` phases, all where they are few. */
static struct kernel *make_kernel(const struct recipe *r, size_t from, size_t to, size_t wanted,
                                  struct tl_err *err)
{
    double base = (double)(from < to ? from : to) * r->rolloff;
    size_t n, n_taps = 2 * (size_t)ceil(r->width * (double)from / base) + 2;
    size_t n_phases = to < SMALL_TAPS / n_taps || to < wanted ? to : wanted;
    if (!tl_checked_mul(n_phases, n_taps, &n) || n > MOST_TAPS) {
        tl_err_set(
            err, TL_BAD_INPUT,
            "%s cannot resample by a ratio of %zu to %zu: %zu phases of %zu taps are too many; resample "
            "the file first, or choose resample=soxr-vhq",
            r->name, from, to, n_phases, n_taps);
        return NULL;
    }
    struct kernel *k = calloc(1, sizeof *k);
    if (k) {
        *k = (struct kernel){r, from, to, n_phases, n_taps, resample_bessel_i0(r->beta), NULL, NULL, 1};
        k->taps = calloc(n, sizeof *k->taps);
        k->first = calloc(n_phases, sizeof *k->first);
    }
    if (!k || !k->taps || !k->first) {
        tl_err_set(err, TL_FAIL, "out of memory for a resampler");
        free_kernel(k);
        return NULL;
    }
    for (size_t i = 0; i < n_phases; i++) fill_phase(k, i, k->taps + i * n_taps, &k->first[i]);
    return k;
}

/* ---- kernels that are kept: a folder's files mostly have one rate ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kernel *kept[KEPT]; /* the one used last stands first; of at most MOST_TAPS in all */

/* Under the lock. */
static void release_locked(struct kernel *k)
{
    if (k && --k->users == 0) free_kernel(k);
}

static void release(struct kernel *k)
{
    pthread_mutex_lock(&lock);
    release_locked(k);
    pthread_mutex_unlock(&lock);
}

/* Under the lock: k (kept at place `at`, or new with at == KEPT - 1) goes to the front. */
static void put_first(struct kernel *k, size_t at)
{
    size_t taps = 0;
    memmove(kept + 1, kept, at * sizeof *kept);
    kept[0] = k;
    for (size_t i = 0; i < KEPT && kept[i]; i++) {
        taps += kept[i]->n_phases * kept[i]->n_taps;
        if (taps <= MOST_TAPS) continue;
        taps -= kept[i]->n_phases * kept[i]->n_taps;
        release_locked(kept[i]);
        memmove(kept + i, kept + i + 1, (KEPT - 1 - i) * sizeof *kept);
        kept[KEPT - 1] = NULL;
        i--;
    }
}

/* The caller gives it back by release. */
static struct kernel *take_kernel(const struct recipe *r, size_t from, size_t to, size_t wanted,
                                  struct tl_err *err)
{
    struct kernel *k = NULL;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; !k && i < KEPT && kept[i]; i++) {
        if (kept[i]->recipe != r || kept[i]->from != from || kept[i]->to != to || kept[i]->n_phases < wanted)
            continue;
        k = kept[i];
        k->users++;
        put_first(k, i);
    }
    pthread_mutex_unlock(&lock);
    if (k) return k;
    k = make_kernel(r, from, to, wanted, err);
    if (!k) return NULL;
    pthread_mutex_lock(&lock);
    k->users++;
    release_locked(kept[KEPT - 1]);
    put_first(k, KEPT - 1);
    pthread_mutex_unlock(&lock);
    return k;
}

/* ---- sounds ---- */

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
    struct kernel *k = NULL;
    size_t wanted = (size_t)ceilf((float)((double)(to * in->frames) / (double)from));
    size_t most = (in->frames / from + 1) * to, n_out = wanted < most ? wanted : most;
    float *own = channels > 1 ? malloc(in->frames * sizeof *own) : NULL;
    const float *x = own ? own : in->samples;
    bool ok = channels == 1 || own || tl_err_set(err, TL_FAIL, "out of memory for a resampler");
    ok = ok && resample_take(in, rate, n_out, out, err);
    if (ok) k = take_kernel(r, from, to, to < n_out ? to : n_out, err);
    for (size_t c = 0; k && c < channels; c++) {
        for (size_t i = 0; own && i < in->frames; i++) own[i] = in->samples[i * channels + c];
        run_channel(k, x, in->frames, out->samples + c, n_out, channels);
    }
    ok = k != NULL;
    if (k) release(k);
    free(own);
    return ok;
}

bool resample_torchaudio(const struct tl_sound *in, int rate, struct tl_sound *out, struct tl_err *err)
{
    return run(&torchaudio, in, rate, out, err);
}

bool resample_fadtk(const struct tl_sound *in, int rate, struct tl_sound *out, struct tl_err *err)
{
    return run(&fadtk, in, rate, out, err);
}
