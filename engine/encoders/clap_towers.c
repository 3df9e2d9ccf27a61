#include "encoders/clap_towers.h"

#include <stdlib.h>
#include <string.h>

#include "encoders/encoder_plan.h"
#include "encoders/encoder_weights.h"

enum { ROWS = 4, SHORTEST = 32, LENGTHS = 16 /* 32, 64, ... ids */ };

struct tl_clap_towers {
    struct tl_component *clap;
    struct tl_clap_config config;
    bool has_text;
    double scale;
    struct tl_encoder_plan audio;         /* planned at the first sound */
    size_t frames;                        /* of its plan */
    struct tl_encoder_plan text[LENGTHS]; /* one row each, planned when it is first needed */
};

static bool feed_time(struct tl_clap_towers *t, size_t frames, struct tl_err *err)
{
    size_t full = (size_t)tl_clap_frames(&t->config.audio);
    if (frames >= full) return true;
    float *weights = malloc(frames * full * sizeof *weights);
    if (!weights) return tl_err_set(err, TL_FAIL, "out of memory");
    tl_clap_time_weights(&t->config.audio, (int64_t)frames, weights);
    bool ok = tl_exec_write(t->audio.exec, "time_weights", weights, err);
    free(weights);
    return ok;
}

/* Where the checkpoint is fused a row has is_longer behind its pictures. */
static tl_val audio_input(struct tl_graph *g, const struct tl_clap_audio_config *c, size_t frames,
                          tl_val *out_longer)
{
    int64_t channels = c->is_fused ? TL_CLAP_FUSED_CHANNELS : c->channels;
    struct tl_shape shape = tl_shape4(ROWS, (int64_t)frames, c->bands, channels);
    int64_t n = (int64_t)frames * c->bands * channels;
    *out_longer = TL_NONE;
    if (!c->is_fused) return tl_input(g, "in", TL_F32, shape);
    tl_val in = tl_input(g, "in", TL_F32, tl_shape2(ROWS, n + 1));
    *out_longer = tl_slice(g, in, 1, n, 1);
    return tl_reshape(g, tl_slice(g, in, 1, 0, n), shape);
}

static bool plan_audio(struct tl_clap_towers *t, size_t frames, struct tl_err *err)
{
    const struct tl_clap_audio_config *c = &t->config.audio;
    struct tl_clap_audio_out out;
    int64_t full = tl_clap_frames(c);
    tl_encoder_plan_finish(&t->audio);
    struct tl_graph *g = tl_graph_create();
    if (!g) return tl_err_set(err, TL_FAIL, "out of memory");
    struct tl_nn nn = {.g = g, .set = TL_SET_BASE, .lora_scale = TL_NONE, .dtype = t->clap->dtype};
    tl_val longer, time = TL_NONE, in = audio_input(g, c, frames, &longer);
    if ((int64_t)frames < full) time = tl_input(g, "time_weights", TL_F32, tl_shape2((int64_t)frames, full));
    tl_clap_audio_build(&nn, c, in, longer, time, &out);
    tl_output(g, out.embeds, "out");
    t->frames = frames;
    if (!tl_encoder_plan_init(&t->audio, &g, t->clap->store, err)) return false;
    if (feed_time(t, frames, err)) return true;
    tl_encoder_plan_finish(&t->audio);
    return false;
}

static bool plan_text(struct tl_clap_towers *t, int i, size_t length, struct tl_err *err)
{
    struct tl_clap_text_out out;
    struct tl_graph *g = tl_graph_create();
    if (!g) return tl_err_set(err, TL_FAIL, "out of memory");
    struct tl_nn nn = {.g = g, .set = TL_SET_BASE, .lora_scale = TL_NONE, .dtype = t->clap->dtype};
    struct tl_shape s = tl_shape2(1, (int64_t)length);
    tl_val ids = tl_input(g, "in", TL_I32, s), mask = tl_input(g, "mask", TL_F32, s);
    tl_clap_text_build(&nn, &t->config.text, ids, mask, tl_input(g, "positions", TL_I32, s), &out);
    tl_output(g, out.embeds, "out");
    return tl_encoder_plan_init(&t->text[i], &g, t->clap->store, err);
}

/* ---- opening ---- */

static bool open_into(struct tl_clap_towers *t, struct tl_device *device, const char *folder,
                      enum tl_dtype dtype, struct tl_err *err)
{
    t->clap = tl_component_open_as(device, folder, dtype, err);
    if (!t->clap) return false;
    if (strcmp(t->clap->cls->name, "ClapModel") == 0) {
        t->has_text = true;
        t->config = t->clap->config.clap;
        return tl_encoder_weights_scale(t->clap, "logit_scale_a", &t->scale, err) ||
               tl_err_add(err, "%s", folder);
    }
    if (strcmp(t->clap->cls->name, "ClapAudioModelWithProjection") != 0)
        return tl_err_set(err, TL_BAD_INPUT, "%s holds a %s, a ClapModel is needed", folder,
                          t->clap->cls->name);
    t->config.audio = t->clap->config.clap_audio;
    t->config.projection = t->config.audio.projection;
    return true;
}

struct tl_clap_towers *tl_clap_towers_open(struct tl_device *device, const char *folder, enum tl_dtype dtype,
                                           struct tl_err *err)
{
    struct tl_clap_towers *t = calloc(1, sizeof *t);
    if (!t) tl_err_set(err, TL_FAIL, "out of memory");
    if (t && !open_into(t, device, folder, dtype, err)) tl_clap_towers_close(&t);
    return t;
}

void tl_clap_towers_close(struct tl_clap_towers **towers)
{
    struct tl_clap_towers *t = *towers;
    if (!t) return;
    tl_encoder_plan_finish(&t->audio);
    for (int i = 0; i < LENGTHS; i++) tl_encoder_plan_finish(&t->text[i]);
    tl_component_close(&t->clap);
    free(t);
    *towers = NULL;
}

const struct tl_clap_config *tl_clap_towers_config(const struct tl_clap_towers *towers)
{
    return &towers->config;
}

double tl_clap_towers_scale(const struct tl_clap_towers *towers)
{
    return towers->scale;
}

size_t tl_clap_towers_batch(const struct tl_clap_towers *towers)
{
    (void)towers;
    return ROWS;
}

bool tl_clap_towers_has_text(const struct tl_clap_towers *towers)
{
    return towers->has_text;
}

/* ---- running ---- */

bool tl_clap_towers_sounds(struct tl_clap_towers *t, const float *x, size_t n, size_t frames, float *out,
                           struct tl_err *err)
{
    if ((!t->audio.exec || t->frames != frames) && !plan_audio(t, frames, err))
        return tl_err_add(err, "%s", t->clap->folder);
    return tl_encoder_plan_run(&t->audio, x, n, out, err);
}

/* The ids filled up, their mask and positions, made and run. */
static bool run_text(struct tl_clap_towers *t, struct tl_encoder_plan *plan, const int32_t *ids, size_t used,
                     float *out, struct tl_err *err)
{
    size_t length = plan->n_in;
    int32_t *row = malloc(2 * length * sizeof *row), *positions = row + length;
    float *mask = malloc(length * sizeof *mask);
    bool ok = (row && mask) || tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t k = 0; ok && k < length; k++) {
        row[k] = k < used ? ids[k] : t->config.text.pad_id;
        mask[k] = k < used ? 0 : -1e30f;
    }
    if (ok) tl_clap_positions(&t->config.text, row, 1, (int64_t)length, positions);
    ok = ok && tl_exec_write(plan->exec, "mask", mask, err) &&
         tl_exec_write(plan->exec, "positions", positions, err) &&
         tl_encoder_plan_run(plan, row, 1, out, err);
    free(row);
    free(mask);
    return ok;
}

bool tl_clap_towers_text(struct tl_clap_towers *t, const int32_t *ids, size_t used, float *out,
                         struct tl_err *err)
{
    if (!t->has_text)
        return tl_err_set(err, TL_BAD_INPUT, "%s holds a %s without a text tower, a ClapModel is needed",
                          t->clap->folder, t->clap->cls->name);
    size_t most = (size_t)tl_clap_text_most(&t->config.text), length = SHORTEST;
    int i = 0;
    for (; length < used && i + 1 < LENGTHS; i++) length *= 2;
    if (length > most) length = most;
    if (used > length)
        return tl_err_set(err, TL_USAGE, "a text of %zu ids; the model has %zu places", used, most);
    if (!t->text[i].exec && !plan_text(t, i, length, err)) return tl_err_add(err, "%s", t->clap->folder);
    return run_text(t, &t->text[i], ids, used, out, err);
}
