#include "audio/front_clap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "audio/front_inner.h"
#include "base/checked.h"
#include "base/numpy_rng.h"

struct tl_front_clap {
    struct tl_front_clap_params params;
    struct tl_front_bank bank;
    size_t frames; /* of a window */
};

struct tl_front_clap_params tl_front_clap_defaults(void)
{
    return (struct tl_front_clap_params){.rate = 48000,
                                         .max_samples = 480000,
                                         .window_hop = 48000,
                                         .fft = 1024,
                                         .hop = 480,
                                         .bands = 64,
                                         .low = 50,
                                         .high = 14000};
}

static bool check(const struct tl_front_clap_params *p, struct tl_err *err)
{
    if (p->is_fused && p->crop == TL_CLAP_WINDOWS)
        return tl_err_set(err, TL_USAGE,
                          "a fused CLAP takes a long clip whole: windows are for unfused ones");
    if (p->crop == TL_CLAP_WINDOWS && !p->window_hop)
        return tl_err_set(err, TL_USAGE, "windows need a hop of at least one sample");
    if (p->max_samples <= p->fft / 2 || p->max_samples >= UINT32_MAX)
        return tl_err_set(err, TL_BAD_INPUT, "a window of %zu samples does not fit a transform of %zu",
                          p->max_samples, p->fft);
    return true;
}

static bool fill(struct tl_front_clap *f, struct tl_err *err)
{
    const struct tl_front_clap_params *p = &f->params;
    struct tl_spectrum_params spectrum = {
        .window = p->fft, .hop = p->hop, .fft = p->fft, .is_centred = true, .is_power = true};
    struct tl_mel_params mel = {.scale = p->is_fused ? TL_MEL_HTK : TL_MEL_SLANEY,
                                .is_area = !p->is_fused,
                                .bands = p->bands,
                                .rate = (double)p->rate,
                                .low = p->low,
                                .high = p->high};
    if (!check(p, err) || !tl_front_bank_init(&f->bank, &spectrum, &mel, err)) return false;
    f->frames = tl_spectrum_frames(f->bank.spectrum, p->max_samples);
    return true;
}

struct tl_front_clap *tl_front_clap_create(const struct tl_front_clap_params *params, struct tl_err *err)
{
    struct tl_front_clap *f = calloc(1, sizeof *f);
    if (!f) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    f->params = *params;
    if (!fill(f, err)) tl_front_clap_destroy(&f);
    return f;
}

void tl_front_clap_destroy(struct tl_front_clap **front)
{
    if (!*front) return;
    tl_front_bank_finish(&(*front)->bank);
    free(*front);
    *front = NULL;
}

size_t tl_front_clap_frames(const struct tl_front_clap *front)
{
    return front->frames;
}

/* ---- samples ---- */

static void quantise(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float v = x[i] < -1 ? -1.0f : x[i] > 1 ? 1.0f : x[i];
        x[i] = truncf(v * 32767.0f) / 32767.0f;
    }
}

/* out [size] is zeroed, n < size */
static void pad(enum tl_clap_padding how, const float *x, size_t n, float *out, size_t size)
{
    size_t times = how == TL_CLAP_PAD ? 1 : how == TL_CLAP_REPEAT ? size / n + 1 : size / n;
    for (size_t i = 0; i < times; i++) {
        size_t at = i * n, left = size - at;
        memcpy(out + at, x, (n < left ? n : left) * sizeof *out);
    }
}

/* ---- starts ---- */

/* A start among `first` to first + count - 1; an empty stretch means 0, as in the reference. */
static size_t pick(const struct tl_front_clap_params *p, struct tl_numpy_rng *rng, size_t first, size_t count)
{
    if (!count) return 0;
    if (p->crop == TL_CLAP_SEEDED) return first + tl_numpy_rng_below(rng, (uint32_t)count);
    return first + (p->crop == TL_CLAP_CENTRE ? (count - 1) / 2 : 0);
}

/* n_parts starts among 0 to count - 1, one from each of as many nearly equal parts, the first ones larger. */
static bool find_starts(const struct tl_front_clap_params *p, size_t count, size_t n_parts, size_t *starts,
                        struct tl_err *err)
{
    struct tl_numpy_rng rng;
    tl_numpy_rng_seed(&rng, p->seed);
    if (count > UINT32_MAX) return tl_err_set(err, TL_BAD_INPUT, "the sound is too long for CLAP");
    for (size_t i = 0, first = 0; i < n_parts; i++) {
        size_t size = count / n_parts + (i < count % n_parts);
        starts[i] = p->crop == TL_CLAP_GIVEN ? p->starts[i] : pick(p, &rng, first, size);
        first += size;
        if (starts[i] >= count)
            return tl_err_set(err, TL_BAD_INPUT,
                              "a stretch from %zu on is asked for; the last one begins at %zu", starts[i],
                              count - 1);
    }
    return true;
}

/* ---- pictures ---- */

static void picture(const struct tl_front_clap *f, struct tl_front_work *work, const float *x, float *out)
{
    tl_front_bank_frames(&f->bank, work, x, f->params.max_samples, 0, f->frames, out);
}

/* Bilinear in time, ends clamped, in float as torch.nn.functional.interpolate(align_corners=False). */
static void shrink(const float *mel, size_t n, size_t bands, float *out, size_t n_out)
{
    float scale = (float)n / (float)n_out;
    for (size_t i = 0; i < n_out; i++) {
        float at = scale * ((float)i + 0.5f) - 0.5f;
        size_t a = at > 0 ? (size_t)at : 0;
        if (a > n - 1) a = n - 1;
        size_t b = a + 1 < n ? a + 1 : a;
        float t = at > 0 ? at - (float)a : 0;
        t = t > 1 ? 1 : t;
        for (size_t k = 0; k < bands; k++)
            out[i * bands + k] = (1 - t) * mel[a * bands + k] + t * mel[b * bands + k];
    }
}

/* A clip of more than a window, fused. */
static bool fuse(const struct tl_front_clap *f, struct tl_front_work *work, const float *x, size_t n,
                 struct tl_front *out, bool *out_is_longer, struct tl_err *err)
{
    size_t total = tl_spectrum_frames(f->bank.spectrum, n), size = f->frames * out->bands, starts[3];
    struct tl_front mel = {0};
    *out_is_longer = total != f->frames;
    if (*out_is_longer && !find_starts(&f->params, total - f->frames + 1, 3, starts, err)) return false;
    if (!tl_front_init(&mel, 1, 1, total, out->bands, err)) return false;
    tl_front_bank_frames(&f->bank, work, x, n, 0, total, mel.x);
    if (*out_is_longer) {
        shrink(mel.x, total, out->bands, out->x, f->frames);
        for (size_t i = 0; i < 3; i++)
            memcpy(out->x + (i + 1) * size, mel.x + starts[i] * out->bands, size * sizeof *mel.x);
    } else {
        for (size_t i = 0; i < 4; i++) memcpy(out->x + i * size, mel.x, size * sizeof *mel.x);
    }
    tl_front_finish(&mel);
    return true;
}

/* One window of a clip that is longer than it, unfused. */
static bool crop(const struct tl_front_clap *f, struct tl_front_work *work, const float *x, size_t n,
                 struct tl_front *out, struct tl_err *err)
{
    size_t start;
    if (!find_starts(&f->params, n - f->params.max_samples + 1, 1, &start, err)) return false;
    picture(f, work, x + start, out->x);
    return true;
}

/* A clip of at most a window. */
static bool fit(const struct tl_front_clap *f, struct tl_front_work *work, const float *x, size_t n,
                struct tl_front *out, struct tl_err *err)
{
    size_t size = f->params.max_samples, picture_size = f->frames * out->bands;
    float *padded = n < size ? calloc(size, sizeof *padded) : NULL;
    if (n < size && !padded) return tl_err_set(err, TL_FAIL, "out of memory");
    if (padded) pad(f->params.padding, x, n, padded, size);
    picture(f, work, padded ? padded : x, out->x);
    for (size_t i = 1; i < out->channels; i++)
        memcpy(out->x + i * picture_size, out->x, picture_size * sizeof *out->x);
    free(padded);
    return true;
}

/* Windows overlap, and a frame that touches no mirrored end is the same in each: it is made once. */
static void window(const struct tl_front_clap *f, struct tl_front_work *work, const float *x,
                   const float *before, float *out)
{
    const struct tl_front_clap_params *p = &f->params;
    size_t bands = p->bands, shift = p->window_hop / p->hop, first = (p->fft / 2 + p->hop - 1) / p->hop;
    size_t end =
        (p->max_samples - p->fft / 2) / p->hop + 1; /* frames first to end - 1 are clear of the ends */
    if (!before || p->window_hop % p->hop || first + shift >= end) {
        picture(f, work, x, out);
        return;
    }
    size_t n_kept = end - shift - first, made_after = first + n_kept;
    tl_front_bank_frames(&f->bank, work, x, p->max_samples, 0, first, out);
    memcpy(out + first * bands, before + (first + shift) * bands, n_kept * bands * sizeof *out);
    tl_front_bank_frames(&f->bank, work, x, p->max_samples, made_after, f->frames - made_after,
                         out + made_after * bands);
}

static bool windows(const struct tl_front_clap *f, struct tl_front_work *work, const float *x, size_t n,
                    struct tl_front *out, struct tl_err *err)
{
    size_t size = f->params.max_samples, hop = f->params.window_hop, picture_size = f->frames * out->bands;
    float *tail = calloc(size, sizeof *tail);
    if (!tail) return tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t i = 0; i < out->n; i++) {
        size_t left = n - i * hop;
        const float *at = x + i * hop;
        if (left < size) {
            memset(tail, 0, size * sizeof *tail);
            memcpy(tail, at, left * sizeof *tail);
            at = tail;
        }
        float *to = out->x + i * picture_size;
        window(f, work, at, i ? to - picture_size : NULL, to);
    }
    free(tail);
    return true;
}

static bool run(const struct tl_front_clap *f, const float *x, size_t n, struct tl_front *out,
                bool *out_is_longer, struct tl_err *err)
{
    const struct tl_front_clap_params *p = &f->params;
    struct tl_front_work work = {0};
    size_t n_windows = p->crop == TL_CLAP_WINDOWS ? (n - 1) / p->window_hop + 1 : 1;
    if (!tl_front_init(out, n_windows, p->is_fused ? 4 : 1, f->frames, p->bands, err)) return false;
    bool ok = tl_front_work_init(&work, &f->bank, err);
    if (ok && p->crop == TL_CLAP_WINDOWS)
        ok = windows(f, &work, x, n, out, err);
    else if (ok && n <= p->max_samples)
        ok = fit(f, &work, x, n, out, err);
    else if (ok && p->is_fused)
        ok = fuse(f, &work, x, n, out, out_is_longer, err);
    else if (ok)
        ok = crop(f, &work, x, n, out, err);
    tl_front_work_finish(&work);
    if (!ok) tl_front_finish(out);
    return ok;
}

bool tl_front_clap_run(const struct tl_front_clap *front, const float *samples, size_t n,
                       struct tl_front *out, bool *out_is_longer, struct tl_err *err)
{
    bool is_longer = false;
    float *copy = NULL;
    size_t bytes;
    *out = (struct tl_front){0};
    if (!n) return tl_err_set(err, TL_BAD_INPUT, "the sound has no samples");
    if (front->params.is_quantised) {
        copy = tl_checked_mul(n, sizeof *copy, &bytes) ? malloc(bytes) : NULL;
        if (!copy) return tl_err_set(err, TL_FAIL, "out of memory");
        memcpy(copy, samples, bytes);
        quantise(copy, n);
    }
    bool ok = run(front, copy ? copy : samples, n, out, &is_longer, err);
    free(copy);
    if (out_is_longer) *out_is_longer = is_longer;
    return ok;
}
