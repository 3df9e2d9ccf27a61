#include "audio/front.h"

#include <stdlib.h>

#include "audio/front_inner.h"
#include "base/checked.h"

void tl_front_finish(struct tl_front *front)
{
    free(front->x);
    *front = (struct tl_front){0};
}

bool tl_front_init(struct tl_front *out, size_t n, size_t channels, size_t frames, size_t bands,
                   struct tl_err *err)
{
    size_t total;
    *out = (struct tl_front){0};
    if (!tl_checked_mul(n, channels, &total) || !tl_checked_mul(total, frames, &total) ||
        !tl_checked_mul(total, bands, &total) || total > TL_FRONT_MOST_FLOATS)
        return tl_err_set(
            err, TL_BAD_INPUT,
            "the sound is too long: %zu windows of %zu frames and %zu bands take more than 1 GiB; "
            "cut it",
            n, frames, bands);
    float *x = calloc(total ? total : 1, sizeof *x);
    if (!x) return tl_err_set(err, TL_FAIL, "out of memory");
    *out = (struct tl_front){n, channels, frames, bands, x};
    return true;
}

bool tl_front_bank_init(struct tl_front_bank *bank, const struct tl_spectrum_params *spectrum,
                        const struct tl_mel_params *mel, struct tl_err *err)
{
    struct tl_mel_params p = *mel;
    bank->spectrum = tl_spectrum_create(spectrum, err);
    if (!bank->spectrum) return false;
    p.bins = tl_spectrum_bins(bank->spectrum);
    bank->mel = tl_mel_create(&p, err);
    return bank->mel != NULL;
}

void tl_front_bank_finish(struct tl_front_bank *bank)
{
    tl_spectrum_destroy(&bank->spectrum);
    tl_mel_destroy(&bank->mel);
}

bool tl_front_work_init(struct tl_front_work *work, const struct tl_front_bank *bank, struct tl_err *err)
{
    work->spectrum = tl_spectrum_work_create(bank->spectrum, err);
    work->bands = calloc(tl_mel_bands(bank->mel), sizeof *work->bands);
    if (!work->bands) tl_err_set(err, TL_FAIL, "out of memory");
    if (work->spectrum && work->bands) return true;
    tl_front_work_finish(work);
    return false;
}

void tl_front_work_finish(struct tl_front_work *work)
{
    tl_spectrum_work_destroy(&work->spectrum);
    free(work->bands);
    work->bands = NULL;
}

void tl_front_bank_frames(const struct tl_front_bank *bank, struct tl_front_work *work, const float *x,
                          size_t n, size_t first, size_t count, float *out)
{
    size_t bands = tl_mel_bands(bank->mel);
    for (size_t i = 0; i < count; i++) {
        const double *bins = tl_spectrum_frame(bank->spectrum, work->spectrum, x, n, first + i);
        tl_mel_apply(bank->mel, bins, work->bands);
        for (size_t b = 0; bank->scale > 0 && b < bands; b++) work->bands[b] *= bank->scale;
        if (bank->floor > 0)
            tl_mel_log(work->bands, bands, bank->floor, out + i * bands);
        else
            tl_mel_decibels(work->bands, bands, out + i * bands);
    }
}
