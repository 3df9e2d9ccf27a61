/* PANNs' Cnn14: a whole sound to one embedding. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audio/front_panns.h"
#include "base/checked.h"
#include <tiller/log.h>
#include "base/sha256.h"
#include "encoders/encoder_plan.h"
#include "encoders/encoder_rows.h"
#include "encoders/sound_compat.h"
#include "models/cnn14.h"

/* A plan serves sounds of one length. Longer sounds are refused: their activations would take gigabytes. */
enum { PLANS = 4, MOST_SECONDS = 600 };
static const size_t most_plan_bytes = (size_t)1 << 30;

struct encoder_panns {
    struct tl_encoder base;
    struct tl_weights_file weights;
    struct tl_cnn14 net;
    enum tl_panns_variant variant;
    struct tl_front_panns *front;
    struct tl_sound_compat compat;
    struct tl_encoder_plan plans[PLANS]; /* the one used last stands first */
    const char *bank;                    /* whose mel bank, for settings */
    char *arg, settings[256];
};

static void close_panns(struct tl_encoder *encoder)
{
    struct encoder_panns *e = (struct encoder_panns *)encoder;
    for (int i = 0; i < PLANS; i++) tl_encoder_plan_finish(&e->plans[i]);
    tl_weights_file_finish(&e->weights);
    tl_front_panns_destroy(&e->front);
    free(e->arg);
    free(e);
}

/* ---- front end ---- */

/* The largest difference of the stored bank from one made up to `high` Hz, over the largest weight. */
static bool bank_differs(enum tl_panns_variant variant, double high, const float *stored, size_t n,
                         double *out, struct tl_err *err)
{
    float *made = malloc(n * sizeof *made);
    if (!made) return tl_err_set(err, TL_FAIL, "out of memory");
    bool ok = tl_front_panns_bank(variant, high, made, err);
    double most = 0, largest = 0;
    for (size_t i = 0; ok && i < n; i++) {
        double d = (double)stored[i] - (double)made[i], m = made[i];
        if (d < 0 ? -d > most : d > most) most = d < 0 ? -d : d;
        if (m > largest) largest = m;
    }
    free(made);
    *out = largest > 0 ? most / largest : 0;
    return ok;
}

/* The bank that the weights were trained with counts; that it is another than the variant's is said. The
 * 32 kHz one was trained to 14 kHz by the authors' scripts, while tools name 16 kHz for it. */
static bool compare_bank(struct encoder_panns *e, const char *path, const float *stored, size_t n,
                         struct tl_err *err)
{
    static const double usual[] = {[TL_PANNS_32K] = 14000, [TL_PANNS_16K] = 8000, [TL_PANNS_8K] = 4000};
    static const double same = 1e-3; /* float16 files are within */
    double high = usual[e->variant], off, off_wide = 1;
    e->bank = "stored";
    if (!bank_differs(e->variant, high, stored, n, &off, err)) return false;
    if (off <= same) return true;
    if (e->variant == TL_PANNS_32K && !bank_differs(e->variant, 16000, stored, n, &off_wide, err))
        return false;
    e->bank = off_wide <= same ? "stored, to 16 kHz" : "stored, unusual";
    tl_log(TL_LOG_WARN,
           "%s: its mel bank is not the one from 50 to %.0f Hz (off by %.2g of the largest weight%s); the "
           "stored one is taken",
           path, high, off, off_wide <= same ? ", one to 16000 Hz fits" : "");
    return true;
}

static const struct tl_st_tensor *stored_bank(const struct encoder_panns *e)
{
    char name[64];
    snprintf(name, sizeof name, "%slogmel_extractor.melW", e->net.prefix);
    return tl_st_set_find(e->weights.set, name);
}

/* The stored bank's rows tell the rate that the file is for. */
static bool choose_variant(struct encoder_panns *e, const char *rate, struct tl_err *err)
{
    const struct tl_st_tensor *t = stored_bank(e);
    char text[96];
    int told = -1, asked = -1;
    for (int v = TL_PANNS_32K; v <= TL_PANNS_8K; v++) {
        snprintf(text, sizeof text, "%d", tl_front_panns_rate((enum tl_panns_variant)v));
        if (rate && strcmp(rate, text) == 0) asked = v;
        if (t &&
            tl_st_has_shape(t, 2, (int)tl_front_panns_bins((enum tl_panns_variant)v), TL_FRONT_PANNS_BANDS))
            told = v;
    }
    if (rate && asked < 0)
        return tl_err_set(err, TL_USAGE, "rate '%s' is not known: 32000, 16000 and 8000 are", rate);
    if (t && told < 0)
        return tl_err_set(err, TL_BAD_INPUT, "tensor %s is %s, no bank of 64 bands for 32, 16 or 8 kHz",
                          t->name, tl_st_shape_text(t, text, sizeof text));
    if (rate && t && asked != told)
        return tl_err_set(err, TL_USAGE, "the weights are for %d Hz, not for rate=%s",
                          tl_front_panns_rate((enum tl_panns_variant)told), rate);
    e->variant = (enum tl_panns_variant)(rate ? asked : t ? told : TL_PANNS_32K);
    return true;
}

static bool make_front(struct encoder_panns *e, const char *path, struct tl_err *err)
{
    const struct tl_st_tensor *t = stored_bank(e);
    size_t n = tl_front_panns_bins(e->variant) * TL_FRONT_PANNS_BANDS;
    float *bank = t ? malloc(n * sizeof *bank) : NULL;
    bool ok = !t || bank || tl_err_set(err, TL_FAIL, "out of memory");
    e->bank = "made";
    if (ok && t) ok = tl_st_to_f32(t, bank, err) && compare_bank(e, path, bank, n, err);
    e->front = ok ? tl_front_panns_create(e->variant, bank, err) : NULL;
    free(bank);
    return e->front != NULL;
}

/* ---- network ---- */

static struct tl_graph *build(const struct encoder_panns *e, int64_t frames)
{
    struct tl_graph *g = tl_graph_create();
    if (!g) return NULL;
    struct tl_nn nn = tl_weights_file_nn(&e->weights, g);
    tl_val x = tl_input(g, "in", TL_F32, tl_shape4(1, frames, TL_CNN14_BANDS, 1));
    tl_output(g, tl_cnn14_build(&nn, &e->net, x), "out");
    return g;
}

static bool load(struct encoder_panns *e, const struct tl_encoder_env *env, const char *path,
                 const char *rate, struct tl_err *err)
{
    e->weights.dtype = env->dtype;
    if (!tl_weights_file_open(&e->weights, path, err) || !tl_cnn14_read(&e->weights, &e->net, err))
        return false;
    if (!choose_variant(e, rate, err) || !make_front(e, path, err)) return tl_err_add(err, "%s", path);
    struct tl_graph *g = build(e, TL_CNN14_MIN_FRAMES);
    if (!g) return tl_err_set(err, TL_FAIL, "out of memory");
    return tl_weights_file_load(&e->weights, env->device, &g, tl_cnn14_norm_eps, err);
}

static bool fill(struct encoder_panns *e, const struct tl_encoder_env *env, const char *arg,
                 struct tl_err *err)
{
    static const char *const keys[] = {"compat", "resample", "rate", NULL};
    const char *path = NULL, *values[3];
    if (!tl_encoder_arg_parse(arg, keys, &e->arg, &path, values, err)) return false;
    if (!path) return tl_err_set(err, TL_USAGE, "panns needs its weights: panns:FILE");
    if (!tl_sound_compat_parse(values[0], values[1], &e->compat, err)) return false;
    if (e->compat.is_google) return tl_err_set(err, TL_USAGE, "compat=google is for vggish, not for panns");
    if (!load(e, env, path, values[2], err)) return false;
    struct tl_encoder_about *a = &e->base.about;
    snprintf(e->settings, sizeof e->settings,
             "%d Hz mono (%s), %s (compat %s), 64 mel bands (%s), whole file, v2",
             tl_front_panns_rate(e->variant), tl_resampler_name(e->compat.resampler), e->compat.text,
             e->compat.name, e->bank);
    a->path = path;
    a->settings = e->settings;
    a->dim = (size_t)e->net.widths[6];
    a->batch = 1;
    return tl_sha256_file(path, a->sha256, err);
}

static struct tl_encoder *open_panns(const struct tl_encoder_env *env, const char *arg, struct tl_err *err)
{
    struct encoder_panns *e = calloc(1, sizeof *e);
    if (!e) tl_err_set(err, TL_FAIL, "out of memory");
    if (e && !fill(e, env, arg, err)) {
        close_panns(&e->base);
        e = NULL;
    }
    return e ? &e->base : NULL;
}

static bool prepare_panns(const struct tl_encoder *encoder, const struct tl_encoder_item *item,
                          struct tl_encoder_windows *out, struct tl_err *err)
{
    const struct encoder_panns *e = (const struct encoder_panns *)encoder;
    const struct tl_sound *sound = item->sound;
    struct tl_sound mono = {0};
    struct tl_front picture = {0};
    if (sound->frames / (size_t)sound->rate > MOST_SECONDS)
        return tl_err_set(err, TL_BAD_INPUT,
                          "%zu seconds are more than %d, the most that panns takes as one: cut it",
                          sound->frames / (size_t)sound->rate, MOST_SECONDS);
    bool ok = tl_sound_compat_samples(&e->compat, sound, tl_front_panns_rate(e->variant), &mono, err) &&
              tl_front_panns_run(e->front, mono.samples, mono.frames, &picture, err);
    tl_sound_finish(&mono);
    if (!ok) return false;
    *out = (struct tl_encoder_windows){1, picture.frames * picture.bands, picture.x};
    return true;
}

/* Makes the plan for `frames` the first; drops what is used least while all together take too much. */
static bool choose_plan(struct encoder_panns *e, size_t frames, struct tl_err *err)
{
    int at = 0;
    while (at < PLANS - 1 && e->plans[at].exec && e->plans[at].n_in != frames * TL_CNN14_BANDS) at++;
    struct tl_encoder_plan plan = e->plans[at];
    if (plan.n_in != frames * TL_CNN14_BANDS) tl_encoder_plan_finish(&plan);
    memmove(e->plans + 1, e->plans, (size_t)at * sizeof *e->plans);
    e->plans[0] = plan;
    if (plan.exec) return true;
    struct tl_graph *g = build(e, (int64_t)frames);
    if (!g) return tl_err_set(err, TL_FAIL, "out of memory");
    if (!tl_encoder_plan_init(&e->plans[0], &g, e->weights.store, err)) return false;
    size_t bytes = tl_exec_bytes(e->plans[0].exec);
    for (int i = 1; i < PLANS && e->plans[i].exec; i++) {
        bytes += tl_exec_bytes(e->plans[i].exec);
        if (bytes > most_plan_bytes) tl_encoder_plan_finish(&e->plans[i]);
    }
    return true;
}

static bool run_panns(struct tl_encoder *encoder, const float *x, size_t n, size_t floats, float *out,
                      struct tl_err *err)
{
    struct encoder_panns *e = (struct encoder_panns *)encoder;
    if (floats % TL_CNN14_BANDS || floats / TL_CNN14_BANDS < TL_CNN14_MIN_FRAMES)
        return tl_err_set(err, TL_FAIL, "%zu floats are no picture for panns", floats);
    if (!choose_plan(e, floats / TL_CNN14_BANDS, err) || !tl_encoder_plan_run(&e->plans[0], x, n, out, err))
        return false;
    tl_sound_compat_rows(&e->compat, out, n * e->base.about.dim);
    return true;
}

const struct tl_encoder_class tl_encoder_panns = {
    .name = "panns",
    .help = "PANNs' Cnn14 for 32, 16 or 8 kHz (told from the file): one row a sound; compat bundles a tool's "
            "resampler and rounding",
    .argument = "FILE[,compat=kadtk|gudgud96][,resample=NAME][,rate=32000|16000|8000]",
    .modality = TL_MODALITY_AUDIO,
    .needs_device = true,
    .open = open_panns,
    .close = close_panns,
    .prepare = prepare_panns,
    .run = run_panns,
};
