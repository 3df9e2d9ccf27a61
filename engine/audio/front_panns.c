#include "audio/front_panns.h"

#include <stdlib.h>

#include "audio/front_inner.h"

enum { BANDS = TL_FRONT_PANNS_BANDS };

static const struct variant {
    int rate;
    size_t window, hop;
    double high;
} variants[] = {
    [TL_PANNS_32K] = {32000, 1024, 320, 14000},
    [TL_PANNS_16K] = {16000, 512, 160, 8000},
    [TL_PANNS_8K] = {8000, 256, 80, 4000},
};

struct tl_front_panns {
    const struct variant *variant;
    struct tl_front_bank bank;
};

static struct tl_mel_params mel_of(const struct variant *v, double high)
{
    return (struct tl_mel_params){.scale = TL_MEL_SLANEY,
                                  .is_area = true,
                                  .bins = v->window / 2 + 1,
                                  .bands = BANDS,
                                  .rate = v->rate,
                                  .low = 50,
                                  .high = high};
}

static bool fill(struct tl_front_panns *f, const float *mel_w, struct tl_err *err)
{
    const struct variant *v = f->variant;
    struct tl_spectrum_params spectrum = {
        .window = v->window, .hop = v->hop, .fft = v->window, .is_centred = true, .is_power = true};
    struct tl_mel_params mel = mel_of(v, v->high);
    f->bank.spectrum = tl_spectrum_create(&spectrum, err);
    f->bank.mel = mel_w ? tl_mel_create_from(mel_w, mel.bins, BANDS, err) : tl_mel_create(&mel, err);
    return f->bank.spectrum && f->bank.mel;
}

struct tl_front_panns *tl_front_panns_create(enum tl_panns_variant variant, const float *mel_w,
                                             struct tl_err *err)
{
    struct tl_front_panns *f = calloc(1, sizeof *f);
    if (!f) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    f->variant = &variants[variant];
    if (!fill(f, mel_w, err)) tl_front_panns_destroy(&f);
    return f;
}

void tl_front_panns_destroy(struct tl_front_panns **front)
{
    if (!*front) return;
    tl_front_bank_finish(&(*front)->bank);
    free(*front);
    *front = NULL;
}

int tl_front_panns_rate(enum tl_panns_variant variant)
{
    return variants[variant].rate;
}

size_t tl_front_panns_bins(enum tl_panns_variant variant)
{
    return variants[variant].window / 2 + 1;
}

bool tl_front_panns_bank(enum tl_panns_variant variant, double high, float *out, struct tl_err *err)
{
    struct tl_mel_params p = mel_of(&variants[variant], high);
    struct tl_mel *mel = tl_mel_create(&p, err);
    if (!mel) return false;
    for (size_t k = 0; k < p.bins; k++)
        for (size_t b = 0; b < BANDS; b++) out[k * BANDS + b] = (float)tl_mel_weight(mel, k, b);
    tl_mel_destroy(&mel);
    return true;
}

bool tl_front_panns_run(const struct tl_front_panns *front, const float *samples, size_t n,
                        struct tl_front *out, struct tl_err *err)
{
    struct tl_front_work work = {0};
    size_t frames = tl_spectrum_frames(front->bank.spectrum, n);
    *out = (struct tl_front){0};
    if (frames < TL_FRONT_PANNS_MIN_FRAMES)
        return tl_err_set(err, TL_BAD_INPUT, "%zu samples at %d Hz are too short for PANNs, which takes %zu",
                          n, front->variant->rate,
                          tl_spectrum_samples(front->bank.spectrum, TL_FRONT_PANNS_MIN_FRAMES));
    if (!tl_front_work_init(&work, &front->bank, err)) return false;
    bool ok = tl_front_init(out, 1, 1, frames, BANDS, err);
    if (ok) tl_front_bank_frames(&front->bank, &work, samples, n, 0, frames, out->x);
    tl_front_work_finish(&work);
    return ok;
}
