/* Statistics of log-mel bands by the second (audio/front_logmel.h): no weights, no device. All is done where
 * a file is prepared, and the network is a copy. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audio/front_logmel.h"
#include "audio/resample.h"
#include "encoders/encoder_rows.h"

struct encoder_logmel {
    struct tl_encoder base;
    struct tl_front_logmel *front;
    enum tl_resampler resampler;
    char settings[192];
};

static void close_logmel(struct tl_encoder *encoder)
{
    struct encoder_logmel *e = (struct encoder_logmel *)encoder;
    tl_front_logmel_destroy(&e->front);
    free(e);
}

static bool read_argument(struct encoder_logmel *e, const char *arg, struct tl_err *err)
{
    static const char *const keys[] = {"resample", NULL};
    const char *path = NULL, *value = NULL;
    char *block = NULL;
    bool ok = tl_encoder_arg_parse(arg, keys, &block, &path, &value, err);
    if (ok && path)
        ok = tl_err_set(err, TL_USAGE, "logmel has no weights, but '%s' is given: write logmel alone", path);
    e->resampler = TL_RESAMPLE_SOXR_VHQ;
    ok = ok && (!value || tl_resampler_parse(value, &e->resampler, err));
    free(block);
    return ok;
}

static struct tl_encoder *open_logmel(const struct tl_encoder_env *env, const char *arg, struct tl_err *err)
{
    struct encoder_logmel *e = calloc(1, sizeof *e);
    (void)env;
    if (!e) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    e->front = read_argument(e, arg, err) ? tl_front_logmel_create(err) : NULL;
    if (!e->front) {
        close_logmel(&e->base);
        return NULL;
    }
    snprintf(
        e->settings, sizeof e->settings,
        "16 kHz mono (%s), windows of 1 s, mean and deviation of 64 log-mel bands from 50 to 8000 Hz, v1",
        tl_resampler_name(e->resampler));
    struct tl_encoder_about *a = &e->base.about;
    a->settings = e->settings;
    a->dim = TL_FRONT_LOGMEL_DIM;
    a->batch = 256;
    a->is_fixed = a->has_many = true;
    return &e->base;
}

static bool prepare_logmel(const struct tl_encoder *encoder, const struct tl_encoder_item *item,
                           struct tl_encoder_windows *out, struct tl_err *err)
{
    const struct encoder_logmel *e = (const struct encoder_logmel *)encoder;
    struct tl_sound mono = {0};
    struct tl_front front = {0};
    bool ok = tl_sound_mono_at(item->sound, TL_FRONT_LOGMEL_RATE, e->resampler, &mono, err) &&
              tl_front_logmel_run(e->front, mono.samples, mono.frames, &front, err);
    if (ok) *out = (struct tl_encoder_windows){front.n, TL_FRONT_LOGMEL_DIM, front.x};
    tl_sound_finish(&mono);
    return ok;
}

static bool run_logmel(struct tl_encoder *encoder, const float *x, size_t n, size_t floats, float *out,
                       struct tl_err *err)
{
    (void)encoder, (void)err;
    memcpy(out, x, n * floats * sizeof *out);
    return true;
}

const struct tl_encoder_class tl_encoder_logmel = {
    .name = "logmel",
    .help = "mean and deviation of 64 log-mel bands by the second; needs no weights (logmel[,resample=NAME])",
    .argument = "",
    .modality = TL_MODALITY_AUDIO,
    .needs_device = false,
    .folder_class = NULL,
    .open = open_logmel,
    .close = close_logmel,
    .prepare = prepare_logmel,
    .run = run_logmel,
};
