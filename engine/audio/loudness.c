#include "audio/loudness.h"

#include <math.h>
#include <stdlib.h>

static const double pi = 3.14159265358979323846;

enum { MOST_CHANNELS = 6, LOWEST_RATE = 4000 };

#define BLOCK_S 0.4
#define STEP    0.25 /* of a block */
#define GATE    (-70.0)
#define OFFSET  (-0.691)

const char *tl_loudness_flavour_name(enum tl_loudness_flavour flavour)
{
    return flavour == TL_LOUDNESS_PYLOUDNORM ? "pyloudnorm" : "bs1770";
}

/* ---- K-weighting: a shelf, then a high-pass ---- */

struct biquad {
    double b[3], a[3]; /* a[0] is 1 */
};

/* The standard's filters at any rate; at 48 kHz its table to the last printed digit. */
static void standard_filters(double rate, struct biquad out[2])
{
    double k = tan(pi * 1681.974450955533 / rate), q = 0.7071752369554196;
    double high = pow(10, 3.999843853973347 / 20), band = pow(high, 0.4996667741545416);
    double a0 = 1 + k / q + k * k;
    out[0] = (struct biquad){
        {(high + band * k / q + k * k) / a0, 2 * (k * k - high) / a0, (high - band * k / q + k * k) / a0},
        {1, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0}};
    k = tan(pi * 38.13547087602444 / rate);
    q = 0.5003270373238773;
    a0 = 1 + k / q + k * k;
    out[1] = (struct biquad){{1, -2, 1}, {1, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0}};
}

static void pyloudnorm_filters(double rate, struct biquad out[2])
{
    double a = pow(10, 4.0 / 40), w = 2 * pi * 1500 / rate, c = cos(w);
    double s = 2 * sqrt(a) * (sin(w) / (2 * sqrt(0.5)));
    double a0 = (a + 1) - (a - 1) * c + s;
    out[0] = (struct biquad){{a * ((a + 1) + (a - 1) * c + s) / a0, -2 * a * ((a - 1) + (a + 1) * c) / a0,
                              a * ((a + 1) + (a - 1) * c - s) / a0},
                             {1, 2 * ((a - 1) - (a + 1) * c) / a0, ((a + 1) - (a - 1) * c - s) / a0}};
    w = 2 * pi * 38 / rate;
    c = cos(w);
    s = sin(w) / (2 * 0.5);
    a0 = 1 + s;
    out[1] =
        (struct biquad){{(1 + c) / 2 / a0, -(1 + c) / a0, (1 + c) / 2 / a0}, {1, -2 * c / a0, (1 - s) / a0}};
}

static double filtered(const struct biquad *f, double state[2], double x)
{
    double y = f->b[0] * x + state[0];
    state[0] = f->b[1] * x - f->a[1] * y + state[1];
    state[1] = f->b[2] * x - f->a[2] * y;
    return y;
}

/* ---- blocks ---- */

struct blocks {
    size_t n;
    size_t *from, *to; /* [n]; own */
    double *z;         /* [n][channels]; owns: mean squares */
    double samples;    /* of a block */
};

static bool make_blocks(const struct tl_sound *s, enum tl_loudness_flavour flavour, struct blocks *b,
                        struct tl_err *err)
{
    double rate = s->rate;
    bool is_tool = flavour == TL_LOUDNESS_PYLOUDNORM;
    size_t whole = (size_t)(BLOCK_S * rate + 0.5);
    if (is_tool ? (double)s->frames < BLOCK_S * rate : s->frames < whole)
        return tl_err_set(err, TL_BAD_INPUT, "%.3g s long, and loudness is measured over 0.4 s and more",
                          (double)s->frames / rate);
    /* pyloudnorm rounds the number of blocks, so its last may be cut; the standard has whole ones only. */
    double seconds = (double)s->frames / rate;
    b->n = is_tool ? (size_t)rint((seconds - BLOCK_S) / (BLOCK_S * STEP)) + 1
                   : (s->frames - whole) * 10 / (size_t)s->rate + 1;
    b->samples = is_tool ? BLOCK_S * rate : (double)whole;
    b->from = calloc(b->n, sizeof *b->from);
    b->to = calloc(b->n, sizeof *b->to);
    b->z = calloc(b->n * (size_t)s->channels, sizeof *b->z);
    if (!b->from || !b->to || !b->z) return tl_err_set(err, TL_FAIL, "out of memory for loudness");
    for (size_t j = 0; j < b->n; j++) {
        b->from[j] = is_tool ? (size_t)(BLOCK_S * ((double)j * STEP) * rate) : j * (size_t)s->rate / 10;
        b->to[j] = is_tool ? (size_t)(BLOCK_S * ((double)j * STEP + 1) * rate) : b->from[j] + whole;
    }
    return true;
}

static void measure_channel(const struct tl_sound *s, const struct biquad filters[2], size_t channel,
                            struct blocks *b)
{
    size_t channels = (size_t)s->channels, first = 0;
    double states[2][2] = {{0}};
    for (size_t i = 0; i < s->frames; i++) {
        double x = (double)s->samples[i * channels + channel];
        x = filtered(&filters[1], states[1], filtered(&filters[0], states[0], x));
        while (first < b->n && b->to[first] <= i) first++;
        for (size_t j = first; j < b->n && b->from[j] <= i; j++) b->z[j * channels + channel] += x * x;
    }
    for (size_t j = 0; j < b->n; j++) b->z[j * channels + channel] /= b->samples;
}

/* ---- gates ---- */

static double weight(int channels, int channel)
{
    if (channels == 6) return channel == 3 ? 0 : channel > 3 ? 1.41 : 1;
    return channel > 2 ? 1.41 : 1;
}

static double level(const double *z, int channels)
{
    double sum = 0;
    for (int c = 0; c < channels; c++) sum += weight(channels, c) * z[c];
    return OFFSET + 10 * log10(sum);
}

/* Loudness of the blocks above a level; -INFINITY where there are none. */
static double gated(const struct blocks *b, int channels, double above)
{
    double mean[MOST_CHANNELS] = {0};
    size_t n = 0;
    for (size_t j = 0; j < b->n; j++) {
        const double *z = b->z + j * (size_t)channels;
        if (!(level(z, channels) > above)) continue;
        for (int c = 0; c < channels; c++) mean[c] += z[c];
        n++;
    }
    for (int c = 0; c < channels; c++) mean[c] /= n ? (double)n : 1;
    return n ? level(mean, channels) : -INFINITY;
}

bool tl_loudness(const struct tl_sound *sound, enum tl_loudness_flavour flavour, double *out,
                 struct tl_err *err)
{
    int most = flavour == TL_LOUDNESS_PYLOUDNORM ? 5 : MOST_CHANNELS;
    struct biquad filters[2];
    struct blocks b = {0};
    if (sound->channels > most)
        return tl_err_set(err, TL_BAD_INPUT, "%d channels, and loudness is defined for up to %d",
                          sound->channels, most);
    if (sound->rate < LOWEST_RATE)
        return tl_err_set(err, TL_BAD_INPUT,
                          "a rate of %d Hz is too low for loudness, whose filters need %d and more",
                          sound->rate, LOWEST_RATE);
    (flavour == TL_LOUDNESS_PYLOUDNORM ? pyloudnorm_filters : standard_filters)(sound->rate, filters);
    bool ok = make_blocks(sound, flavour, &b, err);
    for (size_t c = 0; ok && c < (size_t)sound->channels; c++) measure_channel(sound, filters, c, &b);
    if (ok) {
        double relative = gated(&b, sound->channels, GATE) - 10;
        *out = gated(&b, sound->channels, relative > GATE ? relative : GATE);
    }
    free(b.from);
    free(b.to);
    free(b.z);
    return ok;
}
