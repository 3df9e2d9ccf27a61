#include "audio/mel.h"

#include <math.h>
#include <stdlib.h>

#include "base/checked.h"

/* A filter is a run of bins: outside it weighs nothing. */
struct filter {
    size_t first, count;
    const double *weight; /* [count], inside the bank's memory */
};

struct tl_mel {
    size_t bins, bands;
    double *dense;         /* [bands][bins]; owns */
    struct filter *filter; /* [bands]; owns */
};

/* ---- scales ---- */

static double to_mel(enum tl_mel_scale scale, double hz)
{
    if (scale == TL_MEL_HTK) return 2595 * log10(1 + hz / 700);
    return hz < 1000 ? 3 * hz / 200 : 15 + 27 * log(hz / 1000) / log(6.4);
}

static double to_hz(enum tl_mel_scale scale, double mel)
{
    if (scale == TL_MEL_HTK) return 700 * (pow(10, mel / 2595) - 1);
    return mel < 15 ? 200 * mel / 3 : 1000 * exp(log(6.4) / 27 * (mel - 15));
}

static double triangle(double x, double left, double peak, double right)
{
    double up = (x - left) / (peak - left), down = (right - x) / (right - peak);
    double low = up < down ? up : down;
    return low > 0 ? low : 0;
}

/* ---- banks ---- */

static struct tl_mel *empty_bank(size_t bins, size_t bands, struct tl_err *err)
{
    struct tl_mel *m = calloc(1, sizeof *m);
    size_t n;
    if (m && bins && bands && tl_checked_mul(bins, bands, &n)) {
        m->bins = bins;
        m->bands = bands;
        m->dense = calloc(n, sizeof *m->dense);
        m->filter = calloc(bands, sizeof *m->filter);
    }
    if (m && m->dense && m->filter) return m;
    tl_err_set(err, TL_FAIL, "out of memory");
    tl_mel_destroy(&m);
    return NULL;
}

static void find_runs(struct tl_mel *m)
{
    for (size_t b = 0; b < m->bands; b++) {
        const double *row = m->dense + b * m->bins;
        size_t first = 0, end = m->bins;
        while (first < end && row[first] == 0) first++;
        while (end > first && row[end - 1] == 0) end--;
        m->filter[b] = (struct filter){first, end - first, row + first};
    }
}

static void fill_band(struct tl_mel *m, const struct tl_mel_params *p, size_t band)
{
    double low = to_mel(p->scale, p->low), high = to_mel(p->scale, p->high), mel[3], hz[3];
    for (size_t i = 0; i < 3; i++) {
        mel[i] = low + (high - low) * (double)(band + i) / (double)(p->bands + 1);
        hz[i] = to_hz(p->scale, mel[i]);
    }
    double *row = m->dense + band * m->bins;
    for (size_t k = p->is_dc_left_out; k < p->bins; k++) {
        double f = p->rate / 2 * (double)k / (double)(p->bins - 1);
        row[k] = p->is_linear_in_mel ? triangle(to_mel(p->scale, f), mel[0], mel[1], mel[2])
                                     : triangle(f, hz[0], hz[1], hz[2]);
        if (p->is_area) row[k] *= 2 / (hz[2] - hz[0]);
    }
}

struct tl_mel *tl_mel_create(const struct tl_mel_params *params, struct tl_err *err)
{
    const struct tl_mel_params *p = params;
    if (!(p->low >= 0 && p->high > p->low && p->high <= p->rate / 2) || p->bins < 2 || p->bands < 1) {
        tl_err_set(err, TL_BAD_INPUT, "%zu mel bands from %g to %g Hz do not fit %zu bins up to %g Hz",
                   p->bands, p->low, p->high, p->bins, p->rate / 2);
        return NULL;
    }
    struct tl_mel *m = empty_bank(p->bins, p->bands, err);
    if (!m) return NULL;
    for (size_t b = 0; b < p->bands; b++) fill_band(m, p, b);
    find_runs(m);
    return m;
}

struct tl_mel *tl_mel_create_from(const float *weights, size_t bins, size_t bands, struct tl_err *err)
{
    struct tl_mel *m = empty_bank(bins, bands, err);
    if (!m) return NULL;
    for (size_t k = 0; k < bins; k++)
        for (size_t b = 0; b < bands; b++) m->dense[b * bins + k] = (double)weights[k * bands + b];
    find_runs(m);
    return m;
}

void tl_mel_destroy(struct tl_mel **mel)
{
    struct tl_mel *m = *mel;
    if (!m) return;
    free(m->dense);
    free(m->filter);
    free(m);
    *mel = NULL;
}

size_t tl_mel_bands(const struct tl_mel *mel)
{
    return mel->bands;
}

double tl_mel_weight(const struct tl_mel *mel, size_t bin, size_t band)
{
    return mel->dense[band * mel->bins + bin];
}

void tl_mel_apply(const struct tl_mel *mel, const double *spectrum, double *out)
{
    for (size_t b = 0; b < mel->bands; b++) {
        struct filter f = mel->filter[b];
        const double *x = spectrum + f.first;
        double sum = 0;
        for (size_t k = 0; k < f.count; k++) sum += f.weight[k] * x[k];
        out[b] = sum;
    }
}

/* ---- logarithms ---- */

void tl_mel_decibels(const double *x, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) out[i] = (float)(10 * log10(x[i] > 1e-10 ? x[i] : 1e-10));
}

void tl_mel_log(const double *x, size_t n, double floor, float *out)
{
    for (size_t i = 0; i < n; i++) out[i] = (float)log(x[i] + floor);
}
