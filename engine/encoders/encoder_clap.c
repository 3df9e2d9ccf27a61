/* A ClapModel folder: sounds to projected embeddings of unit length, one a window of ten seconds. */
#include "encoders/encoder_clap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "encoders/clap_sound.h"
#include "encoders/encoder_rows.h"
#include "encoders/encoder_weights.h"

struct encoder_clap {
    struct tl_encoder base;
    struct tl_clap_towers *towers;
    struct tl_clap_sound sound;
    char *folder;
};

static void close_clap(struct tl_encoder *encoder)
{
    struct encoder_clap *e = (struct encoder_clap *)encoder;
    tl_clap_towers_close(&e->towers);
    tl_clap_sound_finish(&e->sound);
    free(e->folder);
    free(e);
}

static bool fill(struct encoder_clap *e, const struct tl_encoder_env *env, const char *arg,
                 struct tl_err *err)
{
    static const char *const keys[] = {"crop", "compat", "resample", NULL};
    const char *path = NULL, *values[3];
    if (!tl_encoder_arg_parse(arg, keys, &e->folder, &path, values, err)) return false;
    if (!path) return tl_err_set(err, TL_USAGE, "clap needs a model's folder: clap:FOLDER");
    e->towers = tl_clap_towers_open(env->device, path, env->dtype, err);
    if (!e->towers) return false;
    const struct tl_clap_config *config = tl_clap_towers_config(e->towers);
    if (!tl_clap_sound_open(&e->sound, path, &config->audio, values[0], values[1], values[2], err))
        return false;
    struct tl_encoder_about *a = &e->base.about;
    a->path = path;
    a->settings = e->sound.settings;
    a->dim = (size_t)config->projection;
    a->batch = tl_clap_towers_batch(e->towers);
    a->is_fixed = a->is_unit = true;
    a->has_many = e->sound.policy == TL_CLAP_POLICY_WINDOWS || e->sound.policy == TL_CLAP_POLICY_FADTK;
    return tl_encoder_weights_hash(path, "ClapModel", a->sha256, err);
}

static struct tl_encoder *open_clap(const struct tl_encoder_env *env, const char *arg, struct tl_err *err)
{
    struct encoder_clap *e = calloc(1, sizeof *e);
    if (!e) tl_err_set(err, TL_FAIL, "out of memory");
    if (e && !fill(e, env, arg, err)) {
        close_clap(&e->base);
        e = NULL;
    }
    return e ? &e->base : NULL;
}

static bool prepare_clap(const struct tl_encoder *encoder, const struct tl_encoder_item *item,
                         struct tl_encoder_windows *out, struct tl_err *err)
{
    const struct encoder_clap *e = (const struct encoder_clap *)encoder;
    return tl_clap_sound_prepare(&e->sound, item->sound, out, err);
}

static void to_unit(float *row, size_t dim)
{
    double sum = 0;
    for (size_t k = 0; k < dim; k++) sum += (double)row[k] * (double)row[k];
    for (size_t k = 0; k < dim; k++) row[k] = (float)((double)row[k] / sqrt(sum));
}

static bool run_clap(struct tl_encoder *encoder, const float *x, size_t n, size_t floats, float *out,
                     struct tl_err *err)
{
    struct encoder_clap *e = (struct encoder_clap *)encoder;
    size_t dim = e->base.about.dim;
    (void)floats;
    if (!tl_clap_towers_sounds(e->towers, x, n, e->sound.frames, out, err)) return false;
    for (size_t i = 0; i < n; i++) to_unit(out + i * dim, dim);
    tl_sound_compat_rows(&e->sound.compat, out, n * dim);
    return true;
}

struct tl_clap_towers *tl_encoder_clap_towers(struct tl_encoder *encoder)
{
    return ((struct encoder_clap *)encoder)->towers;
}

const struct tl_encoder_class tl_encoder_clap = {
    .name = "clap",
    .help = "sound tower of a ClapModel folder, projected, unit length, every ten seconds; compat bundles a "
            "tool's resampler and rounding",
    .argument = "FOLDER[,crop=windows|centre|start|fadtk][,compat=fadtk|kadtk|gudgud96][,resample=NAME]",
    .modality = TL_MODALITY_AUDIO,
    .needs_device = true,
    .folder_class = "ClapModel",
    .open = open_clap,
    .close = close_clap,
    .prepare = prepare_clap,
    .run = run_clap,
};
