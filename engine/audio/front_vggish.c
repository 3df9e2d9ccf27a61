#include "audio/front_vggish.h"

#include <stdlib.h>
#include <string.h>

#include "audio/front_inner.h"

enum { FRAMES = TL_FRONT_VGGISH_FRAMES, BANDS = TL_FRONT_VGGISH_BANDS };

struct tl_front_vggish {
    struct tl_front_vggish_params params;
    struct tl_front_bank bank;
};

struct tl_front_vggish *tl_front_vggish_create(const struct tl_front_vggish_params *params,
                                               struct tl_err *err)
{
    static const struct tl_spectrum_params spectrum = {.window = 400, .hop = 160, .fft = 512};
    static const struct tl_mel_params mel = {.scale = TL_MEL_HTK,
                                             .is_linear_in_mel = true,
                                             .is_dc_left_out = true,
                                             .bands = BANDS,
                                             .rate = TL_FRONT_VGGISH_RATE,
                                             .low = 125,
                                             .high = 7500};
    struct tl_front_vggish *f = calloc(1, sizeof *f);
    if (!f) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    f->params = *params;
    if (!f->params.patch_hop) f->params.patch_hop = FRAMES;
    f->bank.floor = 0.01;
    if (!tl_front_bank_init(&f->bank, &spectrum, &mel, err)) tl_front_vggish_destroy(&f);
    return f;
}

void tl_front_vggish_destroy(struct tl_front_vggish **front)
{
    if (!*front) return;
    tl_front_bank_finish(&(*front)->bank);
    free(*front);
    *front = NULL;
}

static bool fill_patches(const struct tl_front_vggish *front, const float *x, size_t n, struct tl_front *out,
                         struct tl_err *err)
{
    size_t hop = front->params.patch_hop, frames = tl_spectrum_frames(front->bank.spectrum, n);
    if (frames < FRAMES)
        return tl_err_set(err, TL_BAD_INPUT,
                          "%zu samples at 16 kHz are too short for VGGish, which takes %zu", n,
                          tl_spectrum_samples(front->bank.spectrum, FRAMES));
    size_t n_patches = 1 + (frames - FRAMES) / hop, n_used = (n_patches - 1) * hop + FRAMES;
    struct tl_front mel = {0};
    struct tl_front_work work = {0};
    bool ok = tl_front_init(&mel, 1, 1, n_used, BANDS, err) && tl_front_work_init(&work, &front->bank, err);
    if (ok) tl_front_bank_frames(&front->bank, &work, x, n, 0, n_used, mel.x);
    if (ok && hop == FRAMES) { /* the frames lie as patches already */
        *out = (struct tl_front){n_patches, 1, FRAMES, BANDS, mel.x};
        mel.x = NULL;
    } else if (ok) {
        ok = tl_front_init(out, n_patches, 1, FRAMES, BANDS, err);
        for (size_t i = 0; ok && i < n_patches; i++)
            memcpy(out->x + i * FRAMES * BANDS, mel.x + i * hop * BANDS, FRAMES * BANDS * sizeof *out->x);
    }
    tl_front_work_finish(&work);
    tl_front_finish(&mel);
    return ok;
}

bool tl_front_vggish_run(const struct tl_front_vggish *front, const float *samples, size_t n,
                         struct tl_front *out, struct tl_err *err)
{
    enum { SECOND = TL_FRONT_VGGISH_RATE };
    *out = (struct tl_front){0};
    if (!n) return tl_err_set(err, TL_BAD_INPUT, "the sound has no samples");
    if (!front->params.is_padded || n >= SECOND) return fill_patches(front, samples, n, out, err);
    float *padded = calloc(SECOND, sizeof *padded);
    if (!padded) return tl_err_set(err, TL_FAIL, "out of memory");
    memcpy(padded, samples, n * sizeof *padded);
    bool ok = fill_patches(front, padded, SECOND, out, err);
    free(padded);
    return ok;
}
