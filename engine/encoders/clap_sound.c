#include "encoders/clap_sound.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/str.h"
#include "io/file.h"
#include "io/json.h"

/* ---- what the config says ---- */

static bool read_size(const cJSON *json, const char *key, size_t fallback, size_t most, size_t *out,
                      struct tl_err *err)
{
    int64_t v;
    if (!tl_json_int(json, key, (int64_t)fallback, &v, err)) return false;
    *out = (size_t)v;
    return (v >= 1 && (uint64_t)v <= most) ||
           tl_err_set(err, TL_BAD_INPUT, "%s is %lld; 1 to %zu are possible", key, (long long)v, most);
}

static const char *const paddings[] = {
    [TL_CLAP_REPEAT_PAD] = "repeatpad", [TL_CLAP_REPEAT] = "repeat", [TL_CLAP_PAD] = "pad"};

static bool read_padding(const cJSON *json, enum tl_clap_padding *out, struct tl_err *err)
{
    const char *name;
    if (!tl_json_string(json, "padding", "repeatpad", &name, err)) return false;
    for (int i = TL_CLAP_REPEAT_PAD; i <= TL_CLAP_PAD; i++)
        if (strcmp(name, paddings[i]) == 0) {
            *out = (enum tl_clap_padding)i;
            return true;
        }
    return tl_err_set(err, TL_BAD_INPUT, "padding '%s' is not supported; repeatpad, repeat and pad are",
                      name);
}

/* Of "fusion" and "rand_trunc" the one that the model is made for. */
static bool check_truncation(const cJSON *json, bool is_fused, struct tl_err *err)
{
    const char *fitting = is_fused ? "fusion" : "rand_trunc", *name;
    if (!tl_json_string(json, "truncation", fitting, &name, err)) return false;
    return strcmp(name, fitting) == 0 ||
           tl_err_set(err, TL_BAD_INPUT, "truncation '%s' does not go with enable_fusion %s: it must be %s",
                      name, is_fused ? "true" : "false", fitting);
}

static bool read_params(const cJSON *json, struct tl_front_clap_params *p, struct tl_err *err)
{
    size_t seconds;
    if (!check_truncation(json, p->is_fused, err) || !read_padding(json, &p->padding, err) ||
        !read_size(json, "feature_size", p->bands, 1 << 12, &p->bands, err) ||
        !read_size(json, "sampling_rate", p->rate, TL_SOUND_MAX_RATE, &p->rate, err) ||
        !read_size(json, "hop_length", p->hop, 1 << 20, &p->hop, err) ||
        !read_size(json, "max_length_s", 10, 3600, &seconds, err) ||
        !read_size(json, "fft_window_size", p->fft, 1 << 16, &p->fft, err) ||
        !tl_json_double(json, "frequency_min", p->low, &p->low, err) ||
        !tl_json_double(json, "frequency_max", p->high, &p->high, err))
        return false;
    p->max_samples = seconds * p->rate;
    return true;
}

/* Without the file: the model's usual values. */
static bool read_config(const char *folder, struct tl_front_clap_params *p, struct tl_err *err)
{
    struct tl_str path = {0};
    tl_path_join(&path, folder, "preprocessor_config.json");
    bool ok = !path.failed || tl_err_set(err, TL_FAIL, "out of memory");
    if (ok && tl_file_exists(path.data)) {
        cJSON *json = tl_json_read(path.data, err);
        ok = json && (read_params(json, p, err) || tl_err_add(err, "%s", path.data));
        cJSON_Delete(json);
    }
    tl_str_finish(&path);
    return ok;
}

/* ---- settings ---- */

static const char *const policies[] = {[TL_CLAP_POLICY_WINDOWS] = "windows",
                                       [TL_CLAP_POLICY_CENTRE] = "centre",
                                       [TL_CLAP_POLICY_START] = "start",
                                       [TL_CLAP_POLICY_FADTK] = "fadtk"};

static bool choose_policy(struct tl_clap_sound *s, const char *crop, const char *compat, const char *resample,
                          struct tl_err *err)
{
    bool is_fadtk = (crop && strcmp(crop, "fadtk") == 0) || (!crop && compat && strcmp(compat, "fadtk") == 0);
    if (!tl_sound_compat_parse(is_fadtk && !compat ? "fadtk" : compat, resample, &s->compat, err))
        return false;
    if (s->compat.is_google) return tl_err_set(err, TL_USAGE, "compat=google is for vggish, not for clap");
    s->policy = s->params.is_fused ? TL_CLAP_POLICY_CENTRE : TL_CLAP_POLICY_WINDOWS;
    if (is_fadtk) crop = "fadtk";
    bool known = !crop;
    for (int i = 0; crop && i <= TL_CLAP_POLICY_FADTK; i++)
        if (strcmp(crop, policies[i]) == 0) {
            s->policy = (enum tl_clap_policy)i;
            known = true;
        }
    if (!known)
        return tl_err_set(err, TL_USAGE, "there is no crop '%s'; there are windows, centre, start, fadtk",
                          crop);
    return s->policy != TL_CLAP_POLICY_FADTK || !s->params.is_fused ||
           tl_err_set(err, TL_USAGE, "crop=fadtk needs an unfused checkpoint, this one is fused");
}

static void fill_params(struct tl_clap_sound *s)
{
    struct tl_front_clap_params *p = &s->params;
    p->crop = s->policy == TL_CLAP_POLICY_START ? TL_CLAP_START : TL_CLAP_CENTRE;
    if (s->policy != TL_CLAP_POLICY_FADTK) return;
    p->crop = TL_CLAP_WINDOWS;
    p->window_hop = p->rate;
    p->is_quantised = true;
}

bool tl_clap_sound_open(struct tl_clap_sound *s, const char *folder,
                        const struct tl_clap_audio_config *config, const char *crop, const char *compat,
                        const char *resample, struct tl_err *err)
{
    *s = (struct tl_clap_sound){.params = tl_front_clap_defaults()};
    struct tl_front_clap_params *p = &s->params;
    p->is_fused = config->is_fused;
    p->bands = (size_t)config->bands;
    if (!read_config(folder, p, err) || !choose_policy(s, crop, compat, resample, err)) return false;
    fill_params(s);
    s->front = tl_front_clap_create(p, err);
    if (!s->front) return tl_err_add(err, "%s", folder);
    s->frames = tl_front_clap_frames(s->front);
    s->channels = p->is_fused ? TL_CLAP_FUSED_CHANNELS : 1;
    if ((int)p->bands != config->bands || s->frames > (size_t)tl_clap_frames(config) ||
        (!config->is_fused && config->channels != 1))
        return tl_err_set(err, TL_BAD_INPUT,
                          "%s: clips of %zu frames and %zu bands do not fit the model's %d frames, %d bands "
                          "and %d channels",
                          folder, s->frames, p->bands, tl_clap_frames(config), config->bands,
                          config->is_fused ? 4 : config->channels);
    s->floats = s->channels * s->frames * p->bands + p->is_fused;
    snprintf(
        s->settings, sizeof s->settings,
        "%zu Hz mono (%s), %s (compat %s), %s, %zu mel bands %g to %g Hz of %zu every %zu, windows of %g "
        "s, longer sounds: %s, shorter: %s, v2",
        p->rate, tl_resampler_name(s->compat.resampler), s->compat.text, s->compat.name,
        p->is_fused ? "fused" : "unfused", p->bands, p->low, p->high, p->fft, p->hop,
        (double)p->max_samples / (double)p->rate, policies[s->policy],
        s->policy == TL_CLAP_POLICY_FADTK ? "zeros" : paddings[p->padding]);
    return true;
}

void tl_clap_sound_finish(struct tl_clap_sound *s)
{
    tl_front_clap_destroy(&s->front);
}

/* ---- windows ---- */

/* [C][T][F] to [T][F][C], is_longer behind it where fused. */
static void put_window(const struct tl_clap_sound *s, const float *x, bool is_longer, float *out)
{
    size_t n = s->frames * s->params.bands;
    for (size_t c = 0; c < s->channels; c++)
        for (size_t i = 0; i < n; i++) out[i * s->channels + c] = x[c * n + i];
    if (s->params.is_fused) out[n * s->channels] = is_longer ? 1 : 0;
}

/* The pictures of one stretch of samples behind the `at` windows that are there; room for `room` in all. */
static bool add_windows(const struct tl_clap_sound *s, const float *samples, size_t n, size_t *at,
                        size_t room, struct tl_encoder_windows *out, struct tl_err *err)
{
    struct tl_front front = {0};
    bool is_longer = false;
    bool ok = tl_front_clap_run(s->front, samples, n, &front, &is_longer, err);
    size_t each = s->channels * s->frames * s->params.bands, total;
    if (ok && !out->x && room <= front.n && s->floats == each) { /* they are all, and as they should be */
        *out = (struct tl_encoder_windows){front.n, each, front.x};
        return true;
    }
    if (ok && !out->x) {
        if (front.n > room) room = front.n;
        if (!tl_checked_mul(room, s->floats, &total) || total > TL_FRONT_MOST_FLOATS)
            ok = tl_err_set(err, TL_BAD_INPUT,
                            "the sound is too long: its %zu windows take more than 1 GiB; cut it", room);
        else
            ok = (out->x = calloc(total, sizeof *out->x)) || tl_err_set(err, TL_FAIL, "out of memory");
        out->floats = s->floats;
        out->n = room;
    }
    for (size_t i = 0; ok && i < front.n; i++)
        put_window(s, front.x + i * each, is_longer, out->x + (*at)++ * s->floats);
    tl_front_finish(&front);
    return ok;
}

bool tl_clap_sound_prepare(const struct tl_clap_sound *s, const struct tl_sound *sound,
                           struct tl_encoder_windows *out, struct tl_err *err)
{
    struct tl_sound mono = {0};
    size_t most = s->params.max_samples, at = 0;
    bool ok = tl_sound_compat_samples(&s->compat, sound, (int)s->params.rate, &mono, err);
    if (ok && (s->policy != TL_CLAP_POLICY_WINDOWS || mono.frames <= most)) {
        ok = add_windows(s, mono.samples, mono.frames, &at, 1, out, err);
    } else if (ok) {
        size_t n = (mono.frames + most - 1) / most;
        for (size_t i = 0; ok && i < n; i++) {
            size_t start = i + 1 < n ? i * most : mono.frames - most;
            ok = add_windows(s, mono.samples + start, most, &at, n, out, err);
        }
    }
    tl_sound_finish(&mono);
    return ok;
}
