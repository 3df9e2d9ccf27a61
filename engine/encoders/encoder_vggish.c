/* VGGish: every second of a sound to an embedding. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audio/front_vggish.h"
#include "base/sha256.h"
#include "encoders/encoder_plan.h"
#include "encoders/encoder_rows.h"
#include "encoders/sound_compat.h"
#include "models/vggish.h"

enum { ROWS = 16 };

struct encoder_vggish {
    struct tl_encoder base;
    struct tl_weights_file weights;
    struct tl_encoder_plan plan;
    struct tl_sound_compat compat;
    struct tl_front_vggish *front;
    bool is_activated;
    char *arg, settings[256];
};

static void close_vggish(struct tl_encoder *encoder)
{
    struct encoder_vggish *e = (struct encoder_vggish *)encoder;
    tl_encoder_plan_finish(&e->plan);
    tl_weights_file_finish(&e->weights);
    tl_front_vggish_destroy(&e->front);
    free(e->arg);
    free(e);
}

static struct tl_graph *build(struct encoder_vggish *e, int64_t rows)
{
    struct tl_graph *g = tl_graph_create();
    if (!g) return NULL;
    struct tl_nn nn = tl_weights_file_nn(&e->weights, g);
    struct tl_shape patch = tl_shape4(rows, TL_FRONT_VGGISH_FRAMES, TL_FRONT_VGGISH_BANDS, 1);
    tl_output(g, tl_vggish_build(&nn, &e->weights, tl_input(g, "in", TL_F32, patch), e->is_activated), "out");
    return g;
}

static bool load(struct encoder_vggish *e, const struct tl_encoder_env *env, const char *path,
                 struct tl_err *err)
{
    static const char *const prefixes[] = {"", NULL};
    const char *found;
    e->weights.dtype = env->dtype;
    if (!tl_weights_file_open(&e->weights, path, err) ||
        !tl_weights_file_prefix(&e->weights, "VGGish", prefixes, "embeddings.4.weight", &found, err))
        return false;
    struct tl_graph *g = build(e, 1), *planned = build(e, ROWS);
    bool ok = (g && planned) || tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && tl_weights_file_load(&e->weights, env->device, &g, 0, err);
    ok = ok &&
         (tl_encoder_plan_init(&e->plan, &planned, e->weights.store, err) || tl_err_add(err, "%s", path));
    tl_graph_destroy(&g);
    tl_graph_destroy(&planned);
    return ok;
}

static bool parse_relu(const char *text, bool *out, struct tl_err *err)
{
    *out = strcmp(text, "yes") == 0;
    return *out || strcmp(text, "no") == 0 ||
           tl_err_set(err, TL_USAGE, "relu '%s' is not known: yes and no are", text);
}

static bool fill(struct encoder_vggish *e, const struct tl_encoder_env *env, const char *arg,
                 struct tl_err *err)
{
    static const char *const keys[] = {"compat", "resample", "relu", NULL};
    const char *path = NULL, *values[3];
    if (!tl_encoder_arg_parse(arg, keys, &e->arg, &path, values, err)) return false;
    if (!path) return tl_err_set(err, TL_USAGE, "vggish needs its weights: vggish:FILE");
    if (!tl_sound_compat_parse(values[0], values[1], &e->compat, err)) return false;
    e->is_activated = e->compat.is_google;
    if (values[2] && !parse_relu(values[2], &e->is_activated, err)) return false;
    struct tl_front_vggish_params front = {.is_padded = e->compat.is_padded,
                                           .patch_hop = e->compat.is_google ? 50 : 0};
    e->front = tl_front_vggish_create(&front, err);
    if (!e->front || !load(e, env, path, err)) return false;
    struct tl_encoder_about *a = &e->base.about;
    snprintf(e->settings, sizeof e->settings,
             "16 kHz mono (%s), %s (compat %s), %s, patches of 96 frames, %s relu, v1",
             tl_resampler_name(e->compat.resampler), e->compat.text, e->compat.name,
             e->compat.is_padded ? "zeros up to a second" : "nothing shorter than a patch",
             e->is_activated ? "behind the last" : "without the last");
    a->path = path;
    a->settings = e->settings;
    a->dim = e->plan.n_out;
    a->batch = ROWS;
    a->is_fixed = a->has_many = true;
    return tl_sha256_file(path, a->sha256, err);
}

static struct tl_encoder *open_vggish(const struct tl_encoder_env *env, const char *arg, struct tl_err *err)
{
    struct encoder_vggish *e = calloc(1, sizeof *e);
    if (!e) tl_err_set(err, TL_FAIL, "out of memory");
    if (e && !fill(e, env, arg, err)) {
        close_vggish(&e->base);
        e = NULL;
    }
    return e ? &e->base : NULL;
}

static bool prepare_vggish(const struct tl_encoder *encoder, const struct tl_encoder_item *item,
                           struct tl_encoder_windows *out, struct tl_err *err)
{
    const struct encoder_vggish *e = (const struct encoder_vggish *)encoder;
    struct tl_sound mono = {0};
    struct tl_front patches = {0};
    bool ok = tl_sound_compat_samples(&e->compat, item->sound, TL_FRONT_VGGISH_RATE, &mono, err) &&
              tl_front_vggish_run(e->front, mono.samples, mono.frames, &patches, err);
    tl_sound_finish(&mono);
    if (!ok) return false;
    *out = (struct tl_encoder_windows){patches.n, e->plan.n_in, patches.x};
    return true;
}

static bool run_vggish(struct tl_encoder *encoder, const float *x, size_t n, size_t floats, float *out,
                       struct tl_err *err)
{
    struct encoder_vggish *e = (struct encoder_vggish *)encoder;
    (void)floats;
    if (!tl_encoder_plan_run(&e->plan, x, n, out, err)) return false;
    tl_sound_compat_rows(&e->compat, out, n * e->plan.n_out);
    return true;
}

const struct tl_encoder_class tl_encoder_vggish = {
    .name = "vggish",
    .help = "VGGish, a row a second, without the last relu as FAD tools take it; compat bundles a tool's "
            "resampler and rounding",
    .argument = "FILE[,compat=fadtk|kadtk|gudgud96|google][,resample=NAME][,relu=yes|no]",
    .modality = TL_MODALITY_AUDIO,
    .needs_device = true,
    .open = open_vggish,
    .close = close_vggish,
    .prepare = prepare_vggish,
    .run = run_vggish,
};
