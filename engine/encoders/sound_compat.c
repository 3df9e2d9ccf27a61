#include "encoders/sound_compat.h"

#include <math.h>
#include <string.h>

#include "base/half.h"

#define KAISER_16 "through 16-bit PCM, embeddings stored as float16"

static const struct tl_sound_compat rows[] = {
    {.name = "none", .text = "nothing rounded", .resampler = TL_RESAMPLE_SOXR_VHQ, .is_padded = true},
    {.name = "fadtk",
     .text = KAISER_16,
     .resampler = TL_RESAMPLE_KAISER_FADTK,
     .is_pcm16 = true,
     .is_padded = true,
     .is_half = true},
    {.name = "kadtk",
     .text = KAISER_16,
     .resampler = TL_RESAMPLE_KAISER_FADTK,
     .is_pcm16 = true,
     .is_padded = true,
     .is_half = true},
    {.name = "gudgud96", .text = "nothing rounded", .resampler = TL_RESAMPLE_RESAMPY_BEST},
    {.name = "google",
     .text = "over max(0.1, largest sample), a second every half second",
     .resampler = TL_RESAMPLE_SOXR_VHQ,
     .is_google = true},
};

bool tl_sound_compat_parse(const char *compat, const char *resample, struct tl_sound_compat *out,
                           struct tl_err *err)
{
    size_t i = 0, n = sizeof rows / sizeof *rows;
    while (compat && i < n && strcmp(compat, rows[i].name) != 0) i++;
    if (i == n)
        return tl_err_set(err, TL_USAGE,
                          "compat '%s' is not known: none, fadtk, kadtk, gudgud96 (frechet-audio-distance) "
                          "and google are",
                          compat);
    *out = rows[i];
    return !resample || tl_resampler_parse(resample, &out->resampler, err);
}

/* Whole windows of a second every half second only, the gain by the largest sample, not by magnitude. */
static bool google_samples(struct tl_sound *s, struct tl_err *err)
{
    size_t second = (size_t)s->rate, hop = second / 2;
    float most = 0.1f;
    if (s->frames < second)
        return tl_err_set(err, TL_BAD_INPUT, "%zu samples at %d Hz are less than a second", s->frames,
                          s->rate);
    for (size_t i = 0; i < s->frames; i++)
        if (s->samples[i] > most) most = s->samples[i];
    for (size_t i = 0; i < s->frames; i++) s->samples[i] /= most;
    s->frames = second + (s->frames - second) / hop * hop;
    return true;
}

/* Front ends take logarithms of what is at least a floor, behind which such a sample would be silence. */
static bool check_finite(const struct tl_sound *s, struct tl_err *err)
{
    for (size_t i = 0; i < s->frames; i++)
        if (!isfinite(s->samples[i]))
            return tl_err_set(
                err, TL_BAD_INPUT,
                "at %.4g s the sound passes the largest number (full scale is 1): is it damaged?",
                (double)i / s->rate);
    return true;
}

bool tl_sound_compat_samples(const struct tl_sound_compat *compat, const struct tl_sound *sound, int rate,
                             struct tl_sound *out, struct tl_err *err)
{
    *out = (struct tl_sound){0};
    if (!tl_sound_mono_at(sound, rate, compat->resampler, out, err)) return false;
    bool ok = check_finite(out, err);
    if (ok && compat->is_pcm16) tl_sound_to_pcm16(out);
    if (ok && (!compat->is_google || google_samples(out, err))) return true;
    tl_sound_finish(out);
    return false;
}

void tl_sound_compat_rows(const struct tl_sound_compat *compat, float *x, size_t n)
{
    for (size_t i = 0; compat->is_half && i < n; i++) x[i] = tl_f16_to_f32(tl_f32_to_f16(x[i]));
}
