/* Mel banks: triangular filters over the bins of a spectrum. Read-only once made. */
#ifndef TL_AUDIO_MEL_H
#define TL_AUDIO_MEL_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

enum tl_mel_scale {
    TL_MEL_HTK,   /* 2595 log10(1 + f / 700); the form 1127 ln(1 + f / 700) is a multiple of it, gives the
                     same edges, and needs no row of its own */
    TL_MEL_SLANEY /* 3 f / 200 below 1 kHz, 15 + 27 ln(f / 1000) / ln 6.4 above */
};

struct tl_mel_params {
    enum tl_mel_scale scale;
    bool is_linear_in_mel;  /* triangles straight over mel; otherwise over Hz */
    bool is_area;           /* each filter by 2 / (its width in Hz): Slaney's norm */
    bool is_dc_left_out;    /* bin 0 weighs nothing */
    size_t bins, bands;     /* bins: fft / 2 + 1, from 0 Hz to rate / 2 */
    double rate, low, high; /* Hz; 0 <= low < high <= rate / 2 */
};

struct tl_mel;

struct tl_mel *tl_mel_create(const struct tl_mel_params *params, struct tl_err *err);
/* From weights [bins][bands], as checkpoints keep them. */
struct tl_mel *tl_mel_create_from(const float *weights, size_t bins, size_t bands, struct tl_err *err);
void tl_mel_destroy(struct tl_mel **mel);

size_t tl_mel_bands(const struct tl_mel *mel);
double tl_mel_weight(const struct tl_mel *mel, size_t bin, size_t band);

/* out[bands] = weights^T spectrum[bins] */
void tl_mel_apply(const struct tl_mel *mel, const double *spectrum, double *out);

/* 10 log10(max(x, 1e-10)) */
void tl_mel_decibels(const double *x, size_t n, float *out);
/* ln(x + floor) */
void tl_mel_log(const double *x, size_t n, double floor, float *out);

#endif
