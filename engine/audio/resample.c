#include "audio/resample.h"

#include <math.h>
#include <string.h>

#include <soxr.h>

#include "audio/resample_inner.h"
#include "base/str.h"

double resample_bessel_i0(double x)
{
    double quarter = x * x / 4, term = 1, sum = 1;
    for (int k = 1; term > 1e-18 * sum; k++) {
        term *= quarter / ((double)k * k);
        sum += term;
    }
    return sum;
}

bool resample_take(const struct tl_sound *in, int rate, size_t frames, struct tl_sound *out,
                   struct tl_err *err)
{
    if (frames < 1)
        return tl_err_set(err, TL_BAD_INPUT, "too short: %zu frames at %d Hz make none at %d Hz", in->frames,
                          in->rate, rate);
    return tl_sound_init(out, rate, in->channels, frames, err);
}

static bool run_soxr(const struct tl_sound *in, int rate, unsigned long recipe, struct tl_sound *out,
                     struct tl_err *err)
{
    unsigned channels = (unsigned)in->channels;
    double most = ceil((double)in->frames * rate / in->rate) + 1;
    size_t n_in, n_out;
    if (!resample_take(in, rate, (size_t)most, out, err)) return false;
    soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
    soxr_quality_spec_t quality = soxr_quality_spec(recipe, 0);
    soxr_runtime_spec_t one_thread = soxr_runtime_spec(1);
    soxr_error_t why = soxr_oneshot(in->rate, rate, channels, in->samples, in->frames, &n_in, out->samples,
                                    out->frames, &n_out, &io, &quality, &one_thread);
    if (why) return tl_err_set(err, TL_FAIL, "cannot resample from %d to %d Hz: %s", in->rate, rate, why);
    size_t wanted = (size_t)((double)in->frames * rate / in->rate + 0.5);
    if (n_in != in->frames || n_out < wanted)
        return tl_err_set(
            err, TL_FAIL,
            "resampling from %d to %d Hz stopped early: %zu of %zu frames read, %zu of %zu made", in->rate,
            rate, n_in, in->frames, n_out, wanted);
    out->frames = wanted;
    if (out->frames) return true;
    tl_sound_finish(out);
    return resample_take(in, rate, 0, out, err);
}

static bool run_vhq(const struct tl_sound *in, int rate, struct tl_sound *out, struct tl_err *err)
{
    return run_soxr(in, rate, SOXR_VHQ, out, err);
}

static bool run_hq(const struct tl_sound *in, int rate, struct tl_sound *out, struct tl_err *err)
{
    return run_soxr(in, rate, SOXR_HQ, out, err);
}

static const struct {
    const char *name;
    resample_run *run;
} table[TL_RESAMPLERS] = {
    [TL_RESAMPLE_SOXR_VHQ] = {"soxr-vhq", run_vhq},
    [TL_RESAMPLE_SOXR_HQ] = {"soxr-hq", run_hq},
    [TL_RESAMPLE_TORCHAUDIO] = {"torchaudio", resample_torchaudio},
    [TL_RESAMPLE_KAISER_FADTK] = {"kaiser-fadtk", resample_fadtk},
    [TL_RESAMPLE_RESAMPY_BEST] = {"resampy-best", resample_resampy_best},
    [TL_RESAMPLE_RESAMPY_FAST] = {"resampy-fast", resample_resampy_fast},
};

const char *tl_resampler_name(enum tl_resampler how)
{
    return table[how].name;
}

bool tl_resampler_parse(const char *name, enum tl_resampler *out, struct tl_err *err)
{
    struct tl_str all = {0};
    for (int i = 0; i < TL_RESAMPLERS; i++) {
        *out = (enum tl_resampler)i;
        if (strcmp(table[i].name, name) == 0) return true;
    }
    for (int i = 0; i < TL_RESAMPLERS; i++) tl_str_printf(&all, "%s%s", i ? ", " : "", table[i].name);
    tl_err_set(err, TL_USAGE, "there is no resampler '%s'; there are %s", name, all.data ? all.data : "none");
    tl_str_finish(&all);
    return false;
}

bool tl_sound_mono(const struct tl_sound *sound, struct tl_sound *out, struct tl_err *err)
{
    size_t channels = (size_t)sound->channels;
    if (!tl_sound_init(out, sound->rate, 1, sound->frames, err)) return false;
    if (channels == 1) {
        memcpy(out->samples, sound->samples, sound->frames * sizeof *out->samples);
        return true;
    }
    for (size_t i = 0; i < sound->frames; i++) {
        double sum = 0;
        for (size_t c = 0; c < channels; c++) sum += (double)sound->samples[i * channels + c];
        out->samples[i] = (float)(sum / (double)channels);
    }
    return true;
}

bool tl_sound_resample(const struct tl_sound *sound, int rate, enum tl_resampler how, struct tl_sound *out,
                       struct tl_err *err)
{
    *out = (struct tl_sound){0};
    if (rate < TL_SOUND_MIN_RATE || rate > TL_SOUND_MAX_RATE)
        return tl_err_set(err, TL_BAD_INPUT, "a rate of %d Hz; there are %d to %d", rate, TL_SOUND_MIN_RATE,
                          TL_SOUND_MAX_RATE);
    bool ok;
    if (rate == sound->rate) {
        ok = resample_take(sound, rate, sound->frames, out, err);
        if (ok)
            memcpy(out->samples, sound->samples,
                   sound->frames * (size_t)sound->channels * sizeof *out->samples);
    } else {
        ok = table[how].run(sound, rate, out, err);
    }
    if (!ok) tl_sound_finish(out);
    return ok;
}

bool tl_sound_mono_at(const struct tl_sound *sound, int rate, enum tl_resampler how, struct tl_sound *out,
                      struct tl_err *err)
{
    struct tl_sound mono;
    *out = (struct tl_sound){0};
    if (!tl_sound_mono(sound, &mono, err)) return false;
    bool ok = tl_sound_resample(&mono, rate, how, out, err);
    tl_sound_finish(&mono);
    return ok;
}

void tl_sound_to_pcm16(struct tl_sound *sound)
{
    size_t n = sound->frames * (size_t)sound->channels;
    for (size_t i = 0; i < n; i++) {
        double v = rint((double)sound->samples[i] * 2147483648.0); /* libsndfile makes 32 bits, keeps 16 */
        v = floor(v / 65536);
        sound->samples[i] = (float)(v < -32768 ? -32768 : v > 32767 ? 32767 : v) / 32768;
    }
}
