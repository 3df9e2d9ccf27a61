#include "audio/spectrum.h"

#include <fftw3.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

static const double pi = 3.14159265358979323846;
enum { LARGEST = 1 << 20 };

/* FFTW's planner is one for the whole process and takes one thread at a time. */
static pthread_mutex_t planner = PTHREAD_MUTEX_INITIALIZER;

struct tl_spectrum {
    struct tl_spectrum_params params;
    double *shape; /* [window]; owns */
    fftw_plan plan;
};

struct tl_spectrum_work {
    double *in;        /* [fft]; owns, as the next */
    fftw_complex *out; /* [bins] */
    double *bins;
};

static fftw_plan plan_of(size_t fft)
{
    fftw_plan plan = NULL;
    double *in = fftw_alloc_real(fft);
    fftw_complex *out = fftw_alloc_complex(fft / 2 + 1);
    if (in && out) {
        pthread_mutex_lock(&planner);
        plan = fftw_plan_dft_r2c_1d((int)fft, in, out, FFTW_ESTIMATE);
        pthread_mutex_unlock(&planner);
    }
    fftw_free(in);
    fftw_free(out);
    return plan;
}

struct tl_spectrum *tl_spectrum_create(const struct tl_spectrum_params *params, struct tl_err *err)
{
    const struct tl_spectrum_params *p = params;
    if (p->fft < 2 || p->fft > LARGEST || p->window < 2 || p->window > p->fft || p->window % 2 ||
        p->hop < 1 || p->hop > LARGEST) {
        tl_err_set(
            err, TL_BAD_INPUT,
            "a spectrum of %zu samples every %zu through a transform of %zu is not supported: the window "
            "must be even, at most the transform, and that at most %d",
            p->window, p->hop, p->fft, LARGEST);
        return NULL;
    }
    struct tl_spectrum *s = calloc(1, sizeof *s);
    if (s) {
        s->params = *p;
        s->shape = calloc(p->window, sizeof *s->shape);
        s->plan = plan_of(p->fft);
    }
    if (!s || !s->shape || !s->plan) {
        tl_err_set(err, TL_FAIL, "out of memory");
        tl_spectrum_destroy(&s);
        return NULL;
    }
    for (size_t i = 0; i < p->window; i++)
        s->shape[i] = 0.5 - 0.5 * cos(2 * pi * (double)i / (double)p->window);
    return s;
}

void tl_spectrum_destroy(struct tl_spectrum **spectrum)
{
    struct tl_spectrum *s = *spectrum;
    if (!s) return;
    pthread_mutex_lock(&planner);
    if (s->plan) fftw_destroy_plan(s->plan);
    pthread_mutex_unlock(&planner);
    free(s->shape);
    free(s);
    *spectrum = NULL;
}

size_t tl_spectrum_bins(const struct tl_spectrum *spectrum)
{
    return spectrum->params.fft / 2 + 1;
}

size_t tl_spectrum_frames(const struct tl_spectrum *spectrum, size_t n)
{
    const struct tl_spectrum_params *p = &spectrum->params;
    if (p->is_centred) return n > p->window / 2 ? 1 + n / p->hop : 0;
    return n >= p->window ? 1 + (n - p->window) / p->hop : 0;
}

size_t tl_spectrum_samples(const struct tl_spectrum *spectrum, size_t frames)
{
    const struct tl_spectrum_params *p = &spectrum->params;
    size_t hops = (frames - 1) * p->hop;
    if (!p->is_centred) return p->window + hops;
    return hops > p->window / 2 ? hops : p->window / 2 + 1;
}

struct tl_spectrum_work *tl_spectrum_work_create(const struct tl_spectrum *spectrum, struct tl_err *err)
{
    struct tl_spectrum_work *w = calloc(1, sizeof *w);
    size_t fft = spectrum->params.fft, bins = fft / 2 + 1;
    if (w) { /* of FFTW's own memory: the plan holds for its alignment */
        w->in = fftw_alloc_real(fft);
        w->out = fftw_alloc_complex(bins);
        w->bins = fftw_alloc_real(bins);
    }
    if (!w || !w->in || !w->out || !w->bins) {
        tl_err_set(err, TL_FAIL, "out of memory");
        tl_spectrum_work_destroy(&w);
        return NULL;
    }
    return w;
}

void tl_spectrum_work_destroy(struct tl_spectrum_work **work)
{
    struct tl_spectrum_work *w = *work;
    if (!w) return;
    fftw_free(w->in);
    fftw_free(w->out);
    fftw_free(w->bins);
    free(w);
    *work = NULL;
}

/* x[at], mirrored beyond the ends; at most n - 1 beyond. */
static double mirrored(const float *x, size_t n, ptrdiff_t at)
{
    ptrdiff_t last = (ptrdiff_t)n - 1;
    if (at < 0) at = -at;
    if (at > last) at = 2 * last - at;
    return (double)x[at];
}

const double *tl_spectrum_frame(const struct tl_spectrum *spectrum, struct tl_spectrum_work *work,
                                const float *x, size_t n, size_t frame)
{
    const struct tl_spectrum_params *p = &spectrum->params;
    size_t window = p->window, bins = p->fft / 2 + 1;
    ptrdiff_t first = (ptrdiff_t)(frame * p->hop) - (p->is_centred ? (ptrdiff_t)(window / 2) : 0);
    double *in = work->in, *out = work->bins;
    if (first >= 0 && (size_t)first + window <= n) {
        const float *from = x + first;
        for (size_t i = 0; i < window; i++) in[i] = (double)from[i] * spectrum->shape[i];
    } else {
        for (size_t i = 0; i < window; i++) in[i] = mirrored(x, n, first + (ptrdiff_t)i) * spectrum->shape[i];
    }
    for (size_t i = window; i < p->fft; i++) in[i] = 0; /* the transform may use its input up */
    fftw_execute_dft_r2c(spectrum->plan, in, work->out);
    for (size_t i = 0; i < bins; i++) {
        double re = work->out[i][0], im = work->out[i][1];
        out[i] = re * re + im * im;
    }
    if (!p->is_power)
        for (size_t i = 0; i < bins; i++) out[i] = sqrt(out[i]);
    return out;
}
